"""Autoscaling's arithmetic and its reconcilers, with machines that start and end at a word."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from autoscaling_world import World, new_world

from localcloud.overlay.scaling_policies import adjusted_capacity, matching_step


@pytest.fixture
def world() -> Iterator[World]:
    with new_world() as world:
        yield world


@pytest.mark.parametrize(
    ("current", "kind", "adjustment", "magnitude", "expected"),
    [
        (1, "ChangeInCapacity", 10, 0, 11),
        (15, "ChangeInCapacity", 10, 0, 20),
        (3, "ChangeInCapacity", -5, 0, 1),
        (3, "ExactCapacity", 7, 0, 7),
        (3, "ExactCapacity", 50, 0, 20),
        # AWS's own examples: 12.7 is 12, 0.67 is 1, -0.58 is -1, -6.67 is -6.
        (10, "PercentChangeInCapacity", 127, 0, 20),
        (12, "PercentChangeInCapacity", 12, 0, 13),
        (2, "PercentChangeInCapacity", 33, 0, 3),
        (2, "PercentChangeInCapacity", -29, 0, 1),
        (10, "PercentChangeInCapacity", -67, 0, 4),
        (4, "PercentChangeInCapacity", 25, 2, 6),
    ],
)
def test_adjusted_capacity(current: int, kind: str, adjustment: int, magnitude: int, expected: int) -> None:
    assert adjusted_capacity(current, kind, adjustment, 1, 20, magnitude) == expected


@pytest.mark.parametrize(("difference", "expected"), [(0, 1), (9.9, 1), (10, 3), (1000, 3), (-1, None)])
def test_step_above_the_threshold(difference: float, expected: int | None) -> None:
    steps = [
        {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 10, "ScalingAdjustment": 1},
        {"MetricIntervalLowerBound": 10, "ScalingAdjustment": 3},
    ]
    assert matching_step(steps, difference) == expected


@pytest.mark.parametrize(("difference", "expected"), [(-1, -1), (-10, -2), (-11, -2), (5, None)])
def test_step_below_the_threshold(difference: float, expected: int | None) -> None:
    steps = [
        {"MetricIntervalLowerBound": -10, "MetricIntervalUpperBound": 0, "ScalingAdjustment": -1},
        {"MetricIntervalUpperBound": -10, "ScalingAdjustment": -2},
    ]
    assert matching_step(steps, difference) == expected


def test_group_follows_its_desired_capacity_whatever_happened_before(world: World) -> None:
    world.create_group(DesiredCapacity=6)
    world.settle()
    assert len(world.members()) == 6
    assert set(Counter(m.availability_zone for m in world.members()).values()) == {2}
    world.reconcile()  # again, and nothing changes
    assert len(world.group.instance_states) == 6
    world.client("ec2").terminate_instances(InstanceIds=[m.instance_id for m in world.members()[:3]])
    world.settle()
    assert len(world.members()) == 6
    assert set(Counter(m.availability_zone for m in world.members()).values()) == {2}


def test_failing_load_balancer_check_counts_after_the_grace_period(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create_group(DesiredCapacity=2, HealthCheckType="ELB", HealthCheckGracePeriod=60)
    world.group.target_group_arns = ["arn"]
    world.settle()
    failing, healthy = world.members()
    world.health.update({failing.instance_id: "unhealthy", healthy.instance_id: "healthy"})
    world.settle()
    assert failing in world.members()
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    world.reconcile()
    assert failing.lifecycle_state == "Terminating"
    assert "in response to an ELB system health check failure." in world.group.activities[1].cause
    world.settle()
    assert healthy in world.members()
    assert len(world.members()) == 2
    assert failing not in world.group.instance_states


def test_target_drains_before_its_instance_ends(world: World) -> None:
    world.create_group(DesiredCapacity=1)
    elb = world.client("elbv2")
    vpc_id = world.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    arn = elb.create_target_group(Name="tg", Protocol="HTTP", Port=80, VpcId=vpc_id)["TargetGroups"][0][
        "TargetGroupArn"
    ]
    world.group.target_group_arns = [arn]
    world.settle()
    (member,) = world.members()
    assert member.registered == [arn]
    world.health[member.instance_id] = "draining"
    world.autoscaling.set_desired_capacity(AutoScalingGroupName="g", DesiredCapacity=0)
    world.settle()
    assert member.instance.state == "running"
    assert member.activity.status_code == "WaitingForELBConnectionDraining"
    world.health.clear()
    world.settle()
    assert member.instance.state == "terminated"
    assert not world.group.instance_states


def test_launch_that_fails_says_why_and_is_tried_less_and_less(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create_group(DesiredCapacity=1)
    images = world.group.ec2_backend.amis
    image_id = world.group.image_id
    image = images.pop(image_id)
    world.settle()
    failed = [activity for activity in world.group.activities if activity.status_code == "Failed"]
    assert len(failed) == 1  # no pass within the first delay tried again
    assert f"The image id '[{image_id}]' does not exist" in failed[0].status_message
    images[image_id] = image
    later = time.time() + 60
    monkeypatch.setattr(time, "time", lambda: later)
    world.settle()
    assert len(world.members()) == 1


def test_policy_waits_for_its_cooldown_which_begins_when_the_scaling_is_over(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.create_group(DesiredCapacity=1, MinSize=1)
    world.settle()
    options: dict[str, Any] = {"AdjustmentType": "ChangeInCapacity", "ScalingAdjustment": 1, "Cooldown": 100}
    arn = world.autoscaling.put_scaling_policy(AutoScalingGroupName="g", PolicyName="out", **options)["PolicyARN"]
    cloudwatch = world.client("cloudwatch")
    world.create_alarm("a", AlarmActions=[arn])

    def alarm() -> int:
        for value in ("OK", "ALARM"):
            cloudwatch.set_alarm_state(AlarmName="a", StateValue=value, StateReason="test")
        return int(world.group.desired_capacity)

    assert alarm() == 2
    assert alarm() == 2  # still launching
    world.settle()
    assert alarm() == 2  # the cooldown has begun
    later = time.time() + 101
    monkeypatch.setattr(time, "time", lambda: later)
    assert alarm() == 3
