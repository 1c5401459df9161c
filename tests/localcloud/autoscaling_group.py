"""An autoscaling group of the tests, and how they look at it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError
from running_cloud import Cloud
from waiting import wait_until


@dataclass
class Group:
    """An autoscaling group of the tests, seen through the API."""

    cloud: Cloud
    name: str
    template_id: str

    @property
    def api(self) -> Any:
        return self.cloud.client("autoscaling")

    def create(self, **options: Any) -> None:
        request = {
            "AutoScalingGroupName": self.name,
            "MinSize": 0,
            "MaxSize": 6,
            "LaunchTemplate": {"LaunchTemplateId": self.template_id, "Version": "1"},
            "VPCZoneIdentifier": ",".join(self.cloud.subnet_ids),
            "Tags": [{"Key": "Role", "Value": "fleet", "PropagateAtLaunch": True}],
            **options,
        }
        self.api.create_auto_scaling_group(**request)

    def describe(self) -> dict[str, Any]:
        found = self.api.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"]
        return found[0] if found else {}

    @property
    def members(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.describe().get("Instances", [])
        return found

    @property
    def ids(self) -> list[str]:
        return [member["InstanceId"] for member in self.members]

    def set_desired(self, capacity: int) -> None:
        self.api.set_desired_capacity(AutoScalingGroupName=self.name, DesiredCapacity=capacity)

    def wait(self, count: int, timeout: float = 60) -> list[str]:
        """Wait until there are that many members, all in service; their ids."""

        def settled() -> bool:
            states = [member["LifecycleState"] for member in self.members]
            return states == ["InService"] * count

        wait_until(settled, timeout, what=f"{count} in service")
        return self.ids

    def activities(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.describe_scaling_activities(AutoScalingGroupName=self.name)["Activities"]
        return found

    def cause(self, beginning: str) -> str:
        """Cause of the newest activity whose description begins so, without its times."""
        cause = next(
            activity["Cause"] for activity in self.activities() if activity["Description"].startswith(beginning)
        )
        return re.sub(r"At \S+Z ", "", cause)

    def delete(self) -> None:
        """Delete the group with all its instances, unless it is gone already."""
        if self.describe():
            self.api.delete_auto_scaling_group(AutoScalingGroupName=self.name, ForceDelete=True)
            wait_until(lambda: not self.describe(), what="the group is gone")

    def new_template_version(self, **data: Any) -> None:
        """A further version of the launch template, with these differences to the first one."""
        api = self.cloud.client("ec2")
        first = api.describe_launch_template_versions(LaunchTemplateId=self.template_id, Versions=["1"])
        data = {**first["LaunchTemplateVersions"][0]["LaunchTemplateData"], **data}
        api.create_launch_template_version(LaunchTemplateId=self.template_id, LaunchTemplateData=data)

    def policy(self, name: str, **options: Any) -> str:
        request = {"PolicyType": "SimpleScaling", "AdjustmentType": "ChangeInCapacity", **options}
        return str(self.api.put_scaling_policy(AutoScalingGroupName=self.name, PolicyName=name, **request)["PolicyARN"])


@contextlib.contextmanager
def group_of_its_own(cloud: Cloud, test_name: str) -> Iterator[Group]:
    """A group that is not created yet, with a launch template; afterwards both are gone."""
    ec2 = cloud.client("ec2")
    name = re.sub(r"[\W_]+", "-", test_name)[:40]
    data = {
        "ImageId": cloud.base_ami_id,
        "InstanceType": "t3.micro",
        "SecurityGroupIds": [cloud.security_group_id],
        "MetadataOptions": {"HttpTokens": "required"},
        "Monitoring": {"Enabled": True},
    }
    template = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]
    group = Group(cloud, name, template["LaunchTemplateId"])
    yield group
    group.delete()
    ec2.delete_launch_template(LaunchTemplateId=group.template_id)


def state(cloud: Cloud, instance_id: str) -> str:
    return str(cloud.instance(instance_id)["State"]["Name"])


def refused(call: Any, **arguments: Any) -> dict[str, Any]:
    with pytest.raises(ClientError) as error:
        call(**arguments)
    found: dict[str, Any] = error.value.response["Error"]
    return found
