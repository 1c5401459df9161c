"""Instance refresh: its limits and preferences, and its course with machines that start and end at a word."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from typing import Any

import pytest
from autoscaling_world import World, new_world
from moto.autoscaling.exceptions import ValidationError

from localcloud.overlay.instance_refresh import checked_preferences
from localcloud.reconcilers.instance_refresh import limits

LAUNCH_FIRST = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 200, "InstanceWarmup": 0}


@pytest.fixture
def world() -> Iterator[World]:
    with new_world() as world:
        yield world


@pytest.mark.parametrize(
    ("desired", "minimum", "maximum", "expected"),
    [
        (1, 100, 200, (1, 2)),
        (4, 100, 110, (4, 5)),
        (10, 90, 120, (9, 12)),
        (10, 90, 100, (9, 10)),
        (1, 90, 100, (0, 1)),
    ],
)
def test_limits_of_a_refresh(desired: int, minimum: int, maximum: int, expected: tuple[int, int]) -> None:
    preferences = {"MinHealthyPercentage": minimum, "MaxHealthyPercentage": maximum}
    assert limits(desired, preferences) == expected


def test_preferences_have_defaults_and_bounds() -> None:
    preferences = checked_preferences({}, 30)
    assert (preferences["MinHealthyPercentage"], preferences["MaxHealthyPercentage"]) == (90, 100)
    assert preferences["InstanceWarmup"] == 30
    for given in ({"MaxHealthyPercentage": 150}, {"MinHealthyPercentage": 50, "MaxHealthyPercentage": 200}):
        with pytest.raises(ValidationError):
            checked_preferences(given, 0)


@pytest.mark.parametrize(
    ("desired", "minimum", "maximum"), [(1, 100, 200), (4, 100, 110), (5, 60, 140), (4, 50, 100), (3, 0, 100)]
)
def test_refresh_stays_within_its_limits(world: World, desired: int, minimum: int, maximum: int) -> None:
    world.create_group(DesiredCapacity=desired, MaxSize=desired)
    world.settle()
    old = {member.instance_id for member in world.members()}
    world.autoscaling.start_instance_refresh(
        AutoScalingGroupName="g",
        DesiredConfiguration={"LaunchTemplate": {"LaunchTemplateId": world.template_id, "Version": "2"}},
        Preferences={"MinHealthyPercentage": minimum, "MaxHealthyPercentage": maximum, "InstanceWarmup": 0},
    )
    (refresh,) = world.group.instance_refreshes
    for _ in range(60):
        world.settle(1)
        active = len(world.members()) + len(world.members("Pending"))
        assert len(world.members()) >= math.ceil(desired * minimum / 100)
        assert active <= max(math.floor(desired * maximum / 100), desired + (maximum > 100))
    assert refresh.status == "Successful"
    assert not old & {member.instance_id for member in world.members()}
    assert len(world.group.instance_states) == desired
    assert {member.template_version for member in world.members()} == {2}


def test_refresh_whose_alarm_goes_off_rolls_back(world: World) -> None:
    world.create_group(DesiredCapacity=2)
    world.settle()
    old = {member.instance_id for member in world.members()}
    cloudwatch = world.client("cloudwatch")
    world.create_alarm("errors")
    world.autoscaling.start_instance_refresh(
        AutoScalingGroupName="g",
        DesiredConfiguration={"LaunchTemplate": {"LaunchTemplateId": world.template_id, "Version": "2"}},
        Preferences={
            "MinHealthyPercentage": 100,
            "MaxHealthyPercentage": 200,
            "InstanceWarmup": 600,
            "AutoRollback": True,
            "AlarmSpecification": {"Alarms": ["errors"]},
        },
    )
    world.settle()
    assert len(world.members()) == 4
    cloudwatch.set_alarm_state(AlarmName="errors", StateValue="ALARM", StateReason="test")
    world.settle(20)
    assert world.group.instance_refreshes[0].status == "RollbackSuccessful"
    assert {member.instance_id for member in world.members()} == old


def test_refresh_pauses_at_its_checkpoint(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create_group(DesiredCapacity=4)
    world.settle()
    world.autoscaling.start_instance_refresh(
        AutoScalingGroupName="g",
        Preferences={
            "MinHealthyPercentage": 100,
            "MaxHealthyPercentage": 200,
            "InstanceWarmup": 0,
            "CheckpointPercentages": [50, 100],
            "CheckpointDelay": 60,
        },
    )
    (refresh,) = world.group.instance_refreshes
    world.settle(20)
    assert (refresh.status, refresh.percentage_complete) == ("InProgress", 50)
    assert len(world.group.instance_states) == 4  # nothing of what comes after is launched yet
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    world.settle(20)
    assert refresh.status == "Successful"


def start(world: World, version: str | None = "2", **preferences: Any) -> Any:
    request: dict[str, Any] = {"AutoScalingGroupName": "g", "Preferences": {**LAUNCH_FIRST, **preferences}}
    if version:
        request["DesiredConfiguration"] = {
            "LaunchTemplate": {"LaunchTemplateId": world.template_id, "Version": version}
        }
    world.autoscaling.start_instance_refresh(**request)
    return world.group.instance_refreshes[0]


def test_refresh_ends_at_a_last_checkpoint_below_everything(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create_group(DesiredCapacity=4)
    world.settle()
    refresh = start(world, CheckpointPercentages=[50], CheckpointDelay=60)
    world.settle(10)
    assert refresh.status == "InProgress"
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    world.settle()
    assert (refresh.status, refresh.percentage_complete, refresh.instances_to_update) == ("Successful", 50, 2)
    assert sorted(member.template_version for member in world.members()) == [1, 1, 2, 2]


def test_refresh_bakes_before_it_is_successful(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create_group(DesiredCapacity=1)
    world.settle()
    refresh = start(world, BakeTime=60)
    world.settle(10)
    assert (refresh.status, refresh.percentage_complete) == ("Baking", 100)
    assert world.group.launch_template_version == "1"  # not adopted yet
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    world.settle()
    assert refresh.status == "Successful"
    assert world.group.launch_template_version == "2"


@pytest.mark.parametrize(
    ("choice", "status", "left"),
    [("Wait", "InProgress", True), ("Ignore", "Successful", True), ("Refresh", "Successful", False)],
)
def test_member_that_is_protected_from_scale_in(world: World, choice: str, status: str, left: bool) -> None:
    world.create_group(DesiredCapacity=2)
    world.settle()
    protected, _other = world.members()
    world.autoscaling.set_instance_protection(
        AutoScalingGroupName="g", InstanceIds=[protected.instance_id], ProtectedFromScaleIn=True
    )
    refresh = start(world, ScaleInProtectedInstances=choice)
    world.settle(12)
    assert refresh.status == status
    assert (protected in world.members()) == left
    if choice == "Wait":
        assert f"For example: {protected.instance_id} is protected" in refresh.status_reason


@pytest.mark.parametrize(
    ("choice", "status", "state"),
    [("Wait", "InProgress", "stays"), ("Ignore", "Successful", "stays"), ("Terminate", "Successful", "goes")],
)
def test_member_on_standby(world: World, choice: str, status: str, state: str) -> None:
    world.create_group(DesiredCapacity=2)
    world.settle()
    standby, _other = world.members()
    world.autoscaling.enter_standby(
        AutoScalingGroupName="g", InstanceIds=[standby.instance_id], ShouldDecrementDesiredCapacity=True
    )
    refresh = start(world, StandbyInstances=choice)
    world.settle(12)
    assert refresh.status == status
    assert (standby in world.group.instance_states) == (state == "stays")
    if choice == "Wait":
        assert f"For example: {standby.instance_id} is on standby." in refresh.status_reason
        world.autoscaling.exit_standby(AutoScalingGroupName="g", InstanceIds=[standby.instance_id])
        world.settle(12)
        assert refresh.status == "Successful"
        assert standby not in world.group.instance_states


def test_refresh_that_gets_nowhere_fails_with_its_reason(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create_group(DesiredCapacity=1)
    world.settle()
    (old,) = world.members()
    refresh = start(world, SkipMatching=True)
    world.group.ec2_backend.amis.pop(world.group.image_id)
    world.settle()
    assert refresh.status_reason.startswith("Instances can't be launched: ")
    later = time.time() + 3601
    monkeypatch.setattr(time, "time", lambda: later)
    world.settle()
    assert refresh.status == "Failed"
    assert world.members() == [old]


def test_group_keeps_its_template_while_a_refresh_goes_to_another(world: World) -> None:
    world.create_group(DesiredCapacity=1)
    world.settle()
    start(world)
    with pytest.raises(world.autoscaling.exceptions.ClientError) as error:
        world.autoscaling.update_auto_scaling_group(
            AutoScalingGroupName="g", LaunchTemplate={"LaunchTemplateId": world.template_id, "Version": "1"}
        )
    assert "An active instance refresh with a desired configuration exists." in str(error.value)
    world.autoscaling.update_auto_scaling_group(AutoScalingGroupName="g", MaxSize=5)
    world.settle(10)
    assert world.group.instance_refreshes[0].status == "Successful"


@pytest.mark.parametrize(
    "preferences",
    [
        {"CheckpointPercentages": [50, 20]},
        {"StandbyInstances": "Refresh"},
        {"MinHealthyPercentage": 50, "MaxHealthyPercentage": 200},
    ],
)
def test_preferences_that_are_refused(world: World, preferences: dict[str, Any]) -> None:
    world.create_group(DesiredCapacity=0)
    with pytest.raises(world.autoscaling.exceptions.ClientError) as error:
        start(world, **preferences)
    assert error.value.response["Error"]["Code"] == "ValidationError"


def test_maintenance_policy_gives_the_percentages() -> None:
    preferences = checked_preferences({}, 0, {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150})
    assert (preferences["MinHealthyPercentage"], preferences["MaxHealthyPercentage"]) == (100, 150)
