"""The load balancers' DNS names on this machine: a marked block of /etc/hosts per local cloud.

The file is written in place, never replaced by another: it may be a mount, and others may hold it open. A lock on it
keeps several local clouds from overwriting each other's blocks.
"""

from __future__ import annotations

import fcntl
import os
import re
import threading
from collections.abc import Mapping
from pathlib import Path

import docker
import docker.errors

from bootstrap.report import advice
from localcloud.base_images import HAPROXY
from localcloud.config import Settings
from localcloud.docker_host import DockerHost

HOSTS_FILE = Path("/etc/hosts")
# What the helper does where only root may write the file: the same, with sh.
HELPER = r"""
set -eu
exec 9<>/hosts
flock 9
rest=$(sed "/^# $NAME begin/,/^# $NAME end/d" /hosts)
printf '%s\n%s' "$rest" "$BLOCK" > /hosts
"""


class HostNamesError(RuntimeError):
    """The names could not be written."""


class HostNames:
    """The block of one local cloud."""

    def __init__(self, settings: Settings, docker_host: DockerHost | None, path: Path = HOSTS_FILE) -> None:
        self._name = f"localcloud-{settings.port}"
        self._docker = docker_host
        self._path = path
        self._lock = threading.Lock()

    def read(self) -> dict[str, str]:
        """What the block says now: name -> address."""
        found = {}
        block = self._pattern().search(self._path.read_text())
        for line in block.group(0).splitlines() if block else []:
            address, *names = line.split()
            if address != "#":
                found.update(dict.fromkeys(names, address))
        return found

    def write(self, names: Mapping[str, str]) -> None:
        """Make the block say this; no names, no block. Raises HostNamesError with what to type."""
        with self._lock:
            if self.read() == dict(names):
                return
            if os.access(self._path, os.W_OK):
                self._write_directly(self._block(names))
            else:
                self._write_by_helper(self._block(names))

    def _pattern(self) -> re.Pattern[str]:
        return re.compile(rf"^# {self._name} begin.*?^# {self._name} end[^\n]*\n?", re.DOTALL | re.MULTILINE)

    def _block(self, names: Mapping[str, str]) -> str:
        if not names:
            return ""
        lines = [f"{address} {name}" for name, address in sorted(names.items())]
        return "\n".join([f"# {self._name} begin", *lines, f"# {self._name} end", ""])

    def _write_directly(self, block: str) -> None:
        with self._path.open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            content = self._pattern().sub("", file.read())
            if content and not content.endswith("\n"):
                content += "\n"
            # One write, then the cut: a reader never finds the file empty.
            encoded = (content + block).encode()
            os.pwrite(file.fileno(), encoded, 0)
            os.ftruncate(file.fileno(), len(encoded))

    def _write_by_helper(self, block: str) -> None:
        problem: Exception | str = "no Docker"
        if self._docker is not None:
            try:
                self._docker.client.containers.run(
                    HAPROXY.tag,
                    ["sh", "-c", HELPER],
                    environment={"NAME": self._name, "BLOCK": block},
                    volumes=[f"{self._path}:/hosts"],
                    network_disabled=True,
                    remove=True,
                )
                return
            except docker.errors.DockerException as error:
                problem = error
        raise HostNamesError(
            advice(
                f"{self._path} could not be written: {problem}",
                look=f"ls -l {self._path}",
                type_this="Put these lines there yourself:",
            )
            + f"\n{block}"
        )
