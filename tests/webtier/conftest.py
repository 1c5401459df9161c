"""A host of the fleet with its database, each in a container: benchmarks/lab.py."""

import os
from collections.abc import Iterator

import pytest
from waiting import PATIENCE
from web_host import PROBE, Web

from benchmarks.lab import Lab


@pytest.fixture(scope="session")
def host() -> Iterator[Web]:
    with Lab(f"webtier-test-{os.getpid()}").running() as lab:
        yield Web(lab)


@pytest.fixture
def web(host: Web) -> Lab:
    """The host with the project's own application."""
    # Beside other tests it serves fewer requests, and those of a crowd wait longer for their turn.
    return host.become(uwsgi_queue_seconds=1.9 * PATIENCE)


@pytest.fixture
def probe(host: Web) -> Lab:
    """The host with probe_app, which uses what applications use of web2py, and with small bounds for its processes."""
    return host.become(**PROBE)
