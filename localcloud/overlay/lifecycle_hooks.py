"""Lifecycle hooks: an instance that is launched or terminated waits until its action is completed, or for so long.

moto writes hooks down, with made-up targets, and knows no actions. The reconciler of the groups begins the actions and
goes on when they are done.
Source: https://docs.aws.amazon.com/autoscaling/ec2/userguide/lifecycle-hooks.html
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass, field
from typing import Any

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import AutoScalingBackend, LifecycleHook
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, EmptyResult
from moto.moto_api._internal import mock_random

from localcloud import backends
from localcloud.overlay.autoscaling import Member, find_group, find_member, now_text

LOGGER = logging.getLogger(__name__)
LAUNCHING, TERMINATING = "autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"
CONTINUE, ABANDON = "CONTINUE", "ABANDON"
DEFAULT_HEARTBEAT, SHORTEST_HEARTBEAT, LONGEST_HEARTBEAT = 3600, 30, 7200  # seconds
GLOBAL_TIMEOUT = 172800  # seconds; at most a hundred heartbeats


@dataclass
class LifecycleAction:
    """What an instance waits for. Times in seconds since the epoch; `result` empty while it waits."""

    hook_name: str
    heartbeat: int
    default_result: str
    token: str = field(default_factory=lambda: str(mock_random.uuid4()))
    began: float = field(default_factory=lambda: time.time())
    heard: float = field(default_factory=lambda: time.time())
    result: str = ""
    reason: str = ""

    @property
    def global_timeout(self) -> int:
        return min(GLOBAL_TIMEOUT, 100 * self.heartbeat)

    def follow_clock(self, now: float) -> None:
        """When nothing was heard for the heartbeat timeout, the hook's default result is the result."""
        if not self.result and (now >= self.heard + self.heartbeat or now >= self.began + self.global_timeout):
            self.result, self.reason = self.default_result, "Heartbeat Timeout"


def outcome(member: Member, transition: str) -> str:
    """What the hooks of a transition say by now: empty while one waits, else CONTINUE or ABANDON.

    Begins the actions of those that have not begun.
    """
    group = member.auto_scaling_group
    hooks = [
        hook
        for hook in group.autoscaling_backend.lifecycle_hooks.values()
        if hook.auto_scaling_group_name == group.name and hook.lifecycle_transition == transition
    ]
    now = time.time()
    for hook in hooks:
        if hook.name not in member.waits:
            action = LifecycleAction(hook.name, int(hook.heartbeat_timeout), hook.default_result)
            member.waits[hook.name] = action
            _notify(group, hook, member, action)
    for action in member.waits.values():
        action.follow_clock(now)
    results = [action.result for action in member.waits.values()]
    # An instance that one hook gives up is given up at once; one that is terminated, at the end of all.
    if ABANDON in results:
        return ABANDON
    return CONTINUE if all(results) else ""


def abandoned_because(member: Member) -> str:
    """Why a launch was given up, in AWS's words."""
    action = next(action for action in member.waits.values() if action.result == ABANDON)
    return (
        "Instance failed to complete user's Lifecycle Action: Lifecycle Action with token "
        f"{action.token} was abandoned: {action.reason}"
    )


def _notify(group: Any, hook: Any, member: Member, action: LifecycleAction) -> None:
    """Tell the hook's target, a topic or a queue."""
    target = hook.notification_target_arn
    if not target:
        return
    message = {
        "AccountId": group.account_id,
        "AutoScalingGroupName": group.name,
        "EC2InstanceId": member.instance_id,
        "LifecycleActionToken": action.token,
        "LifecycleHookName": hook.name,
        "LifecycleTransition": hook.lifecycle_transition,
        "NotificationMetadata": hook.notification_metadata,
        "Service": "AWS Auto Scaling",
        "Time": now_text(),
    }
    text = json.dumps({key: value for key, value in message.items() if value is not None})
    try:
        if ":sns:" in target:
            sns = backends.backend("sns", group.account_id, group.region)
            sns.publish(text, arn=target, subject=f'Auto Scaling:  Lifecycle action "{hook.name}"'[:100])
        else:
            sqs = backends.backend("sqs", group.account_id, group.region)
            sqs.send_message(target.rpartition(":")[2], text)
    except Exception as error:
        LOGGER.error("%s: lifecycle hook %s: %s was not told: %s", group.name, hook.name, target, error)


# -- requests --------------------------------------------------------------------------------------------------------


