"""One stack, and applications in it, one after the other.

E2E_PORT and E2E_CIDR: tests/e2e/deployments.py.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from application import Application, chosen
from deployments import CIDR, LIMIT, PORT, in_order, taken_down  # noqa: F401 -- a fixture
from private_index import serve
from project_copy import Project
from visit import Visit


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.timeout(LIMIT))


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    yield from taken_down(Project.copy_to(tmp_path_factory.mktemp("applications") / "project", PORT, CIDR))


@pytest.fixture(scope="session")
def visit_of(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Application], Visit]]:
    """One for each application: what another test did there is known."""
    visits: dict[str, Visit] = {}

    def visit(application: Application) -> Visit:
        if application.name not in visits:
            source = application.copy_to(tmp_path_factory.mktemp("sources") / application.name)
            index = None
            if application.packages:
                index = indexes.enter_context(
                    serve(application.packages, tmp_path_factory.mktemp("index"), project.port)
                )
            visits[application.name] = Visit(application, project, source, index)
        return visits[application.name]

    with contextlib.ExitStack() as indexes:
        yield visit


# What fails in one application doesn't keep the next from being tried.
@pytest.fixture(
    scope="module", params=[pytest.param(one, id=one.name, marks=pytest.mark.story(one.name)) for one in chosen()]
)
def visit(request: pytest.FixtureRequest, visit_of: Callable[[Application], Visit]) -> Visit:
    return visit_of(request.param)
