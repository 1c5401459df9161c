"""Removing all that a local cloud made, by its label: it works whatever state the API's process left behind."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from localcloud import nftables
from localcloud.config import Settings
from localcloud.docker_host import DockerHost, DockerUnavailableError
from localcloud.host_names import HostNames
from localcloud.machine_images import MachineImages
from localcloud.nftables import PacketFilter
from localcloud.reconcilers.databases import snapshot_repository


def remove_everything(settings: Settings) -> list[str]:
    """Remove containers, networks and made images. Returns what was removed, in words.

    Without Docker there is nothing to remove; but where there is a home: DockerUnavailableError, and all is kept.
    """
    removed = []
    docker_host = None
    try:
        docker_host = DockerHost(settings)
    except DockerUnavailableError:
        if settings.home.exists():
            raise
    host_names = HostNames(settings, docker_host)
    if host_names.read():
        host_names.write({})
        removed.append("the names in /etc/hosts")
    if docker_host is None:
        return removed
    by_kind = docker_host.containers()
    # The packet filter goes last: no machine is open meanwhile.
    containers = [found for kind in by_kind if kind != nftables.KIND for found in by_kind[kind].values()]
    with ThreadPoolExecutor(max_workers=8) as pool:
        list(pool.map(lambda container: docker_host.remove_container(container.container_id), containers))
    if containers:
        removed.append(f"{len(containers)} machines")
    networks = docker_host.networks()
    for network_id in networks.values():
        docker_host.remove_network(network_id)
    if networks:
        removed.append(f"{len(networks)} networks")
    if PacketFilter(docker_host).remove():
        removed.append("the packet filter")
    images = docker_host.images(MachineImages(settings).repository) + docker_host.images(snapshot_repository(settings))
    for image in images:
        docker_host.remove_image(image)
    docker_host.prune_images()
    if images:
        removed.append(f"{len(images)} images")
    return removed
