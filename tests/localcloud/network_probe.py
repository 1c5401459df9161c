"""How the tests look at what goes through: connections from instances and from this machine."""

from __future__ import annotations

import contextlib
import socket
import subprocess
from collections.abc import Iterator

from outside import outside_address
from running_cloud import Cloud, docker
from waiting import wait_until

SSH = 22  # what listens on every instance
# Answers each line with the same line, for a connection that stays open.
ECHO = """
import socketserver
class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)
socketserver.ThreadingTCPServer(("", PORT), Echo).serve_forever()
"""


def reaches(cloud: Cloud, instance_id: str, address: str, port: int = SSH) -> bool:
    """Whether a connection from an instance is accepted within two seconds."""
    command = f"timeout 2 bash -c '</dev/tcp/{address}/{port}'"
    arguments = ["docker", "exec", cloud.container(instance_id), "bash", "-c", command]
    return subprocess.run(arguments, check=False, capture_output=True).returncode == 0


def this_machine_reaches(address: str, port: int = SSH) -> bool:
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def wait_for_listener(cloud: Cloud, instance_id: str, port: int = SSH) -> None:
    """Wait until the instance itself listens there, whoever may connect."""
    wait_until(lambda: reaches(cloud, instance_id, "127.0.0.1", port), what=f"{instance_id} listens on {port}")


def start_echo(cloud: Cloud, instance_id: str, port: int) -> None:
    code = ECHO.replace("PORT", str(port))
    docker("exec", "--detach", cloud.container(instance_id), "python3", "-c", code)
    wait_for_listener(cloud, instance_id, port)


@contextlib.contextmanager
def outside_listener(cloud: Cloud) -> Iterator[tuple[str, int]]:
    """A listener on an address of this machine that is in no VPC: the world outside."""
    with outside_address(cloud.port) as address, socket.create_server((address, 0)) as server:
        yield address, server.getsockname()[1]
