"""A second `terraform plan` is empty for autoscaling groups and what goes with them, and nothing is left of them."""

from __future__ import annotations

from pathlib import Path

from running_cloud import Cloud
from terraform_stack import terraform_stack

STACKS = Path(__file__).parent / "stacks"


def test_second_plan_of_autoscaling_is_empty(cloud: Cloud, tmp_path: Path) -> None:
    variables = {"subnet_ids": cloud.subnet_ids, "ami_id": cloud.base_ami_id}
    with terraform_stack(cloud, tmp_path, (STACKS / "autoscaling.tf").read_text(), variables) as stack:
        stack.apply()
        stack.assert_no_drift()
    names = [alarm["AlarmName"] for alarm in cloud.client("cloudwatch").describe_alarms()["MetricAlarms"]]
    assert not [name for name in names if name.startswith("TargetTracking-drift")]
    assert not cloud.client("autoscaling").describe_policies(AutoScalingGroupName="drift-autoscaling")[
        "ScalingPolicies"
    ]
