"""A local cloud that is an API only: api_with_instant_machines.py, in a process of its own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from running_cloud import PROJECT_ROOT, Cloud


@contextlib.contextmanager
def instant_cloud(home: Path) -> Iterator[Cloud]:
    """The cloud, with its state and its log in `home`."""
    with (
        (home / "log").open("w") as log,
        subprocess.Popen(
            [sys.executable, Path(__file__).parent / "api_with_instant_machines.py", home / "state"],
            env={**os.environ, "PYTHONPATH": str(PROJECT_ROOT)},
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        try:
            yield Cloud(port=int(process.stdout.readline()), home=home, cidr="10.0.0.0/16")
        finally:
            process.kill()
