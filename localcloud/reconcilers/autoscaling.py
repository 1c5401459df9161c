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

from moto.core.exceptions import ServiceException
from moto.moto_api._internal import mock_random

from localcloud import backends
from localcloud.controller import Action, Observed
from localcloud.overlay.autoscaling import (
    DELETE_IN_PROGRESS,
    GROUP_NAME_TAG,
    IN_SERVICE,
    PENDING,
    TERMINATING,
    UNHEALTHY,
    Member,
    ScalingActivity,
    begin_termination,
    deregister,
    forget,
    launch_template_spec,
    now_text,
    record,
    remove_group,
    resolve_template,
)
from localcloud.overlay.elbv2 import target_health

LOGGER = logging.getLogger(__name__)
LAUNCH_BACKOFF = (1, 2, 5, 15, 60)  # seconds before the next launch after the first, second, … failed one
DEFAULT_VOLUME_SIZE = 8  # GiB, of a template's volume that names neither size nor snapshot
GONE = ("shutting-down", "terminated")

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
            if member.lifecycle_state == PENDING:
                self._enter_service(group, member)
            elif member.lifecycle_state == TERMINATING:
                self._terminate(group, member, drain=not deleting)
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
        self._match_capacity(group)
        self._follow_cooldown(group)

    # -- life cycle of a member -----------------------------------------------------------------------------------

    def _enter_service(self, group: Any, member: Member) -> None:
        state = member.instance.state
        if state == "running":
            self._register(group, member)
            member.enter_service()
            group.launch_failures = 0
        elif state not in ("pending", "stopping"):
            reason = member.instance.state_reason.message or f"Instance became {state} while launching"
            LOGGER.warning("%s: %s did not start: %s", group.name, member.instance_id, reason)
            if member.activity:
                member.activity.end("Failed", reason)
                member.activity = None
            _delay_launches(group)
            if state in GONE:
                forget(member)
            else:
                begin_termination(member, _at(EC2_FAILURE))

    def _register(self, group: Any, member: Member) -> None:
        if suspended(group, "AddToLoadBalancer"):
            return
        elbv2 = group.autoscaling_backend.elbv2_backend
        for arn in group.target_group_arns:
            if arn in member.registered or arn not in elbv2.target_groups or member.instance.state != "running":
                continue
            elbv2.register_targets(arn, [{"Id": member.instance_id, "Port": elbv2.target_groups[arn].port}])
            member.registered.append(arn)

    def _terminate(self, group: Any, member: Member, drain: bool = True) -> None:
        """One step of taking a member away: deregister, wait until it has drained, terminate, wait until it is gone."""
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
        if drain and state == "running" and self._drains(group, member):
            if not member.draining:
                member.draining = True
                if member.activity:
                    member.activity.description += " - Waiting For ELB connection draining."
                    member.activity.advance("WaitingForELBConnectionDraining", 50)
            return
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
            if member.lifecycle_state != TERMINATING:
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
        for member in list(group.instance_states):
            if member.lifecycle_state == IN_SERVICE and member.health_status == UNHEALTHY:
                LOGGER.info("%s: replacing %s: %s", group.name, member.instance_id, member.unhealthy_cause)
                begin_termination(member, _at(member.unhealthy_cause))
                group.replacements_due += 1

    # -- capacity -------------------------------------------------------------------------------------------------

    def _match_capacity(self, group: Any) -> None:
        active = [member for member in group.instance_states if member.active]
        wanted = group.desired_capacity + group.surplus
        if len(active) < wanted and not suspended(group, "Launch"):
            for _ in range(wanted - len(active)):
                if time.time() < group.launch_not_before or not launch(group, len(active), wanted):
                    break
        elif len(active) > wanted and not suspended(group, "Terminate"):
            count = len(active)
            for member in choose_for_scale_in(group, len(active) - wanted):
                text = f"{_at(SHRINKING)} shrinking the capacity from {count} to {wanted}.  "
                cause = (
                    f"{group.change_cause}{text}{_at(f'instance {member.instance_id} was selected for termination.')}"
                )
                begin_termination(member, cause)
        elif len(active) == wanted:
            group.replacements_due = 0
            if group.change_cause and all(member.lifecycle_state == IN_SERVICE for member in active):
                group.change_cause = ""

    def _follow_cooldown(self, group: Any) -> None:
        """A cooldown begins when the last instance has been launched or terminated."""
        if group.cooldown_pending is None:
            return
        members = group.instance_states
        if len(members) == group.desired_capacity and all(m.lifecycle_state == IN_SERVICE for m in members):
            group.cooldown_until = time.time() + group.cooldown_pending
            group.cooldown_pending = None


SHRINKING = "an instance was taken out of service in response to a difference between desired and actual capacity,"
EC2_FAILURE = (
    "an instance was taken out of service in response to an EC2 health check indicating it has been terminated or "
    "stopped."
)
ELB_FAILURE = "an instance was taken out of service in response to an ELB system health check failure."