def install() -> None:
    """Change moto's lifecycle hooks."""

    def delete_lifecycle_hook(self: Any, as_name: str, name: str) -> None:
        group = find_group(self, as_name)
        if self.lifecycle_hooks.pop(_key(as_name, name), None) is None:
            raise ValidationError(f"No Lifecycle Hook found with name: {name}")
        for member in group.instance_states:  # "all instances in wait … go on with CONTINUE"
            action = member.waits.get(name)
            if action is not None and not action.result:
                action.result = CONTINUE

    backend: Any = AutoScalingBackend
    backend.delete_lifecycle_hook = delete_lifecycle_hook
    response: Any = AutoScalingResponse
    response.put_lifecycle_hook = _put_lifecycle_hook
    response.complete_lifecycle_action = _complete_lifecycle_action
    response.record_lifecycle_action_heartbeat = _record_lifecycle_action_heartbeat
    response.describe_lifecycle_hook_types = _describe_lifecycle_hook_types


def _key(group_name: str, name: str) -> str:
    return f"{group_name}_{name}"


def _put_lifecycle_hook(self: Any) -> ActionResult:
    request = self._get_params()
    backend = self.autoscaling_backend
    group_name, name = request["AutoScalingGroupName"], request["LifecycleHookName"]
    find_group(backend, group_name)
    known = backend.lifecycle_hooks.get(_key(group_name, name))
    transition = request.get("LifecycleTransition") or (known and known.lifecycle_transition)
    if transition not in (LAUNCHING, TERMINATING):
        raise ValidationError(
            f"Valid requests must contain a LifecycleTransition: {LAUNCHING} or {TERMINATING}, not {transition}"
        )
    heartbeat = int(request.get("HeartbeatTimeout") or (known and known.heartbeat_timeout) or DEFAULT_HEARTBEAT)
    if not SHORTEST_HEARTBEAT <= heartbeat <= LONGEST_HEARTBEAT:
        raise ValidationError(
            f"HeartbeatTimeout must be between {SHORTEST_HEARTBEAT} and {LONGEST_HEARTBEAT} seconds, not {heartbeat}"
        )
    result = request.get("DefaultResult") or (known and known.default_result) or ABANDON
    if result not in (CONTINUE, ABANDON):
        raise ValidationError(f"DefaultResult must be {CONTINUE} or {ABANDON}, not {result}")
    hook: Any = LifecycleHook(name, group_name, transition, heartbeat, result)
    # moto makes these three up.
    hook.notification_target_arn = request.get("NotificationTargetARN", getattr(known, "notification_target_arn", None))
    hook.role_arn = request.get("RoleARN", getattr(known, "role_arn", None))
    hook.global_timeout = min(GLOBAL_TIMEOUT, 100 * heartbeat)
    hook.notification_metadata = request.get("NotificationMetadata", getattr(known, "notification_metadata", None))
    backend.lifecycle_hooks[_key(group_name, name)] = hook
    return EmptyResult()


def _waiting(self: Any) -> LifecycleAction:
    """The action that a request names by its token or by its instance. Raises ValidationError when none waits."""
    request = self._get_params()
    backend = self.autoscaling_backend
    group = find_group(backend, request["AutoScalingGroupName"])
    name, token = request["LifecycleHookName"], request.get("LifecycleActionToken")
    members = [find_member(backend, request["InstanceId"])] if request.get("InstanceId") else group.instance_states
    for member in members:
        action: LifecycleAction | None = member.waits.get(name)
        if member.auto_scaling_group is not group or action is None or action.result:
            continue
        if token == action.token or (token is None and request.get("InstanceId")):
            return action
    found = f"instance ID {request['InstanceId']}" if request.get("InstanceId") else f"token {token}"
    raise ValidationError(f"No active Lifecycle Action found with {found}")


def _complete_lifecycle_action(self: Any) -> ActionResult:
    result = self._get_params().get("LifecycleActionResult")
    if result not in (CONTINUE, ABANDON):
        raise ValidationError(f"LifecycleActionResult must be {CONTINUE} or {ABANDON}, not {result}")
    action = _waiting(self)
    action.result, action.reason = result, f"Lifecycle Action Completed with {result} Result"
    return EmptyResult()


def _record_lifecycle_action_heartbeat(self: Any) -> ActionResult:
    _waiting(self).heard = time.time()
    return EmptyResult()


def _describe_lifecycle_hook_types(self: Any) -> ActionResult:  # noqa: ARG001 (a response's signature)
    return ActionResult({"LifecycleHookTypes": [LAUNCHING, TERMINATING]})
