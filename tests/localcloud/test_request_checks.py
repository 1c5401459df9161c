"""What AWS refuses in a request of any operation: values that are no enumeration's, and to do it at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Client = Callable[[str], Any]

ALARM = {
    "AlarmName": "alarm",
    "Namespace": "N",
    "MetricName": "M",
    "Statistic": "Average",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1,
    "ComparisonOperator": "GreaterThanThreshold",
}
OPERATORS = (
    "GreaterThanOrEqualToThreshold, GreaterThanThreshold, LessThanThreshold, LessThanOrEqualToThreshold, "
    "LessThanLowerOrGreaterThanUpperThreshold, LessThanLowerThreshold, GreaterThanUpperThreshold"
)
STATISTICS = "SampleCount, Average, Sum, Minimum, Maximum"


@pytest.mark.essential
@pytest.mark.parametrize(
    ("service", "operation", "request_", "problem"),
    [
        (
            "cloudwatch", "put_metric_alarm", {**ALARM, "ComparisonOperator": "BiggerThan"},
            "Value 'BiggerThan' at 'comparisonOperator' failed to satisfy constraint: Member must satisfy enum value "
            f"set: [{OPERATORS}]",
        ),
        (
            "cloudwatch", "put_metric_alarm", {**ALARM, "Statistic": "Median"},
            "Value 'Median' at 'statistic' failed to satisfy constraint: Member must satisfy enum value "
            f"set: [{STATISTICS}]",
        ),
        (
            "cloudwatch", "describe_alarms", {"AlarmTypes": ["MetricAlarm", "Other"]},
            "Value '[Other]' at 'alarmTypes' failed to satisfy constraint: Member must satisfy "
            "constraint: [Member must satisfy enum value set: [CompositeAlarm, MetricAlarm, LogAlarm]]",
        ),
        (
            "elbv2", "create_load_balancer", {"Name": "lb", "Scheme": "open"},
            "Value 'open' at 'scheme' failed to satisfy constraint: Member must satisfy enum value set: "
            "[internet-facing, internal]",
        ),
        (
            "elbv2", "create_listener",
            {"LoadBalancerArn": "a", "DefaultActions": [{"Type": "redirect", "RedirectConfig": {"StatusCode": "301"}}]},
            "Value '301' at 'defaultActions.1.member.redirectConfig.statusCode' failed to satisfy constraint: Member "
            "must satisfy enum value set: [HTTP_301, HTTP_302]",
        ),
        (
            "autoscaling", "start_instance_refresh", {"AutoScalingGroupName": "g", "Strategy": "Quick"},
            "Value 'Quick' at 'strategy' failed to satisfy constraint: Member must satisfy enum value set: "
            "[Rolling, ReplaceRootVolume]",
        ),
        (
            "rds", "modify_db_parameter_group",
            {"DBParameterGroupName": "g", "Parameters": [{"ParameterName": "p", "ApplyMethod": "soon"}]},
            "Value 'soon' at 'parameters.1.member.applyMethod' failed to satisfy constraint: Member must satisfy enum "
            "value set: [immediate, pending-reboot]",
        ),
    ],
)  # fmt: skip
def test_a_value_that_is_none_of_the_enumeration(
    client: Client, service: str, operation: str, request_: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(client(service), operation)(**request_)
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == ("ValidationError", f"1 validation error detected: {problem}")


@pytest.mark.parametrize(
    ("operation", "request_", "problem"),
    [
        (
            "get_metric_statistics",
            {"Namespace": "N", "MetricName": "M", "StartTime": 0, "EndTime": 60, "Statistics": ["Sum", "p90"]},
            f"Statistics.member.2 must be a value in the set [ {STATISTICS} ].",
        ),
        (
            "put_metric_data", {"Namespace": "N", "MetricData": [{"MetricName": "M", "Value": 1, "Unit": "Apples"}]},
            "MetricData.member.1.Unit must be a value in the set [ Seconds, Microseconds, ",
        ),
    ],
)  # fmt: skip
def test_older_operations_of_cloudwatch_have_their_own_words(
    client: Client, operation: str, request_: dict[str, Any], problem: str
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(client("cloudwatch"), operation)(**request_)
    error = refused.value.response["Error"]
    assert error["Code"] == "InvalidParameterValue"
    assert error["Message"].startswith(f"The parameter {problem}")


def test_all_that_is_wrong_is_said_at_once(client: Client) -> None:
    with pytest.raises(ClientError, match="2 validation errors detected: Value 'Median' at .*; Value 'Big' at "):
        client("cloudwatch").put_metric_alarm(**{**ALARM, "Statistic": "Median", "ComparisonOperator": "Big"})
    assert client("cloudwatch").describe_alarms()["MetricAlarms"] == []


@pytest.mark.essential
def test_nothing_is_done_when_permission_only_is_asked_for(client: Client) -> None:
    ec2 = client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.63.0.0/16")["Vpc"]["VpcId"]
    with pytest.raises(ClientError) as refused:
        ec2.delete_vpc(VpcId=vpc, DryRun=True)
    assert refused.value.response["Error"]["Code"] == "DryRunOperation"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 412
    ec2.delete_vpc(VpcId=vpc)
