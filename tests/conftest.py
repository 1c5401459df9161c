"""The order of the tests: what is quick and says the most comes first, and a failed lint ends the run there.

Which of them `make test` runs: those with the mark `essential`. All of lint and unit have it, the others where they say
so themselves: one for each promise of the local cloud that the main job stands on, what is quick of the roles' tests,
and the main job itself.
"""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType

import pytest

TESTS = Path(__file__).parent
# The user's own account and endpoint are not the tests' business: those that need some give their own.
for name in [name for name in os.environ if name.startswith("AWS_")]:
    del os.environ[name]
LAST_LINES = 200  # of a log, beside a failure
ORDER = ("lint", "unit", "loadtest", "localcloud", "roles", "webtier", "e2e", "applications")


class Interrupt:
    """Raises KeyboardInterrupt for a signal, and for those that come with it, to the group and from a parent, no other:
    it would end the cleaning up."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def __call__(self, _number: int, _frame: FrameType | None) -> None:
        now = time.monotonic()
        if now - self._last > 1:
            self._last = now
            raise KeyboardInterrupt


def pytest_configure() -> None:
    """Who ends a run (`timeout`, a closed terminal) has what was started for it removed, as with Ctrl-C."""
    interrupt = Interrupt()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup
            signal.signal(number, interrupt)


def part(item: pytest.Item) -> str:
    """Return the directory of `tests/` that a test is in."""
    return item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by part; within a part the order stays as it is. What needs no Docker is essential."""
    for item in items:
        if part(item) in ("lint", "unit"):
            item.add_marker("essential")
    items.sort(key=lambda item: ORDER.index(part(item)) if part(item) in ORDER else len(ORDER))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> Iterator[None]:
    """Stop after the last lint test when any of them failed."""
    failures = item.session.testsfailed
    result = yield
    if part(item) == "lint":
        item.session.stash[lint_failures] = (
            item.session.stash.get(lint_failures, 0) + item.session.testsfailed - failures
        )
        if item.session.stash[lint_failures] and nextitem is not None and part(nextitem) != "lint":
            item.session.shouldfail = (
                "lint failed; the rest was not run (make unit, or pytest tests/e2e, runs it alone)"
            )
    return result


started = pytest.StashKey[str]()  # when a test began, as local clouds' logs say it


def pytest_runtest_setup(item: pytest.Item) -> None:
    item.stash[started] = time.strftime("%Y-%m-%d %H:%M:%S")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[pytest.TestReport]:
    """Put beside a failure what is needed to understand it where nobody can look any more."""
    report: pytest.TestReport = yield
    if report.failed and part(item) not in ("lint", "unit"):
        report.sections.extend(evidence(getattr(item, "funcargs", {}).values(), item.stash.get(started, "")))
    return report


def evidence(fixtures: Iterable[object], since: str) -> Iterator[tuple[str, str]]:
    """Titles and texts: containers, what local clouds have logged since then, the end of the last playbook's output."""
    if shutil.which("docker"):
        ps = subprocess.run(["docker", "ps", "--all"], check=False, text=True, capture_output=True)
        yield "docker ps --all", ps.stdout + ps.stderr
    for file in dict.fromkeys(file for fixture in fixtures for file in getattr(fixture, "logs", ())):
        if file.exists():
            lines = file.read_text(errors="replace").splitlines()
            first = next((number for number, line in enumerate(lines) if line[:1] == "2" and line >= since), 0)
            yield str(file), "\n".join(lines[max(first, len(lines) - LAST_LINES) :])


lint_failures = pytest.StashKey[int]()