def _at(text: str) -> str:
    return f"At {now_text()} {text}"


def suspended(group: Any, process: str) -> bool:
    return any(entry["ProcessName"] == process for entry in group.suspended_processes)


def choose_for_scale_in(group: Any, count: int) -> list[Member]:
    """Which members a scale-in takes: each from the fullest zone then, by the group's termination policy.

    The default policy prefers the oldest launch template (a launch configuration is older than any), then the oldest
    launch time. Members protected from scale-in are never taken, so fewer than `count` may come.
    Source: https://docs.aws.amazon.com/autoscaling/ec2/userguide/ec2-auto-scaling-termination-policies.html
    """
    remaining = [member for member in group.instance_states if member.active]
    chosen: list[Member] = []
    policy = next(iter(group.termination_policies), "Default")
    while len(chosen) < count:
        candidates = [member for member in remaining if not member.protected_from_scale_in]
        if not candidates:
            break
        population = Counter(member.availability_zone for member in remaining)
        fullest = max(population[member.availability_zone] for member in candidates)
        in_fullest = [member for member in candidates if population[member.availability_zone] == fullest]
        taken = min(in_fullest, key=lambda member: termination_order(member, policy))
        chosen.append(taken)
        remaining.remove(taken)
    return chosen


def termination_order(member: Member, policy: str) -> tuple[float, ...]:
    if policy == "OldestInstance":
        return (member.launched_at,)
    if policy == "NewestInstance":
        return (-member.launched_at,)
    return (member.template_version, member.launched_at)


def choose_subnet(group: Any) -> tuple[str | None, str]:
    """The subnet (None: the zone's default one) and zone with the fewest active members."""
    active = [member for member in group.instance_states if member.active]
    zones = Counter(member.availability_zone for member in active)
    subnets = Counter(member.instance.subnet_id for member in active)
    if group.vpc_zone_identifier:
        ids = [subnet_id.strip() for subnet_id in group.vpc_zone_identifier.split(",")]
        places = [(subnet_id, group.ec2_backend.get_subnet(subnet_id).availability_zone) for subnet_id in ids]
    else:
        places = [(None, zone) for zone in group.availability_zones]
    return min(places, key=lambda place: (zones[place[1]], subnets[place[0]]))


def launch(group: Any, active: int, wanted: int) -> bool:
    """Launch one instance into the zone that has the fewest. Returns whether EC2 took it; its activity says."""
    if group.replacements_due > 0:
        cause = _at("an instance was launched in response to an unhealthy instance needing to be replaced.")
    elif group.template_override and not group.change_cause:
        cause = _at("an instance was launched in response to an instance refresh.")
    else:
        cause = group.change_cause + _at(
            "an instance was started in response to a difference between desired and actual capacity, increasing the "
            f"capacity from {active} to {wanted}."
        )
    activity = record(group, "Launching a new EC2 instance", cause)
    try:
        subnet_id, zone = choose_subnet(group)
        activity.set_place(subnet_id, zone)
        member = run_instance(group, subnet_id, zone)
    except Exception as error:  # moto's EC2 raises many kinds, StopIteration for a full subnet among them
        fail_launch(group, activity, error)
        return False
    member.activity = activity
    activity.description += f": {member.instance_id}"
    activity.advance("PreInService", 30)
    group.instance_states.append(member)
    if group.replacements_due > 0:
        group.replacements_due -= 1
    return True


def fail_launch(group: Any, activity: ScalingActivity, error: Exception) -> None:
    if isinstance(error, StopIteration | RuntimeError):
        message = "There are not enough free addresses in the subnet to satisfy the requested number of instances."
    else:
        message = str(getattr(error, "message", None) or error)
    if not isinstance(error, ServiceException | StopIteration | RuntimeError):
        LOGGER.exception("%s: launch failed", group.name)
    message += " Launching EC2 instance failed."
    LOGGER.warning("%s: %s", group.name, message)
    activity.description += f".  Status Reason: {message}"
    activity.end("Failed", message[:255])
    _delay_launches(group)


def _delay_launches(group: Any) -> None:
    """A launch that fails is tried again after a while, and after ever longer ones, as on AWS."""
    delay = LAUNCH_BACKOFF[min(group.launch_failures, len(LAUNCH_BACKOFF) - 1)]
    group.launch_failures += 1
    group.launch_not_before = time.time() + delay


