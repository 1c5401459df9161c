"""Scheduled actions: each carried out when it is due, unless its group has the process suspended."""

from __future__ import annotations

import logging
from typing import Any

from moto.core.utils import utcnow

from localcloud import backends
from localcloud.controller import Action, Observed
from localcloud.overlay.autoscaling import suspended
from localcloud.overlay.scheduled_actions import advance, carry_out

LOGGER = logging.getLogger(__name__)


class ScheduledActions:
    """Changes the sizes of groups at the times that were asked for. One that was missed is made up for, once."""

    def reconcile(self, observed: Observed) -> list[Action]:  # noqa: ARG002 (the clock is all that matters)
        now = utcnow()
        for backend in backends.each("autoscaling"):
            for action in list(backend.scheduled_actions.values()):
                if action.start_time <= now:
                    try:
                        self._run(backend, action)
                    except Exception:
                        LOGGER.exception("scheduled action %s failed", action.scheduled_action_name)
        return []

    def _run(self, backend: Any, action: Any) -> None:
        # First, so that one that fails is not tried again each second.
        advance(backend, action)
        group = backend.autoscaling_groups.get(action.auto_scaling_group_name)
        if group is None or group.status or suspended(group, "ScheduledActions"):
            return
        LOGGER.info("%s: scheduled action %s", group.name, action.scheduled_action_name)
        if not carry_out(group, action):
            LOGGER.warning("%s: %s: its minimum is above its maximum", group.name, action.scheduled_action_name)
