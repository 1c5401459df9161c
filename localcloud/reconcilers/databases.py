"""RDS PostgreSQL: a container with a real PostgreSQL each, at an address of the DB subnet group."""

from __future__ import annotations

import datetime
import functools
import logging
import re
import time
from collections.abc import Callable
from typing import Any

import docker.errors

from localcloud import backends
from localcloud.backends import API_LOCK
from localcloud.base_images import POSTGRESQL
from localcloud.config import Settings
from localcloud.controller import Action, Observed
from localcloud.docker_host import Container, DockerHost, File
from localcloud.overlay import rds, rds_snapshots, rds_versions
from localcloud.overlay.interfaces import delete_interface
from localcloud.reconcilers import networks

LOGGER = logging.getLogger(__name__)
KIND = "database"
SETTINGS = "/etc/localcloud"
HOME = "/var/lib/postgresql/rds"
POSTGRES_UID = 999  # of the user postgres in the image
START_TIMEOUT = 120  # seconds from the start of the container to the first accepted connection
STOP_TIMEOUT = 60  # seconds for a fast shutdown, which writes a checkpoint
SHARED_MEMORY = 256 * 1024 * 1024  # bytes; parallel queries need more than Docker's 64 MiB

# Transitional states that end with a server that accepts connections.
STARTING = ("creating", "starting", "rebooting", "modifying")
RUNNING = (*STARTING, "available", "resetting-master-credentials")
VERSION_COMMAND = ["postgres", "--version"]
MISSING_DATA = "its container is gone, and with it the data"


