"""Launching an instance of an autoscaling group: where, as what, and what to say when it fails."""

from __future__ import annotations

import logging
import time
from collections import Counter
from typing import Any

from moto.core.exceptions import ServiceException
from moto.moto_api._internal import mock_random

from localcloud.overlay.autoscaling import (
    GROUP_NAME_TAG,
    Member,
    ScalingActivity,
    launch_template_spec,
    record,
    resolve_template,
)

LOGGER = logging.getLogger(__name__)
LAUNCH_BACKOFF = (1, 2, 5, 15, 60)  # seconds before the next launch after the first, second, … failed one
PLACE_BACKOFF = 60  # seconds before a subnet or zone that had no room is tried again
# EC2's errors that say nothing against another subnet.
PLACE_ERRORS = ("InsufficientFreeAddressesInSubnet", "InsufficientInstanceCapacity", "InvalidSubnetID.NotFound")

Place = tuple[str | None, str]  # subnet (None: the zone's default one) and zone


def zones_of(group: Any) -> list[str]:
    """The zones that a group launches into."""
    return list(dict.fromkeys(zone for _subnet_id, zone in _all_places(group) if zone))


def _all_places(group: Any) -> list[Place]:
    if not group.vpc_zone_identifier:
        return [(None, zone) for zone in group.availability_zones]
    found: list[Place] = []
    for subnet_id in group.vpc_zone_identifier.split(","):
        try:
            found.append((subnet_id.strip(), group.ec2_backend.get_subnet(subnet_id.strip()).availability_zone))
        except ServiceException:  # it was deleted; the launch into it will say so
            found.append((subnet_id.strip(), ""))
    return found


def has_room(group: Any, place: Place) -> bool:
    """Whether no launch into a place failed lately for want of room there."""
    return time.time() >= float(group.refused_places.get(place[0] or place[1], 0))


def places(group: Any) -> list[Place]:
    """Where to launch next, best first: the zone with the fewest active members, and its subnet with the fewest.

    A group that asks for balanced zones only is not offered another zone in place of the best one.
    """
    active = [member for member in group.instance_states if member.active]
    zones = Counter(member.availability_zone for member in active)
    subnets = Counter(member.instance.subnet_id for member in active)
    found = sorted(_all_places(group), key=lambda place: (zones[place[1]], subnets[place[0]]))
    distribution = getattr(group, "availability_zone_distribution", None) or {}
    if distribution.get("CapacityDistributionStrategy") == "balanced-only":
        found = [place for place in found if zones[place[1]] == zones[found[0][1]]]
    return [place for place in found if has_room(group, place)]


def launch(group: Any, cause: str) -> Member | None:
    """Launch one instance, into the best place that has room. None: it failed; its activities say why."""
    for place in places(group):
        activity = record(group, "Launching a new EC2 instance", cause)
        activity.set_place(*place)
        try:
            member = run_instance(group, *place)
        except Exception as error:  # moto's EC2 raises many kinds
            fail_launch(group, activity, error)
            if getattr(error, "code", "") not in PLACE_ERRORS:
                delay_launches(group)
                return None
            group.refused_places[place[0] or place[1]] = time.time() + PLACE_BACKOFF
            continue
        member.activity = activity
        activity.description += f": {member.instance_id}"
        activity.advance("PreInService", 30)
        group.instance_states.append(member)
        return member
    group.launch_not_before = min(group.refused_places.values(), default=0.0)
    group.launch_failures += 1
    return None


def fail_launch(group: Any, activity: ScalingActivity, error: Exception) -> None:
    """End the activity of a launch that EC2 refused, in EC2's words."""
    message = str(getattr(error, "message", None) or error)
    if not isinstance(error, ServiceException):
        LOGGER.exception("%s: launch failed", group.name)
    message += " Launching EC2 instance failed."
    LOGGER.warning("%s: %s", group.name, message)
    activity.description += f".  Status Reason: {message}"
    activity.end("Failed", message[:255])


def delay_launches(group: Any) -> None:
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
        placement_group=group.placement_group,
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
    if spec:
        member.template_created = version.create_time
    else:
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
    """A launch configuration's block device, which ends with its instance when nothing else is said."""
    ebs = dict(mapping.get("Ebs") or {})
    ebs["Encrypted"] = _is_true(ebs.get("Encrypted"))
    ebs["DeleteOnTermination"] = _is_true(ebs.get("DeleteOnTermination", True))
    return {**mapping, "Ebs": ebs}


def _is_true(value: Any) -> bool:
    return str(value).lower() == "true"
