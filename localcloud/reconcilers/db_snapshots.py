"""RDS snapshots: an image of the database's disk each.

The database stands still for the moment in which its disk is copied, so the image is what a storage snapshot is on
AWS: all that was committed before it, and PostgreSQL recovers it as after a crash.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

from localcloud import backends
from localcloud.backends import API_LOCK
from localcloud.controller import Action, Observed
from localcloud.docker_host import Container, DockerHost
from localcloud.overlay import rds_snapshots
from localcloud.reconcilers.databases import KIND, MISSING_DATA, snapshot_image, snapshot_repository

LOGGER = logging.getLogger(__name__)


class DbSnapshots:
    """Takes the snapshots, and removes the images that nothing needs any more."""

    def __init__(self, docker_host: DockerHost) -> None:
        self._docker = docker_host
        self._present: set[str] | None = None  # Docker's tags of our images, kept so that a pass needs no look-up

    def reconcile(self, observed: Observed) -> list[Action]:
        actions = []
        containers = observed.of_kind(KIND)
        needed = {container.image for container in containers.values()}
        for backend in backends.each("rds"):
            for database in backend.databases.values():
                if getattr(database, "restored_from", None) and database.status == "creating":
                    needed.add(snapshot_image(self._docker.settings, database.restored_from))
            for snapshot in backend.database_snapshots.values():
                if not rds_snapshots.is_real(snapshot):
                    continue
                needed.add(snapshot_image(self._docker.settings, snapshot.data_tag))
                key = snapshot.dbi_resource_id
                if not rds_snapshots.is_to_be_taken(snapshot):
                    if snapshot.status == "creating":  # a copy: its data is there
                        snapshot.status, snapshot.percent_progress = "available", 100
                elif key not in observed.busy:
                    # Under the database's key: nothing else may happen to it meanwhile.
                    take = functools.partial(self._take, snapshot, containers.get(key))
                    actions.append(Action(key, f"take snapshot {snapshot.db_snapshot_identifier}", take))
        if self._present is None:
            actions.append(Action("db-snapshots", "list the snapshots' images", self._list))
        else:
            for tag in sorted(self._present - needed):
                actions.append(Action(tag, "remove snapshot", functools.partial(self._remove, tag)))
        return actions

    def _take(self, snapshot: Any, container: Container | None) -> None:
        if container is None:
            LOGGER.error("snapshot %s: %s", snapshot.db_snapshot_identifier, MISSING_DATA)
            with API_LOCK:
                snapshot.status = "failed"
            return
        settings = self._docker.settings
        self._docker.commit(container.container_id, snapshot_repository(settings), snapshot.data_tag)
        if self._present is not None:
            self._present.add(snapshot_image(settings, snapshot.data_tag))
        with API_LOCK:
            snapshot.taken, snapshot.status, snapshot.percent_progress = True, "available", 100

    def _list(self) -> None:
        self._present = set(self._docker.images(snapshot_repository(self._docker.settings)))

    def _remove(self, tag: str) -> None:
        self._docker.remove_image(tag)
        if self._present is not None:
            self._present.discard(tag)
