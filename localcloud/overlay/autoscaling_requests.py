"""Requests to Auto Scaling groups: each writes down what is wanted; the reconciler of the groups makes it so."""

from __future__ import annotations

import copy
import functools
import time
from collections.abc import Callable
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeAutoScalingGroup
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.exceptions import ServiceException
from moto.core.responses import ActionResult, EmptyResult

from localcloud.overlay.autoscaling import (
    DELETE_IN_PROGRESS,
    GROUP_NAME_TAG,
    HEALTHY,
    IN_SERVICE,
    PENDING,
    STANDBY,
    UNHEALTHY,
    Member,
    ScalingActivity,
    begin_termination,
    change_desired_capacity,
    deregister,
    find_group,
    find_member,
    forget,
    in_cooldown,
    now_text,
    record,
    remove_group,
    resolve_template,
)
from localcloud.overlay.machine_images import find_image
from localcloud.overlay.pages import page

# The processes of a group, which can be suspended one by one.
PROCESSES = (
    "AddToLoadBalancer", "AlarmNotification", "AZRebalance", "HealthCheck", "InstanceRefresh", "Launch",
    "ReplaceUnhealthy", "ScheduledActions", "Terminate",
)  # fmt: skip
TERMINATION_POLICIES = (
    "AllocationStrategy", "ClosestToNextInstanceHour", "Default", "NewestInstance", "OldestInstance",
    "OldestLaunchConfiguration", "OldestLaunchTemplate",
)  # fmt: skip
# Those of warm pools, of which there are none here, have no values; on AWS neither, without a pool.
GROUP_METRICS = (
    "GroupAndWarmPoolDesiredCapacity", "GroupAndWarmPoolTotalCapacity", "GroupDesiredCapacity",
    "GroupInServiceCapacity", "GroupInServiceInstances", "GroupMaxSize", "GroupMinSize", "GroupPendingCapacity",
    "GroupPendingInstances", "GroupStandbyCapacity", "GroupStandbyInstances", "GroupTerminatingCapacity",
    "GroupTerminatingInstances", "GroupTotalCapacity", "GroupTotalInstances", "WarmPoolDesiredCapacity",
    "WarmPoolMinSize", "WarmPoolPendingCapacity", "WarmPoolTerminatingCapacity", "WarmPoolTotalCapacity",
    "WarmPoolWarmedCapacity",
)  # fmt: skip
LEAST_MAX_LIFETIME = 86400  # seconds


def install() -> None:
    """Change moto's Auto Scaling classes."""
    _install_group()
    _install_backend()
    _install_responses()


def _install_group() -> None:
    create, update = FakeAutoScalingGroup.__init__, FakeAutoScalingGroup.update

    @functools.wraps(create)
    def create_with_history(self: Any, *args: Any, **kwargs: Any) -> None:
        self.activities = []
        self.status = None
        self.change_cause = ""
        self.replacements_due = 0
        self.rebalancing = None  # id of the instance that was launched to balance the zones
        self.refused_places = {}  # subnet or zone in which a launch failed -> when it is tried again
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
        if template and any(refresh.guards_configuration for refresh in self.instance_refreshes):
            raise ValidationError(
                "An active instance refresh with a desired configuration exists. All configuration options derived "
                "from the desired configuration are not available for update while the instance refresh is active."
            )
        _check_source(self.autoscaling_backend, kwargs)
        if kwargs.get("launch_config_name"):
            self.ec2_launch_template = None
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

    def suspended_processes(self: Any) -> list[dict[str, str]]:
        reasons = self._suspended_processes
        return [{"ProcessName": process, "SuspensionReason": reasons[process]} for process in sorted(reasons)]

    def set_suspended_processes(self: Any, reasons: Any) -> None:
        self._suspended_processes = dict(reasons)

    group: Any = FakeAutoScalingGroup
    group.suspended_processes = property(suspended_processes, set_suspended_processes)
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


