"""Target tracking and step policies, with alarms that go off at a word."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from autoscaling_world import ACCOUNT, REGION, World, new_world

from localcloud import backends
from localcloud.overlay.cloudwatch import change_state, run_actions

GROUP = {"AutoScalingGroupName": "g"}
CPU = {"PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageCPUUtilization"}, "TargetValue": 50.0}


@pytest.fixture
def world() -> Iterator[World]:
    with new_world() as world:
        yield world


def put(world: World, name: str = "track", **configuration: Any) -> dict[str, Any]:
    answer: dict[str, Any] = world.autoscaling.put_scaling_policy(
        **GROUP,
        PolicyName=name,
        PolicyType="TargetTrackingScaling",
        EstimatedInstanceWarmup=60,
        TargetTrackingConfiguration={**CPU, **configuration},
    )
    return answer


def alarms(world: World) -> dict[str, dict[str, Any]]:
    """AlarmHigh or AlarmLow -> the alarm, as the API describes it."""
    found = world.client("cloudwatch").describe_alarms()["MetricAlarms"]
    return {alarm["AlarmName"].split("-")[2]: alarm for alarm in found}


def go_off(world: World, kind: str, value: float) -> int:
    """The alarm sees `value` in ALARM; the desired capacity after that."""
    cloudwatch = backends.backend("cloudwatch", ACCOUNT, REGION)
    for alarm in cloudwatch.alarms.values():
        if kind in alarm.name:
            change_state(cloudwatch, alarm, "ALARM", "test", f'{{"recentDatapoints": [{value}]}}')
            run_actions(cloudwatch, alarm, again=True, metric_value=value)
    return int(world.group.desired_capacity)


def warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)


def test_target_tracking_makes_two_alarms_which_go_with_it(world: World) -> None:
    world.create_group(DesiredCapacity=1)
    answer = put(world)
    found = alarms(world)
    assert {alarm["AlarmName"] for alarm in answer["Alarms"]} == {alarm["AlarmName"] for alarm in found.values()}
    high, low = found["AlarmHigh"], found["AlarmLow"]
    assert high["AlarmName"].startswith("TargetTracking-g-AlarmHigh-")
    assert high["AlarmActions"] == [answer["PolicyARN"]]
    assert (high["Threshold"], high["Period"], high["EvaluationPeriods"]) == (50.0, 60, 3)
    assert (low["Threshold"], low["Period"], low["EvaluationPeriods"]) == (45.0, 60, 15)
    assert (high["ComparisonOperator"], low["ComparisonOperator"]) == ("GreaterThanThreshold", "LessThanThreshold")
    assert high["Dimensions"] == [{"Name": "AutoScalingGroupName", "Value": "g"}]
    put(world, TargetValue=40.0)  # a changed policy keeps its alarms
    assert alarms(world)["AlarmHigh"]["AlarmName"] == high["AlarmName"]
    assert alarms(world)["AlarmHigh"]["Threshold"] == 40.0
    put(world, DisableScaleIn=True)
    assert set(alarms(world)) == {"AlarmHigh"}
    world.autoscaling.delete_policy(**GROUP, PolicyName="track")
    assert alarms(world) == {}


def test_alarms_go_with_the_group(world: World) -> None:
    world.create_group(DesiredCapacity=0)
    put(world)
    world.autoscaling.delete_auto_scaling_group(**GROUP)
    assert alarms(world) == {}


def test_capacity_follows_the_metric_in_proportion(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create_group(DesiredCapacity=2, MinSize=1)
    put(world)
    world.settle()
    assert go_off(world, "AlarmHigh", 90) == 2  # still warming up: their metric says nothing yet
    warm_up(monkeypatch)
    assert go_off(world, "AlarmHigh", 90) == 4  # 2 * 90 / 50, rounded up
    world.settle()
    assert go_off(world, "AlarmHigh", 90) == 4  # what warms up counts as done
    assert go_off(world, "AlarmLow", 10) == 4  # and nothing is taken away meanwhile
    assert go_off(world, "AlarmHigh", 130) == 6
    world.settle()
    warm_up(monkeypatch)
    assert go_off(world, "AlarmLow", 10) == 2  # 6 * 10 / 50
    world.settle()
    assert go_off(world, "AlarmLow", 0) == 1  # the group's minimum
    assert world.causes("Terminating")[0].startswith("a monitor alarm TargetTracking-g-AlarmLow-")


def test_several_policies_shrink_a_group_only_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create_group(DesiredCapacity=4)
    put(world)
    customized = {"MetricName": "Jobs", "Namespace": "N", "Statistic": "Average", "Period": 10}
    world.autoscaling.put_scaling_policy(
        **GROUP,
        PolicyName="jobs",
        PolicyType="TargetTrackingScaling",
        TargetTrackingConfiguration={"CustomizedMetricSpecification": customized, "TargetValue": 100.0},
    )
    world.settle()
    later = time.time() + 301  # the default cooldown, which is the warm-up of a policy that has none
    monkeypatch.setattr(time, "time", lambda: later)
    cloudwatch = backends.backend("cloudwatch", ACCOUNT, REGION)
    cpu, jobs = [alarm for alarm in cloudwatch.alarms.values() if "AlarmLow" in alarm.name]
    assert (jobs.metric_name, jobs.period, jobs.threshold) == ("Jobs", 10, 90.0)
    change_state(cloudwatch, cpu, "ALARM", "test", '{"recentDatapoints": [10]}')
    assert world.group.desired_capacity == 4
    change_state(cloudwatch, jobs, "ALARM", "test", '{"recentDatapoints": [50]}')
    assert world.group.desired_capacity == 2


def test_requests_per_target(world: World) -> None:
    world.create_group(DesiredCapacity=0)
    label = "app/web/0123456789abcdef/targetgroup/fleet/fedcba9876543210"
    specification = {"PredefinedMetricType": "ALBRequestCountPerTarget", "ResourceLabel": label}
    put(world, PredefinedMetricSpecification=specification, TargetValue=1000.0)
    high = alarms(world)["AlarmHigh"]
    assert (high["Namespace"], high["MetricName"], high["Statistic"]) == (
        "AWS/ApplicationELB", "RequestCountPerTarget", "Sum"
    )  # fmt: skip
    assert high["Dimensions"] == [
        {"Name": "LoadBalancer", "Value": "app/web/0123456789abcdef"},
        {"Name": "TargetGroup", "Value": "targetgroup/fleet/fedcba9876543210"},
    ]


@pytest.mark.parametrize(
    ("policy", "words"),
    [
        ({"PolicyType": "PredictiveScaling"}, "predictive scaling"),
        ({"PolicyType": "StepScaling", "AdjustmentType": "ChangeInCapacity"}, "StepAdjustments"),
        ({"PolicyType": "TargetTrackingScaling"}, "TargetValue"),
        (
            {
                "PolicyType": "TargetTrackingScaling",
                "TargetTrackingConfiguration": {
                    "PredefinedMetricSpecification": {"PredefinedMetricType": "ASGAverageNetworkIn"},
                    "TargetValue": 1,
                },
            },
            "does not measure ASGAverageNetworkIn",
        ),
    ],
)
def test_policies_that_are_refused(world: World, policy: dict[str, Any], words: str) -> None:
    world.create_group(DesiredCapacity=0)
    with pytest.raises(world.autoscaling.exceptions.ClientError, match=words):
        world.autoscaling.put_scaling_policy(**GROUP, PolicyName="p", **policy)


def test_alarm_stops_an_instance_and_says_what_it_could_not_do(world: World) -> None:
    world.create_group(DesiredCapacity=1)
    world.settle()
    (member,) = world.members()
    cloudwatch = world.client("cloudwatch")
    world.create_alarm(
        "a",
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Dimensions=[{"Name": "InstanceId", "Value": member.instance_id}],
        AlarmActions=[f"arn:aws:automate:{REGION}:ec2:recover", f"arn:aws:automate:{REGION}:ec2:stop"],
    )
    cloudwatch.set_alarm_state(AlarmName="a", StateValue="ALARM", StateReason="test")
    assert member.instance.state == "stopping"
    history = cloudwatch.describe_alarm_history(AlarmName="a", HistoryItemType="Action")["AlarmHistoryItems"]
    assert [item["HistorySummary"] for item in history] == [
        f"Successfully executed action arn:aws:automate:{REGION}:ec2:stop",
        f"Failed to execute action arn:aws:automate:{REGION}:ec2:recover",
    ]


def test_step_is_taken_from_what_was_there_before_the_last_one(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create_group(DesiredCapacity=2, MinSize=1)
    world.settle()
    world.autoscaling.put_scaling_policy(
        **GROUP,
        PolicyName="steps",
        PolicyType="StepScaling",
        AdjustmentType="ChangeInCapacity",
        EstimatedInstanceWarmup=60,
        StepAdjustments=[
            {"MetricIntervalLowerBound": 0, "MetricIntervalUpperBound": 20, "ScalingAdjustment": 1},
            {"MetricIntervalLowerBound": 20, "ScalingAdjustment": 3},
        ],
    )

    def execute(value: float) -> int:
        world.autoscaling.execute_policy(**GROUP, PolicyName="steps", MetricValue=value, BreachThreshold=50)
        return int(world.group.desired_capacity)

    warm_up(monkeypatch)
    assert execute(60) == 3
    world.settle()
    assert execute(60) == 3  # one is on its way
    assert execute(80) == 5  # three instead of the one
    world.settle()
    warm_up(monkeypatch)
    assert execute(60) == 6
