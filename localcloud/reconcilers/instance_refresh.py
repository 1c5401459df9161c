"""Instance refresh: members on an old launch template are replaced, as many at a time as the preferences allow.

Each pass looks at the members there are and decides two numbers: how many instances the group may have above its
desired capacity (`group.surplus`, which the reconciler of the groups launches), and which outdated members may go now.
With a maximum above 100 % new instances are there, healthy and warm, before old ones end.
Source: https://docs.aws.amazon.com/autoscaling/ec2/userguide/instance-refresh-overview.html
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from moto.core.utils import utcnow

from localcloud import backends
from localcloud.controller import Action, Observed
from localcloud.overlay.autoscaling import (
    HEALTHY,
    IN_SERVICE,
    STANDBY,
    Member,
    begin_termination,
    now_text,
    suspended,
)
from localcloud.overlay.instance_refresh import (
    BAKING,
    CANCELLED,
    CANCELLING,
    FAILED,
    IN_PROGRESS,
    PENDING,
    ROLLBACK_FAILED,
    ROLLED_BACK,
    ROLLING_BACK,
    SUCCESSFUL,
    InstanceRefresh,
    active_refresh,
    begin_rollback,
)
from localcloud.reconcilers.autoscaling import HealthLookUp, load_balancer_health

LOGGER = logging.getLogger(__name__)
STALL_TIMEOUT = 3600  # seconds without a replaced instance after which a refresh fails, as on AWS


class InstanceRefreshes:
    """Carries out the refresh that each group has under way."""

    def __init__(self, health: HealthLookUp = load_balancer_health) -> None:
        self._target_health = health

    def reconcile(self, observed: Observed) -> list[Action]:  # noqa: ARG002 (the members' state is all that matters)
        for backend in backends.each("autoscaling"):
            for group in list(backend.autoscaling_groups.values()):
                refresh = active_refresh(group)
                if refresh is None or group.status:
                    group.surplus, group.template_override = 0, None
                elif not suspended(group, "InstanceRefresh"):
                    try:
                        self._step(group, refresh)
                    except Exception:
                        LOGGER.exception("instance refresh of %s failed", group.name)
        return []

    def _step(self, group: Any, refresh: InstanceRefresh) -> None:
        active = [member for member in group.instance_states if member.active]
        if refresh.status == CANCELLING:
            self._cancel(group, refresh, active)
            return
        outdated = [member for member in active if refresh.is_outdated(member)]
        if refresh.preferences["ScaleInProtectedInstances"] == "Ignore":
            outdated = [member for member in outdated if not member.protected_from_scale_in]
        standby = self._on_standby(group, refresh)
        if refresh.status == PENDING:
            LOGGER.info("%s: instance refresh of %d instances begins", group.name, len(outdated))
            refresh.status = IN_PROGRESS
            refresh.start_time = utcnow()
            refresh.total = len(outdated)
        group.template_override = refresh.wanted
        self._replace(group, refresh, active, outdated, standby)

    def _on_standby(self, group: Any, refresh: InstanceRefresh) -> list[Member]:
        """Outdated members on standby that the refresh waits for; where it shall replace them, they go."""
        choice = refresh.preferences["StandbyInstances"]
        found = [m for m in group.instance_states if m.lifecycle_state == STANDBY and refresh.is_outdated(m)]
        if choice == "Terminate":
            for member in found:
                begin_termination(member, termination_cause(member))
        return found if choice == "Wait" else []

    def _cancel(self, group: Any, refresh: InstanceRefresh, active: list[Member]) -> None:
        """Nothing more is begun. Replacements that the old ones still stand beside are taken back."""
        group.surplus, group.template_override = 0, None
        excess = len(active) - group.desired_capacity
        for member in sorted(active, key=lambda member: member.launched_at, reverse=True)[: max(0, excess)]:
            begin_termination(
                member,
                f"At {now_text()} an instance was taken out of service in response to a cancelled instance refresh.",
            )
            active.remove(member)
        if len(active) == group.desired_capacity and all(m.lifecycle_state == IN_SERVICE for m in active):
            refresh.end(CANCELLED, refresh.status_reason)

    def _replace(
        self,
        group: Any,
        refresh: InstanceRefresh,
        active: list[Member],
        outdated: list[Member],
        standby: list[Member],
    ) -> None:
        warmup = refresh.preferences["InstanceWarmup"]
        health = {arn: self._target_health(arn) for arn in group.target_group_arns}
        old = {id(member) for member in outdated}
        healthy = [member for member in active if is_healthy(member, health)]
        fresh_ready = [member for member in healthy if id(member) not in old and is_warm(member, refresh.began, warmup)]
        old_healthy = [member for member in healthy if id(member) in old]
        self._report(group, refresh, active, outdated, fresh_ready)
        if standby and not outdated and refresh.status != BAKING:
            refresh.status_reason = (
                "Waiting for standby instances to return to service before continuing. "
                f"For example: {standby[0].instance_id} is on standby."
            )
        alarm = self._breached(group, refresh)
        if alarm:
            self._fail(group, refresh, f"CloudWatch alarm {alarm} was in ALARM state.")
            return
        if time.time() - refresh.progressed > STALL_TIMEOUT:
            self._fail(group, refresh, f"No instance was replaced within {STALL_TIMEOUT} seconds.")
            return
        paused = self._at_checkpoint(refresh, outdated)
        if not outdated or (not paused and self._ends_here(refresh)):
            group.surplus = 0
            all_healthy = len(fresh_ready) + len(old_healthy) == len(active)
            if len(active) == group.desired_capacity and all_healthy and (outdated or not standby):
                self._finish(group, refresh)
            return
        minimum, maximum = limits(group.desired_capacity, refresh.preferences)
        if not paused:
            self._terminate(group, refresh, outdated, old_healthy, len(fresh_ready) + len(old_healthy) - minimum)
        # After the terminations: what is outdated no more needs no instance beside it, nor what comes after a pause.
        remaining = [member for member in outdated if member.active]
        needed = 0 if paused else min(len(remaining), self._until_checkpoint(refresh, remaining))
        group.surplus = max(0, min(needed, maximum - group.desired_capacity))

    def _terminate(
        self, group: Any, refresh: InstanceRefresh, outdated: list[Member], old_healthy: list[Member], spare: int
    ) -> None:
        """Take outdated members away: those that are not healthy serve nobody, of the others as many as are spare."""
        protected = refresh.preferences["ScaleInProtectedInstances"] != "Refresh"
        healthy = {id(member) for member in old_healthy}
        allowed = self._until_checkpoint(refresh, outdated)
        for member in sorted(outdated, key=lambda member: (id(member) in healthy, member.launched_at)):
            if allowed <= 0 or (protected and member.protected_from_scale_in):
                continue
            if id(member) in healthy:
                if spare <= 0:
                    break
                spare -= 1
            allowed -= 1
            LOGGER.info("%s: instance refresh replaces %s", group.name, member.instance_id)
            begin_termination(member, termination_cause(member))

    def _report(
        self,
        group: Any,
        refresh: InstanceRefresh,
        active: list[Member],
        outdated: list[Member],
        fresh_ready: list[Member],
    ) -> None:
        total = max(refresh.total, len(outdated))
        done = min(total - len(outdated), len(fresh_ready))
        if (done, len(outdated)) != (refresh.ready, refresh.instances_to_update):
            refresh.progressed = time.time()
        refresh.total, refresh.ready = total, done
        refresh.instances_to_update = total - done
        percent = 100 * done // total if total else 100
        refresh.percentage_complete = 100 - percent if refresh.status == ROLLING_BACK else percent
        if refresh.status == BAKING or refresh.status == ROLLING_BACK:
            return
        waiting = [member for member in active if member not in outdated and member not in fresh_ready]
        protected = [member for member in outdated if member.protected_from_scale_in]
        if not waiting and protected == outdated != [] and refresh.preferences["ScaleInProtectedInstances"] == "Wait":
            refresh.status_reason = (
                "Waiting for scale-in protection to be removed before continuing. "
                f"For example: {protected[0].instance_id} is protected from scale in."
            )
        elif not waiting:
            refresh.status_reason = None
        elif waiting[0].lifecycle_state == IN_SERVICE and waiting[0].health_status == HEALTHY:
            refresh.status_reason = (
                "Waiting for instances to warm up before continuing. "
                f"For example: {waiting[0].instance_id} is warming up."
            )
        else:
            refresh.status_reason = (
                "Waiting for remaining instances to be available. "
                f"For example: {waiting[0].instance_id} has insufficient data to evaluate its health with Amazon EC2."
            )
        if group.launch_failures and group.activities and group.activities[0].status_code == "Failed":
            refresh.status_reason = f"Instances can't be launched: {group.activities[0].status_message}"

    def _at_checkpoint(self, refresh: InstanceRefresh, outdated: list[Member]) -> bool:
        """Whether the refresh pauses: it has come to a checkpoint, and the delay there is not over."""
        if refresh.status != IN_PROGRESS or not refresh.checkpoints or not outdated:
            return bool(outdated) and time.time() < refresh.wait_until
        replaced = refresh.total - len(outdated)
        if replaced >= math.ceil(refresh.total * refresh.checkpoints[0] / 100) and refresh.ready >= replaced:
            refresh.checkpoints.pop(0)
            refresh.wait_until = time.time() + refresh.preferences["CheckpointDelay"]
            refresh.progressed = refresh.wait_until
        return time.time() < refresh.wait_until

    def _ends_here(self, refresh: InstanceRefresh) -> bool:
        """Whether the last checkpoint has been passed, and leaves instances as they are."""
        return refresh.status in (IN_PROGRESS, BAKING) and not refresh.checkpoints and refresh.last_percentage < 100

    def _until_checkpoint(self, refresh: InstanceRefresh, outdated: list[Member]) -> int:
        if refresh.status != IN_PROGRESS or not refresh.checkpoints:
            return len(outdated)
        return math.ceil(refresh.total * refresh.checkpoints[0] / 100) - (refresh.total - len(outdated))

    def _breached(self, group: Any, refresh: InstanceRefresh) -> str | None:
        """The alarm of the preferences that is in ALARM, if any."""
        if refresh.status == ROLLING_BACK:
            return None
        names = refresh.preferences.get("AlarmSpecification", {}).get("Alarms", [])
        alarms = backends.backend("cloudwatch", group.account_id, group.region).alarms
        return next((name for name in names if name in alarms and alarms[name].state_value == "ALARM"), None)

    def _fail(self, group: Any, refresh: InstanceRefresh, reason: str) -> None:
        LOGGER.warning("%s: instance refresh failed: %s", group.name, reason)
        if refresh.status == ROLLING_BACK:
            refresh.end(ROLLBACK_FAILED, reason)
        elif refresh.preferences["AutoRollback"]:
            begin_rollback(refresh, reason)
            return
        else:
            refresh.end(FAILED, reason)
        group.surplus, group.template_override = 0, None

    def _finish(self, group: Any, refresh: InstanceRefresh) -> None:
        bake = refresh.preferences.get("BakeTime", 0)
        if refresh.status == IN_PROGRESS and bake:
            refresh.status, refresh.wait_until = BAKING, time.time() + bake
            refresh.progressed = refresh.wait_until
        if refresh.status == BAKING and time.time() < refresh.wait_until:
            return
        rolled_back = refresh.status == ROLLING_BACK
        if not rolled_back:
            adopt(group, refresh.desired_configuration)
        if refresh.last_percentage == 100 or rolled_back:
            refresh.instances_to_update = 0
        refresh.end(ROLLED_BACK if rolled_back else SUCCESSFUL, refresh.status_reason if rolled_back else None)
        group.surplus, group.template_override = 0, None
        LOGGER.info("%s: instance refresh: %s", group.name, refresh.status)


def limits(desired: int, preferences: dict[str, Any]) -> tuple[int, int]:
    """Least number of healthy instances and greatest number of instances during a refresh.

    With a maximum above 100 % there may always be at least one more; without, one may be missing, or nothing could be
    replaced in a small group.
    """
    minimum = math.ceil(desired * preferences["MinHealthyPercentage"] / 100)
    maximum = math.floor(desired * preferences["MaxHealthyPercentage"] / 100)
    if preferences["MaxHealthyPercentage"] > 100:
        return minimum, max(maximum, desired + 1)
    return min(minimum, max(0, desired - 1)), desired


def termination_cause(member: Member) -> str:
    return (
        f"At {now_text()} an instance was taken out of service in response to an instance refresh.  "
        f"At {now_text()} instance {member.instance_id} was selected for termination."
    )


def is_healthy(member: Member, health: dict[str, dict[str, str]]) -> bool:
    """In service, and healthy in each target group that a load balancer uses."""
    if member.lifecycle_state != IN_SERVICE or member.health_status != HEALTHY or member.instance.state != "running":
        return False
    return all(targets.get(member.instance_id) in ("healthy", "unused") for arn, targets in health.items())


def is_warm(member: Member, began: float, warmup: int) -> bool:
    """Whether an instance that was launched during the refresh has had its time to warm up."""
    return member.launched_at < began or time.time() >= (member.in_service_at or math.inf) + warmup


def adopt(group: Any, configuration: dict[str, Any] | None) -> None:
    """Give the group the launch template that it was refreshed to."""
    template = (configuration or {}).get("LaunchTemplate")
    if template:
        group._set_launch_configuration(None, template, None)
