"""AMIs: CreateImage commits the instance's disk to a Docker image; DeregisterImage removes it."""

from __future__ import annotations

import functools
import logging
from typing import Any

from localcloud import backends
from localcloud.backends import API_LOCK
from localcloud.controller import Action, Observed
from localcloud.docker_host import Container, DockerHost
from localcloud.machine_images import MachineImages
from localcloud.reconcilers import instances

LOGGER = logging.getLogger(__name__)


class Amis:
    def __init__(self, docker_host: DockerHost, images: MachineImages) -> None:
        self._docker = docker_host
        self._images = images
        self._present: set[str] | None = None  # Docker's tags of our images, kept so that a pass needs no look-up

    def reconcile(self, observed: Observed) -> list[Action]:
        actions = []
        containers = observed.of_kind(instances.KIND)
        for backend in backends.each("ec2"):
            for image in backend.amis.values():
                source = getattr(image, "copied_from", None)
                if image.state == "pending" and source:
                    copy = functools.partial(self._copy, image, source)
                    actions.append(Action(image.id, f"copy image {source} as {image.id}", copy))
                elif image.state == "pending" and image.instance_id not in observed.busy:
                    # Under the instance's key: nothing else may happen to it while it is imaged.
                    create = functools.partial(self._create, image, containers.get(image.instance_id))
                    actions.append(Action(image.instance_id, f"create image {image.id}", create))
        if self._present is None:
            actions.append(Action("images", "list images", self._list))
        else:
            for tag in sorted(self._present - self._images.known_tags()):
                actions.append(Action(tag, "remove image", functools.partial(self._remove, tag)))
        return actions

    def _create(self, image: Any, container: Container | None) -> None:
        if container is None:
            LOGGER.error("%s: the instance %s is gone", image.id, image.instance_id)
            with API_LOCK:
                image.state = "failed"
            return
        reboot = container.running and image.reboot_instance
        if reboot:
            self._docker.stop(container.container_id, instances.STOP_TIMEOUT)
        try:
            self._docker.commit(container.container_id, self._images.repository, image.id)
        finally:
            if reboot:
                self._docker.start(container.container_id)
        with API_LOCK:
            image.state = "available"
        if self._present is not None:
            self._present.add(self._images.docker_image(image.id))

    def _copy(self, image: Any, source: str) -> None:
        """Have the copy be what the source is now, whatever becomes of that."""
        there = self._docker.tag(self._images.docker_image(source), self._images.repository, image.id)
        if not there:
            LOGGER.error("%s: the image %s, which it is to be a copy of, is gone", image.id, source)
        with API_LOCK:
            image.state = "available" if there else "failed"
        if there and self._present is not None:
            self._present.add(self._images.docker_image(image.id))

    def _list(self) -> None:
        self._present = set(self._docker.images(self._images.repository))

    def _remove(self, tag: str) -> None:
        self._docker.remove_image(tag)
        if self._present is not None:
            self._present.discard(tag)
