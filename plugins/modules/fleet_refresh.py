#!/usr/bin/python
"""Ansible module: an instance refresh that can be watched and undone."""

from __future__ import annotations

import contextlib
import re
import time
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

DOCUMENTATION = r"""
module: fleet_refresh
short_description: An instance refresh that can be watched and undone
description:
  - What C(amazon.aws.autoscaling_instance_refresh) doesn't have. It starts a refresh with a desired configuration,
    which can be rolled back, and which gives the group its new launch template version only when it was successful.
  - Launch template versions are compared by what is in them. Instances of another version with the same content stay.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
options:
  group: {description: Name of the autoscaling group., type: str, required: true}
  state:
    description:
      - C(compared) only looks which instances are to be replaced.
      - C(started) makes sure that a refresh to the version is under way, unless there is nothing to replace. One to
        another version, of an interrupted run, is rolled back first.
      - C(watched) looks at the refresh I(refresh_id), and at the instances that it launched.
      - C(rolled_back) rolls a refresh back that is under way, and waits for its end.
    type: str
    choices: [compared, started, watched, rolled_back]
    required: true
  launch_template_id: {description: Launch template of the group., type: str}
  version: {description: "Its version to go to, a number. Required for C(compared) and C(started).", type: str}
  warmup: {description: Seconds that a new instance counts as warming up., type: int, default: 60}
  alarm:
    description:
      - Name of a CloudWatch alarm that fails the refresh, which is rolled back then. One that is in alarm already is
        left out, or the version that mends what is wrong could not be deployed.
    type: str
    default: ""
  bake_time: {description: Seconds to watch the alarm after all instances are replaced., type: int, default: 0}
  refresh_id: {description: "The refresh that C(started) returned. Required for C(watched).", type: str}
  target_group_arn: {description: "Where new instances must be healthy. Required for C(watched).", type: str}
  launch_timeout: {description: Seconds in which a new instance must become healthy., type: int, default: 300}
  timeout: {description: Seconds to wait for the end of a refresh that is rolled back., type: int, default: 1800}
"""
RETURN = r"""
refresh_id: {description: The refresh; empty when there is nothing to replace., type: str, returned: started}
previous:
  description: Version and image that the group has (version, image_id).
  type: dict
  returned: compared and started
outdated: {description: Instances to replace., type: list, returned: compared and started}
total: {description: Number of instances in the group., type: int, returned: compared and started}
settled: {description: Whether there is nothing for C(started) to do., type: bool, returned: compared}
status: {description: "As AWS has it; empty when there was none.", type: str, returned: watched and rolled_back}
ended: {description: Whether the refresh has ended., type: bool, returned: watched}
trouble: {description: What is wrong with new instances., type: list, elements: str, returned: watched}
progress: {description: How far it is., type: str, returned: watched}
"""

UNDER_WAY = ("Pending", "InProgress", "Baking")
ENDING = ("Cancelling", "RollbackInProgress")
POLL = 2  # seconds
CONSOLE_LINES = 5
FAILING = timedelta(minutes=1)  # that launches go on failing for


