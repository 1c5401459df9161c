"""What the local cloud needs of Docker, and no more.

Observations are plain values taken from one `docker ps`; actions are idempotent: removing what is gone, starting
what runs and creating what exists under the same name all succeed.
"""

from __future__ import annotations

import contextlib
import io
import ipaddress
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import docker
import docker.errors

from bootstrap.report import AdvisedError
from localcloud.config import LABEL_ID, LABEL_KIND, LABEL_PORT, Settings

# What systemd needs to boot as a container's init.
SYSTEM_CONTAINER: dict[str, Any] = {
    "cap_add": ["SYS_ADMIN", "NET_ADMIN"],
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    "cgroupns": "host",
    "binds": ["/sys/fs/cgroup:/sys/fs/cgroup:rw"],
    "tmpfs": {"/run": "", "/run/lock": "", "/tmp": ""},
    # Its console's output is kept by Docker.
    "log_config": {"type": "json-file", "config": {"max-size": "1m", "max-file": "1"}},
}


class DockerUnavailableError(AdvisedError):
    """No Docker engine answers."""


@dataclass(frozen=True)
class Container:
    """One of our containers, as the last look found it. `state` is Docker's: created, running, exited, …"""

    container_id: str
    kind: str
    resource_id: str
    state: str
    image: str
    created: float

    @property
    def running(self) -> bool:
        return self.state == "running"


@dataclass(frozen=True)
class Network:
    """Any of Docker's networks."""

    name: str
    labels: Mapping[str, str]


@dataclass(frozen=True)
class File:
    """A file to put into a container."""

    path: str
    content: bytes
    mode: int = 0o644
    uid: int = 0
    gid: int = 0


