"""Target tracking: a policy keeps a metric at a value by two alarms of its own, as AWS makes them.

The high alarm looks at three periods, the low one at fifteen and at a value a tenth lower, so a group grows quickly and
shrinks slowly. Both are named `TargetTracking-<group>-AlarmHigh-<uuid>` or `-AlarmLow-`, and go with their policy.
Source: https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-target-tracking.html
"""

from __future__ import annotations

import math
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.moto_api._internal import mock_random

from localcloud import backends
from localcloud.metric_math import queries_of

HIGH, LOW = "AlarmHigh", "AlarmLow"
PERIOD = 60  # seconds, unless a customized metric says otherwise
HIGH_PERIODS, LOW_PERIODS = 3, 15
SCALE_IN_MARGIN = 0.9  # of the target: below that the low alarm counts

# Predefined metric -> namespace, name, statistic. Those of AWS's that are not here are not measured here.
PREDEFINED = {
    "ASGAverageCPUUtilization": ("AWS/EC2", "CPUUtilization", "Average"),
    "ALBRequestCountPerTarget": ("AWS/ApplicationELB", "RequestCountPerTarget", "Sum"),
}


def check_configuration(configuration: dict[str, Any]) -> None:
    """Raises ValidationError for a TargetTrackingConfiguration that AWS, or this cloud, can't follow."""
    predefined = configuration.get("PredefinedMetricSpecification")
    if configuration.get("TargetValue") is None or bool(predefined) == bool(
        configuration.get("CustomizedMetricSpecification")
    ):
        raise ValidationError(
            "TargetTrackingConfiguration must have a TargetValue and exactly one of PredefinedMetricSpecification and "
            "CustomizedMetricSpecification."
        )
    if predefined:
        kind = predefined.get("PredefinedMetricType")
        if kind not in PREDEFINED:
            raise ValidationError(f"The local cloud does not measure {kind}; it measures {', '.join(PREDEFINED)}.")
        if kind == "ALBRequestCountPerTarget":
            _split_label(predefined.get("ResourceLabel") or "")


def put_alarms(policy: Any) -> None:
    """Make the alarms of a policy, or change them when they are there."""
    configuration = policy.target_tracking_configuration.__dict__
    target = float(configuration["TargetValue"])
    common = {
        **_metric(policy, configuration),
        "description": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy.arn}.",
        "alarm_actions": [policy.arn],
    }
    cloudwatch = _cloudwatch(policy)
    wanted = {HIGH: ("GreaterThanThreshold", target, HIGH_PERIODS)}
    if not configuration.get("DisableScaleIn"):
        wanted[LOW] = ("LessThanThreshold", target * SCALE_IN_MARGIN, LOW_PERIODS)
    for kind in set(policy.alarm_names) - set(wanted):
        cloudwatch.delete_alarms([policy.alarm_names.pop(kind)])
    for kind, (comparison, threshold, periods) in wanted.items():
        name = policy.alarm_names.setdefault(
            kind, f"TargetTracking-{policy.auto_scaling_group_name}-{kind}-{mock_random.uuid4()}"
        )
        cloudwatch.put_metric_alarm(
            name=name, comparison_operator=comparison, threshold=threshold, evaluation_periods=periods, **common
        )


def delete_alarms(policy: Any) -> None:
    _cloudwatch(policy).delete_alarms(list(policy.alarm_names.values()))
    policy.alarm_names.clear()


def wants_fewer(policy: Any) -> bool:
    """Whether the policy's low alarm is in ALARM, or it never asks for fewer instances."""
    alarm = _cloudwatch(policy).alarms.get(policy.alarm_names.get(LOW))
    return alarm is None or alarm.state_value == "ALARM"


def proportional_capacity(instances: int, value: float, target: float) -> int:
    """How many instances would bring the metric, now at `value` with so many of them, to its target."""
    return math.ceil(round(instances * value / target, 6))


def _cloudwatch(policy: Any) -> Any:
    backend = policy.autoscaling_backend
    return backends.backend("cloudwatch", backend.account_id, backend.region_name)


def _metric(policy: Any, configuration: dict[str, Any]) -> dict[str, Any]:
    """The metric as arguments of moto's put_metric_alarm."""
    predefined = configuration.get("PredefinedMetricSpecification")
    if predefined:
        namespace, name, statistic = PREDEFINED[predefined["PredefinedMetricType"]]
        dimensions = [{"Name": "AutoScalingGroupName", "Value": policy.auto_scaling_group_name}]
        if namespace == "AWS/ApplicationELB":
            balancer, group = _split_label(predefined["ResourceLabel"])
            dimensions = [{"Name": "LoadBalancer", "Value": balancer}, {"Name": "TargetGroup", "Value": group}]
        return _single(namespace, name, statistic, dimensions, None, PERIOD)
    custom = configuration["CustomizedMetricSpecification"]
    if custom.get("Metrics"):
        return {
            **_single(None, None, None, [], None, None),
            "metric_data_queries": queries_of(custom["Metrics"], int(custom.get("Period") or PERIOD)),
        }
    return _single(
        custom["Namespace"],
        custom["MetricName"],
        custom["Statistic"],
        [dict(dimension) for dimension in custom.get("Dimensions") or []],
        custom.get("Unit"),
        int(custom.get("Period") or PERIOD),
    )


def _single(
    namespace: Any, name: Any, statistic: Any, dimensions: list[dict[str, str]], unit: Any, period: int | None
) -> dict[str, Any]:
    return {
        "namespace": namespace,
        "metric_name": name,
        "statistic": statistic,
        "dimensions": dimensions,
        "unit": unit,
        "period": period,
    }


def _split_label(label: str) -> tuple[str, str]:
    """`app/<name>/<id>/targetgroup/<name>/<id>` -> load balancer and target group, as CloudWatch names them."""
    parts = label.split("/")
    if len(parts) != 6 or parts[0] != "app" or parts[3] != "targetgroup":
        raise ValidationError(
            "ResourceLabel must be app/<load-balancer-name>/<id>/targetgroup/<target-group-name>/<id> for "
            "ALBRequestCountPerTarget."
        )
    return "/".join(parts[:3]), "/".join(parts[3:])
