"""Messages of three parts (what failed, where to look, what to type) are made by the helpers, each with one wording."""

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
HELPERS = {"bootstrap/report.py", "bootstrap/fail.sh", "plugins/action/fail_with_advice.py"}
# These run where no helper is; tests/unit/test_advice.py compares what they say.
ALONE = {"loadtest/errors.py", "roles/fleet/files/fleet_logs.py"}
# How they begin, in any wording. (A `type:` of YAML is something else.)
PARTS = re.compile(r"(?:\bERROR: +[^ '\"\[]|\bLook at: |\bLook: |\bType: )")
CODE = {".py", ".sh", ".yml", ".j2", ""}
# Tasks that end a run; one that only passes on what another has said has no words of its own.
ENDINGS = ("ansible.builtin.assert", "ansible.builtin.fail", "assert", "fail")
PASSED_ON = re.compile(r"\{\{.*\}\}", re.DOTALL)


def test_no_message_is_written_by_hand(project_files):
    wrong = []
    for path in project_files:
        name = str(path.relative_to(ROOT))
        if not name.startswith("tests/") and "/molecule/" not in name and path.suffix in CODE:
            wrong += [
                f"{name}:{number}: {line.strip()}"
                for number, line in enumerate(path.read_text().splitlines(), 1)
                if PARTS.search(line) and name not in HELPERS | ALONE
            ]
    assert wrong == []


def test_tasks_that_end_a_run_use_fail_with_advice(project_files):
    wrong = []
    for path in project_files:
        name = str(path.relative_to(ROOT))
        if path.suffix != ".yml" or not re.match(r"(?:roles/\w+/(?:tasks|handlers)|playbooks)/|[^/]+\.yml$", name):
            continue
        for task in tasks(yaml.safe_load(path.read_text())):
            for action in ENDINGS:
                given = task.get(action)
                if given and not PASSED_ON.fullmatch(given.get("fail_msg", given.get("msg", ""))):
                    wrong.append(f"{name}: {task.get('name')}")
    assert wrong == []


def tasks(part):
    """All tasks in plays, blocks and lists of tasks."""
    for each in part if isinstance(part, list) else []:
        if isinstance(each, dict):
            yield each
            for value in each.values():
                yield from tasks(value)
