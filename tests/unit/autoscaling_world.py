"""moto with the overlays and the reconcilers of autoscaling, but machines that start and end at a word: no Docker."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import boto3
from moto import mock_aws

from localcloud import backends, overlay
from localcloud.controller import Observed
from localcloud.overlay.ec2 import set_state
from localcloud.reconcilers.autoscaling import AutoScalingGroups
from localcloud.reconcilers.instance_refresh import InstanceRefreshes
from localcloud.reconcilers.scheduled_actions import ScheduledActions

ACCOUNT, REGION = "123456789012", "us-east-1"
NOTHING = Observed({}, {})


@functools.cache
def install_overlays() -> None:
    """Once per process: each installation wraps what is there."""
    overlay.install()


@functools.cache
def client_of(service: str) -> Any:
    """A client; making one takes longer than a whole test."""
    return boto3.client(service, region_name=REGION, aws_access_key_id="test", aws_secret_access_key="test")


@dataclass
class World:
    """An account with one launch template, `t`, whose image exists. `health` is what the load balancer says."""

    health: dict[str, str] = field(default_factory=dict)
    template_id: str = ""

    def __post_init__(self) -> None:
        self._refreshes = InstanceRefreshes(lambda _arn: self.health)
        self._groups = AutoScalingGroups(lambda _arn: self.health)
        self._schedule = ScheduledActions()

    def client(self, service: str) -> Any:
        return client_of(service)

    @property
    def autoscaling(self) -> Any:
        return self.client("autoscaling")

    def create_group(self, **options: Any) -> None:
        request = {
            "AutoScalingGroupName": "g",
            "MinSize": 0,
            "MaxSize": 10,
            "LaunchTemplate": {"LaunchTemplateId": self.template_id, "Version": "1"},
            "AvailabilityZones": [f"{REGION}{zone}" for zone in "abc"],
            **options,
        }
        self.autoscaling.create_auto_scaling_group(**request)

    def create_alarm(self, name: str, **options: Any) -> None:
        """An alarm on a metric that nobody measures."""
        request = {
            "Namespace": "n",
            "MetricName": "m",
            "Period": 60,
            "EvaluationPeriods": 1,
            "Threshold": 1,
            "Statistic": "Average",
            "ComparisonOperator": "GreaterThanThreshold",
            **options,
        }
        self.client("cloudwatch").put_metric_alarm(AlarmName=name, **request)

    @property
    def group(self) -> Any:
        return backends.backend("autoscaling", ACCOUNT, REGION).autoscaling_groups["g"]

    def members(self, state: str = "InService") -> list[Any]:
        return [member for member in self.group.instance_states if member.lifecycle_state == state]

    def reconcile(self) -> None:
        """One pass of the controller."""
        self._schedule.reconcile(NOTHING)
        self._refreshes.reconcile(NOTHING)
        self._groups.reconcile(NOTHING)

    def machines(self) -> None:
        """What was asked to start runs; what was asked to end is gone."""
        following = {"pending": "running", "shutting-down": "terminated", "stopping": "stopped"}
        for instance in backends.backend("ec2", ACCOUNT, REGION).all_instances():
            if instance.state in following:
                set_state(instance, following[instance.state])

    def causes(self, beginning: str) -> list[str]:
        """The causes of the activities whose description begins so, newest first, without their times."""
        return [
            re.sub(r"At \S+Z ", "", activity.cause)
            for activity in self.group.activities
            if activity.description.startswith(beginning)
        ]

    def settle(self, passes: int = 6) -> None:
        for _ in range(passes):
            self.reconcile()
            self.machines()


@contextmanager
def new_world() -> Iterator[World]:
    install_overlays()
    with mock_aws():
        world = World()
        ec2 = world.client("ec2")
        image = next(iter(backends.backend("ec2", ACCOUNT, REGION).amis))  # describing them all takes long
        data = {"ImageId": image, "InstanceType": "t3.micro"}
        template = ec2.create_launch_template(LaunchTemplateName="template", LaunchTemplateData=data)["LaunchTemplate"]
        ec2.create_launch_template_version(LaunchTemplateName="template", LaunchTemplateData=data)
        world.template_id = template["LaunchTemplateId"]
        yield world
