"""A local cloud that is an API only: api_with_instant_machines.py, in a process of its own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from running_cloud import Cloud

from conformance.servers import started


@contextlib.contextmanager
def instant_cloud(home: Path, saved_every: int = 1) -> Iterator[Cloud]:
    """The cloud, with its state and its log in `home`; after so many requests its state goes to disk and comes back."""
    program = Path(__file__).parent / "api_with_instant_machines.py"
    with started([program, home / "state", str(saved_every)], home / "log") as (_, endpoint):
        yield Cloud(port=int(endpoint.rpartition(":")[2]), home=home, cidr="10.0.0.0/16")