class Fleet:
    """An autoscaling group, and the clients to ask about it."""

    def __init__(self, module: Any) -> None:
        self.name: str = module.params["group"]
        self.autoscaling = module.client("autoscaling")
        self.ec2 = module.client("ec2")
        self.elbv2 = module.client("elbv2")
        self.cloudwatch = module.client("cloudwatch")

    def describe(self) -> dict[str, Any]:
        groups = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.name])["AutoScalingGroups"]
        if not groups:
            raise LookupError(f"there is no autoscaling group {self.name}")
        return dict(groups[0])

    def refreshes(self, **which: Any) -> list[dict[str, Any]]:
        """Newest first."""
        answer = self.autoscaling.describe_instance_refreshes(AutoScalingGroupName=self.name, **which)
        return list(answer["InstanceRefreshes"])

    def contents(self, template_id: str, versions: set[str]) -> dict[str, Any]:
        """What is in launch template versions, to be compared; one that is gone is missing."""
        if not versions:
            return {}
        # All of them: asking for one that is gone by its number would be an error.
        pages = self.ec2.get_paginator("describe_launch_template_versions").paginate(LaunchTemplateId=template_id)
        found = [version for page in pages for version in page["LaunchTemplateVersions"]]
        return {
            str(version["VersionNumber"]): ordered(version["LaunchTemplateData"])
            for version in found
            if str(version["VersionNumber"]) in versions
        }

    def is_in_alarm(self, alarm: str) -> bool:
        """Whether there is something wrong already."""
        found = self.cloudwatch.describe_alarms(AlarmNames=[alarm])["MetricAlarms"]
        return any(one["StateValue"] == "ALARM" for one in found)

    def wait_for_end(self, timeout: int) -> str:
        """The status in which the newest refresh has ended; empty when there was none."""
        deadline = time.monotonic() + timeout
        while True:
            newest = self.refreshes(MaxRecords=1)
            status = str(newest[0]["Status"]) if newest else ""
            if status not in (*UNDER_WAY, *ENDING):
                return status
            if time.monotonic() > deadline:
                raise TimeoutError(f"the instance refresh is {status} after {timeout} s")
            time.sleep(POLL)

    def roll_back(self, timeout: int) -> str:
        """Undo the refresh that is under way, if any, and return the status in which the newest has ended."""
        active = next((refresh for refresh in self.refreshes(MaxRecords=1) if refresh["Status"] in UNDER_WAY), None)
        if active:
            client = self.autoscaling
            # One without a desired configuration, which isn't ours, can only be stopped.
            undo = client.rollback_instance_refresh if wanted_version(active) else client.cancel_instance_refresh
            with contextlib.suppress(client.exceptions.ActiveInstanceRefreshNotFoundFault):  # it ended in between
                undo(AutoScalingGroupName=self.name)
        return self.wait_for_end(timeout)


def ordered(data: Any) -> Any:
    """Launch template data in which lists, whose order has no meaning there (tags, security groups), are sorted."""
    if isinstance(data, dict):
        return {key: ordered(value) for key, value in data.items()}
    if isinstance(data, list):
        return sorted(map(ordered, data), key=repr)
    return data


def wanted_version(refresh: dict[str, Any]) -> str:
    """The launch template version that a refresh goes to; empty when it goes to the group's own."""
    return str(refresh.get("DesiredConfiguration", {}).get("LaunchTemplate", {}).get("Version", ""))


@dataclass(frozen=True)
class Comparison:
    """A group beside the launch template version that it is to have."""

    # Whether the group itself has it, or one with the same content.
    is_set: bool
    capacity: int
    answer: dict[str, Any]

    @property
    def is_even(self) -> bool:
        return self.is_set and not self.answer["outdated"]


def compare(fleet: Fleet, parameters: dict[str, Any]) -> Comparison:
    template_id, version = parameters["launch_template_id"], parameters["version"]
    group = fleet.describe()
    # One that is on its way out, such as a refresh that was rolled back leaves, needs no replacement.
    instances = [one for one in group["Instances"] if not one["LifecycleState"].startswith("Terminating")]
    versions = {instance["InstanceId"]: template_version(instance) for instance in instances}
    previous = template_version(group)
    contents = fleet.contents(template_id, {*versions.values(), previous, version})
    return Comparison(
        is_set=contents.get(previous) == contents[version],
        capacity=group["DesiredCapacity"],
        answer={
            "changed": False,
            "previous": {"version": previous, "image_id": contents.get(previous, {}).get("ImageId", "")},
            "outdated": [name for name, used in versions.items() if contents.get(used) != contents[version]],
            "total": len(instances),
        },
    )


def look(fleet: Fleet, parameters: dict[str, Any]) -> dict[str, Any]:
    """See DOCUMENTATION, C(compared)."""
    found = compare(fleet, parameters)
    under_way = any(refresh["Status"] in (*UNDER_WAY, *ENDING) for refresh in fleet.refreshes(MaxRecords=1))
    return {**found.answer, "settled": found.is_even and not under_way}


