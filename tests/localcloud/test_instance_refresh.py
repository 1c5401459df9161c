"""Instance refresh: new instances before old ones end, one refresh at a time, cancelled and rolled back when asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from autoscaling_group import Group, group_of_its_own, refused, state
from running_cloud import Cloud
from waiting import wait_until

LAUNCH_FIRST = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200, "InstanceWarmup": 2}  # warm-up in seconds


@pytest.fixture
def group(cloud: Cloud, request: pytest.FixtureRequest) -> Iterator[Group]:
    with group_of_its_own(cloud, request.node.name) as group:
        yield group


def start(group: Group, version: str | None = None, **preferences: Any) -> str:
    request: dict[str, Any] = {"AutoScalingGroupName": group.name, "Preferences": {**LAUNCH_FIRST, **preferences}}
    if version:
        template = {"LaunchTemplateId": group.template_id, "Version": version}
        request["DesiredConfiguration"] = {"LaunchTemplate": template}
    return str(group.api.start_instance_refresh(**request)["InstanceRefreshId"])


def refresh(group: Group, refresh_id: str) -> dict[str, Any]:
    found: dict[str, Any] = group.api.describe_instance_refreshes(
        AutoScalingGroupName=group.name, InstanceRefreshIds=[refresh_id]
    )["InstanceRefreshes"][0]
    return found


def versions(group: Group) -> list[str]:
    return [m["LaunchTemplate"]["Version"] for m in group.members if m["LifecycleState"] == "InService"]


def test_never_below_the_minimum_and_a_second_one_is_refused(cloud: Cloud, group: Group) -> None:
    group.create(DesiredCapacity=2, MinSize=2)
    old = group.wait(2)
    group.new_template_version(InstanceType="t3.small")
    refresh_id = start(group, "2")
    error = refused(group.api.start_instance_refresh, AutoScalingGroupName=group.name)
    assert error["Code"] == "InstanceRefreshInProgress"
    least, percentages = 2, []

    def over() -> bool:
        nonlocal least
        least = min(least, len(versions(group)))
        percentages.append(refresh(group, refresh_id)["PercentageComplete"])
        return refresh(group, refresh_id)["Status"] not in ("Pending", "InProgress")

    wait_until(over, what="the refresh is over")
    done = refresh(group, refresh_id)
    assert done["Status"] == "Successful"
    assert (done["PercentageComplete"], done["InstancesToUpdate"]) == (100, 0)
    assert least == 2
    assert percentages == sorted(percentages)
    assert versions(group) == ["2", "2"]
    assert group.describe()["LaunchTemplate"]["Version"] == "2"
    wait_until(lambda: {state(cloud, instance_id) for instance_id in old} == {"terminated"}, what="old ones ended")
    assert group.cause("Launching") == "an instance was launched in response to an instance refresh."
    assert group.cause("Terminating").startswith(
        "an instance was taken out of service in response to an instance refresh."
    )


@pytest.mark.essential
def test_group_of_one_keeps_serving_without_desired_configuration(group: Group) -> None:
    group.create(DesiredCapacity=1)
    (old,) = group.wait(1)
    group.new_template_version(InstanceType="t3.small")
    group.api.update_auto_scaling_group(
        AutoScalingGroupName=group.name, LaunchTemplate={"LaunchTemplateId": group.template_id, "Version": "2"}
    )
    refresh_id = start(group, SkipMatching=True)
    wait_until(lambda: refresh(group, refresh_id)["Status"] == "Successful", what="successful")
    assert versions(group) == ["2"]
    ending, launch = group.activities()[:2]
    assert ending["Description"].startswith(f"Terminating EC2 instance: {old}")
    assert launch["EndTime"] <= ending["StartTime"]
    # Nothing is outdated now: with matching ones skipped there is nothing to do.
    (current,) = group.wait(1)
    again = start(group, SkipMatching=True)
    wait_until(lambda: refresh(group, again)["Status"] == "Successful", what="successful")
    assert group.ids == [current]


def test_terminate_before_launch(group: Group) -> None:
    group.create(DesiredCapacity=1)
    (old,) = group.wait(1)
    refresh_id = start(group, MinHealthyPercentage=0, MaxHealthyPercentage=100)
    wait_until(lambda: refresh(group, refresh_id)["Status"] == "Successful", what="successful")
    assert old not in group.wait(1)


@pytest.mark.essential
def test_rolled_back_group_runs_what_it_ran_before(group: Group) -> None:
    group.create(DesiredCapacity=1)
    (old,) = group.wait(1)
    group.new_template_version(InstanceType="t3.small")
    refresh_id = start(group, "2", InstanceWarmup=600)
    wait_until(lambda: len(versions(group)) == 2, what="the new one is in service")
    wait_until(lambda: "is warming up" in refresh(group, refresh_id).get("StatusReason", ""), what="warming up")
    group.api.rollback_instance_refresh(AutoScalingGroupName=group.name)
    wait_until(lambda: refresh(group, refresh_id)["Status"] == "RollbackSuccessful", what="rolled back")
    assert refresh(group, refresh_id)["RollbackDetails"]["InstancesToUpdateOnRollback"] == 1
    assert group.wait(1) == [old]
    assert group.describe()["LaunchTemplate"]["Version"] == "1"


def test_cancelled_refresh_begins_nothing_more(group: Group) -> None:
    group.create(DesiredCapacity=1)
    (old,) = group.wait(1)
    error = refused(group.api.cancel_instance_refresh, AutoScalingGroupName=group.name)
    assert error["Code"] == "ActiveInstanceRefreshNotFound"
    refresh_id = start(group, InstanceWarmup=600)
    group.wait(2)
    error = refused(group.api.rollback_instance_refresh, AutoScalingGroupName=group.name)
    assert error["Code"] == "IrreversibleInstanceRefresh"
    group.api.cancel_instance_refresh(AutoScalingGroupName=group.name)
    wait_until(lambda: refresh(group, refresh_id)["Status"] == "Cancelled", what="cancelled")
    assert group.wait(1) == [old]


def test_preferences_that_aws_refuses(group: Group) -> None:
    group.create(DesiredCapacity=0)
    for preferences in ({"MinHealthyPercentage": 50}, {"MaxHealthyPercentage": 250}, {"AutoRollback": True}):
        error = refused(
            group.api.start_instance_refresh,
            AutoScalingGroupName=group.name,
            Preferences={**LAUNCH_FIRST, **preferences},
        )
        assert error["Code"] == "ValidationError"
