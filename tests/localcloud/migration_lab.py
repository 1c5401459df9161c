"""A place to migrate in: web2py and pydal at the versions that hosts get, and the local cloud's PostgreSQL."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import importlib
import os
import pickle
import shutil
import subprocess
import sys
import tarfile
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import yaml
from running_cloud import PROJECT_ROOT, docker
from waiting import wait_until

from localcloud import base_images

CACHE = PROJECT_ROOT / ".cache"
SCRIPT = PROJECT_ROOT / "roles/migration/files/web2py_migrate.py"
CONTAINER = f"migration-test-{os.getpid()}"
USER = "web2py"
# Durable it needn't be.
START = """
initdb --pgdata /tmp/data --username postgres --auth trust --encoding UTF8 > /dev/null &&
echo 'host all all all trust' >> /tmp/data/pg_hba.conf &&
exec postgres -D /tmp/data -c fsync=off -c listen_addresses='*' -c unix_socket_directories=/tmp
"""
# Like the application's own: models/db.py with the fields that a test wants.
MODEL = """
from gluon.contrib.appconfig import AppConfig

db = DAL(AppConfig().get("db.uri"), pool_size=1, migrate_enabled=False)
"""


@dataclass(frozen=True)
class Result:
    """A finished run of the migration: exit status, lines on stdout, all of stderr."""

    status: int
    lines: list[str]
    errors: str

    @property
    def outcome(self) -> str:
        return self.lines[-1] if self.lines else self.errors

    @property
    def statements(self) -> list[str]:
        """What was executed."""
        return [line for line in self.lines[:-1] if not line.startswith(("left over", "left as it is"))]


class Version:
    """A version of the application that serves requests: it changes no schema."""

    def __init__(self, uri: str, tables: str) -> None:
        pydal: Any = importlib.import_module("pydal")  # of install_packages
        self.db: Any = pydal.DAL(uri, migrate_enabled=False)
        exec(textwrap.dedent(tables), {"db": self.db, "Field": pydal.Field})

    def insert(self, **values: Any) -> dict[str, Any]:
        """Insert a row and read it back, as a request would."""
        row_id = self.db.thing.insert(**values)
        self.db.commit()
        row: dict[str, Any] = self.db.thing(row_id).as_dict()
        self.db.commit()
        return row

    def __enter__(self) -> Version:
        return self

    def __exit__(self, *_error: object) -> None:
        self.db.close()


@dataclass
class Application:
    """An application with a database of its own."""

    name: str
    home: Path
    packages: Path
    host: str

    @property
    def uri(self) -> str:
        return f"postgres://{USER}@{self.host}:5432/{self.name}"

    @property
    def directory(self) -> Path:
        return self.home / "applications" / self.name

    def models(self, *tables: str) -> None:
        """Write one model file for each argument; the first makes the connection."""
        shutil.rmtree(self.directory / "models", ignore_errors=True)
        (self.directory / "models").mkdir(parents=True)
        for number, text in enumerate(tables):
            content = (MODEL if number == 0 else "") + textwrap.dedent(text)
            (self.directory / f"models/db{number}.py").write_text(content)

    def dump(self, *options: str) -> str:
        """What pg_dump makes of the database. The path is PostgreSQL's."""
        path = f"/tmp/{self.name}.dump"
        command = ["pg_dump", "--host=/tmp", "--username=postgres", "--format=custom", f"--file={path}", *options]
        docker("exec", CONTAINER, *command, self.name)
        return path

    def start(self, *options: str) -> subprocess.Popen[str]:
        """Begin a migration; `finish` waits for it."""
        # pg_restore must be as new as the PostgreSQL that made the dump.
        programs = self.home / "bin"
        programs.mkdir(exist_ok=True)
        program = programs / "pg_restore"
        program.write_text(f'#!/bin/sh\nexec docker exec {CONTAINER} pg_restore "$@"\n')
        program.chmod(0o755)
        return subprocess.Popen(
            [sys.executable, str(SCRIPT), f"--web2py={self.home}", f"--application={self.name}", *options],
            env={
                **os.environ,
                "PATH": f"{programs}:{os.environ['PATH']}",
                "PYTHONPATH": str(self.packages),
                "PYTHONDONTWRITEBYTECODE": "",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *options: str) -> Result:
        return finish(self.start(*options))

    def check(self, *options: str) -> str:
        """What --check says. It must leave everything as it is."""
        before = self.state()
        result = self.run("--check", *options)
        assert result.status == 0, result.errors
        assert self.state() == before
        return result.outcome

    def migrate(self, *tables: str) -> Result:
        """Change the models and migrate, which must succeed."""
        self.models(*tables)
        result = self.run()
        assert result.status == 0, result.errors
        return result

    def grow(self, tables: str) -> None:
        """Migrate as on the one machine of the application: by pydal itself, with the history in files."""
        pydal: Any = importlib.import_module("pydal")  # of install_packages
        with contextlib.closing(pydal.DAL(self.uri, folder=str(self.directory / "databases"))) as db:
            exec(tables, {"db": db, "Field": pydal.Field, "now": datetime.datetime(2020, 1, 1)})
            db.commit()

    def history_in_files(self) -> dict[str, Any]:
        """What pydal knows of the tables that `grow` has made, by their names."""
        files = (self.directory / "databases").glob("*.table")
        return {file.stem.partition("_")[2]: pickle.loads(file.read_bytes()) for file in files}

    def history(self) -> dict[str, Any]:
        """The same of those that the migration has made."""
        rows = self.query("SELECT path, content FROM web2py_filesystem WHERE path LIKE '%.table'")
        return {path.removesuffix(".table").partition("_")[2]: pickle.loads(bytes(content)) for path, content in rows}

    def write_history(self, tables: dict[str, Any]) -> None:
        """Make it what the migration knows of these tables."""
        if not tables:
            return
        self.query("CREATE TABLE web2py_filesystem (path VARCHAR(255), content BYTEA, PRIMARY KEY (path))")
        with self.session() as connection, connection.cursor() as cursor:
            for name, fields in tables.items():
                row = (f"web2py_{name}.table", pickle.dumps(fields))
                cursor.execute("INSERT INTO web2py_filesystem VALUES (%s, %s)", row)

    @contextlib.contextmanager
    def session(self) -> Iterator[Any]:
        """A session of the application's role, in autocommit mode."""
        with contextlib.closing(psycopg2.connect(host=self.host, user=USER, dbname=self.name)) as connection:
            connection.autocommit = True
            yield connection

    def query(self, statement: str) -> list[tuple[Any, ...]]:
        with self.session() as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return list(cursor.fetchall()) if cursor.description else []

    def state(self) -> tuple[Any, ...]:
        """The schema and the history of its tables, as far as a migration may change them."""
        columns = self.query(
            "SELECT table_name, column_name, data_type, character_maximum_length, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
        )
        known = self.query("SELECT to_regclass('web2py_filesystem')::text")[0][0]
        history = self.query("SELECT path, md5(content) FROM web2py_filesystem ORDER BY path") if known else []
        return columns, history

    def columns_of(self, table: str) -> list[tuple[Any, ...]]:
        """A table's part of the schema."""
        return [column for column in self.state()[0] if column[0] == table]

    def column(self, name: str) -> tuple[str, str] | None:
        """Type (with length) and nullability (YES, NO) of a column of the table `thing`."""
        found = self.query(
            "SELECT concat_ws(' ', data_type, character_maximum_length), is_nullable FROM information_schema.columns"
            f" WHERE table_name = 'thing' AND column_name = '{name}'"
        )
        return (found[0][0], found[0][1]) if found else None


def finish(process: subprocess.Popen[str]) -> Result:
    output, errors = process.communicate(timeout=60)
    return Result(process.returncode, output.splitlines(), errors)


@contextlib.contextmanager
def postgresql() -> Iterator[str]:
    """The address of a PostgreSQL that is gone afterwards."""
    base_images.build_missing()
    docker("run", "--detach", "--rm", "--name", CONTAINER, base_images.POSTGRESQL.tag, "sh", "-c", START)
    try:
        address = docker("inspect", "--format", "{{.NetworkSettings.IPAddress}}", CONTAINER).strip()

        def accepts() -> bool:
            with contextlib.suppress(psycopg2.OperationalError):
                administrate(address, f"CREATE ROLE {USER} LOGIN")
                return True
            return False

        wait_until(accepts, 60, what="PostgreSQL accepts connections")
        yield address
    finally:
        subprocess.run(["docker", "rm", "--force", CONTAINER], check=False, capture_output=True)


def administrate(host: str, statement: str) -> None:
    connection = psycopg2.connect(host=host, user="postgres", dbname="postgres", connect_timeout=5)
    with contextlib.closing(connection):
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)


