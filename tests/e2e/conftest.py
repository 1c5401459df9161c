"""A stack for each file of this directory.

E2E_PORT (default 14666) and E2E_CIDR (default 10.97.0.0/16) set it apart from other runs on the same machine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from project_copy import Project


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """The project in a directory of its own. Whatever a failed test leaves is removed at the end."""
    root = tmp_path_factory.mktemp("e2e") / "project"
    project = Project.copy_to(
        root, int(os.environ.get("E2E_PORT", "14666")), os.environ.get("E2E_CIDR", "10.97.0.0/16")
    )
    project.localcloud("down")  # what an interrupted run left behind
    try:
        yield project
    finally:
        project.localcloud("down")


_broken: dict[str, str] = {}


@pytest.fixture(autouse=True)
def _story(request: pytest.FixtureRequest) -> Iterator[None]:
    """The tests of a file marked as a story build on each other: the first that fails ends it."""
    if request.node.get_closest_marker("story") is None:
        yield
        return
    story = request.module.__name__
    if story in _broken:
        pytest.skip(f"{_broken[story]} failed before")
    failed = request.session.testsfailed
    yield
    if request.session.testsfailed > failed:
        _broken[story] = request.node.name
