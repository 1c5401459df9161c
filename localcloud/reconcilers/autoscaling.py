"""Auto Scaling groups: as many instances as desired, spread over the zones, the broken ones replaced.

Works on moto's state alone: it asks EC2's backend for instances and terminations, and the reconciler of the instances
runs them. Each pass compares the desired capacity with the members that there are, whatever happened before.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from localcloud import backends
from localcloud.controller import Action, Observed
from localcloud.overlay import lifecycle_hooks
from localcloud.overlay.autoscaling import (
    DELETE_IN_PROGRESS,
    IN_SERVICE,
    PENDING_PROCEED,
    PENDING_WAIT,
    STANDBY,
    TERMINATING_PROCEED,
    TERMINATING_WAIT,
    UNHEALTHY,
    Member,
    begin_termination,
    deregister,
    forget,
    now_text,
    remove_group,
    suspended,
)
from localcloud.overlay.elbv2 import target_health
from localcloud.overlay.instance_refresh import active_refresh
from localcloud.reconcilers.launches import delay_launches, launch, places, zones_of

LOGGER = logging.getLogger(__name__)
GONE = ("shutting-down", "terminated")
HOUR = 3600  # seconds

# Looks up a target group's health by its ARN: instance id -> initial, healthy, unhealthy, draining or unused.
HealthLookUp = Callable[[str], dict[str, str]]


def load_balancer_health(target_group_arn: str) -> dict[str, str]:
    return {target_id: health.state for target_id, health in target_health(target_group_arn).items()}


class AutoScalingGroups:
    """Launches, registers, watches, replaces and terminates the members of the groups."""

    def __init__(self, health: HealthLookUp = load_balancer_health) -> None:
        self._target_health = health

    def reconcile(self, observed: Observed) -> list[Action]:  # noqa: ARG002 (the instances' state is all that matters)
        for backend in backends.each("autoscaling"):
            for group in list(backend.autoscaling_groups.values()):
                try:
                    self._reconcile_group(group)
                except Exception:
                    LOGGER.exception("autoscaling group %s failed", group.name)
        return []

    def _reconcile_group(self, group: Any) -> None:
        deleting = group.status == DELETE_IN_PROGRESS
        if deleting:
            self._terminate_all(group)
        for member in list(group.instance_states):
            if member.launching:
                self._enter_service(group, member)
            elif member.terminating:
                self._terminate(group, member, at_once=deleting)
            elif member.lifecycle_state == IN_SERVICE:
                self._register(group, member)
        if deleting:
            if not group.instance_states:
                remove_group(group)
            return
        if not suspended(group, "HealthCheck"):
            self._check_health(group)
        if not (suspended(group, "ReplaceUnhealthy") or suspended(group, "Terminate")):
            self._replace_unhealthy(group)
            self._replace_expired(group)
        self._match_capacity(group)
        self._follow_cooldown(group)

    # -- life cycle of a member -----------------------------------------------------------------------------------

    def _enter_service(self, group: Any, member: Member) -> None:
        state = member.instance.state
        if state == "running":
            if self._waits_for_launch_hooks(group, member):
                return
            if suspended(group, "AddToLoadBalancer"):
                member.passed_over = list(group.target_group_arns)  # for good: AWS doesn't make up for it either
            self._register(group, member)
            member.enter_service()
            group.launch_failures = 0
        elif state not in ("pending", "stopping"):
            reason = member.instance.state_reason.message or f"Instance became {state} while launching"
            self._give_up_launch(group, member, "Failed", reason)

    def _waits_for_launch_hooks(self, group: Any, member: Member) -> bool:
        """Whether lifecycle hooks keep a member out of service, for now or, when one gave it up, for good."""
        if member.in_service_at is not None:  # it comes back from standby
            return False
        said = lifecycle_hooks.outcome(member, lifecycle_hooks.LAUNCHING)
        if said == lifecycle_hooks.CONTINUE:
            member.lifecycle_state = PENDING_PROCEED
            return False
        if said == lifecycle_hooks.ABANDON:
            self._give_up_launch(group, member, "Cancelled", lifecycle_hooks.abandoned_because(member))
        else:
            member.lifecycle_state = PENDING_WAIT
            if member.activity:
                member.activity.advance("MidLifecycleAction", 40)
        return True

    def _give_up_launch(self, group: Any, member: Member, status_code: str, reason: str) -> None:
        LOGGER.warning("%s: %s did not come into service: %s", group.name, member.instance_id, reason)
        if member.activity:
            member.activity.end(status_code, reason)
            member.activity = None
        delay_launches(group)
        if member.instance.state in GONE:
            deregister(member, member.registered)
            forget(member)
        else:
            begin_termination(member, _at(LAUNCH_FAILURE))

    def _register(self, group: Any, member: Member) -> None:
        if suspended(group, "AddToLoadBalancer"):
            return
        elbv2 = group.autoscaling_backend.elbv2_backend
        for arn in group.target_group_arns:
            if arn in member.registered or arn in member.passed_over or arn not in elbv2.target_groups:
                continue
            if member.instance.state == "running":
                elbv2.register_targets(arn, [{"Id": member.instance_id, "Port": elbv2.target_groups[arn].port}])
                member.registered.append(arn)

    def _terminate(self, group: Any, member: Member, at_once: bool = False) -> None:
        """One step of taking a member away: deregister, wait until it has drained and its hooks are done, terminate.

        `at_once`: wait for nothing.
        """
        state = member.instance.state
        if state == "terminated":
            deregister(member, member.registered)
            if member.activity:
                member.activity.end("Successful")
            forget(member)
            return
        if state == "shutting-down":
            return
        deregister(member, member.registered)
        if not at_once and state == "running" and self._drains(group, member):
            if not member.draining:
                member.draining = True
                if member.activity:
                    member.activity.description += " - Waiting For ELB connection draining."
                    member.activity.advance("WaitingForELBConnectionDraining", 50)
            return
        if not at_once and not lifecycle_hooks.outcome(member, lifecycle_hooks.TERMINATING):
            member.lifecycle_state = TERMINATING_WAIT
            if member.activity:
                member.activity.advance("MidLifecycleAction", 60)
            return
        member.lifecycle_state = TERMINATING_PROCEED
        if member.activity:
            member.activity.advance("InProgress", 75)
        # Protection from termination is for users' requests, not for the group's.
        member.instance.disable_api_termination = False
        group.ec2_backend.terminate_instances([member.instance_id])

    def _drains(self, group: Any, member: Member) -> bool:
        target_groups = group.autoscaling_backend.elbv2_backend.target_groups
        return any(
            self._target_health(arn).get(member.instance_id) == "draining"
            for arn in member.registered
            if arn in target_groups
        )

    def _terminate_all(self, group: Any) -> None:
        for member in list(group.instance_states):
            if not member.terminating:
                begin_termination(member, group.change_cause + _at(SHRINKING))

    # -- health ---------------------------------------------------------------------------------------------------

    def _check_health(self, group: Any) -> None:
        now = time.time()
        grace = int(group.health_check_grace_period or 0)
        health = (
            {arn: self._target_health(arn) for arn in group.target_group_arns}
            if group.health_check_type and "ELB" in group.health_check_type
            else {}
        )
        for member in group.instance_states:
            if member.lifecycle_state != IN_SERVICE or member.health_status == UNHEALTHY:
                continue
            if member.instance.state != "running":
                member.health_status, member.unhealthy_cause = UNHEALTHY, EC2_FAILURE
            elif now >= (member.in_service_at or now) + grace and any(
                targets.get(member.instance_id) == "unhealthy" for targets in health.values()
            ):
                member.health_status, member.unhealthy_cause = UNHEALTHY, ELB_FAILURE

    def _replace_unhealthy(self, group: Any) -> None:
        kept = kept_until_replaced(group)
        for member in unhealthy_members(group):
            if member not in kept:
                LOGGER.info("%s: replacing %s: %s", group.name, member.instance_id, member.unhealthy_cause)
                begin_termination(member, _at(member.unhealthy_cause))
                group.replacements_due += 1
        group.replacements_due = max(group.replacements_due, len(kept))

    def _replace_expired(self, group: Any) -> None:
        """Replace members that are older than the group lets them become: the oldest, when nothing else changes."""
        lifetime = int(getattr(group, "max_instance_lifetime", None) or 0)
        active = [member for member in group.instance_states if member.active]
        if not lifetime or not active or any(member.lifecycle_state != IN_SERVICE for member in active):
            return
        oldest = min(active, key=lambda member: member.launched_at)
        if time.time() >= oldest.launched_at + lifetime and len(active) >= group.desired_capacity:
            LOGGER.info("%s: replacing %s: it has reached its maximum lifetime", group.name, oldest.instance_id)
            begin_termination(oldest, _at(EXPIRED))

    # -- capacity -------------------------------------------------------------------------------------------------

    def _match_capacity(self, group: Any) -> None:
        kept = kept_until_replaced(group)
        active = [member for member in group.instance_states if member.active and member not in kept]
        wanted = group.desired_capacity + group.surplus + self._held_for_balance(group)
        if len(active) < wanted and not suspended(group, "Launch"):
            for _ in range(wanted - len(active)):
                cause = launch_cause(group, len(active), wanted)
                if time.time() < group.launch_not_before or launch(group, cause) is None:
                    break
                group.replacements_due = max(0, group.replacements_due - 1)
        elif len(active) > wanted and not suspended(group, "Terminate"):
            self._scale_in(group, active, wanted)
        elif len(active) == wanted:
            group.replacements_due = 0
            if all(member.lifecycle_state == IN_SERVICE for member in active):
                group.change_cause = ""
                self._balance(group, active)

    def _scale_in(self, group: Any, active: list[Member], wanted: int) -> None:
        balanced = ""
        if group.rebalancing:
            zone = next((m.availability_zone for m in active if m.instance_id == group.rebalancing), "")
            balanced = _at(f"instances were launched to balance instances in zones {zone} with other zones resulting "
                           "in more than desired number of instances in the group.  ")  # fmt: skip
            group.rebalancing = None
        for member in choose_for_scale_in(group, len(active) - wanted):
            text = f"{_at(SHRINKING)} shrinking the capacity from {len(active)} to {wanted}.  "
            selected = _at(f"instance {member.instance_id} was selected for termination.")
            begin_termination(member, f"{balanced}{group.change_cause}{text}{selected}")

    def _held_for_balance(self, group: Any) -> int:
        """One more than desired, while an instance that shall balance the zones is not in service yet."""
        if group.rebalancing:
            member = next((m for m in group.instance_states if m.instance_id == group.rebalancing), None)
            if member is not None and member.launching:
                return 1
            if member is None or member.lifecycle_state != IN_SERVICE:
                group.rebalancing = None
        return 0

    def _balance(self, group: Any, active: list[Member]) -> None:
        """Launch an instance in the emptiest zone when another has two more; the scale-in then takes from that one.

        Only in a group where all is as desired, so that nothing else is under way.
        """
        group.rebalancing = None
        if any(suspended(group, process) for process in ("AZRebalance", "Launch", "Terminate")):
            return
        if group.surplus or active_refresh(group) or time.time() < group.launch_not_before:
            return
        best = next(iter(places(group)), None)
        leaving = choose_for_scale_in(group, 1)
        if best is None or not leaving:
            return
        population = Counter(member.availability_zone for member in active)
        left = leaving[0].availability_zone
        if left in zones_of(group) and population[left] - population[best[1]] < 2:
            return
        member = launch(group, _at("an instance was launched to aid in balancing the group's zones."))
        if member is not None:
            LOGGER.info("%s: %s balances the zones", group.name, member.instance_id)
            group.rebalancing = member.instance_id

    def _follow_cooldown(self, group: Any) -> None:
        """A cooldown begins when the last instance has been launched or terminated."""
        if group.cooldown_pending is None:
            return
        if all(member.lifecycle_state in (IN_SERVICE, STANDBY) for member in group.instance_states):
            group.cooldown_until = time.time() + group.cooldown_pending
            group.cooldown_pending = None


SHRINKING = "an instance was taken out of service in response to a difference between desired and actual capacity,"
EC2_FAILURE = (
    "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or "
    "stopped."
)
ELB_FAILURE = "an instance was taken out of service in response to an ELB system health check failure."
LAUNCH_FAILURE = "an instance was taken out of service in response to a launch failure."
EXPIRED = "an instance was taken out of service in response to its maximum instance lifetime having been reached."


def _at(text: str) -> str:
    return f"At {now_text()} {text}"


def unhealthy_members(group: Any) -> list[Member]:
    return [
        member
        for member in group.instance_states
        if member.lifecycle_state == IN_SERVICE and member.health_status == UNHEALTHY
    ]


def kept_until_replaced(group: Any) -> list[Member]:
    """Unhealthy members that stay until others are in service for them, as the group's maintenance policy asks.

    Without such a policy, or one whose maximum is not above 100 %, an unhealthy instance goes at once. No more are kept
    at a time than the maximum leaves room for.
    Source: https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-instance-maintenance-policy.html
    """
    policy = getattr(group, "instance_maintenance_policy", None) or {}
    maximum = int(policy.get("MaxHealthyPercentage") or 0)
    if maximum <= 100 or suspended(group, "Launch"):
        return []
    unhealthy = unhealthy_members(group)
    in_service = sum(member.lifecycle_state == IN_SERVICE for member in group.instance_states) - len(unhealthy)
    missing = max(0, group.desired_capacity - in_service)
    room = max(1, group.desired_capacity * maximum // 100 - group.desired_capacity)
    return unhealthy[: min(missing, room)]


def launch_cause(group: Any, active: int, wanted: int) -> str:
    """Why an instance is launched when there are `active` and `wanted` are."""
    if group.replacements_due > 0:
        return _at("an instance was launched in response to an unhealthy instance needing to be replaced.")
    if group.template_override and not group.change_cause:
        return _at("an instance was launched in response to an instance refresh.")
    return str(group.change_cause) + _at(
        "an instance was started in response to a difference between desired and actual capacity, increasing the "
        f"capacity from {active} to {wanted}."
    )


def choose_for_scale_in(group: Any, count: int) -> list[Member]:
    """Which members a scale-in takes: each from the fullest zone then, by the group's termination policies.

    A zone that the group does not use any more is emptied first. Members protected from scale-in are never taken, so
    fewer than `count` may come.
    Source: https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html
    """
    remaining = [member for member in group.instance_states if member.active]
    chosen: list[Member] = []
    zones = zones_of(group)
    now = time.time()
    while len(chosen) < count:
        candidates = [member for member in remaining if not member.protected_from_scale_in]
        if not candidates:
            break
        population = Counter(member.availability_zone for member in remaining)

        def fullness(member: Member, population: Counter[Any] = population) -> tuple[bool, int]:
            return member.availability_zone not in zones, population[member.availability_zone]

        fullest = max(fullness(member) for member in candidates)
        in_fullest = [member for member in candidates if fullness(member) == fullest]
        taken = min(in_fullest, key=lambda member: termination_order(member, group.termination_policies, now))
        chosen.append(taken)
        remaining.remove(taken)
    return chosen


def termination_order(member: Member, policies: list[str], now: float) -> tuple[float, ...]:
    """What the termination policies compare one after the other; the least goes first.

    The default policy: the oldest launch template (a launch configuration is older than any), then who is closest to
    its next billing hour. AWS then picks at random; here the oldest goes.
    """
    created = member.template_created.timestamp() if member.template_created else 0.0
    billing_hour = HOUR - (now - member.launched_at) % HOUR
    keys: dict[str, tuple[float, ...]] = {
        "OldestInstance": (member.launched_at,),
        "NewestInstance": (-member.launched_at,),
        "OldestLaunchTemplate": (created,),
        "OldestLaunchConfiguration": (created,),
        "ClosestToNextInstanceHour": (billing_hour,),
        "AllocationStrategy": (),  # of spot instances and priorities, which there are none of here
        "Default": (created, billing_hour),
    }
    return (*(key for policy in policies or ["Default"] for key in keys.get(policy, ())), member.launched_at)
