"""Fixtures of tests that deploy: a copy of the project with a stack of its own, and tests that build on each other.

E2E_PORT (default 14666) and E2E_CIDR (default 10.97.0.0/16) set them apart from other runs on the same machine. With
E2E_GO_ON set, a story goes on after a test that failed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from project_copy import Project

PORT = int(os.environ.get("E2E_PORT", "14666"))
CIDR = os.environ.get("E2E_CIDR", "10.97.0.0/16")
LIMIT = 1800  # seconds for a test: some deploy from nothing, beside others


def taken_down(project: Project) -> Iterator[Project]:
    """The project; whatever a failed test leaves is removed at the end."""
    project.localcloud("down")  # what an interrupted run left behind
    try:
        yield project
    finally:
        project.end_playbooks()
        project.localcloud("down")


@pytest.fixture(name="project", scope="module")
def copy_of_the_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    yield from taken_down(Project.copy_to(tmp_path_factory.mktemp("e2e") / "project", PORT, CIDR))


_broken: dict[str, str] = {}


@pytest.fixture(autouse=True)
def in_order(request: pytest.FixtureRequest) -> Iterator[None]:
    """The tests of a file marked as a story build on each other, also those of all files whose mark has the same name:
    the first that fails ends it."""
    mark = request.node.get_closest_marker("story")
    if mark is None:
        yield
        return
    name = mark.args[0] if mark.args else request.module.__name__
    if name in _broken and not os.environ.get("E2E_GO_ON"):
        pytest.skip(f"{_broken[name]} failed before")
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        _broken[name] = request.node.name
