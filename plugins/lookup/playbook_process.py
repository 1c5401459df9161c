"""The process of the ansible-playbook that is running: see DOCUMENTATION."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

from ansible import context
from ansible.errors import AnsibleError
from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: playbook_process
short_description: The process of the ansible-playbook that is running
description:
  - Without a term, or with C(pid), its process id, as a number. With C(playbooks), the playbooks as they were typed.
  - Ansible fills in some templates in its main process and others, such as a module's arguments, in a process that it
    forks for the task. The answer is the same in both.
"""


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[Any]:  # noqa: ARG002
        """One answer for each term."""
        return [answer(str(term)) for term in terms or ["pid"]]


def answer(term: str) -> int | str:
    """The process id or the playbooks; AnsibleError for any other term."""
    if term == "playbooks":
        return " ".join(context.CLIARGS.get("args", ()))
    if term != "pid":
        raise AnsibleError(f"playbook_process knows pid and playbooks, not {term}")
    parent = multiprocessing.parent_process()
    return os.getpid() if parent is None or parent.pid is None else parent.pid
