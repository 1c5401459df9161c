"""Print, as JSON, what the local cloud needs to know about this machine before it starts.

Arguments: the VPC's CIDR, the API's port, the Docker socket's path. Only the standard library, and nothing is changed.
"""

from __future__ import annotations

import http.client
import ipaddress
import json
import os
import shutil
import socket
import sys
from typing import Any


class DockerConnection(http.client.HTTPConnection):
    """HTTP over Docker's unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self) -> None:
        """Connect to the socket instead of to a TCP port."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def docker_get(path: str, url: str) -> Any:
    """Answer of Docker's API as decoded JSON; OSError when Docker doesn't answer with 200."""
    connection = DockerConnection(path)
    try:
        connection.request("GET", url)
        response = connection.getresponse()
        body = response.read()
    except http.client.HTTPException as error:
        raise OSError(f"not an HTTP answer: {error}") from error
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise OSError(f"HTTP {response.status}: {body[:200].decode(errors='replace')}")
    return json.loads(body)


def is_own(networks: dict[str, dict[str, Any]], interface: str, port: int) -> bool:
    """Whether a bridge belongs to the local cloud on this port."""
    network = networks.get(interface)
    return network is not None and (network.get("Labels") or {}).get("localcloud.port") == str(port)


def bridges(networks: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Docker's networks by the name of their bridge interface."""
    return {
        (network.get("Options") or {}).get("com.docker.network.bridge.name", f"br-{network['Id'][:12]}"): network
        for network in networks
    }


def conflicts(cidr: str, port: int, networks: list[dict[str, Any]]) -> list[str]:
    """What else uses addresses of the CIDR: routes of this machine and networks of Docker, in words."""
    wanted = ipaddress.ip_network(cidr, strict=False)
    by_bridge = bridges(networks)
    found = []
    for interface, network in by_bridge.items():
        for config in (network.get("IPAM") or {}).get("Config") or []:
            subnet = ipaddress.ip_network(config["Subnet"], strict=False)
            if subnet.version == wanted.version and subnet.overlaps(wanted) and not is_own(by_bridge, interface, port):
                found.append(f"Docker network {network['Name']} ({subnet})")
    with open("/proc/net/route", encoding="ascii") as routes:
        for line in routes.readlines()[1:]:
            interface, destination, _gateway, _flags, _refs, _use, _metric, mask = line.split()[:8]
            # Addresses are 32-bit words in the machine's byte order: little-endian on all that run this.
            address = ipaddress.ip_address(int.from_bytes(bytes.fromhex(destination), "little"))
            prefix = int.from_bytes(bytes.fromhex(mask), "little").bit_count()
            if prefix == 0 or interface in by_bridge:
                continue
            route = ipaddress.ip_network((address, prefix), strict=False)
            if route.overlaps(wanted):
                found.append(f"route {route} on interface {interface}")
    return found


def listening(port: int) -> bool:
    """Whether something accepts connections on the port of the loopback address."""
    with socket.socket() as probe:
        probe.settimeout(2)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def is_local_cloud(port: int) -> bool:
    """Whether what listens there is a local cloud."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/localcloud/ready")
        return connection.getresponse().read().startswith(b"ready\n")
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def available_memory() -> int:
    """Memory that can be used without swapping, in MiB."""
    with open("/proc/meminfo", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) // 1024
    return 0


def main() -> None:
    """Collect and print."""
    cidr, port, docker_socket = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    machine: dict[str, Any] = {
        "docker_error": "",
        "conflicts": [],
        "port_in_use": listening(port),
        "local_cloud_runs": is_local_cloud(port),
        "memory_mib": available_memory(),
    }
    try:
        root = docker_get(docker_socket, "/info")["DockerRootDir"]
        machine["conflicts"] = conflicts(cidr, port, docker_get(docker_socket, "/networks"))
    except OSError as error:
        machine["docker_error"] = str(error)
        root = "/var/lib"
    # Docker may keep its files where only root can look: then the nearest directory above counts.
    while not os.path.exists(root):
        root = os.path.dirname(root)
    machine["disk_path"], machine["disk_mib"] = root, shutil.disk_usage(root).free // 2**20
    print(json.dumps(machine))


if __name__ == "__main__":
    main()
