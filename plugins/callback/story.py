"""Ansible's default output with less noise: see DOCUMENTATION."""

from __future__ import annotations

import time
from typing import Any

from ansible import constants
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as DefaultCallback

DOCUMENTATION = """
name: story
type: stdout
short_description: Ansible's default output, for a reader who sees it for the first time
description:
  - A task that changed something is one line; one that found nothing to do is none. A C(debug) task is its message.
  - A task with the variable C(story_announce) is announced when it starts; its name says how long it usually takes.
  - A task that waits says so at its first try and then every 30 seconds, instead of C(FAILED - RETRYING) after each;
    and whenever its result has another C(progress).
  - An error message with three parts (what failed, where to look, what to type) is printed as it is, and once.
  - The failure of a task that has a rescue is not printed, because the rescue says what it means.
  - The last line is how long it took, and each chapter (a play's name up to a comma).
  - With C(-v) everything is printed as Ansible does by default.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
"""

SECONDS_BETWEEN_LINES = 30


class CallbackModule(DefaultCallback):
    """Ansible's own stdout callback with some events told differently."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "story"

    def __init__(self) -> None:
        super().__init__()
        # When a waiting task was first heard of and last written about, and its progress then, by task and host.
        self._waiting: dict[tuple[str, str], tuple[float, float, str]] = {}
        # Hosts that the present task has changed.
        self._changed: list[str] = []
        self._seconds: dict[str, float] = {}  # by chapter
        self._chapter = ("", time.monotonic())  # the present one, and when it began

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """A play's name."""
        self._write_changes()
        self._begin_chapter(play.get_name().split(",")[0])
        super().v2_playbook_on_play_start(play)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """The end."""
        self._write_changes()
        self._begin_chapter("")
        super().v2_playbook_on_stats(stats)
        chapters = [f"{name} {round(seconds)} s" for name, seconds in self._seconds.items() if round(seconds)]
        self._display.display(f"Took {round(sum(self._seconds.values()))} s: {', '.join(chapters) or 'nothing long'}")

    def v2_playbook_on_handler_task_start(self, task: Any) -> None:
        """A handler is a task like others."""
        self._write_changes()
        super().v2_playbook_on_handler_task_start(task)

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """Say what is about to take long."""
        self._write_changes()
        super().v2_playbook_on_task_start(task, is_conditional)
        if not self._display.verbosity and task.vars.get("story_announce"):
            self._display.display(f"...      {self._title()}")

    def v2_playbook_on_include(self, included_file: Any) -> None:
        """Which file a task came from matters to those who ask with -v."""
        if self._display.verbosity:
            super().v2_playbook_on_include(included_file)

    def v2_runner_on_ok(self, result: Any) -> None:
        """A line for what changed, the text of a message, nothing for the rest."""
        if self._display.verbosity:
            super().v2_runner_on_ok(result)
            return
        if isinstance(result.task, TaskInclude):
            return
        self._handle_warnings_and_exception(result)
        if result.task.action in constants._ACTION_DEBUG and "msg" in result.result:
            message = result.result["msg"]
            lines = message if isinstance(message, list) else str(message).splitlines()
            for line in lines:
                self._display.display(f"         {line}", color=constants.COLOR_OK)
        elif result.result.get("changed"):
            self._changed.append(self.host_label(result))

    def _handle_warnings(self, res: Any) -> None:
        """Leave out that a directory for temporary files was made on a new host."""
        if res.get("warnings") and not self._display.verbosity:
            res["warnings"] = [warning for warning in res["warnings"] if "remote_tmp" not in str(warning)]
        super()._handle_warnings(res)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        """The items of a loop are summed up by the task."""
        if self._display.verbosity:
            super().v2_runner_item_on_ok(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """A failure; see DOCUMENTATION for which ones are shortened."""
        message = str(result.result.get("msg", "")).strip()
        if self._display.verbosity or ignore_errors:
            super().v2_runner_on_failed(result, ignore_errors)
        elif has_rescue(result.task) and not message.startswith("ERROR:"):
            return
        elif message and result.task.action.removeprefix("ansible.builtin.") in ("assert", "fail", "fail_with_advice"):
            self._write_changes()
            # Where it happened goes without saying on localhost, and such a message says it all.
            title = "" if message.startswith("ERROR:") else f"ERROR: [{self.host_label(result)}] {self._title()}\n"
            self._display.display(f"\n{title}{message}\n", color=constants.COLOR_ERROR)
        else:
            self._write_changes()
            super().v2_runner_on_failed(result, ignore_errors)

    def v2_runner_retry(self, result: Any) -> None:
        """One more try of a task that waits for something."""
        if self._display.verbosity:
            super().v2_runner_retry(result)
            return
        key = (result.task._uuid, result.host.get_name())
        progress = result.result.get("progress", "")
        now = time.monotonic()
        first, last, said = self._waiting.get(key, (now, 0.0, ""))
        if last and now - last < SECONDS_BETWEEN_LINES and progress == said:
            return
        self._waiting[key] = (first, now, progress)
        waited = f": {progress}" if progress else ""
        waited += f" ({round(now - first)} s so far)" if last else ""
        self._display.display(
            f"waiting: [{self.host_label(result)}] {self._title()}{waited}", color=constants.COLOR_DEBUG
        )

    def _begin_chapter(self, name: str) -> None:
        """Count the time until now for the one before."""
        now = time.monotonic()
        before, since = self._chapter
        if before:
            self._seconds[before] = self._seconds.get(before, 0) + now - since
        self._chapter = (name, now)

    def _write_changes(self) -> None:
        """One line for the task that has just ended, if it changed something."""
        if self._changed:
            line = f"changed: [{', '.join(sorted(self._changed))}] {self._title()}"
            self._changed = []
            self._display.display(line, color=constants.COLOR_CHANGED)

    def _title(self) -> str:
        """The task's name without the role's."""
        return str(self._last_task_name or "").split(" : ", 1)[-1]


def has_rescue(task: Any) -> bool:
    """Whether the task, or a file that includes it, is in the `block` part of a block with a `rescue`."""
    path = {task._uuid}
    parent = task._parent
    while parent is not None:
        rescue = getattr(parent, "rescue", None)
        if rescue and path.isdisjoint(identifiers([*rescue, *parent.always])):
            return True
        path.add(parent._uuid)
        parent = getattr(parent, "_parent", None)
    return False


def identifiers(tasks: list[Any]) -> set[str]:
    """Identifiers of the tasks and of those in blocks among them; a copy of a task has the original's."""
    found = set()
    for task in tasks:
        found.add(task._uuid)
        found |= identifiers([*getattr(task, "block", []), *getattr(task, "rescue", []), *getattr(task, "always", [])])
    return found
