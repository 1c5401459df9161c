"""Auto Scaling: the API writes down what is wanted; the reconciler of the groups makes it so.

moto launches and terminates inside the request, into the first subnet, and calls everything healthy. Here a request
only changes the group's desired state; its members pass through AWS's life cycle as the machines behind them do.
"""

from __future__ import annotations

import functools
import json
import math
import time
from datetime import datetime
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup, FakeScalingPolicy, InstanceState
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow
from moto.ec2.models.launch_templates import LaunchTemplateVersion
from moto.moto_api._internal import mock_random

DEFAULT_COOLDOWN = 300  # seconds
DELETE_IN_PROGRESS = "Delete in progress"
GROUP_NAME_TAG = "aws:autoscaling:groupName"
KEPT_ACTIVITIES = 300  # per group; AWS keeps six weeks
PENDING, IN_SERVICE, TERMINATING, STANDBY = "Pending", "InService", "Terminating", "Standby"
HEALTHY, UNHEALTHY = "Healthy", "Unhealthy"


def now_text() -> str:
    """The time as AWS writes it into an activity's cause."""
    return utcnow().strftime("%Y-%m-%dT%H:%M:%SZ")


class ScalingActivity:
    """One launch or termination, as DescribeScalingActivities shows it. `details` is JSON in a string."""

    def __init__(self, group: FakeAutoScalingGroup, description: str, cause: str) -> None:
        self.activity_id = str(mock_random.uuid4())
        self.auto_scaling_group_name = group.name
        self.auto_scaling_group_arn = group.arn
        self.description = description
        self.cause = cause[:1023]
        self.details = "{}"
        self.start_time = utcnow()
        self.end_time: datetime | None = None
        self.status_code = "InProgress"
        self.status_message: str | None = None
        self.progress = 0

    def set_place(self, subnet_id: str | None, zone: str | None) -> None:
        place = {"Subnet ID": subnet_id, "Availability Zone": zone}
        self.details = json.dumps({key: value for key, value in place.items() if value})

    def advance(self, status_code: str, progress: int) -> None:
        self.status_code, self.progress = status_code, progress

    def end(self, status_code: str, message: str | None = None) -> None:
        """`status_code`: Successful, Failed or Cancelled."""
        if self.end_time is None:
            self.status_code, self.status_message, self.progress = status_code, message, 100
            self.end_time = utcnow()


class Member(InstanceState):
    """An instance of a group. Times are seconds since the epoch; `activity` is the launch or termination under way."""

    def __init__(self, instance: Any, group: FakeAutoScalingGroup, lifecycle_state: str = PENDING) -> None:
        instance.autoscaling_group = group
        super().__init__(
            instance,
            lifecycle_state=lifecycle_state,
            protected_from_scale_in=group.new_instances_protected_from_scale_in,
            autoscaling_group=group,
        )
        self.image_id = instance.image_id
        self.launched_with: dict[str, str] | None = None
        self.launched_from_configuration: str | None = None
        self.launched_at = time.time()
        self.in_service_at: float | None = None
        self.unhealthy_cause = ""
        self.registered: list[str] = []  # ARNs of the target groups it was registered with
        self.draining = False
        self.activity: ScalingActivity | None = None

    @property
    def launch_template(self) -> dict[str, str] | None:
        return self.launched_with

    @property
    def launch_configuration_name(self) -> str | None:
        return self.launched_from_configuration

    @property
    def active(self) -> bool:
        """Whether it counts towards the desired capacity."""
        return self.lifecycle_state in (PENDING, IN_SERVICE)

    @property
    def template_version(self) -> int:
        return int(self.launched_with["Version"]) if self.launched_with else 0

    def enter_service(self) -> None:
        self.lifecycle_state = IN_SERVICE
        self.in_service_at = time.time()
        if self.activity:
            self.activity.end("Successful")
            self.activity = None


# -- what the reconcilers and the API share --------------------------------------------------------------------------


def record(group: Any, description: str, cause: str) -> ScalingActivity:
    """Add an activity to the group's history, newest first."""
    activity = ScalingActivity(group, description, cause)
    group.activities.insert(0, activity)
    del group.activities[KEPT_ACTIVITIES:]
    return activity


