"""One connection per process to the database, with every wait bounded.

web2py's usual db.py makes a DAL and its tables for each request, asks the database whether the connection lives, opens a
transaction and commits it. Here the DAL is made once per process and each statement commits by itself: a request costs
one round trip, and no answer is given before the row is safe.
"""

import logging
import select
import socket
import time

import psycopg2
import psycopg2.errors
import psycopg2.extensions
from gluon.contrib.appconfig import AppConfig
from pydal.migrator import InDBMigrator

# Raised by a statement when the database, or the way to it, fails.
# A missing table is one that the migration is still to make.
ERRORS = (psycopg2.OperationalError, psycopg2.InterfaceError, psycopg2.errors.UndefinedTable)

# Seconds to connect, and for the answer to a statement: whoever asks gets his 503 within two seconds. Less than uwsgi_queue_seconds:
# when a database that hangs holds all processes, the requests behind them that need none are still served.
CONNECT_TIMEOUT = 1
ANSWER_TIMEOUT = 1.5
# Seconds for which a process does not try again after a failed connection: a database that hangs must not take the
# processes from requests that don't need it.
PAUSE = 1
# A network that swallows everything is noticed after 10 + 3 * 2 seconds.
KEEPALIVE = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 2, "keepalives_count": 3}

_db = None
_paused_until = 0.0


class Unavailable(Exception):
    """The database can't be reached."""


def for_a_shell(DAL):
    """A DAL as web2py usually has it, for a migration and for whoever looks around; nothing is in a hurry there."""
    return _make(DAL, {"connect_timeout": 10})


def of_this_process(DAL, define_tables):
    """The DAL of this process, connected; Unavailable when the database can't be reached.

    `define_tables(db)` is called once.
    """
    global _db, _paused_until
    if time.monotonic() < _paused_until:
        raise Unavailable
    try:
        if _db is None:
            db = _make_quick(DAL)
            define_tables(db)
            # web2py closes what was made during a request at its end, so the next request opens it again. That stays open.
            _db = db
        elif _is_closed(_db._adapter.get_connection()):
            drop(_db)
            _db._adapter.get_connection()
        return _db
    except (OSError, RuntimeError, *ERRORS) as error:
        _paused_until = time.monotonic() + PAUSE
        if _db is not None:
            # pydal keeps a connection that failed while it was set up, and would never make another.
            drop(_db)
        # pydal's message ends with what the driver said, which has no password in it.
        logging.getLogger("web2py.app").error("No database: %s", str(error).strip().splitlines()[-1])
        raise Unavailable from error


def drop(db):
    """Give a failed connection up, so that the next request starts with a good one."""
    db._adapter.close(None)


def _make_quick(DAL):
    psycopg2.extensions.set_wait_callback(_wait)
    # DAL() sleeps for a second when it can't connect, and this process would serve nobody meanwhile.
    _knock()
    options = "-c statement_timeout=%d" % (1000 * ANSWER_TIMEOUT)
    return _make(DAL, {"connect_timeout": CONNECT_TIMEOUT, "options": options}, _commit_each_statement)


def _make(DAL, driver_args, after_connection=None):
    return DAL(
        _uri(),
        attempts=1,
        migrate_enabled=bool(AppConfig().get("db.migrate")),
        # The schema's history is kept in the database, so no machine holds what a later migration needs.
        adapter_args={"migrator": InDBMigrator},
        driver_args={**KEEPALIVE, **driver_args},
        after_connection=after_connection,
    )


def _uri():
    uri = AppConfig().get("db.uri")
    if not uri:
        raise OSError("private/appconfig.ini names no database: [db] uri")
    return uri


def _knock():
    address = _uri().rsplit("@", 1)[-1].split("/", 1)[0]
    host, _, port = address.partition(":")
    socket.create_connection((host, int(port or 5432)), CONNECT_TIMEOUT).close()


def _commit_each_statement(adapter):
    adapter.connection.autocommit = True


def _is_closed(connection):
    """By us, or by the server: a connection that waits for nothing and yet has something to read got its farewell."""
    if connection.closed:
        return True
    ready = select.poll()
    ready.register(connection.fileno(), select.POLLIN)
    return bool(ready.poll(0))


def _wait(connection):
    """psycopg2 waits for the server here. Its own timeouts count on a server, or a kernel, that still answers; a
    process that hangs (or a machine that stands still) takes a request with it for ever otherwise."""
    connecting = connection.status == psycopg2.extensions.STATUS_SETUP
    seconds = CONNECT_TIMEOUT if connecting else ANSWER_TIMEOUT
    deadline = time.monotonic() + seconds
    while True:
        state = connection.poll()
        if state == psycopg2.extensions.POLL_OK:
            return
        ready = select.poll()
        ready.register(connection.fileno(), select.POLLIN if state == psycopg2.extensions.POLL_READ else select.POLLOUT)
        if not ready.poll(1000 * max(0, deadline - time.monotonic())):
            raise psycopg2.OperationalError("no answer within %s s" % seconds)
