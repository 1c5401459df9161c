"""Scaling policies: what a simple, step or target tracking policy does to its group when it is executed."""

from __future__ import annotations

import functools
import math
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import FakeScalingPolicy
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult

from localcloud import backends
from localcloud.overlay import target_tracking
from localcloud.overlay.autoscaling import (
    DELETE_IN_PROGRESS,
    change_desired_capacity,
    find_group,
    in_cooldown,
    warming_up,
)

SIMPLE, STEP, TARGET_TRACKING, PREDICTIVE = "SimpleScaling", "StepScaling", "TargetTrackingScaling", "PredictiveScaling"


def adjusted_capacity(
    current: int, adjustment_type: str, adjustment: int, minimum: int, maximum: int, magnitude: int = 0
) -> int:
    """The capacity that an adjustment leads to, within the group's bounds.

    A percentage is rounded as AWS does: between -1 and 1 away from zero, else towards zero. `magnitude` is the least
    number of instances that a percentage changes.
    Source: https://docs.aws.amazon.com/autoscaling/ec2/userguide/as-scaling-simple-step.html
    """
    if adjustment_type == "ExactCapacity":
        wanted = adjustment
    else:
        change = adjustment
        if adjustment_type == "PercentChangeInCapacity":
            share = current * adjustment / 100
            change = math.trunc(share) if abs(share) >= 1 else (share > 0) - (share < 0)
            if change and abs(change) < magnitude:
                change = magnitude if change > 0 else -magnitude
        wanted = current + change
    return max(minimum, min(maximum, wanted))


def matching_step(steps: list[dict[str, Any]], difference: float) -> int | None:
    """The adjustment of the step in which metric - threshold lies; None when no step is for it.

    Above the threshold a step includes its lower bound, below it its upper one.
    """
    for step in steps:
        lower = (
            float(step["MetricIntervalLowerBound"]) if step.get("MetricIntervalLowerBound") is not None else -math.inf
        )
        upper = (
            float(step["MetricIntervalUpperBound"]) if step.get("MetricIntervalUpperBound") is not None else math.inf
        )
        inside = lower <= difference < upper if difference >= 0 else lower < difference <= upper
        if inside:
            return int(step["ScalingAdjustment"])
    return None


def execute_policy(
    policy: Any,
    reason: str,
    honor_cooldown: bool,
    metric_value: float | None = None,
    threshold: float | None = None,
    alarm_name: str | None = None,
) -> bool:
    """Apply a policy; returns whether the desired capacity changed.

    `reason` is how AWS begins the cause, such as `a user request executed policy out`. `metric_value` and `threshold`
    (of the alarm) choose the step of a step scaling policy; `alarm_name` says which alarm of a target tracking policy
    went off.
    """
    group = find_group(policy.autoscaling_backend, policy.auto_scaling_group_name)
    if not policy.enabled or group.status == DELETE_IN_PROGRESS:
        return False
    if policy.policy_type == SIMPLE:
        if honor_cooldown and in_cooldown(group):
            return False
        capacity: int | None = _adjusted(policy, group, group.desired_capacity, int(policy.scaling_adjustment or 0))
    elif policy.policy_type == STEP:
        capacity = _step_capacity(policy, group, metric_value, threshold)
    else:
        capacity = _tracking_capacity(policy, group, metric_value, alarm_name)
    if capacity is None or not change_desired_capacity(group, capacity, reason):
        return False
    if policy.policy_type == SIMPLE:
        group.cooldown_pending = policy.cooldown if policy.cooldown is not None else group.default_cooldown
    return True


def _adjusted(policy: Any, group: Any, current: int, adjustment: int) -> int:
    magnitude = int(policy.min_adjustment_magnitude or 0)
    return adjusted_capacity(
        current, policy.adjustment_type, adjustment, int(group.min_size), int(group.max_size), magnitude
    )


