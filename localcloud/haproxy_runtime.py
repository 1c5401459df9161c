"""A running HAProxy, through its runtime sockets: what it measured, targets that come and go, reloads."""

from __future__ import annotations

import contextlib
import csv
import os
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from localcloud.haproxy import (
    ADMIN_SOCKET,
    CONFIG_FILE,
    DIRECTORY,
    MASTER_SOCKET,
    STATE_FILE,
    Server,
    TargetGroup,
    open_options,
    server_options,
)

RELOAD_TIMEOUT = 30  # seconds for a new process to read the configuration
MASTER_WAIT = 5  # seconds for the master process to listen; it does not while it starts itself anew
REMOVAL_WAIT = 2  # seconds for a removed server's connections to end, once they were told to
ADMIN_MAINTENANCE = 0x01  # bit of srv_admin_state


class HAProxyError(RuntimeError):
    """HAProxy does not answer, or refuses what it was told."""


class ConfigurationRefusedError(HAProxyError):
    """HAProxy refuses its configuration; `lines` are the lines' numbers, from 1."""

    def __init__(self, answer: str) -> None:
        super().__init__(f"HAProxy refuses its configuration: {answer}")
        self.lines = {int(number) for number in re.findall(rf"\[{DIRECTORY}/{CONFIG_FILE}:(\d+)\]", answer)}


@dataclass(frozen=True)
class ServerStatus:
    """A line of `show stat`. `status` is UP, DOWN, MAINT, DRAIN, `no check`; `check` such as L7OK, L7STS, L4TOUT."""

    backend: str
    name: str
    status: str
    check: str
    check_code: str
    sessions: int
    starting: bool = False  # it is in its slow start

    @property
    def up(self) -> bool:
        return self.status.startswith("UP")

    @property
    def down(self) -> bool:
        return self.status.startswith("DOWN")


class Runtime:
    """A running HAProxy, through the sockets in its directory (as seen from this machine)."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def command(self, command: str, timeout: float = 5, name: str = ADMIN_SOCKET) -> str:
        """Send a command and return the answer. Raises HAProxyError when nobody answers within `timeout` seconds."""
        try:
            with self._connect(name, timeout) as connection:
                connection.sendall(command.encode() + b"\n")
                answer = b""
                while part := connection.recv(65536):
                    answer += part
        except OSError as error:
            raise HAProxyError(f"HAProxy does not answer at {self._directory / name}: {error}") from error
        return answer.decode().strip()

    @contextlib.contextmanager
    def _connect(self, name: str, timeout: float) -> Iterator[socket.socket]:
        # A socket's path may have 107 bytes; through the directory's descriptor it is short wherever the project lies.
        directory = os.open(self._directory, os.O_PATH)
        try:
            with socket.socket(socket.AF_UNIX) as connection:
                connection.settimeout(timeout)
                connection.connect(f"/proc/self/fd/{directory}/{name}")
                yield connection
        finally:
            os.close(directory)

    def answers(self) -> bool:
        try:
            return self.command("show version", timeout=1) != ""
        except HAProxyError:
            return False

    def servers(self) -> dict[str, dict[str, ServerStatus]]:
        """Backend name -> server name -> status."""
        found: dict[str, dict[str, ServerStatus]] = {}
        text = self.command("show stat -1 4 -1")
        for row in csv.DictReader(text.removeprefix("# ").splitlines()):
            status = ServerStatus(
                backend=row["pxname"],
                name=row["svname"],
                status=row["status"],
                check=row["check_status"].removeprefix("* "),
                check_code=row["check_code"],
                sessions=int(row["scur"] or 0),
                starting=row["throttle"] not in ("", "100%"),
            )
            found.setdefault(status.backend, {})[status.name] = status
        return found

    def admin_states(self) -> dict[tuple[str, str], int]:
        """(backend, server) -> the bits of its administrative state; 0 is ready."""
        states = {}
        for line in self.command("show servers state").splitlines():
            columns = line.split()
            if len(columns) > 6 and not line.startswith("#"):
                states[columns[1], columns[3]] = int(columns[6])
        return states

    def save_state(self) -> None:
        """Write what the next process takes over."""
        (self._directory / STATE_FILE).write_text(self.command("show servers state") + "\n")

    def reload(self) -> None:
        """Replace the process by one with the configuration on disk. Raises HAProxyError with HAProxy's own words."""
        deadline = time.monotonic() + MASTER_WAIT
        while True:
            try:
                answer = self.command("reload", timeout=RELOAD_TIMEOUT, name=MASTER_SOCKET)
                break
            except HAProxyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.1)
        if not answer.startswith("Success=1"):
            raise ConfigurationRefusedError(answer)

    # -- targets

    def add(self, group: TargetGroup, server: Server, slow_start: bool = True) -> None:
        """Add a target. It gets no request until its health check has passed."""
        options = server_options(group, server, slow_start)
        self._expect("New server registered", f"add server {group.name}/{server.name} {options}")
        self.put_in_service(group.name, server.name)

    def put_in_service(self, backend: str, name: str) -> None:
        """Let the health checks decide about a target from now on, beginning with `down`."""
        target = f"{backend}/{name}"
        # HAProxy takes a server that leaves maintenance for healthy. Without weight that does no harm.
        self._expect("", f"set server {target} weight 0")
        self._expect("", f"enable health {target}")
        self._expect("", f"set server {target} state ready")
        self._expect("", f"set server {target} health down")
        self._expect("", f"set server {target} weight 100%")

    def add_open(self, group: TargetGroup, server: Server) -> None:
        """Add a target to the backend for when all are unhealthy."""
        target = f"{group.open_name}/{server.name}"
        self._expect("New server registered", f"add server {target} {open_options(group, server)}")
        self._expect("", f"set server {target} state ready")

    def drain(self, backend: str, name: str) -> None:
        """No new requests, not even of clients that stay with this target; those in flight go on."""
        self._expect("", f"set server {backend}/{name} state maint")

    def declare_healthy(self, backend: str, name: str) -> None:
        self._expect("", f"set server {backend}/{name} health up")

    def remove(self, backend: str, name: str) -> None:
        """Remove a target; what is in flight is cut off."""
        target = f"{backend}/{name}"
        self._expect("", f"set server {target} state maint")
        self._expect("", f"shutdown sessions server {target}")
        self.command(f"wait {REMOVAL_WAIT}s srv-removable {target}", timeout=REMOVAL_WAIT + 5)
        self._expect("Server deleted", f"del server {target}")

    def _expect(self, expected: str, command: str) -> None:
        answer = self.command(command)
        if answer != expected and not (expected and answer.startswith(expected)):
            raise HAProxyError(f"{command}: {answer or 'no answer'}")