class Databases:
    """Makes, stops, starts, reboots, changes and removes the databases."""

    def __init__(self, docker_host: DockerHost) -> None:
        self._docker = docker_host
        rds_versions.read_version_with(functools.cache(self._image_version))

    def reconcile(self, observed: Observed) -> list[Action]:
        actions = []
        containers = observed.of_kind(KIND)
        known = set()
        for backend in backends.each("rds"):
            for database in backend.databases.values():
                if not rds.is_real(database):
                    continue
                key = database.dbi_resource_id
                known.add(key)
                if key not in observed.busy:
                    action = self._reconcile_one(database, containers.get(key), observed)
                    if action:
                        actions.append(action)
        actions += [
            Action(
                key, "remove what no instance stands for", functools.partial(self._docker.remove_container, key_of(c))
            )
            for key, c in containers.items()
            if key not in known
        ]
        return actions

    def _reconcile_one(self, database: Any, container: Container | None, observed: Observed) -> Action | None:
        if rds_snapshots.has_snapshot_to_be_taken(database):
            return None  # that comes first
        if database.status == "backing-up":
            database.status = "available"
        if database.status == "available":
            rds.apply_pending_changes(database, datetime.datetime.now(datetime.UTC))
        if database.status == "available" and database.restart_wanted:
            database.status = "modifying"
        key, status = database.dbi_resource_id, database.status
        what: Callable[[], None] | None = None
        if status == "deleting":
            what = functools.partial(self._delete, database, container)
        elif container is None:
            if status == "creating":
                vpc_id = database.interface.subnet.vpc_id
                if vpc_id in observed.networks:
                    what = functools.partial(self._run, database, None)
                elif vpc_id in networks.unavailable:
                    rds.fail_for_network(database, networks.unavailable[vpc_id])
                    LOGGER.error("%s: %s", database.db_instance_identifier, networks.unavailable[vpc_id])
            elif status not in ("failed", rds.INCOMPATIBLE_NETWORK):
                LOGGER.error("%s: %s", database.db_instance_identifier, MISSING_DATA)
                database.status = "failed"
        elif status in STARTING:
            what = functools.partial(self._run, database, container)
        elif status == "stopping" or (status == "stopped" and container.running):
            what = functools.partial(self._stop, database, container)
        elif status in RUNNING and not container.running:
            what = functools.partial(self._run, database, container)
            status = "start again"
        elif status == "resetting-master-credentials":
            what = functools.partial(self._change_password, database, container)
        elif status == "available" and database.live_parameters != rds.immediate_parameters(database):
            what = functools.partial(self._apply_parameters, database, container)
            status = "apply parameters"
        return Action(key, f"{database.db_instance_identifier}: {status}", what) if what else None

    # -- actions, outside the lock --------------------------------------------------------------------------------

    def _run(self, database: Any, container: Container | None) -> None:
        """Bring the server up, whatever there is of it; then it is available."""
        with API_LOCK:
            began_as = database.status
            new_values = began_as in STARTING
            values = rds.parameter_values(rds.wanted_parameters(database)) if new_values else database.live_parameters
            if new_values:
                database.restart_wanted = False  # from here on another one may be asked for
            settings = settings_files(database, values)
            made_anew = began_as == "creating" and database.restored_from is None
            first = first_start_files(database) if made_anew else []
            request = {
                "image": self._image(database),
                "vpc_id": database.interface.subnet.vpc_id,
                "ip_address": database.interface.private_ip_address,
                "aliases": [database.address],
            }
        if container is None:
            try:
                container_id = self._docker.create_container(
                    KIND, database.dbi_resource_id, files=[*settings, *first], shm_size=SHARED_MEMORY, **request
                )
            except docker.errors.ImageNotFound:
                LOGGER.error("%s: the snapshot's data is gone", database.db_instance_identifier)
                with API_LOCK:
                    database.status = "incompatible-restore"
                return
        else:
            container_id = container.container_id
            if container.running and began_as in ("rebooting", "modifying"):
                self._docker.stop(container_id, STOP_TIMEOUT)
            if not (container.running and began_as == "creating"):
                self._docker.put_files(container_id, [*settings, *first])
        self._docker.start(container_id)
        accepts = self._wait_for_connections(container_id, database.port)
        version = self._version(container_id) if accepts and began_as == "creating" else ""
        last_words = "" if accepts else self._last_words(container_id)
        with API_LOCK:
            if database.status not in (began_as, "available"):  # deleted meanwhile, for one
                return
            if accepts:
                # A password that is still to be set stays so.
                database.status = began_as if began_as == "resetting-master-credentials" else "available"
                database.live_parameters = values
                if version:
                    note_version(database, version)
                if began_as == "creating" and database.restored_from and database.manage_master_user_password:
                    database.status = "resetting-master-credentials"  # the snapshot has the old one
            elif "No space left on device" in last_words:
                database.status = "storage-full"
            elif began_as != "creating":
                database.status = "incompatible-parameters"
            else:
                database.status = "failed"
        if not accepts:
            name = self._docker.settings.resource_name(database.dbi_resource_id)
            LOGGER.error(
                "%s is %s: PostgreSQL does not accept connections; its last words: %s; look: docker logs %s",
                database.db_instance_identifier,
                database.status,
                last_words,
                name,
            )

    def _image(self, database: Any) -> str:
        """The image that a database's machine starts from: ours, or the snapshot that it is restored from."""
        if database.restored_from is None:
            return POSTGRESQL.tag
        return snapshot_image(self._docker.settings, database.restored_from)

    def _version(self, container_id: str) -> str:
        """PostgreSQL's version, such as 17.6."""
        _code, output = self._docker.execute(container_id, VERSION_COMMAND)
        return version_in(output)

    def _image_version(self) -> str:
        """The version in the image that databases start from."""
        return version_in(self._docker.output(POSTGRESQL.tag, VERSION_COMMAND))

    def _last_words(self, container_id: str) -> str:
        """The last line of the server's log, or the last one that says why it gave up."""
        lines: list[str] = self._docker.api.logs(container_id, tail=5).decode(errors="replace").strip().splitlines()
        return next((line for line in reversed(lines) if "FATAL" in line or "PANIC" in line), (lines or [""])[-1])

    def _wait_for_connections(self, container_id: str, port: int) -> bool:
        deadline = time.monotonic() + START_TIMEOUT
        while time.monotonic() < deadline:
            if not self._docker.pid(container_id):
                return False
            code, _output = self._docker.execute(
                container_id, ["pg_isready", "--quiet", "--host", "127.0.0.1", "--port", str(port)]
            )
            if code == 0:
                return True
            time.sleep(0.2)
        return False

    def _stop(self, database: Any, container: Container) -> None:
        self._docker.stop(container.container_id, STOP_TIMEOUT)
        with API_LOCK:
            if database.status == "stopping":
                database.status = "stopped"

    def _delete(self, database: Any, container: Container | None) -> None:
        if container:
            self._docker.remove_container(container.container_id)
        with API_LOCK:
            delete_interface(database.interface)
            databases = database.backend.databases
            if databases.get(database.db_instance_identifier) is database:
                del databases[database.db_instance_identifier]

    def _change_password(self, database: Any, container: Container) -> None:
        with API_LOCK:
            password = rds.master_password(database)
            statement = f"ALTER ROLE {identifier(database.master_username)} PASSWORD {literal(password)};\n"
        path = f"{SETTINGS}/password.sql"
        self._docker.put_files(container.container_id, [owned(path, statement)])
        # A file, and one that is gone at once: a command line could be read by others.
        command = (
            f"psql --quiet --no-psqlrc --set ON_ERROR_STOP=1 --host /tmp --port {database.port} "
            f"--username rdsadmin --file {path} postgres; code=$?; rm -f {path}; exit $code"
        )
        code, output = self._docker.execute(container.container_id, ["sh", "-c", command])
        if code:
            raise RuntimeError(f"the master user's password could not be changed: {output.splitlines()[0]}")
        with API_LOCK:
            if database.status == "resetting-master-credentials" and rds.master_password(database) == password:
                database.status = "available"

    def _apply_parameters(self, database: Any, container: Container) -> None:
        with API_LOCK:
            values = rds.immediate_parameters(database)
            files = settings_files(database, values)
        self._docker.put_files(container.container_id, files)
        self._docker.api.kill(container.container_id, "HUP")
        with API_LOCK:
            database.live_parameters = values