def _step_capacity(policy: Any, group: Any, value: float | None, threshold: float | None) -> int | None:
    if value is None or threshold is None:
        return None
    adjustment = matching_step(policy.step_adjustments, value - threshold)
    if adjustment is None:
        return None
    # What is still warming up is on its way already: the step is taken from what was there before it.
    warming = warming_up(group, warmup_of(policy, group))
    capacity = _adjusted(policy, group, group.desired_capacity - warming, adjustment)
    # A group that still grows is neither cut back nor grows less.
    return None if warming and capacity < group.desired_capacity else capacity


def _tracking_capacity(policy: Any, group: Any, value: float | None, alarm_name: str | None) -> int | None:
    """What target tracking leads to; None: leave it.

    Instances that warm up say nothing yet about what the metric will be, so the proportion is that of those before
    them; while there are any, nothing is taken away. Several policies of a group shrink it only when all agree.
    """
    if value is None:
        return None
    warming = warming_up(group, warmup_of(policy, group))
    measured = sum(1 for member in group.instance_states if member.active) - warming
    target = float(policy.target_tracking_configuration.TargetValue)
    capacity = target_tracking.proportional_capacity(measured, value, target)
    capacity = max(int(group.min_size), min(int(group.max_size), capacity))
    if alarm_name == policy.alarm_names.get(target_tracking.LOW):
        others = [
            other
            for other in policy.autoscaling_backend.policies.values()
            if other.auto_scaling_group_name == group.name and other.policy_type == TARGET_TRACKING and other.enabled
        ]
        if warming or not all(target_tracking.wants_fewer(other) for other in others):
            return None
        return capacity if capacity < group.desired_capacity else None
    return capacity if capacity > group.desired_capacity else None


def warmup_of(policy: Any, group: Any) -> int:
    """Seconds after which an instance of the group counts: the policy's, the group's, or the default cooldown."""
    settings = (policy.estimated_instance_warmup, group.default_instance_warmup, group.default_cooldown)
    return next((int(setting) for setting in settings if setting is not None and int(setting) >= 0), 300)


def find_policy(backend: Any, name: str, group_name: str | None) -> Any:
    """A policy by its name (then of a group) or ARN. Raises ValidationError in AWS's words."""
    for policy in backend.policies.values():
        if policy.arn == name or (policy.name == name and group_name in (None, policy.auto_scaling_group_name)):
            return policy
    raise ValidationError(f"ScalingPolicy name not found - {name}")


def check_policy(policy: Any, tracking: dict[str, Any]) -> None:
    """Raises ValidationError for what AWS refuses, and for what this cloud does not do."""
    if policy.policy_type == PREDICTIVE:
        raise ValidationError("The local cloud does not do predictive scaling: it needs days of measurements.")
    if policy.policy_type == SIMPLE and (not policy.adjustment_type or policy.scaling_adjustment is None):
        raise ValidationError(
            "You must specify an AdjustmentType and a ScalingAdjustment for policy type: SimpleScaling"
        )
    if policy.policy_type == STEP and (not policy.adjustment_type or not policy.step_adjustments):
        raise ValidationError("You must specify an AdjustmentType and StepAdjustments for policy type: StepScaling")
    if policy.policy_type == TARGET_TRACKING:
        target_tracking.check_configuration(tracking)
    elif policy.policy_type not in (SIMPLE, STEP):
        raise ValidationError(
            f"{policy.policy_type} is not a valid policy type. Valid ones are: {SIMPLE}, {STEP}, {TARGET_TRACKING}"
        )


# -- installing ------------------------------------------------------------------------------------------------------