class DockerHost:
    """The Docker engine, seen through the labels of one local cloud."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        try:
            self.client = docker.from_env(timeout=600)
            self.client.ping()
        except (docker.errors.DockerException, OSError) as error:
            raise DockerUnavailableError(
                f"no Docker engine answers: {error}",
                look="docker info",
                type_this="make docker   (installs and starts one)",
            ) from error
        self.api: Any = self.client.api

    # -- observing ----------------------------------------------------------------------------------------------

    def containers(self) -> dict[str, dict[str, Container]]:
        """Our containers: kind -> resource id -> container."""
        found: dict[str, dict[str, Container]] = {}
        for row in self.api.containers(all=True, filters={"label": f"{LABEL_PORT}={self.settings.port}"}):
            labels = row["Labels"]
            container = Container(
                container_id=row["Id"],
                kind=labels.get(LABEL_KIND, ""),
                resource_id=labels.get(LABEL_ID, ""),
                state=row["State"],
                image=row["Image"],
                created=row["Created"],
            )
            found.setdefault(container.kind, {})[container.resource_id] = container
        return found

    def networks(self) -> dict[str, str]:
        """Our networks: resource id (VPC) -> Docker network id."""
        rows = self.api.networks(filters={"label": f"{LABEL_PORT}={self.settings.port}"})
        return {row["Labels"][LABEL_ID]: row["Id"] for row in rows}

    def events(self) -> Iterator[dict[str, Any]]:
        """Docker's events about our containers, as they happen. Ends when the engine goes away."""
        yield from self.api.events(
            decode=True, filters={"label": f"{LABEL_PORT}={self.settings.port}", "type": "container"}
        )

    # -- networks -----------------------------------------------------------------------------------------------

    def create_network(self, vpc_id: str, cidr: str, gateway: str) -> None:
        """A bridge network for a VPC; the machine itself is its gateway."""
        self.api.create_network(
            self.settings.resource_name(vpc_id),
            driver="bridge",
            check_duplicate=True,
            ipam=docker.types.IPAMConfig(pool_configs=[docker.types.IPAMPool(subnet=cidr, gateway=gateway)]),
            labels=self.settings.labels("vpc", vpc_id),
            options={"com.docker.network.bridge.name": self.settings.bridge_name(vpc_id)},
        )

    def network_over(self, cidr: str) -> Network | None:
        """A network of Docker's, whoever's, that has some of these addresses."""
        wanted = ipaddress.ip_network(cidr)
        for row in self.api.networks():
            subnets = [config["Subnet"] for config in row["IPAM"]["Config"] or [] if ":" not in config["Subnet"]]
            if any(wanted.overlaps(ipaddress.ip_network(subnet)) for subnet in subnets):
                return Network(row["Name"], row["Labels"] or {})
        return None

    def remove_network(self, network_id: str) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            self.api.remove_network(network_id)

    # -- containers ---------------------------------------------------------------------------------------------

    def create_container(
        self,
        kind: str,
        resource_id: str,
        image: str,
        *,
        vpc_id: str,
        ip_address: str,
        hostname: str | None = None,
        domain: str | None = None,
        aliases: list[str] | None = None,
        command: list[str] | None = None,
        environment: Mapping[str, str] | None = None,
        files: list[File] | None = None,
        mac_address: str | None = None,
        link_local_ips: list[str] | None = None,
        tty: bool = False,
        system: bool = False,
        **host_config: Any,
    ) -> str:
        """Create (not start) a container at a fixed address of a VPC's network; returns its id.

        `aliases` are DNS names inside the network. `system` boots systemd. `files` are there before it starts.
        `tty` gives it a console, whose output `console` reads.
        Raises docker.errors.APIError when Docker refuses (no such image, address in use, …).
        """
        options = {**(SYSTEM_CONTAINER if system else {}), **host_config}
        network = self.settings.resource_name(vpc_id)
        name = self.settings.resource_name(resource_id)
        self.remove_container(name)
        created = self.api.create_container(
            image,
            name=name,
            hostname=hostname,
            domainname=domain,
            command=command,
            environment=dict(environment or {}),
            labels=self.settings.labels(kind, resource_id),
            tty=tty,
            # Older engines take it from here, and only for the network of this name; newer ones from the endpoint.
            mac_address=mac_address,
            host_config=self.api.create_host_config(network_mode=network, **options),
            networking_config=self.api.create_networking_config(
                {
                    network: self.api.create_endpoint_config(
                        ipv4_address=ip_address,
                        aliases=aliases or [],
                        link_local_ips=link_local_ips,
                        mac_address=mac_address,
                    )
                }
            ),
        )
        container_id: str = created["Id"]
        if files:
            self.put_files(container_id, files)
        return container_id

    def create_helper(self, kind: str, image: str, command: list[str], files: list[File]) -> str:
        """Create (not start) a container that may change this machine's own network; returns its id."""
        name = self.settings.resource_name(kind)
        self.remove_container(name)
        options = {"network_mode": "host", "cap_drop": ["ALL"], "cap_add": ["NET_ADMIN"], "init": True}
        created = self.api.create_container(
            image,
            name=name,
            command=command,
            labels=self.settings.labels(kind, kind),
            host_config=self.api.create_host_config(**options),
        )
        container_id: str = created["Id"]
        self.put_files(container_id, files)
        return container_id

    def put_files(self, container_id: str, files: list[File]) -> None:
        """Write files into a container, running or not; parent directories are made."""
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as archive:
            for file in files:
                entry = tarfile.TarInfo(file.path.lstrip("/"))
                entry.size, entry.mode, entry.uid, entry.gid = len(file.content), file.mode, file.uid, file.gid
                entry.mtime = int(time.time())
                archive.addfile(entry, io.BytesIO(file.content))
        self.api.put_archive(container_id, "/", buffer.getvalue())

    def start(self, container_id: str) -> None:
        """Start a container. One whose network Docker lost is put into the one that was made instead."""
        try:
            self.api.start(container_id)
        except docker.errors.NotFound as error:
            if "network" not in str(error):
                raise
            self._join_networks_again(container_id)
            self.api.start(container_id)

    def _join_networks_again(self, container_id: str) -> None:
        """Join the networks that have the names, but not the ids, of a stopped container's networks."""
        networks = self.api.inspect_container(container_id)["NetworkSettings"]["Networks"]
        for name, endpoint in networks.items():
            addresses = endpoint["IPAMConfig"] or {}
            self.api.disconnect_container_from_network(container_id, name, force=True)
            self.api.connect_container_to_network(
                container_id,
                name,
                ipv4_address=addresses.get("IPv4Address"),
                link_local_ips=addresses.get("LinkLocalIPs"),
                aliases=[alias for alias in endpoint["Aliases"] or [] if not container_id.startswith(alias)],
            )

    def stop(self, container_id: str, timeout: int = 10) -> None:
        """Ask the container to shut down; after `timeout` seconds it is killed."""
        with contextlib.suppress(docker.errors.NotFound):
            self.api.stop(container_id, timeout=timeout)

    def restart(self, container_id: str, timeout: int = 10) -> None:
        self.api.restart(container_id, timeout=timeout)

    def remove_container(self, container_id: str) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            self.api.remove_container(container_id, force=True, v=True)

    def execute(self, container_id: str, command: list[str], user: str = "") -> tuple[int, str]:
        """Run a command in a container: (exit code, output of both streams)."""
        exec_id = self.api.exec_create(container_id, command, user=user)["Id"]
        output = self.api.exec_start(exec_id)
        return self.api.exec_inspect(exec_id)["ExitCode"], output.decode(errors="replace")

    def output(self, image: str, command: list[str]) -> str:
        """What a command says that is run in a container of its own, without a network."""
        labels = self.settings.labels("helper", "output")
        said: bytes = self.client.containers.run(image, command, labels=labels, network_mode="none", remove=True)
        return said.decode(errors="replace")

    def console(self, container_id: str, lines: int) -> bytes:
        """The last lines that a container wrote to its console; nothing when it is gone."""
        with contextlib.suppress(docker.errors.NotFound):
            return bytes(self.api.logs(container_id, tail=lines))
        return b""

    def pid(self, container_id: str) -> int:
        """Process id of the container's init on this machine, 0 when it does not run."""
        return int(self.api.inspect_container(container_id)["State"]["Pid"])

    # -- images -------------------------------------------------------------------------------------------------

    def images(self, repository: str) -> list[str]:
        """Tags of a repository: [`repository:tag`, …]."""
        rows = self.api.images(name=repository)
        return [tag for row in rows for tag in row["RepoTags"] or []]

    def commit(self, container_id: str, repository: str, tag: str) -> None:
        """Make an image of what is on a container's disk."""
        self.api.commit(container_id, repository=repository, tag=tag)

    def tag(self, image: str, repository: str, tag: str) -> bool:
        """Give an image one more tag; whether there is such an image."""
        try:
            self.api.tag(image, repository, tag)
        except docker.errors.ImageNotFound:
            return False
        return True

    def remove_image(self, image: str) -> None:
        """Remove an image's tag. Containers made from it keep their disk: it goes with a later `prune_images`."""
        with contextlib.suppress(docker.errors.ImageNotFound):
            self.api.remove_image(image, force=True)
        self.prune_images()

    def prune_images(self) -> None:
        """Remove this cloud's images that lost their tag while a container used them, and are no longer used."""
        # Docker takes the filter's values as lists of strings; docker-py makes them so.
        self.api.prune_images(filters={"dangling": True, "label": f"{LABEL_PORT}={self.settings.port}"})
