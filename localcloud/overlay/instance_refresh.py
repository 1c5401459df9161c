"""Instance refresh: start, describe, cancel, roll back. moto has none of it (StartInstanceRefresh answers 500).

The request only writes down what is wanted; the reconciler of the instance refreshes carries it out.
"""

from __future__ import annotations

import time
from datetime import datetime
from typing import Any

from moto.autoscaling.exceptions import AutoscalingClientError, ValidationError
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult
from moto.core.utils import utcnow
from moto.moto_api._internal import mock_random

from localcloud.overlay.autoscaling import Member, find_group, launch_template_spec, resolve_template
from localcloud.overlay.pages import page

PENDING, IN_PROGRESS, BAKING = "Pending", "InProgress", "Baking"
SUCCESSFUL, FAILED = "Successful", "Failed"
CANCELLING, CANCELLED = "Cancelling", "Cancelled"
ROLLING_BACK, ROLLED_BACK, ROLLBACK_FAILED = "RollbackInProgress", "RollbackSuccessful", "RollbackFailed"
UNDER_WAY = (PENDING, IN_PROGRESS, BAKING, CANCELLING, ROLLING_BACK)
KEPT_REFRESHES = 50  # per group; AWS keeps six weeks

DEFAULT_MIN_HEALTHY, DEFAULT_MAX_HEALTHY = 90, 100  # percent of the desired capacity
DEFAULT_CHECKPOINT_DELAY = 3600  # seconds
CHOICES = {
    "ScaleInProtectedInstances": ("Refresh", "Ignore", "Wait"),
    "StandbyInstances": ("Terminate", "Ignore", "Wait"),
}


class InstanceRefresh:
    """One refresh, as DescribeInstanceRefreshes shows it, and what the reconciler needs to go on with it."""

    def __init__(self, group: Any, preferences: dict[str, Any], configuration: dict[str, Any] | None) -> None:
        self.instance_refresh_id = str(mock_random.uuid4())
        self.auto_scaling_group_name = group.name
        self.strategy = "Rolling"
        self.status = PENDING
        self.status_reason: str | None = None
        self.start_time: datetime | None = None
        self.end_time: datetime | None = None
        self.percentage_complete = 0
        self.instances_to_update = 0
        self.preferences = preferences
        self.desired_configuration = configuration
        self.rollback_details: dict[str, Any] | None = None
        # The launch template to go to and the one to go back to, with numbers for versions.
        self.target: dict[str, str] | None = None
        self.previous: dict[str, str] | None = None
        self.began = time.time()  # seconds since the epoch
        self.total = 0
        self.progressed = time.time()  # when it last came further
        self.ready = 0
        self.checkpoints = sorted(int(percent) for percent in preferences.get("CheckpointPercentages") or [])
        self.wait_until = 0.0  # end of a checkpoint's delay or of the bake time
        # Percentage at which the refresh ends: as AWS has it, the last checkpoint, whatever is left then.
        self.last_percentage = self.checkpoints[-1] if self.checkpoints else 100

    @property
    def wanted(self) -> dict[str, str] | None:
        return self.previous if self.status == ROLLING_BACK else self.target

    def is_outdated(self, member: Member) -> bool:
        """Whether to replace a member: its template is another one, or it is old and matching ones are not skipped."""
        if self.wanted is not None and not matches(member, self.wanted):
            return True
        if self.status == ROLLING_BACK or self.preferences.get("SkipMatching"):
            return False
        return member.launched_at < self.began

    @property
    def guards_configuration(self) -> bool:
        """Whether the group's own launch template must stay as it is: the refresh will replace it by another."""
        return self.status in UNDER_WAY and bool(self.desired_configuration)

    def end(self, status: str, reason: str | None = None) -> None:
        self.status, self.status_reason = status, reason
        self.end_time = utcnow()


def matches(member: Member, spec: dict[str, str]) -> bool:
    used = member.launch_template
    return (
        used is not None and used["LaunchTemplateId"] == spec["LaunchTemplateId"] and used["Version"] == spec["Version"]
    )


def active_refresh(group: Any) -> InstanceRefresh | None:
    """The refresh that is under way, if any."""
    return next((refresh for refresh in group.instance_refreshes if refresh.status in UNDER_WAY), None)