def pins() -> dict[str, str]:
    """The versions that hosts get."""
    values: dict[str, str] = yaml.safe_load((PROJECT_ROOT / "roles/web2py/defaults/main.yml").read_text())
    return values


def install_packages() -> Path:
    """A directory with web2py's libraries from PyPI; kept, as it takes a while."""
    names = {"pydal": "pydal", "yatl": "yatl", "rocket3": "rocket3", "psycopg2-binary": "psycopg2"}
    wanted = [f"{package}=={pins()[f'web2py_{name}_version']}" for package, name in names.items()]
    digest = hashlib.sha256(f"{wanted} {sys.version_info[:2]}".encode()).hexdigest()[:12]
    directory = CACHE / f"web2py-packages-{digest}"
    if not directory.exists():
        partial = directory.with_name(f"{directory.name}.{os.getpid()}")
        subprocess.run(
            [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(partial), *wanted],
            check=True,
        )
        partial.rename(directory)
    return directory


def unpack_web2py(home: Path) -> None:
    """web2py as on a host, with what the role puts beside it."""
    _unpack_release(home)
    for module in (PROJECT_ROOT / "roles/web2py/files").glob("web2py_shared*.py"):
        shutil.copy(module, home)


def _unpack_release(home: Path) -> None:
    """From the archive that a deployment has left, or from its repository."""
    archive = CACHE / f"web2py-{pins()['web2py_commit']}.tar.gz"
    if archive.exists():
        with tarfile.open(archive) as contents:
            contents.extractall(home, filter="data")
        return
    clone = ["git", "clone", "--quiet", "--depth=1", f"--branch=v{pins()['web2py_version']}"]
    subprocess.run([*clone, pins()["web2py_repository"], str(home)], check=True)
    commit = subprocess.run(["git", "-C", str(home), "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert commit.stdout.strip() == pins()["web2py_commit"]
