"""Clients of the local cloud's API without machines, each asking once: what is refused is seen as it is."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from conformance.servers import started


@contextlib.contextmanager
def api_without_machines() -> Iterator[Callable[[str], Any]]:
    """An API of its own; gives a client of a service, that sends whatever it is given."""
    with started([Path(__file__).parent / "api_without_machines.py"], Path(os.devnull)) as (_, endpoint):
        yield lambda service: boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
        )