def install() -> None:
    """Change moto's scaling policies."""
    create = FakeScalingPolicy.__init__

    @functools.wraps(create)
    def create_enabled(self: Any, *args: Any, **kwargs: Any) -> None:
        create(self, *args, **kwargs)
        self.enabled = True
        self.cooldown = kwargs.get("cooldown")  # None: the group's default
        self.predictive_scaling_configuration = self.predictive_scaling_configuration or None
        self.step_adjustments = self.step_adjustments or None
        self.alarm_names = {}  # of target tracking: AlarmHigh or AlarmLow -> name

    def alarms(self: Any) -> list[dict[str, str]]:
        """The alarms that name this policy as an action."""
        cloudwatch = backends.backend(
            "cloudwatch", self.autoscaling_backend.account_id, self.autoscaling_backend.region_name
        )
        return [
            {"AlarmName": alarm.name, "AlarmARN": alarm.alarm_arn}
            for alarm in cloudwatch.alarms.values()
            if self.arn in [*alarm.alarm_actions, *alarm.ok_actions, *alarm.insufficient_data_actions]
        ]

    policy: Any = FakeScalingPolicy
    policy.__init__ = create_enabled
    policy.alarms = property(alarms)
    response: Any = AutoScalingResponse
    response.put_scaling_policy = _put_scaling_policy
    response.delete_policy = _delete_policy
    response.execute_policy = _execute_policy


def _put_scaling_policy(self: Any) -> ActionResult:
    parameters = self._get_params()
    name, group_name = parameters.get("PolicyName"), parameters.get("AutoScalingGroupName")
    backend = self.autoscaling_backend
    find_group(backend, group_name)
    tracking = parameters.get("TargetTrackingConfiguration") or {}
    policy: Any = FakeScalingPolicy(
        name,
        parameters.get("PolicyType") or SIMPLE,
        parameters.get("MetricAggregationType"),
        adjustment_type=parameters.get("AdjustmentType"),
        as_name=group_name,
        min_adjustment_magnitude=parameters.get("MinAdjustmentMagnitude"),
        scaling_adjustment=self._get_int_param("ScalingAdjustment"),
        cooldown=self._get_int_param("Cooldown"),
        target_tracking_config=tracking,
        step_adjustments=parameters.get("StepAdjustments", []),
        estimated_instance_warmup=parameters.get("EstimatedInstanceWarmup"),
        predictive_scaling_configuration=parameters.get("PredictiveScalingConfiguration", {}),
        autoscaling_backend=backend,
    )
    check_policy(policy, tracking)
    policy.enabled = self._get_bool_param("Enabled", True)
    # By group and name: two groups may have policies of one name.
    key = f"{group_name}/{name}"
    before = backend.policies.get(key)
    if before is not None:
        policy.alarm_names = before.alarm_names
    if policy.policy_type == TARGET_TRACKING:
        target_tracking.put_alarms(policy)
    elif policy.alarm_names:
        target_tracking.delete_alarms(policy)
    backend.policies[key] = policy
    return ActionResult({"PolicyARN": policy.arn, "Alarms": policy.alarms})


def _delete_policy(self: Any) -> ActionResult:
    backend = self.autoscaling_backend
    policy = find_policy(backend, self._get_param("PolicyName"), self._get_param("AutoScalingGroupName"))
    target_tracking.delete_alarms(policy)
    backend.policies = {key: other for key, other in backend.policies.items() if other is not policy}
    return EmptyResult()


def _execute_policy(self: Any) -> ActionResult:
    policy = find_policy(
        self.autoscaling_backend, self._get_param("PolicyName"), self._get_param("AutoScalingGroupName")
    )
    if policy.policy_type == TARGET_TRACKING:
        raise ValidationError("You cannot execute a TargetTrackingScaling policy.")
    honor = self._get_bool_param("HonorCooldown", False)
    group = find_group(self.autoscaling_backend, policy.auto_scaling_group_name)
    if honor and in_cooldown(group):
        raise AutoscalingClientError(
            "ScalingActivityInProgress", f"Scaling activity is in progress on AutoScalingGroup {group.name}"
        )
    value, threshold = self._get_param("MetricValue"), self._get_param("BreachThreshold")
    execute_policy(
        policy,
        f"a user request executed policy {policy.name}",
        honor,
        None if value is None else float(value),
        None if threshold is None else float(threshold),
    )
    return EmptyResult()
