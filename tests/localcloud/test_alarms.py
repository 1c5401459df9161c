"""Alarms and scaling policies: measured CPU, the states that follow from it, and what they make a group do."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from running_cloud import Cloud, docker
from waiting import wait_until

GROUP = "alarms"
LOAD_SECONDS = 900  # at the most
# Percent of a t3.micro's two CPUs, over all members. Even where other work leaves a machine little it gets more than
# the first; an idle one takes less than the second.
BUSY, IDLE = 3, 2


@pytest.fixture(scope="module")
def group_of_all(cloud: Cloud) -> Iterator[str]:
    """A group, 1 to 3, whose size each test may change."""
    ec2, autoscaling = cloud.client("ec2"), cloud.client("autoscaling")
    data = {"ImageId": cloud.base_ami_id, "InstanceType": "t3.micro"}
    template = ec2.create_launch_template(LaunchTemplateName=GROUP, LaunchTemplateData=data)["LaunchTemplate"]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=GROUP,
        MinSize=1,
        MaxSize=3,
        LaunchTemplate={"LaunchTemplateId": template["LaunchTemplateId"], "Version": "$Default"},
        VPCZoneIdentifier=",".join(cloud.subnet_ids),
    )
    wait_until(lambda: in_service(cloud) == 1, what="one in service")
    yield GROUP
    autoscaling.delete_auto_scaling_group(AutoScalingGroupName=GROUP, ForceDelete=True)
    wait_until(lambda: not autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])["AutoScalingGroups"])
    ec2.delete_launch_template(LaunchTemplateName=GROUP)


@pytest.fixture
def group(cloud: Cloud, group_of_all: str) -> str:
    """The group with one instance, and no alarm that an earlier test has left."""
    cloudwatch = cloud.client("cloudwatch")
    names = [alarm["AlarmName"] for alarm in cloudwatch.describe_alarms()["MetricAlarms"]]
    if names:
        cloudwatch.delete_alarms(AlarmNames=names)
    cloud.client("autoscaling").set_desired_capacity(AutoScalingGroupName=group_of_all, DesiredCapacity=1)
    wait_until(lambda: len(members(cloud)) == in_service(cloud) == 1, what="one in service")
    return group_of_all


def members(cloud: Cloud) -> list[dict[str, Any]]:
    groups = cloud.client("autoscaling").describe_auto_scaling_groups(AutoScalingGroupNames=[GROUP])
    found: list[dict[str, Any]] = groups["AutoScalingGroups"][0]["Instances"]
    return found


def in_service(cloud: Cloud) -> int:
    return sum(1 for member in members(cloud) if member["LifecycleState"] == "InService")


def put_alarm(cloud: Cloud, name: str, **options: Any) -> None:
    request = {
        "AlarmName": name,
        "Namespace": "AWS/EC2",
        "MetricName": "CPUUtilization",
        "Statistic": "Average",
        "Period": 10,
        "EvaluationPeriods": 1,
        "ComparisonOperator": "GreaterThanOrEqualToThreshold",
        "Threshold": 30,
        **options,
    }
    cloud.client("cloudwatch").put_metric_alarm(**request)


def alarm(cloud: Cloud, name: str) -> dict[str, Any]:
    found: dict[str, Any] = cloud.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"][0]
    return found


def average_cpu(cloud: Cloud, dimension: str, value: str) -> float:
    """The newest datapoint; -1 while there is none."""
    return cpu(cloud, dimension, value)[-1]


def highest_cpu(cloud: Cloud, dimension: str, value: str) -> float:
    """The higher one of the two newest datapoints, so that one of them is of a whole period; -1 while there are not."""
    points = cpu(cloud, dimension, value)
    return max(points[-2:]) if len(points) > 2 else -1.0


def cpu(cloud: Cloud, dimension: str, value: str) -> list[float]:
    """-1 and the datapoints, oldest first."""
    now = datetime.now(UTC)
    points = cloud.client("cloudwatch").get_metric_statistics(
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Dimensions=[{"Name": dimension, "Value": value}],
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(seconds=5),
        Period=10,
        Statistics=["Average"],
    )["Datapoints"]
    points.sort(key=lambda point: point["Timestamp"])
    return [-1.0, *(float(point["Average"]) for point in points)]


def test_busy_group_grows_while_it_is_busy_and_shrinks_when_it_is_idle(cloud: Cloud, group: str) -> None:
    autoscaling, cloudwatch = cloud.client("autoscaling"), cloud.client("cloudwatch")
    arns = {
        name: autoscaling.put_scaling_policy(
            AutoScalingGroupName=group,
            PolicyName=name,
            PolicyType="SimpleScaling",
            AdjustmentType="ChangeInCapacity",
            ScalingAdjustment=adjustment,
            Cooldown=1,
        )["PolicyARN"]
        for name, adjustment in {"out": 1, "in": -5}.items()
    }
    dimensions = [{"Name": "AutoScalingGroupName", "Value": group}]
    first = members(cloud)[0]["InstanceId"]
    # The alarm looks at the group, whose datapoints may be older than the instance's.
    for dimension, value in (("InstanceId", first), ("AutoScalingGroupName", group)):
        wait_until(
            lambda of=(dimension, value): 0 <= highest_cpu(cloud, *of) < IDLE,
            120,
            what=f"{value} is idle",
        )
    put_alarm(cloud, "busy", Dimensions=dimensions, Threshold=BUSY, AlarmActions=[arns["out"]])
    wait_until(lambda: alarm(cloud, "busy")["StateValue"] == "OK", timeout=40, what="idle")

    for _ in range(4):  # more than it has CPUs, to get its share of a busy machine
        command = ("timeout", str(LOAD_SECONDS), "sh", "-c", "while :; do :; done")
        docker("exec", "--detach", cloud.container(first), *command)
    wait_until(lambda: alarm(cloud, "busy")["StateValue"] == "ALARM", timeout=40, what="busy")
    assert average_cpu(cloud, "InstanceId", first) > BUSY
    assert average_cpu(cloud, "AutoScalingGroupName", group) > BUSY
    reason = alarm(cloud, "busy")["StateReason"]
    assert reason.startswith("Threshold Crossed: 1 out of the last 1 datapoints [")
    assert reason.endswith(
        "was greater than or equal to the threshold (3.0) (minimum 1 datapoint for OK -> ALARM transition)."
    )
    # It stays in ALARM: the policy runs again, once the cooldown is over.
    wait_until(lambda: in_service(cloud) == 3, timeout=100, what="three in service")
    causes = [
        activity["Cause"]
        for activity in autoscaling.describe_scaling_activities(AutoScalingGroupName=group)["Activities"]
    ]
    for old, new in ((1, 2), (2, 3)):
        change = f"changing the desired capacity from {old} to {new}."
        assert any(f"a monitor alarm busy in state ALARM triggered policy out {change}" in cause for cause in causes)

    docker("exec", cloud.container(first), "pkill", "timeout")
    put_alarm(
        cloud,
        "idle",
        Dimensions=dimensions,
        Threshold=IDLE,
        ComparisonOperator="LessThanOrEqualToThreshold",
        AlarmActions=[arns["in"]],
    )
    wait_until(lambda: in_service(cloud) == 1, timeout=90, what="one in service")
    wait_until(lambda: alarm(cloud, "busy")["StateValue"] == "OK", timeout=40, what="idle again")
    history = cloudwatch.describe_alarm_history(AlarmName="busy", HistoryItemType="StateUpdate")["AlarmHistoryItems"]
    changes = [item["HistorySummary"] for item in history]  # newest first
    assert changes[0] == "Alarm updated from ALARM to OK"
    assert "Alarm updated from OK to ALARM" in changes
    # Where other work takes much CPU, the first state may be either.
    assert changes[-1].startswith("Alarm updated from INSUFFICIENT_DATA to ")
    cloudwatch.delete_alarms(AlarmNames=["busy", "idle"])


@pytest.mark.essential
def test_disabled_actions_do_nothing_and_state_set_by_hand_acts(cloud: Cloud, group: str) -> None:
    autoscaling, cloudwatch = cloud.client("autoscaling"), cloud.client("cloudwatch")
    arn = autoscaling.put_scaling_policy(
        AutoScalingGroupName=group,
        PolicyName="two",
        PolicyType="SimpleScaling",
        AdjustmentType="ExactCapacity",
        ScalingAdjustment=2,
        Cooldown=0,
    )["PolicyARN"]
    put_alarm(
        cloud,
        "by-hand",
        MetricName="Nothing",
        TreatMissingData="ignore",
        AlarmActions=[arn],
        ActionsEnabled=False,
    )
    assert autoscaling.describe_policies(PolicyNames=["two"])["ScalingPolicies"][0]["Alarms"] == [
        {"AlarmName": "by-hand", "AlarmARN": alarm(cloud, "by-hand")["AlarmArn"]}
    ]

    def capacity() -> int:
        groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[group])["AutoScalingGroups"]
        return int(groups[0]["DesiredCapacity"])

    cloudwatch.set_alarm_state(AlarmName="by-hand", StateValue="ALARM", StateReason="test")
    assert capacity() == 1
    cloudwatch.set_alarm_state(AlarmName="by-hand", StateValue="OK", StateReason="test")
    cloudwatch.enable_alarm_actions(AlarmNames=["by-hand"])
    cloudwatch.set_alarm_state(AlarmName="by-hand", StateValue="ALARM", StateReason="test")
    # At once, or at a later evaluation when the cooldown of an earlier policy is over.
    wait_until(lambda: capacity() == 2, timeout=30, what="the policy ran")
    actions = cloudwatch.describe_alarm_history(AlarmName="by-hand", HistoryItemType="Action")["AlarmHistoryItems"]
    assert {item["HistorySummary"] for item in actions} == {f"Successfully executed action {arn}"}
    cloudwatch.delete_alarms(AlarmNames=["by-hand"])


def test_own_metrics_maths_a_rule_and_what_is_missing(cloud: Cloud) -> None:
    cloudwatch = cloud.client("cloudwatch")
    put_alarm(cloud, "own", Namespace="Tests", MetricName="Queue", Statistic="Maximum", Threshold=5)
    stats = {
        name: {"Metric": {"Namespace": "Tests", "MetricName": name}, "Period": 10, "Stat": "Sum"}
        for name in ("Queue", "Workers")
    }
    per_worker = [
        {"Id": "share", "Expression": "queue / workers"},
        {"Id": "queue", "MetricStat": stats["Queue"], "ReturnData": False},
        {"Id": "workers", "MetricStat": stats["Workers"], "ReturnData": False},
    ]
    cloudwatch.put_metric_alarm(
        AlarmName="share",
        Metrics=per_worker,
        EvaluationPeriods=1,
        ComparisonOperator="GreaterThanThreshold",
        Threshold=3,
        TreatMissingData="ignore",
    )
    cloudwatch.put_composite_alarm(AlarmName="both", AlarmRule="ALARM(own) AND ALARM(share)")
    data = [{"MetricName": "Queue", "Value": 7}, {"MetricName": "Workers", "Value": 2}]
    cloudwatch.put_metric_data(Namespace="Tests", MetricData=data)
    wait_until(lambda: alarm(cloud, "own")["StateValue"] == "ALARM", timeout=30, what="beyond the threshold")
    wait_until(lambda: alarm(cloud, "share")["StateValue"] == "ALARM", timeout=30, what="7 / 2 > 3")
    assert "[3.5 (" in alarm(cloud, "share")["StateReason"]
    now = datetime.now(UTC)
    answer = cloudwatch.get_metric_data(
        StartTime=now - timedelta(minutes=5),
        EndTime=now + timedelta(minutes=1),
        MetricDataQueries=[*per_worker, {"Id": "p90", "MetricStat": {**stats["Queue"], "Stat": "p90"}}],
    )["MetricDataResults"]
    assert {result["Id"]: result["Values"] for result in answer} == {"share": [3.5], "p90": [7.0]}
    changes = cloudwatch.describe_alarm_history(AlarmName="both", HistoryItemType="StateUpdate")["AlarmHistoryItems"]
    assert "Alarm updated from OK to ALARM" in [change["HistorySummary"] for change in changes]  # it follows at once
    wait_until(lambda: alarm(cloud, "own")["StateValue"] == "INSUFFICIENT_DATA", timeout=60, what="nothing comes")
    assert alarm(cloud, "own")["StateReason"] == "Insufficient Data: 1 datapoint was unknown."
    # A changed alarm keeps its state until it is evaluated, and its history.
    put_alarm(cloud, "own", Namespace="Tests", MetricName="Queue", TreatMissingData="notBreaching")
    assert alarm(cloud, "own")["StateValue"] == "INSUFFICIENT_DATA"
    wait_until(lambda: alarm(cloud, "own")["StateValue"] == "OK", timeout=30, what="missing is fine now")
    assert alarm(cloud, "own")["StateReason"] == (
        "Threshold Crossed: no datapoints were received for 1 period and 1 missing datapoint was treated as "
        "[NonBreaching]."
    )
    (both,) = cloudwatch.describe_alarms(AlarmTypes=["CompositeAlarm"])["CompositeAlarms"]
    assert (both["AlarmRule"], both["StateValue"]) == ("ALARM(own) AND ALARM(share)", "OK")
    cloudwatch.delete_alarms(AlarmNames=["both", "own", "share"])


def test_what_is_not_evaluated_is_refused(cloud: Cloud) -> None:
    cloudwatch = cloud.client("cloudwatch")
    stat = {"Metric": {"Namespace": "Tests", "MetricName": "Queue"}, "Period": 60, "Stat": "Sum"}
    band = [{"Id": "m", "MetricStat": stat}, {"Id": "band", "Expression": "ANOMALY_DETECTION_BAND(m)"}]
    search = [{"Id": "e", "Expression": "SEARCH('Queue', 'Sum', 60)"}]
    comparison = {"EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold"}
    for request in (
        {"Metrics": band, "ThresholdMetricId": "band", **comparison},
        {"Metrics": search, "Threshold": 1, **comparison},
    ):
        with pytest.raises(ClientError) as refused:
            cloudwatch.put_metric_alarm(AlarmName="refused", **request)
        assert refused.value.response["Error"]["Code"] == "ValidationError"
    for rule in ("ALARM(nobody)", "ALARM("):
        with pytest.raises(ClientError) as refused:
            cloudwatch.put_composite_alarm(AlarmName="refused", AlarmRule=rule)
        assert refused.value.response["Error"]["Code"] == "ValidationError"


def test_target_tracking_follows_a_metric_of_ones_own(cloud: Cloud, group: str) -> None:
    autoscaling, cloudwatch = cloud.client("autoscaling"), cloud.client("cloudwatch")
    metric = {"Namespace": "Tests", "MetricName": "JobsPerWorker"}
    answer = autoscaling.put_scaling_policy(
        AutoScalingGroupName=group,
        PolicyName="jobs",
        PolicyType="TargetTrackingScaling",
        EstimatedInstanceWarmup=0,
        TargetTrackingConfiguration={
            "CustomizedMetricSpecification": {**metric, "Statistic": "Average", "Period": 10},
            "TargetValue": 10,
            "DisableScaleIn": True,
        },
    )
    (high,) = answer["Alarms"]
    assert high["AlarmName"].startswith(f"TargetTracking-{group}-AlarmHigh-")
    before = len(members(cloud))

    def busy() -> bool:
        data = [{"MetricName": metric["MetricName"], "Value": 15}]
        cloudwatch.put_metric_data(Namespace=metric["Namespace"], MetricData=data)
        return alarm(cloud, high["AlarmName"])["StateValue"] == "ALARM"

    wait_until(busy, timeout=90, interval=2, what="three periods above the target")
    # The group's maximum. An alarm whose data stops acts for some periods only.
    wait_until(lambda: (busy(), in_service(cloud) == 3)[1], timeout=60, interval=2, what="three in service")
    causes = [a["Cause"] for a in autoscaling.describe_scaling_activities(AutoScalingGroupName=group)["Activities"]]
    assert any(f"a monitor alarm {high['AlarmName']} in state ALARM triggered policy jobs" in cause for cause in causes)
    assert before < 3
    autoscaling.delete_policy(AutoScalingGroupName=group, PolicyName="jobs")
    assert not cloudwatch.describe_alarms(AlarmNames=[high["AlarmName"]])["MetricAlarms"]


def test_period_that_aws_refuses(cloud: Cloud) -> None:
    with pytest.raises(ClientError) as refused:
        put_alarm(cloud, "odd", Period=15)
    assert refused.value.response["Error"]["Code"] == "ValidationError"
