"""Instance metadata and S3: on each VPC's network a HAProxy that passes requests on to this process.

It owns 169.254.169.254; and as S3 it is found by name, at the address that AWS keeps of each VPC (`metadata_address`).
Who may reach that follows from routes and security groups, as with S3's own addresses (`traffic.py`).

Instances reach the address over a link route that their image brings, so it works without any other way out. HAProxy
waits for a controller that is starting, so an instance hardly notices that it was restarted.
"""

from __future__ import annotations

import functools
from typing import Any

from localcloud import backends
from localcloud.base_images import HAPROXY
from localcloud.controller import Action, Observed
from localcloud.docker_host import Container, DockerHost, File
from localcloud.instance_metadata import ADDRESS_HEADER, VPC_HEADER
from localcloud.overlay.interfaces import metadata_address
from localcloud.vpc_services import METADATA_SOCKET, S3_SOCKET

KIND = "instance-metadata"
ADDRESS = "169.254.169.254"
CONFIG_FILE = "/etc/localcloud/metadata.cfg"
DIRECTORY = "/run/localcloud"
CONFIG = f"""\
global
  nbthread 1
  maxconn 500
defaults
  mode http
  timeout connect 1s
  timeout client 10s
  timeout http-request 10s
  timeout server 30s
  retries 30
  option http-server-close
frontend metadata
  bind {ADDRESS}:80
  http-request set-header {ADDRESS_HEADER} %[src]
  http-request set-header {VPC_HEADER} {{vpc_id}}
  http-response set-header Server EC2ws
  default_backend metadata
backend metadata
  server controller unix@{DIRECTORY}/{METADATA_SOCKET}
frontend s3
  bind {{address}}:80
  default_backend s3
backend s3
  server controller unix@{DIRECTORY}/{S3_SOCKET}
"""


def s3_name(vpc: Any) -> str:
    """The name of S3 in a VPC's region."""
    return f"s3.{vpc.ec2_backend.region_name}.amazonaws.com"


class Metadata:
    """Runs the HAProxies, one per network."""

    def __init__(self, docker_host: DockerHost) -> None:
        self._docker = docker_host
        self._directory = docker_host.settings.metadata_directory

    def reconcile(self, observed: Observed) -> list[Action]:
        vpcs = {vpc.id: vpc for backend in backends.each("ec2") for vpc in backend.vpcs.values()}
        containers = observed.of_kind(KIND)
        actions = []
        for vpc_id in observed.networks:
            container = containers.get(f"metadata-{vpc_id}")
            if vpc_id in vpcs and vpc_id not in observed.busy and (container is None or not container.running):
                address = metadata_address(vpcs[vpc_id].cidr_block)
                start = functools.partial(self._start, vpc_id, address, s3_name(vpcs[vpc_id]), container)
                actions.append(Action(f"metadata-{vpc_id}", "start the metadata service", start))
        for key, container in containers.items():
            if key.removeprefix("metadata-") not in vpcs:
                remove = functools.partial(self._docker.remove_container, container.container_id)
                actions.append(Action(key, "remove the metadata service", remove))
        return actions

    def _start(self, vpc_id: str, address: str, name: str, container: Container | None) -> None:
        if container is not None:
            self._docker.start(container.container_id)
            return
        container_id = self._docker.create_container(
            KIND,
            f"metadata-{vpc_id}",
            HAPROXY.tag,
            vpc_id=vpc_id,
            ip_address=address,
            aliases=[name],
            link_local_ips=[ADDRESS],
            command=["haproxy", "-db", "-f", CONFIG_FILE],
            files=[File(CONFIG_FILE, CONFIG.format(vpc_id=vpc_id, address=address).encode())],
            binds=[f"{self._directory}:{DIRECTORY}"],
        )
        self._docker.start(container_id)