def _check_source(backend: Any, request: dict[str, Any]) -> None:
    """Check where a group's instances shall come from and go to. Raises ValidationError in AWS's words."""
    if request.get("mixed_instances_policy"):
        raise ValidationError(
            "The local cloud does not run mixed instances policies; give the group a LaunchTemplate instead."
        )
    _refuse_classic(request.get("load_balancers"))
    template = request.get("launch_template")
    if template:
        if not (template.get("LaunchTemplateId") or template.get("LaunchTemplateName")):
            raise ValidationError("Valid requests must contain either launchTemplateId or LaunchTemplateName")
        resolve_template(backend, template)
    name = request.get("launch_config_name")
    if name and name not in backend.launch_configurations:
        raise ValidationError(
            f"Launch configuration name not found - A launch configuration with the name: {name} does not exist"
        )
    for subnet_id in (request.get("vpc_zone_identifier") or "").split(","):
        if subnet_id.strip() and not backend.ec2_backend.describe_subnets(filters={"subnet-id": [subnet_id.strip()]}):
            raise ValidationError(f"The subnet ID '{subnet_id.strip()}' does not exist")


def _refuse_classic(load_balancers: list[str] | None) -> None:
    if load_balancers:
        raise ValidationError(
            "The local cloud has no classic load balancers for groups; give the group TargetGroupARNs instead."
        )


