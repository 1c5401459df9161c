"""The message that ends a run, in three parts: see plugins/modules/fail_with_advice.yml."""

from __future__ import annotations

import importlib
import textwrap
from typing import Any

from ansible.errors import AnsibleError

Assert: Any = importlib.import_module("ansible.plugins.action.assert").ActionModule
TITLES = {"what": "ERROR:   ", "look": "Look at: ", "type": "Type:    "}


class ActionModule(Assert):
    """Ansible's own `assert`, which gets its message made."""

    @classmethod
    def finalize_task_arg(cls, name: str, value: Any, templar: Any, context: Any) -> Any:
        """Conditions stay conditions: `assert` evaluates them."""
        return super().finalize_task_arg("that" if name == "unless" else name, value, templar, context)

    def run(self, tmp: Any = None, task_vars: dict[str, Any] | None = None) -> Any:
        """Fail with the message, unless all conditions hold."""
        given = dict(self._task.args)
        conditions = given.pop("unless", [False])
        problems = given.pop("problems", None)
        if unknown := given.keys() - TITLES.keys():
            raise AnsibleError(f"fail_with_advice has no option {', '.join(sorted(unknown))}")
        if problems is None:
            messages = [message(given)]
        else:
            messages = [message({**given, **problem}) for problem in problems]
            conditions = [not problems]
        self._task.args = {"that": conditions, "fail_msg": "\n".join(messages), "quiet": True}
        return super().run(tmp, task_vars)


def message(parts: dict[str, Any]) -> str:
    """Three parts, each of them beside its title; AnsibleError when one is missing."""
    if missing := TITLES.keys() - parts.keys():
        raise AnsibleError(f"fail_with_advice needs {', '.join(sorted(missing))}")
    return "\n".join(
        title + textwrap.indent(str(parts[name]).strip(), " " * len(title)).lstrip() for name, title in TITLES.items()
    )
