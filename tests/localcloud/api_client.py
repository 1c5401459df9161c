"""Clients of the local cloud's API without machines, each asking once: what is refused is seen as it is."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def api_without_machines() -> Iterator[Callable[[str], Any]]:
    """An API of its own; gives a client of a service, that sends whatever it is given."""
    with subprocess.Popen(
        [sys.executable, Path(__file__).parent / "api_without_machines.py"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
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
        finally:
            process.kill()
