"""One stack, and applications that others wrote in it, one after the other.

E2E_PORT and E2E_CIDR: tests/e2e/deployments.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from application import chosen
from deployments import LIMIT, copy_of_the_project, in_order  # noqa: F401 -- fixtures, two
from project_copy import Project
from visitor import Visit


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(pytest.mark.timeout(LIMIT))


# What fails in one application doesn't keep the next from being tried.
@pytest.fixture(
    scope="module", params=[pytest.param(one, id=one.name, marks=pytest.mark.story(one.name)) for one in chosen()]
)
def visit(request: pytest.FixtureRequest, project: Project, tmp_path_factory: pytest.TempPathFactory) -> Visit:
    application = request.param
    return Visit(application, project, application.copy_to(tmp_path_factory.mktemp("sources") / application.name))
