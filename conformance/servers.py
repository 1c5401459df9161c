"""The two servers: moto as it is, and the local cloud's API. Both know the same images, those of moto."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

from conformance.errors import ConformanceError

ROOT = Path(__file__).parents[1]
MODULES = {"moto": "moto.server", "localcloud": "conformance.api"}
START_TIMEOUT = 60  # seconds
# Of more than a thousand that moto makes anew with each reset; its tests use these.
IMAGES = ("amis.json.gz", "latest_amis/us-east-1.json.gz")


@contextlib.contextmanager
def server(name: str, port: int, log: Path) -> Iterator[str]:
    """One of MODULES; its endpoint. Raises ConformanceError when it ended before its time."""
    directory = log.parent
    directory.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
        raise ConformanceError(
            f"port {port} is in use", look="ss -tlnp", type_this=f"make conformance ARGS='--port {port + 100}'"
        )
    command = [sys.executable, "-m", MODULES[name], *(["-p"] if name == "moto" else []), str(port)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MOTO_AMIS_PATH": str(write_images(directory))}
    with (
        log.open("w") as output,
        subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT) as process,
    ):
        try:
            _wait(process, port, log)
            yield f"http://127.0.0.1:{port}"
            if process.poll() is not None:
                raise ConformanceError(f"the server of {name} ended", look=log, type_this="make conformance")
        finally:
            process.terminate()


def _wait(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    end = time.monotonic() + START_TIMEOUT
    while time.monotonic() < end and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.1)
    raise ConformanceError(f"no server answers on port {port}", look=log, type_this="make conformance")


def write_images(directory: Path) -> Path:
    """The images in the form of moto's `MOTO_AMIS_PATH`."""
    images = []
    for name in IMAGES:
        images += json.loads(gzip.decompress(files("moto.ec2").joinpath("resources", name).read_bytes()))
    path = directory / "amis.json"
    path.write_text(json.dumps(images))
    return path
