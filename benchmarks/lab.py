"""One host of the fleet with its database, without a cloud around them: two containers from the local cloud's images.

The benchmarks measure in it, tests/webtier breaks things in it, and molecule tests the roles in it, with

    python -m benchmarks.lab up|down NAME
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import docker.errors
import psycopg2

from localcloud import base_images
from localcloud.docker_host import SYSTEM_CONTAINER
from localcloud.metrics import CpuMeter

PROJECT_ROOT = Path(__file__).resolve().parents[1]
DATABASE = USER = "web2py"
PASSWORD = "only-in-a-container"  # noqa: S105 -- nothing but this machine can reach it

# Durable as RDS is: fsync and synchronous_commit are PostgreSQL's defaults. The first start makes the database.
RUN_DATABASE = f"""
set -e
data=/var/lib/postgresql/lab
if [ ! -e $data/PG_VERSION ]; then
  initdb --pgdata $data --username postgres --auth trust --encoding UTF8 > /dev/null
  echo "host all all all trust" >> $data/pg_hba.conf
  postgres --single -D $data postgres <<< "CREATE ROLE {USER} LOGIN" > /dev/null
  postgres --single -D $data postgres <<< "CREATE DATABASE {DATABASE} OWNER {USER}" > /dev/null
fi
exec postgres -D $data -c listen_addresses='*' -c unix_socket_directories=/tmp
"""
# As the role migration makes it.
SCHEMA = 'CREATE TABLE IF NOT EXISTS "date_time" ("id" SERIAL PRIMARY KEY, "date_time" TIMESTAMP NOT NULL)'


class LabError(RuntimeError):
    """The lab could not be set up."""


class Lab:
    """The host and its database; `address` is the host's, `database_address` PostgreSQL's."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._docker: Any = docker.from_env(timeout=600)
        self._cpu = CpuMeter()
        self.host: Any = None
        self.database: Any = None
        self._images: list[str] = []

    @contextlib.contextmanager
    def running(self) -> Iterator[Lab]:
        """Make both with the application's table, and remove them at the end."""
        try:
            self.make()
            self.sql(SCHEMA)
            yield self
        finally:
            self.remove()

    def make(self) -> None:
        """Make both, in place of what there is of this name. The host's container is called as the lab is."""
        base_images.build_missing()
        self.remove()
        self._docker.networks.create(self.name)
        self.database = self._docker.containers.run(
            base_images.POSTGRESQL.tag,
            ["bash", "-c", RUN_DATABASE],
            name=f"{self.name}-database",
            hostname="database",
            network=self.name,
            detach=True,
        )
        self.host = self._run_host(self.name, base_images.HOST.tag)
        wait_until(self._database_answers, "PostgreSQL answers")

    def beside(self) -> Lab:
        """Another instance of what the host is now, with the same database. `remove` removes it, too."""
        name = f"{self.name}-2"
        self._remove_container(name)  # an earlier one
        image = self.host.commit()
        self._images.append(image.id)
        second = copy.copy(self)
        second.host = second._run_host(name, image.id)
        return second

    def _run_host(self, name: str, image: str) -> Any:
        # docker-py has other names for two of the options than Docker's API.
        options = {key: value for key, value in SYSTEM_CONTAINER.items() if key not in {"binds", "cgroupns"}}
        return self._docker.containers.run(
            image,
            name=name,
            hostname="host",
            network=self.name,
            detach=True,
            volumes=SYSTEM_CONTAINER["binds"],
            cgroupns=SYSTEM_CONTAINER["cgroupns"],
            **options,
        )

    def _remove_container(self, name: str) -> None:
        with contextlib.suppress(docker.errors.NotFound):
            self._docker.containers.get(name).remove(force=True, v=True)

    def remove(self) -> None:
        """Remove what an earlier lab of this name left, too."""
        for name in (self.name, f"{self.name}-2", f"{self.name}-database"):
            self._remove_container(name)
        while self._images:
            self._docker.images.remove(self._images.pop(), force=True)
        # Docker's filter finds longer names, too.
        for network in self._docker.networks.list(names=[self.name]):
            if network.name == self.name:
                network.remove()

    @property
    def address(self) -> str:
        return self._address(self.host)

    @property
    def database_address(self) -> str:
        return self._address(self.database)

    @property
    def gateway(self) -> str:
        """The address of this machine in the lab's network."""
        return str(self._docker.networks.get(self.name).attrs["IPAM"]["Config"][0]["Gateway"])

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def _address(self, container: Any) -> str:
        container.reload()
        return str(container.attrs["NetworkSettings"]["Networks"][self.name]["IPAddress"])

    def play(self, playbook: Path, **variables: object) -> str:
        """Run a playbook on the host, and return its output. Raises LabError with the end of it."""
        given = {
            "web2py_app_db_host": "database",
            "web2py_app_db_name": DATABASE,
            "web2py_app_db_user": USER,
            "web2py_app_db_password": PASSWORD,
            **variables,
        }
        ansible_playbook = Path(sys.executable).with_name("ansible-playbook")
        command = [str(ansible_playbook), "-i", f"{self.host.name},", str(playbook)]
        # As options and not as variables: some of the roles' tasks are for the control machine.
        command += ["--connection", "community.docker.docker", "--user", "root"]
        done = subprocess.run(
            [*command, "-e", json.dumps(given)],
            cwd=PROJECT_ROOT,
            # One `docker exec` for each task instead of five.
            env={
                **os.environ,
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "ANSIBLE_PIPELINING": "true",
            },
            capture_output=True,
            text=True,
        )
        if done.returncode != 0:
            raise LabError(f"{playbook.name} failed:\n{done.stdout[-5000:]}\n{done.stderr[-2000:]}")
        return done.stdout

    def run(self, *command: str) -> str:
        """Output of a command on the host; LabError when it fails."""
        code, output = self.host.exec_run(list(command))
        if code != 0:
            raise LabError(f"{' '.join(command)}: exit code {code}\n{output.decode(errors='replace')}")
        return str(output.decode(errors="replace"))

    def sql(self, statement: str, user: str = USER) -> list[tuple[Any, ...]]:
        """Run a statement in the database, past the host, and return its rows."""
        connection = psycopg2.connect(host=self.database_address, user=user, dbname=DATABASE, connect_timeout=5)
        with contextlib.closing(connection), connection.cursor() as cursor:
            connection.autocommit = True
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    def cpu_seconds(self) -> float:
        """CPU time that both containers have used so far."""
        used = [self._cpu.used(container.id) for container in (self.host, self.database)]
        if None in used:
            raise LabError("the CPU time of the containers can't be read from their cgroups")
        return sum(value for value in used if value is not None)

    def _database_answers(self) -> bool:
        with contextlib.suppress(psycopg2.OperationalError):
            self.sql("SELECT 1")
            return True
        return False


def wait_until(look: Callable[[], object], what: str, timeout: float = 180) -> None:
    """Return once `look()` is true; LabError after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not look():
        if time.monotonic() > deadline:
            raise LabError(f"not within {timeout} s: {what}")
        time.sleep(0.1)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A host with its database, in two containers.")
    parser.add_argument("what", choices=("up", "down"))
    parser.add_argument("name", help="of the host's container")
    arguments = parser.parse_args()
    lab = Lab(arguments.name)
    if arguments.what == "up":
        lab.make()
    else:
        lab.remove()