def _install_backend() -> None:
    create = AutoScalingBackend.create_auto_scaling_group
    create_configuration = AutoScalingBackend.create_launch_configuration

    @functools.wraps(create_configuration)
    def create_launch_configuration(self: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("image_id") and kwargs.get("instance_type"):
            try:
                find_image(self.ec2_backend, kwargs["image_id"])
            except ServiceException as error:
                raise ValidationError(error.message) from error
        return create_configuration(self, *args, **kwargs)

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
        _check_source(self, kwargs)
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
        if member.terminating and member.activity:
            return member.activity
        if should_decrement and member.active:
            if group.desired_capacity <= group.min_size:
                raise ValidationError(
                    f"Currently, desiredSize equals minSize ({group.min_size}). Terminating instance without "
                    "replacement will violate group's min size constraint. Either set shouldDecrementDesiredCapacity "
                    "flag to false or lower group's min size."
                )
            cause += _decrement(group)
        return begin_termination(member, cause + ".")

    def detach_instances(
        self: Any, group_name: str, instance_ids: list[str], should_decrement: bool
    ) -> list[ScalingActivity]:
        group = find_group(self, group_name)
        activities = []
        members = [_member_of(group, instance_id) for instance_id in instance_ids]
        if should_decrement:
            _check_decrement(group, sum(member.active for member in members), "detach")
        for instance_id, member in zip(instance_ids, members, strict=True):
            cause = f"At {now_text()} instance {instance_id} was detached in response to a user request"
            if should_decrement and member.active:
                cause += _decrement(group)
            activity = record(group, f"Detaching EC2 instance: {instance_id}", cause + ".")
            activities.append(_begun(activity))
            activity.end("Successful")
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
        instances = [_free_instance(self, instance_id) for instance_id in instance_ids]
        for instance_id, instance in zip(instance_ids, instances, strict=True):
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
        members = [_member_of(group, instance_id) for instance_id in instance_ids]
        for member in members:
            if member.lifecycle_state != IN_SERVICE:
                raise ValidationError(f"The instance {member.instance_id} is not in InService.")
        if should_decrement:
            _check_decrement(group, len(members), "place into standby")
        for instance_id, member in zip(instance_ids, members, strict=True):
            cause = f"At {now_text()} instance {instance_id} was moved to standby in response to a user request"
            if should_decrement:
                cause += _decrement(group)
            deregister(member, group.target_group_arns)
            member.registered = []
            member.lifecycle_state = STANDBY
            activity = record(group, f"Moving EC2 instance to Standby: {instance_id}", cause + ".")
            activities.append(_begun(activity))
            activity.end("Successful")
        return activities

    def exit_standby_instances(self: Any, group_name: str, instance_ids: list[str]) -> list[ScalingActivity]:
        group = find_group(self, group_name)
        activities = []
        members = [_member_of(group, instance_id) for instance_id in instance_ids]
        for member in members:
            if member.lifecycle_state != STANDBY:
                raise ValidationError(f"The instance {member.instance_id} is not in Standby.")
        for instance_id, member in zip(instance_ids, members, strict=True):
            old = group.desired_capacity
            group.desired_capacity = min(group.max_size, old + 1)
            cause = (
                f"At {now_text()} instance {instance_id} was moved out of standby in response to a user request, "
                f"increasing the capacity from {old} to {group.desired_capacity}."
            )
            member.lifecycle_state = PENDING
            member.activity = record(group, f"Moving EC2 instance out of Standby: {instance_id}", cause)
            member.activity.advance("PreInService", 30)
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

    def attach_load_balancers(self: Any, group_name: str, load_balancer_names: list[str]) -> None:
        find_group(self, group_name)
        _refuse_classic(load_balancer_names)

    def attach_load_balancer_target_groups(self: Any, group_name: str, target_group_arns: list[str]) -> None:
        _check_target_groups(self, target_group_arns)
        find_group(self, group_name).append_target_groups(target_group_arns)

    def detach_load_balancer_target_groups(self: Any, group_name: str, target_group_arns: list[str]) -> None:
        group = find_group(self, group_name)
        if not set(target_group_arns) <= set(group.target_group_arns):
            raise ValidationError("Trying to remove Target Groups that are not part of the group")
        group.target_group_arns = [arn for arn in group.target_group_arns if arn not in target_group_arns]
        for member in group.instance_states:
            deregister(member, target_group_arns)
            member.registered = [arn for arn in member.registered if arn not in target_group_arns]
            member.passed_over = [arn for arn in member.passed_over if arn not in target_group_arns]

    def delete_launch_configuration(self: Any, launch_configuration_name: str) -> None:
        if launch_configuration_name not in self.launch_configurations:
            raise ValidationError(
                f"Launch configuration name not found - Launch configuration {launch_configuration_name} not found"
            )
        for group in self.autoscaling_groups.values():
            # moto keeps a group's launch configuration when it is given a launch template instead.
            used = group.launch_config if group.ec2_launch_template is None else None
            if used is not None and used.name == launch_configuration_name:
                raise AutoscalingClientError(
                    "ResourceInUse",
                    f"Cannot delete launch configuration {launch_configuration_name} because it is attached to "
                    f"AutoScalingGroup {group.name}",
                )
        del self.launch_configurations[launch_configuration_name]

    def suspend_processes(self: Any, group_name: str, scaling_processes: list[str]) -> None:
        group = find_group(self, group_name)
        _check_processes(scaling_processes)
        for process in scaling_processes or PROCESSES:
            group._suspended_processes.setdefault(process, f"User suspended at {now_text()}")

    def resume_processes(self: Any, group_name: str, scaling_processes: list[str]) -> None:
        group = find_group(self, group_name)
        _check_processes(scaling_processes)
        for process in scaling_processes or PROCESSES:
            group._suspended_processes.pop(process, None)

    def set_instance_protection(
        self: Any, group_name: str, instance_ids: list[str], protected_from_scale_in: bool
    ) -> None:
        group = find_group(self, group_name)
        for member in [_member_of(group, instance_id) for instance_id in instance_ids]:
            member.protected_from_scale_in = protected_from_scale_in

    def by_the_reconciler(self: Any, *_args: Any, **_kwargs: Any) -> None:
        """What moto does in the request, the reconciler does in its next pass."""

    backend: Any = AutoScalingBackend
    backend.create_launch_configuration = create_launch_configuration
    backend.create_auto_scaling_group = create_auto_scaling_group
    backend.delete_auto_scaling_group = delete_auto_scaling_group
    backend.delete_launch_configuration = delete_launch_configuration
    backend.set_desired_capacity = set_desired_capacity
    backend.terminate_instance = terminate_instance
    backend.detach_instances = detach_instances
    backend.attach_instances = attach_instances
    backend.enter_standby_instances = enter_standby_instances
    backend.exit_standby_instances = exit_standby_instances
    backend.set_instance_health = set_instance_health
    backend.set_instance_protection = set_instance_protection
    backend.suspend_processes = suspend_processes
    backend.resume_processes = resume_processes
    backend.attach_load_balancers = attach_load_balancers
    backend.attach_load_balancer_target_groups = attach_load_balancer_target_groups
    backend.detach_load_balancer_target_groups = detach_load_balancer_target_groups
    backend.update_attached_target_groups = by_the_reconciler
    backend.notify_terminate_instances = by_the_reconciler


def _begun(activity: ScalingActivity) -> ScalingActivity:
    """What the answer shows, also of an activity that is over at once."""
    activity.advance("InProgress", 50)
    return copy.copy(activity)


def _decrement(group: Any) -> str:
    """Lower the desired capacity by one, and say so in the words of a cause."""
    old = group.desired_capacity
    group.desired_capacity = old - 1
    return f", shrinking the capacity from {old} to {old - 1}"


def _check_decrement(group: Any, count: int, verb: str) -> None:
    if group.desired_capacity - count < group.min_size:
        raise ValidationError(
            f"AutoScalingGroup {group.name} has min-size={group.min_size}, max-size={group.max_size}, and "
            f"desired-size={group.desired_capacity}. To {verb} {count} instance, please update the AutoScalingGroup "
            "sizes appropriately."
        )


def _check_processes(names: list[str]) -> None:
    for name in names or ():
        if name not in PROCESSES:
            raise ValidationError(f"{name} is not a valid process type. Valid ones are: {', '.join(PROCESSES)}")


def _member_of(group: Any, instance_id: str) -> Member:
    for member in group.instance_states:
        if member.instance_id == instance_id:
            return member  # type: ignore[no-any-return]
    raise ValidationError(f"The instance {instance_id} is not part of Auto Scaling group {group.name}.")


def _free_instance(backend: Any, instance_id: str) -> Any:
    """An instance that can be attached: it runs, and belongs to no group."""
    try:
        instance = backend.ec2_backend.get_instance(instance_id)
    except ServiceException as error:
        raise ValidationError(f"Invalid Instance ID(s): [{instance_id}]") from error
    if instance.state != "running":
        raise ValidationError(f"Instance {instance_id} is not in correct state.")
    if getattr(instance, "autoscaling_group", None) is not None:
        raise ValidationError(
            f"Instance {instance_id} is already part of AutoScalingGroup:{instance.autoscaling_group.name}"
        )
    return instance


def _check_target_groups(backend: Any, arns: list[str]) -> None:
    if any(arn not in backend.elbv2_backend.target_groups for arn in arns):
        raise ValidationError("Provided Target Groups may not be valid. Please ensure they exist and try again.")


# What moto's responses don't take over into the group: the API's parameter -> the attribute.
_GROUP_ATTRIBUTES = {
    "AvailabilityZoneImpairmentPolicy": "availability_zone_impairment_policy",
    "CapacityReservationSpecification": "capacity_reservation_specification",
    "Context": "context",
    "InstanceLifecyclePolicy": "instance_lifecycle_policy",
    "PlacementGroup": "placement_group",
    "ServiceLinkedRoleARN": "service_linked_role_arn",
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


def _request(method: str, **parameters: str) -> Callable[[Any], ActionResult]:
    """A response that hands a request on to the backend's `method`: keyword -> name of the request's parameter."""

    def respond(self: Any) -> ActionResult:
        given = self._get_params()
        arguments = {keyword: given[name] for keyword, name in parameters.items() if given.get(name) is not None}
        getattr(self.autoscaling_backend, method)(**arguments)
        return EmptyResult()

    return respond


def _of_known_group(original: Callable[[Any], ActionResult]) -> Callable[[Any], ActionResult]:
    """A response of moto's that fails for an unknown group as AWS does, not with a KeyError."""

    @functools.wraps(original)
    def respond(self: Any) -> ActionResult:
        names = [self._get_param("AutoScalingGroupName")]
        names += [tag.get("ResourceId") for tag in self._get_params().get("Tags") or []]
        for name in filter(None, names):
            find_group(self.autoscaling_backend, name)
        return original(self)

    return respond


def _check_attributes(request: dict[str, Any]) -> None:
    lifetime = int(request.get("MaxInstanceLifetime") or 0)
    if lifetime and lifetime < LEAST_MAX_LIFETIME:
        raise ValidationError("Max instance lifetime must be greater than or equal to 86400 seconds, or 0")
    for policy in request.get("TerminationPolicies") or []:
        if policy.startswith("arn:"):
            raise ValidationError("The local cloud does not run custom termination policies (Lambda functions).")
        if policy not in TERMINATION_POLICIES:
            raise ValidationError(f"{policy} is not a valid termination policy")


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
        _check_attributes(self._get_params())
        result = create(self)
        group = self.autoscaling_backend.autoscaling_groups[self._get_param("AutoScalingGroupName")]
        group.health_check_grace_period = 0  # the API's default; Terraform's and the console's is 300 s
        take_over(self)
        return result

    @functools.wraps(update)
    def update_auto_scaling_group(self: Any) -> Any:
        _check_attributes(self._get_params())
        find_group(self.autoscaling_backend, self._get_param("AutoScalingGroupName"))
        result = update(self)
        take_over(self)
        return result

    def describe_scaling_activities(self: Any) -> ActionResult:
        name = self._get_param("AutoScalingGroupName")
        ids = self._get_param("ActivityIds", [])
        backend = self.autoscaling_backend
        groups = [find_group(backend, name)] if name else list(backend.autoscaling_groups.values())
        activities = [
            activity for group in groups for activity in group.activities if not ids or activity.activity_id in ids
        ]
        activities.sort(key=lambda activity: activity.start_time, reverse=True)
        size = min(100, self._get_int_param("MaxRecords") or 100)
        shown, token = page(activities, self._get_param("NextToken"), size, AutoscalingClientError)
        return ActionResult({"Activities": shown, "NextToken": token})

    def enable_metrics_collection(self: Any) -> ActionResult:
        group = find_group(self.autoscaling_backend, self._get_param("AutoScalingGroupName"))
        wanted = self._get_param("Metrics", []) or GROUP_METRICS
        for metric in wanted:
            if metric not in GROUP_METRICS:
                raise ValidationError(
                    f"{metric} is not a valid metric type. Valid ones are: {', '.join(GROUP_METRICS)}"
                )
        group.metrics = sorted({*group.metrics, *wanted})
        return EmptyResult()

    def disable_metrics_collection(self: Any) -> ActionResult:
        group = find_group(self.autoscaling_backend, self._get_param("AutoScalingGroupName"))
        metrics = self._get_param("Metrics", [])
        group.metrics = [metric for metric in group.metrics if metrics and metric not in metrics]
        return EmptyResult()

    def put_warm_pool(_self: Any) -> ActionResult:
        raise ValidationError("The local cloud has no warm pools: its machines start within seconds.")

    response: Any = AutoScalingResponse
    response.create_auto_scaling_group = create_auto_scaling_group
    response.update_auto_scaling_group = update_auto_scaling_group
    group_name = "AutoScalingGroupName"
    response.delete_auto_scaling_group = _request(
        "delete_auto_scaling_group", group_name=group_name, force="ForceDelete"
    )
    response.set_desired_capacity = _request(
        "set_desired_capacity",
        group_name=group_name,
        desired_capacity="DesiredCapacity",
        honor_cooldown="HonorCooldown",
    )
    response.set_instance_health = _request(
        "set_instance_health",
        instance_id="InstanceId",
        health_status="HealthStatus",
        respect_grace_period="ShouldRespectGracePeriod",
    )
    response.describe_scaling_activities = describe_scaling_activities
    response.enable_metrics_collection = enable_metrics_collection
    response.disable_metrics_collection = disable_metrics_collection
    response.put_warm_pool = put_warm_pool
    for name in (
        "attach_load_balancers", "create_or_update_tags", "delete_tags", "delete_warm_pool", "describe_load_balancers",
        "describe_load_balancer_target_groups", "describe_warm_pool", "detach_load_balancers",
    ):  # fmt: skip
        setattr(response, name, _of_known_group(getattr(response, name)))
