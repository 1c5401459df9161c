"""Auto Scaling groups, as the requests and the reconcilers share them: members, their life cycle, activities.

moto launches and terminates inside the request, into the first subnet, and calls everything healthy. Here a request
only changes the group's desired state (`autoscaling_requests.py`); its members pass through AWS's life cycle as the
machines behind them do.
"""

from __future__ import annotations

import json
import time
from datetime import datetime
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import FakeAutoScalingGroup, InstanceState
from moto.core.exceptions import ServiceException
from moto.core.utils import utcnow
from moto.ec2.models.launch_templates import LaunchTemplateVersion
from moto.moto_api._internal import mock_random

from localcloud.overlay import target_tracking
from localcloud.overlay.machine_images import find_image

DELETE_IN_PROGRESS = "Delete in progress"
GROUP_NAME_TAG = "aws:autoscaling:groupName"
KEPT_ACTIVITIES = 300  # per group; AWS keeps six weeks
PENDING, IN_SERVICE, TERMINATING, STANDBY = "Pending", "InService", "Terminating", "Standby"
# While a lifecycle hook waits for its action, and after that.
PENDING_WAIT, PENDING_PROCEED = "Pending:Wait", "Pending:Proceed"
TERMINATING_WAIT, TERMINATING_PROCEED = "Terminating:Wait", "Terminating:Proceed"
LAUNCHING_STATES = (PENDING, PENDING_WAIT, PENDING_PROCEED)
TERMINATING_STATES = (TERMINATING, TERMINATING_WAIT, TERMINATING_PROCEED)
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
        self.template_created: datetime | None = None  # when the version of the launch template was, by which it runs
        self.registered: list[str] = []  # ARNs of the target groups it was registered with
        self.passed_over: list[str] = []  # … and of those to which it was not added, as that process was suspended
        self.waits: dict[str, Any] = {}  # lifecycle actions under way and done, by their hook's name
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
        return self.lifecycle_state == IN_SERVICE or self.launching

    @property
    def launching(self) -> bool:
        return self.lifecycle_state in LAUNCHING_STATES

    @property
    def terminating(self) -> bool:
        return self.lifecycle_state in TERMINATING_STATES

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
    member.waits = {}
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
        find_image(backend.ec2_backend, version.image_id)
    except (ServiceException, KeyError, ValueError, IndexError) as error:
        raise ValidationError(prefix + str(getattr(error, "message", error))) from error
    if version.data.get("NetworkInterfaces") and (
        version.data.get("SecurityGroupIds") or version.data.get("SecurityGroups")
    ):
        raise ValidationError(
            prefix
            + "Invalid launch template: When a network interface is provided, the security groups must be a part of it."
        )
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


def in_cooldown(group: Any) -> bool:
    """A cooldown begins when the scaling activity is over, so until then it is under way."""
    return group.cooldown_pending is not None or time.time() < group.cooldown_until


def warming_up(group: Any, seconds: int) -> int:
    """How many members are launching, or have been in service for less than `seconds`."""
    start = time.time() - seconds
    return sum(1 for member in group.instance_states if member.active and (member.in_service_at or time.time()) > start)


def suspended(group: Any, process: str) -> bool:
    """Whether a process of the group, such as `Launch`, is suspended."""
    return any(entry["ProcessName"] == process for entry in group.suspended_processes)


def remove_group(group: Any) -> None:
    """Remove a group that has no instances any more, and what is its own: policies, hooks, scheduled actions."""
    backend = group.autoscaling_backend
    backend.autoscaling_groups.pop(group.name, None)
    for policy in [policy for policy in backend.policies.values() if policy.auto_scaling_group_name == group.name]:
        target_tracking.delete_alarms(policy)
    for kind in (backend.policies, backend.lifecycle_hooks, backend.scheduled_actions):
        for key in [key for key, owned in kind.items() if owned.auto_scaling_group_name == group.name]:
            del kind[key]
