"""Ansible's default output with less noise: see DOCUMENTATION."""

from __future__ import annotations

import time
from typing import Any

from ansible import constants as C
from ansible.plugins.callback.default import CallbackModule as DefaultCallback

DOCUMENTATION = """
name: story
type: stdout
short_description: Ansible's default output, for a reader who sees it for the first time
description:
  - An error message with three parts (what failed, where to look, what to type) is printed as it is, once, without the task's other results.
  - The failure of a task that has a rescue is not printed, because the rescue says what it means.
  - A task that waits says so once and then every 30 seconds, instead of C(FAILED - RETRYING) after each try.
  - Everything is printed with C(-v).
extends_documentation_fragment:
  - default_callback
  - result_format_callback
"""

SECONDS_BETWEEN_LINES = 30


class CallbackModule(DefaultCallback):
    """Ansible's own stdout callback with three events told differently."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "story"

    def __init__(self) -> None:
        super().__init__()
        # When a waiting task was first heard of and last written about, by task and host.
        self._waiting: dict[tuple[str, str], list[float]] = {}

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A failure; see DOCUMENTATION for which ones are shortened."""
        message = str(result.result.get("msg", ""))
        if self._display.verbosity or ignore_errors:
            super().v2_runner_on_failed(result, ignore_errors)
        elif has_rescue(result.task):
            return
        elif message.lstrip().startswith("ERROR:"):
            self._display.display(f"\n{message.strip()}\n", color=C.COLOR_ERROR)
        else:
            super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_retry(self, result: Any) -> None:
        """One more try of a task that waits for something."""
        if self._display.verbosity:
            super().v2_runner_retry(result)
            return
        now = time.monotonic()
        first, last = self._waiting.setdefault((result.task._uuid, result.host.get_name()), [now, 0.0])
        if now - last >= SECONDS_BETWEEN_LINES or last == 0.0:
            self._waiting[(result.task._uuid, result.host.get_name())][1] = now
            waited = f" ({round(now - first)} s so far)" if last else ""
            self._display.display(f"waiting: [{self.host_label(result)}]{waited}", color=C.COLOR_DEBUG)


def has_rescue(task: Any) -> bool:
    """Whether the task is in the `block` part of a block with a `rescue`."""
    parent = task._parent
    while parent is not None:
        rescue = getattr(parent, "rescue", None)
        if rescue and task._uuid not in identifiers([*rescue, *parent.always]):
            return True
        parent = getattr(parent, "_parent", None)
    return False


def identifiers(tasks: list[Any]) -> set[str]:
    """Identifiers of the tasks and of those in blocks among them. Copies of a task have the identifier of the original."""
    found = set()
    for task in tasks:
        found.add(task._uuid)
        found |= identifiers([*getattr(task, "block", []), *getattr(task, "rescue", []), *getattr(task, "always", [])])
    return found
