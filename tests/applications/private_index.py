"""A package index that asks for a password, on this machine, for the hosts of a local cloud."""

from __future__ import annotations

import configparser
import http.server
import json
import secrets
import shutil
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from outside import outside_address
from project_copy import PROJECT_ROOT

USER = "library"


@dataclass(frozen=True)
class Index:
    """`environment`: that of a user whose pip has this index, beside the one that it has anyway.

    `asked`: the paths that somebody with the password has got.
    """

    password: str
    environment: dict[str, str]
    asked: list[str]


def build(packages: Path, directory: Path) -> None:
    """The wheels of these packages, as PEP 503 lays them out: a directory for each name."""
    # setuptools builds in the directory itself, so not in the one that they are kept in.
    sources, wheels = shutil.copytree(packages, directory / "sources"), directory / "wheels"
    for source in sources.iterdir():
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", wheels, source]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    for wheel in list(wheels.iterdir()):
        name = directory / "simple" / wheel.name.partition("-")[0].replace("_", "-")
        name.mkdir(parents=True, exist_ok=True)
        wheel.rename(name / wheel.name)


@contextmanager
def serve(packages: Path, directory: Path, port: int) -> Iterator[Index]:
    """An index of these packages (directories with a pyproject.toml), which hosts of the local cloud on `port` reach.

    `directory` is for what is served.
    """
    build(packages, directory)
    password = secrets.token_urlsafe()
    expected = f"Basic {b64encode(f'{USER}:{password}'.encode()).decode()}"
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(directory))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            if secrets.compare_digest(self.headers.get("Authorization", ""), expected):
                asked.append(self.path)
                super().do_GET()
            else:
                self.send_response(401)
                self.send_header("WWW-Authenticate", 'Basic realm="packages"')
                self.send_header("Content-Length", "0")
                self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with outside_address(port) as address, http.server.ThreadingHTTPServer((address, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        host = f"{address}:{server.server_port}"
        try:
            yield Index(password, beside_what_pip_has(f"http://{USER}:{password}@{host}/simple", address), asked)
        finally:
            server.shutdown()


def beside_what_pip_has(index: str, host: str) -> dict[str, str]:
    """A variable of the environment replaces what a file says."""
    command = [sys.executable, PROJECT_ROOT / "roles/builders/files/pip_settings.py"]
    said = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    has = configparser.ConfigParser(interpolation=None)
    has.read_string(said["pip.conf"] or "[global]")
    return {
        "PIP_EXTRA_INDEX_URL": f"{has.get('global', 'extra-index-url', fallback='')} {index}".strip(),
        "PIP_TRUSTED_HOST": f"{has.get('global', 'trusted-host', fallback='')} {host}".strip(),
    }