def start(fleet: Fleet, parameters: dict[str, Any]) -> dict[str, Any]:
    """See DOCUMENTATION, C(started)."""
    template_id, version = parameters["launch_template_id"], parameters["version"]
    newest = next(iter(fleet.refreshes(MaxRecords=1)), None)
    if newest and (newest["Status"] in ENDING or (newest["Status"] in UNDER_WAY and wanted_version(newest) != version)):
        fleet.roll_back(parameters["timeout"])
        newest = None

    found = compare(fleet, parameters)
    result = {**found.answer, "refresh_id": ""}
    if newest and newest["Status"] in UNDER_WAY:
        return {**result, "refresh_id": newest["InstanceRefreshId"]}
    if found.is_even:
        return result
    preferences = {
        # An instance goes only when its successor serves. A group of one needs room for two; a large one is
        # replaced by a tenth at a time.
        "MinHealthyPercentage": 100,
        "MaxHealthyPercentage": 200 if found.capacity < 10 else 110,
        "InstanceWarmup": parameters["warmup"],
        "SkipMatching": True,
        "AutoRollback": True,
    }
    if parameters["alarm"] and not fleet.is_in_alarm(parameters["alarm"]):
        preferences["AlarmSpecification"] = {"Alarms": [parameters["alarm"]]}
        preferences["BakeTime"] = parameters["bake_time"]
    answer = fleet.autoscaling.start_instance_refresh(
        AutoScalingGroupName=fleet.name,
        DesiredConfiguration={"LaunchTemplate": {"LaunchTemplateId": template_id, "Version": version}},
        Preferences=preferences,
    )
    return {**result, "changed": True, "refresh_id": answer["InstanceRefreshId"]}


def template_version(owner: dict[str, Any]) -> str:
    """The launch template version of an instance or of a group."""
    return str(owner.get("LaunchTemplate", {}).get("Version", ""))


def watch(fleet: Fleet, parameters: dict[str, Any]) -> dict[str, Any]:
    """See DOCUMENTATION, C(watched)."""
    (refresh,) = fleet.refreshes(InstanceRefreshIds=[parameters["refresh_id"]])
    status, reason = refresh["Status"], refresh.get("StatusReason", "")
    percent = refresh.get("PercentageComplete", 0)
    ended = status not in (*UNDER_WAY, *ENDING)
    trouble = remaining(fleet, refresh) if status == "Successful" else troubles(fleet, refresh, parameters)
    return {
        "changed": False,
        "status": status,
        "ended": ended,
        "trouble": trouble,
        "progress": f"{status}, {percent} %{': ' if reason else ''}{reason}",
    }


def remaining(fleet: Fleet, refresh: dict[str, Any]) -> list[str]:
    """The instances that have another version after a refresh that says it was successful, one line each."""
    template = refresh.get("DesiredConfiguration", {}).get("LaunchTemplate")
    if template is None:
        return []
    wanted = {"launch_template_id": template["LaunchTemplateId"], "version": template["Version"]}
    return [f"{name} was not replaced" for name in compare(fleet, wanted).answer["outdated"]]