def change_desired_capacity(group: Any, capacity: int, reason: str) -> bool:
    """Set what is desired; `reason` is how AWS begins the cause of what follows. Returns whether it changed."""
    if capacity == group.desired_capacity:
        return False
    group.change_cause = (
        f"At {now_text()} {reason} changing the desired capacity from {group.desired_capacity} to {capacity}.  "
    )
    group.desired_capacity = capacity
    return True


def begin_termination(member: Member, cause: str) -> ScalingActivity:
    """Take a member out of the group; the reconciler drains and terminates it. `cause` says why, in AWS's words."""
    if member.activity:
        member.activity.end("Cancelled")
    member.lifecycle_state = TERMINATING
    activity = record(member.auto_scaling_group, f"Terminating EC2 instance: {member.instance_id}", cause)
    activity.set_place(member.instance.subnet_id, member.availability_zone)
    member.activity = activity
    return activity


def deregister(member: Member, target_group_arns: list[str]) -> None:
    """Deregister a member from those of the target groups in which it is."""
    elbv2 = member.auto_scaling_group.autoscaling_backend.elbv2_backend
    for arn in target_group_arns:
        target_group = elbv2.target_groups.get(arn)
        if target_group is not None and member.instance_id in target_group.targets:
            elbv2.deregister_targets(arn, [{"Id": member.instance_id}])


def forget(member: Member) -> None:
    """Remove a member from its group."""
    group = member.auto_scaling_group
    group.instance_states = [other for other in group.instance_states if other is not member]
    if getattr(member.instance, "autoscaling_group", None) is group:
        del member.instance.autoscaling_group  # type: ignore[attr-defined]


def launch_template_spec(group: Any) -> dict[str, Any] | None:
    """The launch template that a launch uses now: what an instance refresh wants, else the group's own."""
    if group.template_override:
        spec: dict[str, Any] = group.template_override
        return spec
    if group.ec2_launch_template is None:
        return None
    return {"LaunchTemplateId": group.ec2_launch_template.id, "Version": group.launch_template_version}


def resolve_template(backend: Any, spec: dict[str, Any]) -> LaunchTemplateVersion:
    """The version that `spec` names. Raises ValidationError in AWS's words when there is none that can be launched."""
    prefix = "You must use a valid fully-formed launch template. "
    try:
        if spec.get("LaunchTemplateId"):
            template = backend.ec2_backend.get_launch_template(spec["LaunchTemplateId"])
        else:
            template = backend.ec2_backend.get_launch_template_by_name(spec.get("LaunchTemplateName"))
        version: LaunchTemplateVersion = template.get_version(spec.get("Version") or "$Default")
    except (ServiceException, KeyError, ValueError, IndexError) as error:
        raise ValidationError(prefix + str(getattr(error, "message", error))) from error
    if not version.image_id:
        raise ValidationError(prefix + "The request must contain the parameter ImageId")
    if version.image_id not in backend.ec2_backend.amis:
        raise ValidationError(prefix + f"The image id '[{version.image_id}]' does not exist")
    return version


