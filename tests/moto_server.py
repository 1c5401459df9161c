"""moto in a process of its own: in that of the tests, some have changed it into the local cloud."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from conformance import servers


@contextlib.contextmanager
def moto_server() -> Iterator[str]:
    """A moto server; its endpoint."""
    with tempfile.TemporaryDirectory() as directory, servers.server("moto", Path(directory) / "log") as endpoint:
        yield endpoint
