"""One local cloud for all tests in this directory.

LOCALCLOUD_TEST_PORT (default 14566) and LOCALCLOUD_TEST_CIDR (default 10.91.0.0/16, a /16) set them apart from other
runs on the same machine.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from api_client import api_without_machines
from balancing import web_servers
from running_cloud import Cloud
from ssh_login import Login

__all__ = ["cloud", "web_servers"]


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A running local cloud; taken down at the end, its log kept in pytest's temporary directory."""
    directory = tmp_path_factory.mktemp("localcloud")
    cloud = Cloud(
        port=int(os.environ.get("LOCALCLOUD_TEST_PORT", "14566")),
        home=directory / "home",
        cidr=os.environ.get("LOCALCLOUD_TEST_CIDR", "10.91.0.0/16"),
    )
    cloud.down()  # what an interrupted run left behind
    try:
        cloud.up()
        yield cloud
    finally:
        if (cloud.home / "log").exists():
            shutil.copy(cloud.home / "log", directory / "log")
        cloud.down()


@pytest.fixture(scope="session")
def login(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Login:
    """SSH into instances that were launched with the key pair `tests`."""
    return Login(cloud, tmp_path_factory.mktemp("ssh"))


@pytest.fixture(scope="module")
def client() -> Iterator[Callable[[str], Any]]:
    """A client of a service of the API without machines, that asks once and sends whatever it is given."""
    with api_without_machines() as make_client:
        yield make_client
