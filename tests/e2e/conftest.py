"""A stack for each file of this directory, and one for the files of a story.

Where they are, and how tests build on each other: deployments.py. The story's port is E2E_PORT + 10; its region and its
CIDR are those of docs/change-it.md, which it follows.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from deployments import CIDR, LIMIT, PORT, copy_of_the_project, in_order, taken_down  # noqa: F401 -- fixtures, two
from project_copy import Project
from stack import edit
from waiting import PATIENCE

LAUNCH_TIMEOUT = "launch_timeout: 60"  # seconds, enough for a machine that does nothing else


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(LIMIT))


@pytest.fixture(scope="session")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One stack for all files of the story, which takes five minutes to make."""
    copy = Project.copy_to(tmp_path_factory.mktemp("story") / "project", PORT + 10, "10.120.0.0/16")
    # Under load its playbooks are to leave the cores to the fleet.
    project = dataclasses.replace(copy, region="eu-central-1", nice=10)
    settings = project.root / "inventory/local/group_vars/all.yml"
    edit(settings, "localcloud_port: 4566", f"localcloud_port: {project.port}")
    edit(settings, LAUNCH_TIMEOUT, f"launch_timeout: {60 * PATIENCE}")
    yield from taken_down(project)


@pytest.fixture(scope="session")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """One stack for test_interrupts.py and test_other_settings.py, which types `make deploy`."""
    project = Project.copy_to(tmp_path_factory.mktemp("interrupted") / "project", PORT, CIDR)
    settings = project.root / "inventory/local/group_vars/all.yml"
    edit(settings, "localcloud_port: 4566", f"localcloud_port: {PORT}")
    edit(settings, LAUNCH_TIMEOUT, f"launch_timeout: {60 * PATIENCE}")
    edit(project.root / "group_vars/all.yml", "vpc_cidr: 10.80.0.0/16", f"vpc_cidr: {CIDR}")
    yield from taken_down(project)


_figures: list[str] = []


@pytest.fixture
def note_figure() -> Callable[[str], None]:
    """Keep a line about what was measured for the end of the run."""
    return _figures.append


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What was measured, not judged: these machines are shared."""
    if _figures:
        terminalreporter.section("measured")
        for line in _figures:
            terminalreporter.line(line)
