"""The connection to the database, with every wait bounded."""

import logging
import select
import socket
import time

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from gluon.contrib.appconfig import AppConfig
from gluon.globals import current
from pydal.connection import ConnectionPool
from pydal.migrator import InDBMigrator

# Raised by a query or a commit when the database, or the way to it, fails.
# A missing table is one that the migration is still to make.
ERRORS = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.UndefinedTable)

# Seconds to connect, and for a statement.
CONNECT_TIMEOUT = 2
STATEMENT_TIMEOUT = 5
# Seconds for which a process does not try again after a failed connection: longer after a failure that took long, since
# a database that hangs must not take the processes from requests that don't need it.
SHORTEST_PAUSE, LONGEST_PAUSE = 1, 5

_paused_until = 0.0


class Unavailable(Exception):
    """The database can't be reached."""


def connect(DAL):
    """web2py's DAL on the database that private/appconfig.ini names."""
    global _paused_until
    started = time.monotonic()
    if started < _paused_until:
        raise Unavailable
    if not current.request.is_shell:  # a migration may take its time
        psycopg2.extensions.set_wait_callback(_wait)
    configuration = AppConfig()
    uri = configuration.get("db.uri")
    try:
        if not uri:
            raise OSError("private/appconfig.ini names no database: [db] uri")
        if not ConnectionPool.POOLS.get(uri):
            # DAL() sleeps for a second when it can't connect, and this process would serve nobody meanwhile.
            _knock(uri)
        return DAL(
            uri,
            attempts=1,
            pool_size=int(configuration.get("db.pool_size") or 1),
            migrate_enabled=bool(configuration.get("db.migrate")),
            # The schema's history is kept in the database, so no machine holds what a later migration needs.
            adapter_args={"migrator": InDBMigrator},
            driver_args={
                "connect_timeout": CONNECT_TIMEOUT,
                "keepalives": 1,
                "keepalives_idle": 10,
                "keepalives_interval": 2,
                "keepalives_count": 3,
                "tcp_user_timeout": 1000 * STATEMENT_TIMEOUT,
                "options": "-c statement_timeout=%d" % (1000 * STATEMENT_TIMEOUT),
            },
        )
    except (OSError, RuntimeError) as error:
        now = time.monotonic()
        _paused_until = now + min(LONGEST_PAUSE, max(SHORTEST_PAUSE, 3 * (now - started)))
        # pydal's message ends with what the driver said, which has no password in it.
        logging.getLogger("web2py.app").error("No database: %s", str(error).strip().splitlines()[-1])
        raise Unavailable from error


def drop(db):
    """Give a failed connection up, so that the next request starts with a good one."""
    db._adapter.close("rollback")


def _knock(uri):
    address = uri.rsplit("@", 1)[-1].split("/", 1)[0]
    host, _, port = address.partition(":")
    socket.create_connection((host, int(port or 5432)), CONNECT_TIMEOUT).close()


def _wait(connection):
    """psycopg2 waits for the server here. Its own timeouts count on a server, or a kernel, that still answers; a
    process that hangs (or a machine that stands still) takes a request with it for ever otherwise."""
    connecting = connection.status == psycopg2.extensions.STATUS_SETUP
    seconds = CONNECT_TIMEOUT if connecting else STATEMENT_TIMEOUT + 1
    deadline = time.monotonic() + seconds
    while True:
        state = connection.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        ready = select.poll()
        ready.register(connection.fileno(), select.POLLIN if state == psycopg2.extensions.POLL_READ else select.POLLOUT)
        if not ready.poll(1000 * max(0, deadline - time.monotonic())):
            raise psycopg2.OperationalError("no answer within %d s" % seconds)