def numbered(group: Any, spec: dict[str, Any] | None) -> dict[str, str] | None:
    """A launch template with `$Latest` and `$Default` replaced by the version they are now."""
    if spec is None:
        return None
    version = resolve_template(group.autoscaling_backend, spec)
    return {"LaunchTemplateId": version.template.id, "Version": str(version.number)}


def checked_preferences(
    given: dict[str, Any], default_warmup: int, maintenance: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Preferences with AWS's defaults. Raises ValidationError for what AWS refuses.

    `maintenance` is the group's instance maintenance policy, whose percentages are the defaults where it has them.
    """
    minimum, maximum = given.get("MinHealthyPercentage"), given.get("MaxHealthyPercentage")
    if minimum is None and maximum is None and maintenance:
        minimum, maximum = (maintenance.get(f"{bound}HealthyPercentage") for bound in ("Min", "Max"))
    if maximum is not None and minimum is None:
        raise ValidationError("You must specify MinHealthyPercentage when you specify MaxHealthyPercentage.")
    minimum = DEFAULT_MIN_HEALTHY if minimum is None else int(minimum)
    maximum = DEFAULT_MAX_HEALTHY if maximum is None else int(maximum)
    if not 0 <= minimum <= 100 or not 100 <= maximum <= 200:
        raise ValidationError(
            "MinHealthyPercentage must be between 0 and 100, MaxHealthyPercentage between 100 and 200."
        )
    if maximum - minimum > 100:
        raise ValidationError(
            "The difference between MaxHealthyPercentage and MinHealthyPercentage cannot be greater than 100."
        )
    checkpoints = given.get("CheckpointPercentages") or []
    if any(not 1 <= int(percent) <= 100 for percent in checkpoints):
        raise ValidationError("CheckpointPercentages must be between 1 and 100.")
    if [int(percent) for percent in checkpoints] != sorted({int(percent) for percent in checkpoints}):
        raise ValidationError("CheckpointPercentages must be unique and in ascending order.")
    for name, choices in CHOICES.items():
        if given.get(name) and given[name] not in choices:
            raise ValidationError(f"{name} must be one of {', '.join(choices)}, not {given[name]}")
    preferences: dict[str, Any] = {
        "MinHealthyPercentage": minimum,
        "MaxHealthyPercentage": maximum,
        "InstanceWarmup": default_warmup if given.get("InstanceWarmup") is None else int(given["InstanceWarmup"]),
        "SkipMatching": bool(given.get("SkipMatching", False)),
        "AutoRollback": bool(given.get("AutoRollback", False)),
        "ScaleInProtectedInstances": given.get("ScaleInProtectedInstances") or "Wait",
        "StandbyInstances": given.get("StandbyInstances") or "Wait",
    }
    if checkpoints:
        preferences["CheckpointPercentages"] = [int(percent) for percent in checkpoints]
        delay = given.get("CheckpointDelay")
        preferences["CheckpointDelay"] = DEFAULT_CHECKPOINT_DELAY if delay is None else int(delay)
    if given.get("AlarmSpecification"):
        preferences["AlarmSpecification"] = {"Alarms": list(given["AlarmSpecification"].get("Alarms") or [])}
    if given.get("BakeTime"):
        preferences["BakeTime"] = int(given["BakeTime"])
    return preferences


def reversible(group: Any, configuration: dict[str, Any] | None) -> bool:
    """Whether there is something to go back to: AWS asks for a desired configuration and a numbered version."""
    version = str(getattr(group, "launch_template_version", "") or "")
    return bool(configuration) and not version.startswith("$")


def start(group: Any, strategy: str, given: dict[str, Any], configuration: dict[str, Any] | None) -> InstanceRefresh:
    """Begin a refresh. Raises as AWS does: one is under way already, or it could not work."""
    if active_refresh(group):
        raise AutoscalingClientError(
            "InstanceRefreshInProgress",
            "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh.",
        )
    if strategy != "Rolling":
        raise ValidationError(f"The strategy {strategy} is not one of: Rolling")
    if group.status:
        raise ValidationError(f"AutoScalingGroup {group.name} is pending delete")
    warmup = group.default_instance_warmup
    warmup = int(group.health_check_grace_period or 0) if warmup is None or int(warmup) < 0 else int(warmup)
    maintenance = getattr(group, "instance_maintenance_policy", None)
    preferences = checked_preferences(given, warmup, maintenance)
    if (configuration or {}).get("MixedInstancesPolicy"):
        raise ValidationError("The local cloud does not run mixed instances policies.")
    if preferences["AutoRollback"] and not reversible(group, configuration):
        raise ValidationError(
            "AutoRollback needs a desired configuration and a group whose launch template version is a number."
        )
    refresh = InstanceRefresh(group, preferences, configuration)
    refresh.previous = numbered(group, launch_template_spec(group))
    template = (configuration or {}).get("LaunchTemplate")
    refresh.target = numbered(group, template) if template else refresh.previous
    group.instance_refreshes.insert(0, refresh)
    del group.instance_refreshes[KEPT_REFRESHES:]
    return refresh


def begin_rollback(refresh: InstanceRefresh, reason: str) -> None:
    """Turn round: from now on the members that were replaced are what is outdated."""
    refresh.rollback_details = {
        "RollbackReason": reason,
        "RollbackStartTime": utcnow(),
        "PercentageCompleteOnRollback": refresh.percentage_complete,
        "InstancesToUpdateOnRollback": refresh.instances_to_update,
    }
    refresh.status, refresh.status_reason = ROLLING_BACK, reason
    refresh.progressed = time.time()
    refresh.wait_until = 0.0


def install() -> None:
    """Add the operations to moto's Auto Scaling."""

    def group_of(self: Any) -> Any:
        return find_group(self.autoscaling_backend, self._get_param("AutoScalingGroupName"))

    def running(self: Any) -> tuple[Any, InstanceRefresh]:
        group = group_of(self)
        refresh = active_refresh(group)
        if refresh is None or refresh.status in (CANCELLING, ROLLING_BACK):
            raise AutoscalingClientError(
                "ActiveInstanceRefreshNotFound",
                f"No in progress or pending Instance Refresh found for Auto Scaling group {group.name}",
            )
        return group, refresh

    def start_instance_refresh(self: Any) -> ActionResult:
        parameters = self._get_params()
        refresh = start(
            group_of(self),
            parameters.get("Strategy") or "Rolling",
            dict(parameters.get("Preferences") or {}),
            _plain(parameters.get("DesiredConfiguration")),
        )
        return ActionResult({"InstanceRefreshId": refresh.instance_refresh_id})

    def describe_instance_refreshes(self: Any) -> ActionResult:
        ids = self._get_param("InstanceRefreshIds", [])
        found = [
            refresh for refresh in group_of(self).instance_refreshes if not ids or refresh.instance_refresh_id in ids
        ]
        size = min(100, self._get_int_param("MaxRecords") or 50)
        refreshes, token = page(found, self._get_param("NextToken"), size, AutoscalingClientError)
        return ActionResult({"InstanceRefreshes": refreshes, "NextToken": token})

    def cancel_instance_refresh(self: Any) -> ActionResult:
        _, refresh = running(self)
        refresh.status, refresh.status_reason = CANCELLING, "Cancelled due to user request."
        return ActionResult({"InstanceRefreshId": refresh.instance_refresh_id})

    def rollback_instance_refresh(self: Any) -> ActionResult:
        group, refresh = running(self)
        if not reversible(group, refresh.desired_configuration):
            raise AutoscalingClientError(
                "IrreversibleInstanceRefresh",
                "The instance refresh has no desired configuration, or the group's launch template version is $Latest "
                "or $Default, so there is no previous configuration to go back to.",
            )
        begin_rollback(refresh, "Instance refresh was rolled back due to user request.")
        return ActionResult({"InstanceRefreshId": refresh.instance_refresh_id})

    response: Any = AutoScalingResponse
    response.start_instance_refresh = start_instance_refresh
    response.describe_instance_refreshes = describe_instance_refreshes
    response.cancel_instance_refresh = cancel_instance_refresh
    response.rollback_instance_refresh = rollback_instance_refresh


def _plain(value: Any) -> dict[str, Any] | None:
    """A request's structure as plain dictionaries, which the state can keep."""
    if not value:
        return None
    return {key: _plain(item) if isinstance(item, dict) else item for key, item in value.items()}
