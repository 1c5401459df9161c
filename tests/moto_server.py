"""moto in a process of its own: in that of the tests, some have changed it into the local cloud."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from conformance import servers


@contextlib.contextmanager
def moto_server(name: str = "moto") -> Iterator[str]:
    """A moto server, or with "localcloud" the local cloud's API without machines; its endpoint."""
    with tempfile.TemporaryDirectory() as directory, servers.server(name, Path(directory) / "log") as endpoint:
        yield endpoint
