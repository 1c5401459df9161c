"""The two servers: moto as it is, and the local cloud's API. Both know the same images, those of moto."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from conformance.errors import ConformanceError

ROOT = Path(__file__).parents[1]
MODULES = {"moto": "conformance.moto_api", "localcloud": "conformance.api"}
# Of more than a thousand that moto makes anew with each reset; its tests use these.
IMAGES = ("amis.json.gz", "latest_amis/us-east-1.json.gz")


@contextlib.contextmanager
def server(name: str, log: Path) -> Iterator[str]:
    """One of MODULES; its endpoint. Raises ConformanceError when it ended before its time."""
    log.parent.mkdir(parents=True, exist_ok=True)
    images = write_images(log.parent)
    with started(["-m", MODULES[name]], log, {"MOTO_AMIS_PATH": str(images)}) as (process, endpoint):
        yield endpoint
        if process.poll() is not None:
            raise ConformanceError(f"the server of {name} ended", look=log, type_this="make conformance")


@contextlib.contextmanager
def started(
    arguments: Sequence[str | Path], log: Path, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process of `python ...` that prints its port as soon as it listens there, with its endpoint.

    Raises ConformanceError when it does not. At the end it is killed: there is nothing that it should save.
    """
    with (
        log.open("w") as errors,
        subprocess.Popen(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        try:
            assert process.stdout is not None
            port = process.stdout.readline().strip()
            if not port.isdigit():
                raise ConformanceError("the server did not start", look=log, type_this=f"python {arguments[-1]}")
            yield process, f"http://127.0.0.1:{port}"
        finally:
            process.kill()


def write_images(directory: Path) -> Path:
    """The images in the form of moto's `MOTO_AMIS_PATH`."""
    images = []
    for name in IMAGES:
        images += json.loads(gzip.decompress(files("moto.ec2").joinpath("resources", name).read_bytes()))
    path = directory / "amis.json"
    path.write_text(json.dumps(images))
    return path
