"""One local cloud for all tests in this directory.

LOCALCLOUD_TEST_PORT (default 14566) and LOCALCLOUD_TEST_CIDR (default 10.91.0.0/16, a /16) set them apart from other
runs on the same machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from balancing import web_servers
from botocore.config import Config
from running_cloud import Cloud
from ssh_login import Login

ROOT = Path(__file__).resolve().parents[2]

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
    with subprocess.Popen(
        [sys.executable, Path(__file__).parent / "api_without_machines.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        yield lambda service: boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=f"http://127.0.0.1:{port}",
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )
        process.kill()
