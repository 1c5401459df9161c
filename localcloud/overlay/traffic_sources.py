"""Traffic sources of Auto Scaling groups: the newer way to attach target groups, which moto lacks."""

from __future__ import annotations

import functools
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import FakeAutoScalingGroup
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

from localcloud.overlay.autoscaling import find_group
from localcloud.overlay.elbv2 import HEALTHY, target_health

ELBV2 = "elbv2"  # the type of a target group


def install() -> None:
    """Add the operations to moto's Auto Scaling, and the sources to what it says of a group."""
    create = AutoScalingResponse.create_auto_scaling_group

    @functools.wraps(create)
    def create_auto_scaling_group(self: AutoScalingResponse) -> Any:
        arns = _target_groups(self._get_param("TrafficSources", []))
        result = create(self)
        if arns:
            name = self._get_param("AutoScalingGroupName")
            self.autoscaling_backend.attach_load_balancer_target_groups(name, arns)
        return result

    def attach_traffic_sources(self: AutoScalingResponse) -> ActionResult:
        self.autoscaling_backend.attach_load_balancer_target_groups(
            self._get_param("AutoScalingGroupName"), _target_groups(self._get_param("TrafficSources", []))
        )
        return EmptyResult()

    def detach_traffic_sources(self: AutoScalingResponse) -> ActionResult:
        self.autoscaling_backend.detach_load_balancer_target_groups(
            self._get_param("AutoScalingGroupName"), _target_groups(self._get_param("TrafficSources", []))
        )
        return EmptyResult()

    def describe_traffic_sources(self: AutoScalingResponse) -> ActionResult:
        group = find_group(self.autoscaling_backend, self._get_param("AutoScalingGroupName"))
        arns = group.target_group_arns if self._get_param("TrafficSourceType", ELBV2) == ELBV2 else []
        sources = [
            {"Identifier": arn, "TrafficSource": arn, "Type": ELBV2, "State": attachment_state(group, arn)}
            for arn in arns
        ]
        return ActionResult({"TrafficSources": sources})

    def describe_load_balancer_target_groups(self: AutoScalingResponse) -> ActionResult:
        """moto says `Added` whatever the instances do."""
        group = find_group(self.autoscaling_backend, self._get_param("AutoScalingGroupName"))
        attachments = [
            {"LoadBalancerTargetGroupARN": arn, "State": attachment_state(group, arn)}
            for arn in group.target_group_arns
        ]
        return ActionResult({"LoadBalancerTargetGroups": attachments})

    def traffic_sources(self: Any) -> list[dict[str, str]]:
        return [{"Identifier": arn, "Type": ELBV2} for arn in self.target_group_arns]

    response: Any = AutoScalingResponse
    response.create_auto_scaling_group = create_auto_scaling_group
    response.attach_traffic_sources = attach_traffic_sources
    response.detach_traffic_sources = detach_traffic_sources
    response.describe_traffic_sources = describe_traffic_sources
    response.describe_load_balancer_target_groups = describe_load_balancer_target_groups
    FakeAutoScalingGroup.traffic_sources = property(traffic_sources)  # type: ignore[attr-defined]


def attachment_state(group: Any, target_group_arn: str) -> str:
    """`Adding` until all members are registered, then `Added`; `InService` when one of them passes its health check."""
    health = target_health(target_group_arn)
    members = [member.instance_id for member in group.instance_states if not member.terminating]
    if any(member in health and health[member].state == HEALTHY[0] for member in members):
        return "InService"
    return "Added" if all(member in health for member in members) else "Adding"


def _target_groups(sources: list[dict[str, str]]) -> list[str]:
    """ARNs of the target groups among traffic sources. ValidationError for other kinds, which are not here."""
    for source in sources:
        kind = source.get("Type") or (ELBV2 if ":targetgroup/" in source["Identifier"] else "other")
        if kind != ELBV2:
            raise ValidationError(
                f"The local cloud has no traffic source {source['Identifier']} of type {kind}, only target groups of "
                f"application load balancers: {ELBV2}."
            )
    return [source["Identifier"] for source in sources]