def find_member(backend: Any, instance_id: str) -> Member:
    for group in backend.autoscaling_groups.values():
        for member in group.instance_states:
            if member.instance_id == instance_id:
                return member  # type: ignore[no-any-return]
    raise ValidationError(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")


def find_group(backend: Any, name: str) -> Any:
    if name not in backend.autoscaling_groups:
        raise ValidationError(f"AutoScalingGroup name not found - AutoScalingGroup '{name}' not found")
    return backend.autoscaling_groups[name]


# -- scaling policies ------------------------------------------------------------------------------------------------


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


def in_cooldown(group: Any) -> bool:
    """A cooldown begins when the scaling activity is over, so until then it is under way."""
    return group.cooldown_pending is not None or time.time() < group.cooldown_until


def execute_policy(
    policy: Any, reason: str, honor_cooldown: bool, metric_value: float | None = None, threshold: float | None = None
) -> bool:
    """Apply a policy; returns whether the desired capacity changed.

    `reason` is how AWS begins the cause, such as `a user request executed policy out`. `metric_value` and `threshold`
    (of the alarm) choose the step of a step scaling policy.
    """
    group = find_group(policy.autoscaling_backend, policy.auto_scaling_group_name)
    if not policy.enabled or group.status == DELETE_IN_PROGRESS:
        return False
    bounds = (int(group.min_size), int(group.max_size))
    current = group.desired_capacity
    magnitude = int(policy.min_adjustment_magnitude or 0)
    if policy.policy_type == "SimpleScaling":
        if honor_cooldown and in_cooldown(group):
            return False
        capacity = adjusted_capacity(
            current, policy.adjustment_type, int(policy.scaling_adjustment or 0), *bounds, magnitude
        )
    elif policy.policy_type == "StepScaling":
        if metric_value is None or threshold is None:
            return False
        adjustment = matching_step(policy.step_adjustments, metric_value - threshold)
        if adjustment is None:
            return False
        # What is still warming up is on its way already: the step is taken from what was there before it.
        warming = warming_up(group, int(policy.estimated_instance_warmup or group.default_instance_warmup or 300))
        capacity = adjusted_capacity(current - warming, policy.adjustment_type, adjustment, *bounds, magnitude)
        if warming and capacity < current:
            return False
    else:
        return False
    if not change_desired_capacity(group, capacity, reason):
        return False
    if policy.policy_type == "SimpleScaling":
        group.cooldown_pending = policy.cooldown if policy.cooldown is not None else group.default_cooldown
    return True


def warming_up(group: Any, seconds: int) -> int:
    """How many members are launching, or have been in service for less than `seconds`."""
    start = time.time() - seconds
    return sum(1 for member in group.instance_states if member.active and (member.in_service_at or time.time()) > start)


# -- installing ------------------------------------------------------------------------------------------------------


def install() -> None:
    """Change moto's Auto Scaling classes."""
    _install_group()
    _install_backend()
    _install_policies()
    _install_responses()


def _install_group() -> None:
    create, update = FakeAutoScalingGroup.__init__, FakeAutoScalingGroup.update

    @functools.wraps(create)
    def create_with_history(self: Any, *args: Any, **kwargs: Any) -> None:
        self.activities = []
        self.status = None
        self.change_cause = ""
        self.replacements_due = 0
        self.launch_failures = 0
        self.launch_not_before = 0.0
        self.cooldown_pending = None
        self.cooldown_until = 0.0
        self.default_instance_warmup = None
        self.surplus = 0  # instances above the desired capacity that an instance refresh asks for
        self.template_override = None
        self.instance_refreshes = []
        create(self, *args, **kwargs)

    @functools.wraps(update)
    def update_within_bounds(self: Any, **kwargs: Any) -> None:
        if self.status == DELETE_IN_PROGRESS:
            raise AutoscalingClientError("ScalingActivityInProgress", f"AutoScalingGroup {self.name} is pending delete")
        minimum = self.min_size if kwargs.get("min_size") is None else kwargs["min_size"]
        maximum = self.max_size if kwargs.get("max_size") is None else kwargs["max_size"]
        desired = kwargs.get("desired_capacity")
        _check_bounds(minimum, maximum, desired)
        desired = max(minimum, min(maximum, self.desired_capacity)) if desired is None else desired
        kwargs["desired_capacity"] = None
        template = kwargs.get("launch_template")
        if template:
            resolve_template(self.autoscaling_backend, template)
        if kwargs.get("launch_config_name"):
            self.ec2_launch_template = None
        if not (template or kwargs.get("launch_config_name")):
            kwargs["mixed_instances_policy"] = kwargs.get("mixed_instances_policy") or self.mixed_instances_policy
        self.min_size, self.max_size = minimum, maximum
        update(self, **{**kwargs, "min_size": None, "max_size": None})
        reason = (
            f"a user request update of AutoScalingGroup constraints to min: {minimum}, max: {maximum}, "
            f"desired: {desired}"
        )
        change_desired_capacity(self, desired, reason)

    def set_desired_capacity(self: Any, new_capacity: int | None) -> None:
        """Only while the group is made; afterwards `change_desired_capacity`."""
        self.desired_capacity = 0
        wanted = self.min_size if new_capacity is None else new_capacity
        change_desired_capacity(self, wanted or 0, "a user request created an AutoScalingGroup")

    group: Any = FakeAutoScalingGroup
    group.__init__ = create_with_history
    group.update = update_within_bounds
    group.set_desired_capacity = set_desired_capacity


def _check_bounds(minimum: int, maximum: int, desired: int | None) -> None:
    if minimum > maximum:
        raise ValidationError(f"Max bound, {maximum}, must be greater than or equal to min bound, {minimum}")
    if desired is not None and not minimum <= desired <= maximum:
        raise ValidationError(
            f"Desired capacity:{desired} must be between the specified min size:{minimum} and max size:{maximum}"
        )


def _install_backend() -> None:
    create = AutoScalingBackend.create_auto_scaling_group

    @functools.wraps(create)
    def create_auto_scaling_group(self: Any, **kwargs: Any) -> Any:
        name = kwargs["name"]
        if name in self.autoscaling_groups:
            raise AutoscalingClientError(
                "AlreadyExists",
                f"AutoScalingGroup by this name already exists - A group with the name {name} already exists"
                + (" and is pending delete" if self.autoscaling_groups[name].status else ""),
            )
        _check_bounds(
            int(kwargs["min_size"]),
            int(kwargs["max_size"]),
            None if kwargs.get("desired_capacity") is None else int(kwargs["desired_capacity"]),
        )
        if kwargs.get("launch_template"):
            resolve_template(self, kwargs["launch_template"])
        _check_target_groups(self, kwargs.get("target_group_arns") or [])
        return create(self, **kwargs)

    def delete_auto_scaling_group(self: Any, group_name: str, force: bool = False) -> None:
        group = find_group(self, group_name)
        if group.instance_states and not force:
            raise AutoscalingClientError(
                "ResourceInUse",
                "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) "
                "still in the group.",
            )
        group.min_size = 0
        change_desired_capacity(group, 0, "a user request force deleted AutoScalingGroup")
        group.status = DELETE_IN_PROGRESS
        if not group.instance_states:
            remove_group(group)

    def set_desired_capacity(self: Any, group_name: str, desired_capacity: int, honor_cooldown: bool = False) -> None:
        group = find_group(self, group_name)
        if group.status == DELETE_IN_PROGRESS or (honor_cooldown and in_cooldown(group)):
            raise AutoscalingClientError(
                "ScalingActivityInProgress", f"Scaling activity is in progress on AutoScalingGroup {group_name}"
            )
        if desired_capacity > group.max_size:
            raise ValidationError(
                f"New SetDesiredCapacity value {desired_capacity} is above max value {group.max_size} "
                "for the AutoScalingGroup."
            )
        if desired_capacity < group.min_size:
            raise ValidationError(
                f"New SetDesiredCapacity value {desired_capacity} is below min value {group.min_size} "
                "for the AutoScalingGroup."
            )
        change_desired_capacity(group, desired_capacity, "a user request explicitly set group desired capacity")

    def terminate_instance(self: Any, instance_id: str, should_decrement: bool) -> ScalingActivity:
        member = find_member(self, instance_id)
        group = member.auto_scaling_group
        cause = f"At {now_text()} instance {instance_id} was taken out of service in response to a user request"
        if should_decrement and member.active:
            cause += _decrement(group)
        if member.lifecycle_state == TERMINATING and member.activity:
            return member.activity
        return begin_termination(member, cause + ".")

    def detach_instances(
        self: Any, group_name: str, instance_ids: list[str], should_decrement: bool
    ) -> list[ScalingActivity]:
        group = find_group(self, group_name)
        activities = []
        for instance_id in instance_ids:
            member = find_member(self, instance_id)
            cause = f"At {now_text()} instance {instance_id} was detached in response to a user request"
            if should_decrement and member.active:
                cause += _decrement(group)
            activity = record(group, f"Detaching EC2 instance: {instance_id}", cause + ".")
            activity.end("Successful")
            activities.append(activity)
            deregister(member, group.target_group_arns)
            forget(member)
            self.ec2_backend.delete_tags([instance_id], {GROUP_NAME_TAG: group.name})
        return activities

    def attach_instances(self: Any, group_name: str, instance_ids: list[str]) -> None:
        group = find_group(self, group_name)
        capacity = group.desired_capacity + len(instance_ids)
        if capacity > group.max_size:
            raise ValidationError(
                f"AutoScalingGroup {group_name} has min-size={group.min_size}, max-size={group.max_size}, and "
                f"desired-size={group.desired_capacity}. To attach {len(instance_ids)} more instance, please update "
                "the AutoScalingGroup sizes appropriately."
            )
        for instance_id in instance_ids:
            instance = self.ec2_backend.get_instance(instance_id)
            if instance.state != "running":
                raise ValidationError(f"Instance {instance_id} is not in correct state.")
            member = Member(instance, group)
            cause = f"At {now_text()} an instance was attached in response to a user request."
            member.activity = record(group, f"Attaching an existing EC2 instance: {instance_id}", cause)
            group.instance_states.append(member)
            self.ec2_backend.create_tags([instance_id], {GROUP_NAME_TAG: group.name})
        change_desired_capacity(group, capacity, "a user request attached instances")

    def enter_standby_instances(
        self: Any, group_name: str, instance_ids: list[str], should_decrement: bool
    ) -> list[ScalingActivity]:
        group = find_group(self, group_name)
        activities = []
        for instance_id in instance_ids:
            member = find_member(self, instance_id)
            if member.lifecycle_state != IN_SERVICE:
                raise ValidationError(f"The instance {instance_id} is not in InService.")
            cause = f"At {now_text()} instance {instance_id} was moved to standby in response to a user request"
            if should_decrement:
                cause += _decrement(group)
            deregister(member, group.target_group_arns)
            member.registered = []
            member.lifecycle_state = STANDBY
            activity = record(group, f"Moving EC2 instance to Standby: {instance_id}", cause + ".")
            activity.end("Successful")
            activities.append(activity)
        return activities

    def exit_standby_instances(self: Any, group_name: str, instance_ids: list[str]) -> list[ScalingActivity]:
        group = find_group(self, group_name)
        activities = []
        for instance_id in instance_ids:
            member = find_member(self, instance_id)
            if member.lifecycle_state != STANDBY:
                raise ValidationError(f"The instance {instance_id} is not in Standby.")
            old = group.desired_capacity
            group.desired_capacity = min(group.max_size, old + 1)
            cause = (
                f"At {now_text()} instance {instance_id} was moved out of standby in response to a user request, "
                f"increasing the capacity from {old} to {group.desired_capacity}."
            )
            member.lifecycle_state = PENDING
            member.activity = record(group, f"Moving EC2 instance out of Standby: {instance_id}", cause)
            activities.append(member.activity)
        return activities

    def set_instance_health(self: Any, instance_id: str, health_status: str, respect_grace_period: bool = True) -> None:
        if health_status not in (HEALTHY, UNHEALTHY):
            raise ValidationError("Valid instance health states are: [Healthy, Unhealthy]")
        member = find_member(self, instance_id)
        grace = member.auto_scaling_group.health_check_grace_period or 0
        began = member.in_service_at or time.time()
        if health_status == UNHEALTHY and respect_grace_period and time.time() < began + grace:
            return
        member.health_status = health_status
        member.unhealthy_cause = (
            "an instance was taken out of service in response to a user health-check."
            if health_status == UNHEALTHY
            else ""
        )

    def attach_load_balancer_target_groups(self: Any, group_name: str, target_group_arns: list[str]) -> None:
        _check_target_groups(self, target_group_arns)
        find_group(self, group_name).append_target_groups(target_group_arns)

    def detach_load_balancer_target_groups(self: Any, group_name: str, target_group_arns: list[str]) -> None:
        group = find_group(self, group_name)
        group.target_group_arns = [arn for arn in group.target_group_arns if arn not in target_group_arns]
        for member in group.instance_states:
            deregister(member, target_group_arns)
            member.registered = [arn for arn in member.registered if arn not in target_group_arns]

    def by_the_reconciler(self: Any, *_args: Any, **_kwargs: Any) -> None:
        """What moto does in the request, the reconciler does in its next pass."""

    backend: Any = AutoScalingBackend
    backend.create_auto_scaling_group = create_auto_scaling_group
    backend.delete_auto_scaling_group = delete_auto_scaling_group
    backend.set_desired_capacity = set_desired_capacity
    backend.terminate_instance = terminate_instance
    backend.detach_instances = detach_instances
    backend.attach_instances = attach_instances
    backend.enter_standby_instances = enter_standby_instances
    backend.exit_standby_instances = exit_standby_instances
    backend.set_instance_health = set_instance_health
    backend.attach_load_balancer_target_groups = attach_load_balancer_target_groups
    backend.detach_load_balancer_target_groups = detach_load_balancer_target_groups
    backend.update_attached_target_groups = by_the_reconciler
    backend.notify_terminate_instances = by_the_reconciler


def remove_group(group: Any) -> None:
    """Remove a group that has no instances any more, and the policies that are its own."""
    backend = group.autoscaling_backend
    backend.autoscaling_groups.pop(group.name, None)
    for key in [key for key, policy in backend.policies.items() if policy.auto_scaling_group_name == group.name]:
        del backend.policies[key]
    for key in [key for key, hook in backend.lifecycle_hooks.items() if hook.auto_scaling_group_name == group.name]:
        del backend.lifecycle_hooks[key]


def _decrement(group: Any) -> str:
    """Lower the desired capacity by one, and say so in the words of a cause. Raises at the group's minimum."""
    old = group.desired_capacity
    if old <= group.min_size:
        raise ValidationError(
            f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without replacement will "
            "violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to false or lower "
            "group's min size."
        )
    group.desired_capacity = old - 1
    return f", shrinking the capacity from {old} to {old - 1}"


def _check_target_groups(backend: Any, arns: list[str]) -> None:
    if any(arn not in backend.elbv2_backend.target_groups for arn in arns):
        raise ValidationError("Provided Target Groups may not be valid. Please ensure they exist and try again.")


def _install_policies() -> None:
    create = FakeScalingPolicy.__init__

    @functools.wraps(create)
    def create_enabled(self: Any, *args: Any, **kwargs: Any) -> None:
        create(self, *args, **kwargs)
        self.enabled = True
        self.cooldown = kwargs.get("cooldown")  # None: the group's default
        self.predictive_scaling_configuration = self.predictive_scaling_configuration or None
        self.step_adjustments = self.step_adjustments or None

    def alarms(self: Any) -> list[dict[str, str]]:
        """The alarms that name this policy as an action."""
        from localcloud import backends

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


def find_policy(backend: Any, name: str, group_name: str | None) -> Any:
    """A policy by its name (then of a group) or ARN. Raises ValidationError in AWS's words."""
    for policy in backend.policies.values():
        if policy.arn == name or (policy.name == name and group_name in (None, policy.auto_scaling_group_name)):
            return policy
    raise ValidationError(f"ScalingPolicy name not found - {name}")


# What moto's responses don't take over into the group: the API's parameter -> the attribute.
_GROUP_ATTRIBUTES = {
    "PlacementGroup": "placement_group",
    "TerminationPolicies": "termination_policies",
    "CapacityRebalance": "capacity_rebalance",
    "DefaultInstanceWarmup": "default_instance_warmup",
    "MaxInstanceLifetime": "max_instance_lifetime",
    "DesiredCapacityType": "desired_capacity_type",
    "InstanceMaintenancePolicy": "instance_maintenance_policy",
    "AvailabilityZoneDistribution": "availability_zone_distribution",
    "DeletionProtection": "deletion_protection",
    "DefaultCooldown": "default_cooldown",
    "HealthCheckGracePeriod": "health_check_grace_period",
}


def _install_responses() -> None:
    create, update = AutoScalingResponse.create_auto_scaling_group, AutoScalingResponse.update_auto_scaling_group

    def take_over(self: Any) -> None:
        group = self.autoscaling_backend.autoscaling_groups[self._get_param("AutoScalingGroupName")]
        for parameter, attribute in _GROUP_ATTRIBUTES.items():
            value = self._get_param(parameter)
            if value is not None:
                setattr(group, attribute, value)

    @functools.wraps(create)
    def create_auto_scaling_group(self: Any) -> Any:
        result = create(self)
        group = self.autoscaling_backend.autoscaling_groups[self._get_param("AutoScalingGroupName")]
        group.health_check_grace_period = 0  # the API's default; Terraform's and the console's is 300 s
        take_over(self)
        return result

    @functools.wraps(update)
    def update_auto_scaling_group(self: Any) -> Any:
        result = update(self)
        take_over(self)
        return result

    def delete_auto_scaling_group(self: Any) -> ActionResult:
        self.autoscaling_backend.delete_auto_scaling_group(
            self._get_param("AutoScalingGroupName"), force=self._get_bool_param("ForceDelete", False)
        )
        return EmptyResult()

    def set_desired_capacity(self: Any) -> ActionResult:
        self.autoscaling_backend.set_desired_capacity(
            self._get_param("AutoScalingGroupName"),
            self._get_int_param("DesiredCapacity"),
            self._get_bool_param("HonorCooldown", False),
        )
        return EmptyResult()

    def set_instance_health(self: Any) -> ActionResult:
        self.autoscaling_backend.set_instance_health(
            self._get_param("InstanceId"),
            self._get_param("HealthStatus"),
            self._get_bool_param("ShouldRespectGracePeriod", True),
        )
        return EmptyResult()

    def describe_scaling_activities(self: Any) -> ActionResult:
        name = self._get_param("AutoScalingGroupName")
        ids = self._get_param("ActivityIds", [])
        backend = self.autoscaling_backend
        groups = [find_group(backend, name)] if name else list(backend.autoscaling_groups.values())
        activities = [
            activity for group in groups for activity in group.activities if not ids or activity.activity_id in ids
        ]
        activities.sort(key=lambda activity: activity.start_time, reverse=True)
        start = int(self._get_param("NextToken") or 0)
        end = start + min(100, self._get_int_param("MaxRecords") or 100)
        token = str(end) if end < len(activities) else None
        return ActionResult({"Activities": activities[start:end], "NextToken": token})

    def put_scaling_policy(self: Any) -> ActionResult:
        parameters = self._get_params()
        name, group_name = parameters.get("PolicyName"), parameters.get("AutoScalingGroupName")
        backend = self.autoscaling_backend
        find_group(backend, group_name)
        policy = FakeScalingPolicy(
            name,
            parameters.get("PolicyType") or "SimpleScaling",
            parameters.get("MetricAggregationType"),
            adjustment_type=parameters.get("AdjustmentType"),
            as_name=group_name,
            min_adjustment_magnitude=parameters.get("MinAdjustmentMagnitude"),
            scaling_adjustment=self._get_int_param("ScalingAdjustment"),
            cooldown=self._get_int_param("Cooldown"),
            target_tracking_config=parameters.get("TargetTrackingConfiguration", {}),
            step_adjustments=parameters.get("StepAdjustments", []),
            estimated_instance_warmup=parameters.get("EstimatedInstanceWarmup"),
            predictive_scaling_configuration=parameters.get("PredictiveScalingConfiguration", {}),
            autoscaling_backend=backend,
        )
        if policy.policy_type == "SimpleScaling" and (not policy.adjustment_type or policy.scaling_adjustment is None):
            raise ValidationError(
                "You must specify an AdjustmentType and a ScalingAdjustment for policy type: SimpleScaling"
            )
        policy.enabled = self._get_bool_param("Enabled", True)  # type: ignore[attr-defined]
        # By group and name: two groups may have policies of one name.
        backend.policies[f"{group_name}/{name}"] = policy
        return ActionResult({"PolicyARN": policy.arn, "Alarms": policy.alarms})  # type: ignore[attr-defined]

    def delete_policy(self: Any) -> ActionResult:
        backend = self.autoscaling_backend
        policy = find_policy(backend, self._get_param("PolicyName"), self._get_param("AutoScalingGroupName"))
        backend.policies = {key: other for key, other in backend.policies.items() if other is not policy}
        return EmptyResult()

    def execute(self: Any) -> ActionResult:
        name = self._get_param("PolicyName")
        policy = find_policy(self.autoscaling_backend, name, self._get_param("AutoScalingGroupName"))
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

    def disable_metrics_collection(self: Any) -> ActionResult:
        group = find_group(self.autoscaling_backend, self._get_param("AutoScalingGroupName"))
        metrics = self._get_param("Metrics", [])
        group.metrics = [metric for metric in group.metrics if metrics and metric not in metrics]
        return EmptyResult()

    response: Any = AutoScalingResponse
    response.create_auto_scaling_group = create_auto_scaling_group
    response.update_auto_scaling_group = update_auto_scaling_group
    response.delete_auto_scaling_group = delete_auto_scaling_group
    response.set_desired_capacity = set_desired_capacity
    response.set_instance_health = set_instance_health
    response.describe_scaling_activities = describe_scaling_activities
    response.put_scaling_policy = put_scaling_policy
    response.delete_policy = delete_policy
    response.execute_policy = execute
    response.disable_metrics_collection = disable_metrics_collection