def key_of(container: Container) -> str:
    return container.container_id


def snapshot_repository(settings: Settings) -> str:
    """Docker repository of the snapshots' images."""
    return f"localcloud-{settings.port}/db-snapshot"


def snapshot_image(settings: Settings, data_tag: str) -> str:
    """The Docker image that holds a snapshot's data."""
    return f"{snapshot_repository(settings)}:{data_tag}"


def version_in(text: str) -> str:
    found = re.search(r"\d+\.\d+", text)
    return found.group() if found else ""


def note_version(database: Any, version: str) -> None:
    """Report the minor version that runs where none was asked for; under the lock."""
    if "." not in database.engine_version:
        database.engine_version = version
    elif database.engine_version != version:
        LOGGER.warning(
            "%s: PostgreSQL %s was asked for and is what the API says; what runs is %s",
            database.db_instance_identifier,
            database.engine_version,
            version,
        )


# -- files, under the lock --------------------------------------------------------------------------------------------


def owned(path: str, content: str) -> File:
    """A file that only PostgreSQL's user can read."""
    return File(path, content.encode(), mode=0o600, uid=POSTGRES_UID, gid=POSTGRES_UID)


def settings_files(database: Any, values: dict[str, str]) -> list[File]:
    """PostgreSQL's configuration for a parameter group's values."""
    force_ssl = values.get("rds.force_ssl", "1") in ("1", "on", "true")  # on by default since PostgreSQL 15
    connection = "hostssl" if force_ssl else "host"
    fixed = {
        "data_directory": f"{HOME}/data",
        "hba_file": f"{SETTINGS}/pg_hba.conf",
        "ident_file": f"{SETTINGS}/pg_ident.conf",
        "listen_addresses": "*",
        "port": str(database.port),
        "unix_socket_directories": "/tmp",
        "ssl": "on",
        "ssl_cert_file": f"{HOME}/server.crt",
        "ssl_key_file": f"{HOME}/server.key",
        "log_timezone": "UTC",
    }
    lines = [
        f"{name} = {literal(value)}"
        for name, value in {"timezone": "UTC", **postgresql_settings(values), **fixed}.items()
    ]
    hba = ["local all rdsadmin peer map=rds", "host all rdsadmin all reject", f"{connection} all all all scram-sha-256"]
    return [
        owned(f"{SETTINGS}/postgresql.conf", "\n".join(lines) + "\n"),
        owned(f"{SETTINGS}/pg_hba.conf", "\n".join(hba) + "\n"),
        owned(f"{SETTINGS}/pg_ident.conf", "rds postgres rdsadmin\n"),
        owned(f"{SETTINGS}/endpoint", database.address + "\n"),
    ]


def postgresql_settings(values: dict[str, str]) -> dict[str, str]:
    """A parameter group's values as PostgreSQL's settings.

    Left out: parameters of RDS itself (`rds.…`), except `rds.logical_replication`, and formulas such as
    `{DBInstanceClassMemory/9531392}`, whose terms have no meaning here.
    """
    settings = {name: value for name, value in values.items() if not name.startswith("rds.") and "{" not in value}
    if values.get("rds.logical_replication") in ("1", "on", "true"):
        settings["wal_level"] = "logical"
    return settings


def first_start_files(database: Any) -> list[File]:
    """What is done once: the master user, its rights as on RDS, and its database. One statement per line."""
    master = identifier(database.master_username)
    instance = [
        "CREATE ROLE rds_superuser NOLOGIN",
        "GRANT pg_monitor, pg_signal_backend, pg_checkpoint, pg_read_all_data, pg_write_all_data TO rds_superuser "
        "WITH ADMIN OPTION",
        f"CREATE ROLE {master} LOGIN CREATEROLE CREATEDB PASSWORD {literal(rds.master_password(database))}",
        f"GRANT rds_superuser TO {master} WITH ADMIN OPTION",
        f"ALTER DATABASE postgres OWNER TO {master}",
    ]
    databases = []
    if database.db_name and database.db_name != "postgres":
        databases.append(f"CREATE DATABASE {identifier(database.db_name)} OWNER {master}")
    return [
        owned(f"{SETTINGS}/instance.sql", "".join(f"{statement};\n" for statement in instance)),
        owned(f"{SETTINGS}/database.sql", "".join(f"{statement};\n" for statement in databases)),
    ]


def identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string of SQL, and of postgresql.conf."""
    return "'" + text.replace("'", "''") + "'"