def troubles(fleet: Fleet, refresh: dict[str, Any], parameters: dict[str, Any]) -> list[str]:
    """What is wrong with the instances that a refresh launched, one line each."""
    if "StartTime" not in refresh:
        return []
    answer = fleet.autoscaling.describe_scaling_activities(AutoScalingGroupName=fleet.name, MaxRecords=100)
    # By AWS's clock: this machine's may be wrong.
    now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
    activities = [activity for activity in answer["Activities"] if activity["StartTime"] >= refresh["StartTime"]]
    found = [f"an instance can't be launched: {message}" for message in failed_launches(activities)]

    launched: dict[str, datetime] = {}
    for activity in activities:
        if match := re.match(r"Launching a new EC2 instance: (i-\w+)", activity["Description"]):
            launched[match[1]] = activity["StartTime"]
    for activity in activities:
        match = re.match(r"Terminating EC2 instance: (i-\w+)", activity["Description"])
        if match and match[1] in launched and "health check" in activity["Cause"]:
            found.append(f"{match[1]} failed its health checks and was replaced{console(fleet, match[1])}")
    wanted = wanted_version(refresh)
    new = {member["InstanceId"] for member in fleet.describe()["Instances"] if template_version(member) == wanted}
    for target in fleet.elbv2.describe_target_health(TargetGroupArn=parameters["target_group_arn"])[
        "TargetHealthDescriptions"
    ]:
        name, health = target["Target"]["Id"], target["TargetHealth"]
        if name not in new or name not in launched or health["State"] == "healthy":
            continue
        seconds = round((now - launched[name]).total_seconds())
        if seconds > parameters["launch_timeout"]:
            found.append(
                f"{name} is {health['State']} {seconds} s after its launch "
                f"({health.get('Description', 'no description')}){console(fleet, name)}"
            )
    return found


def failed_launches(activities: list[dict[str, Any]]) -> list[str]:
    """Why instances can't be launched, when it goes on. A zone may have no room for a moment; the group tries again, in
    another one, and what was launched after a failure shows that nothing is wrong with the version."""
    failed: list[dict[str, Any]] = []
    for activity in sorted(activities, key=lambda activity: activity["StartTime"], reverse=True):
        if activity["Description"].startswith("Launching"):
            if activity["StatusCode"] == "Successful":
                break
            if activity["StatusCode"] == "Failed":
                failed.append(activity)
    if len(failed) < 2 or failed[0]["StartTime"] - failed[-1]["StartTime"] < FAILING:
        return []
    return sorted({activity["StatusMessage"] for activity in failed})


def console(fleet: Fleet, instance_id: str) -> str:
    """What an instance said last on its console, on lines of its own: about being ready if it said something of it."""
    try:
        output = fleet.ec2.get_console_output(InstanceId=instance_id, Latest=True).get("Output", "")
    except fleet.ec2.exceptions.ClientError as error:  # a type of machine that has no live console
        return f"; its console can't be read: {error}"
    # Without the terminal's colours.
    lines = [line.strip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", output).splitlines() if line.strip()]
    telling = [line for line in lines if "web2py-ready" in line] or lines
    if not telling:
        return "; its console is empty"
    return "; its console:" + "".join(f"\n  {line}" for line in telling[-CONSOLE_LINES:])


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "group": {"type": "str", "required": True},
            "state": {"type": "str", "required": True, "choices": ["compared", "started", "watched", "rolled_back"]},
            "launch_template_id": {"type": "str"},
            "version": {"type": "str"},
            "warmup": {"type": "int", "default": 60},
            "alarm": {"type": "str", "default": ""},
            "bake_time": {"type": "int", "default": 0},
            "refresh_id": {"type": "str"},
            "target_group_arn": {"type": "str"},
            "launch_timeout": {"type": "int", "default": 300},
            "timeout": {"type": "int", "default": 1800},
        },
        required_if=[
            ("state", "compared", ["launch_template_id", "version"]),
            ("state", "started", ["launch_template_id", "version"]),
            ("state", "watched", ["refresh_id", "target_group_arn"]),
        ],
    )
    try:
        fleet = Fleet(module)
        state = module.params["state"]
        if state == "compared":
            module.exit_json(**look(fleet, module.params))
        elif state == "started":
            module.exit_json(**start(fleet, module.params))
        elif state == "watched":
            module.exit_json(**watch(fleet, module.params))
        else:
            status = fleet.roll_back(module.params["timeout"])
            module.exit_json(changed=status == "RollbackSuccessful", status=status)
    except (LookupError, TimeoutError) as error:
        module.fail_json(msg=str(error))
    except fleet.ec2.exceptions.ClientError as error:
        module.fail_json_aws(error, msg=f"The autoscaling group {module.params['group']} could not be handled")


if __name__ == "__main__":
    main()