def run_instance(group: Any, subnet_id: str | None, zone: str) -> Member:
    """Ask EC2 for one instance as the group's launch template or configuration describes it."""
    spec = launch_template_spec(group)
    if spec:
        version = resolve_template(group.autoscaling_backend, spec)
        request = from_launch_template(version)
        launched_with = {
            "LaunchTemplateId": version.template.id,
            "LaunchTemplateName": version.template.name,
            "Version": str(version.number),
        }
    else:
        request = from_launch_configuration(group.launch_config)
        launched_with = None
    profile = request.pop("profile", None)
    tags = request.pop("tags", {})
    propagated = {
        tag["Key"]: tag["Value"] for tag in group.tags if str(tag.get("PropagateAtLaunch", False)).lower() == "true"
    }
    reservation = group.ec2_backend.run_instances(
        request.pop("image_id"),
        1,
        request.pop("user_data"),
        request.pop("security_group_names"),
        is_instance_type_default=False,
        placement=zone,
        region_name=group.region,
        subnet_id=subnet_id,
        client_token=str(mock_random.uuid4()),
        tags={
            "instance": {**tags.get("instance", {}), **propagated, GROUP_NAME_TAG: group.name},
            "volume": tags.get("volume", {}),
        },
        **request,
    )
    instance = reservation.instances[0]
    if profile:
        group.ec2_backend.associate_iam_instance_profile(
            instance_id=instance.id,
            iam_instance_profile_name=profile.get("Name"),
            iam_instance_profile_arn=profile.get("Arn"),
        )
    member = Member(instance, group)
    member.launched_with = launched_with
    if not launched_with:
        member.launched_from_configuration = group.launch_config.name
    return member


def from_launch_template(version: Any) -> dict[str, Any]:
    """The arguments of moto's run_instances for a launch template version."""
    data = version.data
    tags: dict[str, dict[str, str]] = {}
    for specification in data.get("TagSpecifications") or []:
        kind = tags.setdefault(specification.get("ResourceType", ""), {})
        kind.update({tag["Key"]: tag.get("Value", "") for tag in specification.get("Tags") or []})
    request: dict[str, Any] = {
        "image_id": version.image_id,
        "user_data": data.get("UserData"),
        "security_group_names": list(data.get("SecurityGroups") or []),
        "security_group_ids": list(data.get("SecurityGroupIds") or []),
        "instance_type": data.get("InstanceType") or "m1.small",
        "key_name": data.get("KeyName"),
        "ebs_optimized": bool(data.get("EbsOptimized")),
        "monitoring_state": "enabled" if _is_true((data.get("Monitoring") or {}).get("Enabled")) else "disabled",
        "metadata_options": data.get("MetadataOptions") or {},
        "instance_initiated_shutdown_behavior": data.get("InstanceInitiatedShutdownBehavior"),
        "associate_public_ip": None,
        "launch_template": {"LaunchTemplateId": version.template.id, "Version": version.number},
        "profile": data.get("IamInstanceProfile"),
        "tags": tags,
    }
    interfaces = data.get("NetworkInterfaces") or []
    if interfaces:
        request["nics"] = [{**interface, "DeviceIndex": interface.get("DeviceIndex", 0)} for interface in interfaces]
        for interface in interfaces:
            groups = interface.get("Groups") or interface.get("SecurityGroupId") or []
            request["security_group_ids"] += [group for group in groups if group not in request["security_group_ids"]]
    if data.get("BlockDeviceMappings"):
        request["block_device_mappings"] = [block_device(mapping) for mapping in data["BlockDeviceMappings"]]
    return request


def from_launch_configuration(configuration: Any) -> dict[str, Any]:
    """The arguments of moto's run_instances for a launch configuration."""
    profile = configuration.iam_instance_profile
    request: dict[str, Any] = {
        "image_id": configuration.image_id,
        "user_data": configuration.user_data,
        "security_group_names": list(configuration.security_groups or []),
        "instance_type": configuration.instance_type,
        "key_name": configuration.key_name,
        "ebs_optimized": configuration.ebs_optimized,
        "monitoring_state": "enabled" if configuration.instance_monitoring_enabled else "disabled",
        "metadata_options": configuration.metadata_options or {},
        "associate_public_ip": configuration.associate_public_ip_address,
        "profile": {"Arn" if profile.startswith("arn:") else "Name": profile} if profile else None,
    }
    if configuration.block_device_mapping_dict:
        request["block_device_mappings"] = [
            block_device(mapping) for mapping in configuration.block_device_mapping_dict
        ]
    return request


def block_device(mapping: dict[str, Any]) -> dict[str, Any]:
    """A block device with what AWS takes when the template leaves it out: a size, and an end with its instance."""
    ebs = dict(mapping.get("Ebs") or {})
    if not ebs.get("SnapshotId"):
        ebs["VolumeSize"] = int(ebs.get("VolumeSize") or DEFAULT_VOLUME_SIZE)
    ebs["Encrypted"] = _is_true(ebs.get("Encrypted"))
    ebs["DeleteOnTermination"] = _is_true(ebs.get("DeleteOnTermination", True))
    return {**mapping, "Ebs": ebs}


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"
