"""Scheduled actions of autoscaling groups: kept by group and name, with the time when each is due next.

moto only writes them down. The reconciler of the scheduled actions carries them out.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend, FakeScheduledAction
from moto.core.utils import utcnow
from moto.moto_api._internal import mock_random

from localcloud.cron import CronError, Schedule
from localcloud.overlay.autoscaling import change_desired_capacity, find_group


def next_run(recurrence: str, time_zone: str | None, after: datetime) -> datetime | None:
    """When a recurring action is due next, as UTC without a time zone like all of moto's times."""
    zone = ZoneInfo(time_zone or "UTC")
    found = Schedule.parse(recurrence).next_after(after.replace(tzinfo=UTC), zone)
    return None if found is None else found.astimezone(UTC).replace(tzinfo=None)


def carry_out(group: Any, action: Any) -> bool:
    """Give the group the sizes of the action. Returns False when they don't fit together."""
    minimum = group.min_size if action.min_size is None else action.min_size
    maximum = group.max_size if action.max_size is None else action.max_size
    if minimum > maximum:
        return False
    desired = group.desired_capacity if action.desired_capacity is None else action.desired_capacity
    desired = max(minimum, min(maximum, desired))
    group.min_size, group.max_size = minimum, maximum
    change_desired_capacity(
        group,
        desired,
        f"a scheduled action update of AutoScalingGroup constraints to min: {minimum}, max: {maximum}, "
        f"desired: {desired}",
    )
    return True


def advance(backend: Any, action: Any) -> None:
    """Set when the action is due again; one that is not is removed, as on AWS."""
    following = next_run(action.recurrence, action.time_zone, utcnow()) if action.recurrence else None
    if following is None or (action.end_time is not None and following > action.end_time):
        backend.scheduled_actions.pop(_key(action.auto_scaling_group_name, action.scheduled_action_name), None)
    else:
        action.start_time = following


def install() -> None:
    """Change moto's scheduled actions."""

    def put_scheduled_update_group_action(self: Any, name: str, **request: Any) -> Any:
        group = find_group(self, name)
        now = utcnow()
        start, end = _utc(request["start_time"]), _utc(request["end_time"])
        sizes = {size: request[size] for size in ("desired_capacity", "max_size", "min_size")}
        if all(size is None for size in sizes.values()):
            raise ValidationError("At least one of MinSize, MaxSize and DesiredCapacity must be specified")
        if start is not None and start < now:
            raise ValidationError("Given start time is in the past")
        if end is not None and end <= (start or now):
            raise ValidationError("Given end time is not after the start time")
        if request["recurrence"]:
            try:
                # The first time is at or after the given start.
                first = next_run(request["recurrence"], request["timezone"], start or now)
            except CronError as error:
                raise ValidationError(f"Given recurrence string:{request['recurrence']} is invalid") from error
            except (ValueError, KeyError, OSError) as error:  # ZoneInfo's, for what is no time zone
                raise ValidationError(f"Given time zone:{request['timezone']} is invalid") from error
            start = start or first
        if start is None:
            raise ValidationError("A StartTime or a Recurrence must be specified")
        action: Any = FakeScheduledAction(  # type: ignore[abstract]
            name,
            scheduled_action_name=request["scheduled_action_name"],
            start_time=start,  # type: ignore[arg-type]
            end_time=end,  # type: ignore[arg-type]
            recurrence=request["recurrence"],
            time_zone=request["timezone"],
            **{size: None if value is None else int(value) for size, value in sizes.items()},
        )
        known = self.scheduled_actions.get(_key(name, action.scheduled_action_name))
        action.action_id = known.action_id if known else str(mock_random.uuid4())
        prefix = group.arn.split(":autoScalingGroup:")[0]
        action.scheduled_action_arn = (
            f"{prefix}:scheduledUpdateGroupAction:{action.action_id}:autoScalingGroupName/{name}"
            f":scheduledActionName/{action.scheduled_action_name}"
        )
        self.scheduled_actions[_key(name, action.scheduled_action_name)] = action
        return action

    def delete_scheduled_action(self: Any, auto_scaling_group_name: str, scheduled_action_name: str) -> None:
        if self.scheduled_actions.pop(_key(auto_scaling_group_name, scheduled_action_name), None) is None:
            raise ValidationError(
                f"Scheduled action name not found - Scheduled action with name {scheduled_action_name} not found"
            )

    backend: Any = AutoScalingBackend
    backend.put_scheduled_update_group_action = put_scheduled_update_group_action
    backend.delete_scheduled_action = delete_scheduled_action


def _key(group_name: str, name: str) -> str:
    return f"{group_name}/{name}"


def _utc(value: datetime | str | None) -> datetime | None:
    """A request's time as moto keeps its own: UTC without a time zone."""
    if not value:
        return None
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
