"""The application's database, for what web2py itself keeps there: one connection per process, with every wait bounded
(but that for the address of its name).

It is not the application's connection: what is written here is committed by each statement, whatever becomes of the
application's transaction. psycopg2's asynchronous mode is used, because only there a wait has an end that counts on
neither the server nor its kernel, and says nothing about the application's own connections.
"""

import configparser
import logging
import select
import time
import urllib.parse

import psycopg2
import psycopg2.extensions

# Seconds to connect, and for the answer to a statement. Less than uwsgi_queue_seconds: when a database that hangs holds
# all processes, the requests behind them that need none are still served.
CONNECT_SECONDS = 1
ANSWER_SECONDS = 1.5
# Seconds for which a process does not try again after a failed connection.
PAUSE = 1
# A network that swallows everything is noticed after 10 + 3 * 2 seconds.
KEEPALIVE = {"keepalives": 1, "keepalives_idle": 10, "keepalives_interval": 2, "keepalives_count": 3}
# The server notices as soon that this host has gone, and gives its locks to others.
SERVER = {
    "statement_timeout": int(1000 * ANSWER_SECONDS),
    "tcp_keepalives_idle": 10,
    "tcp_keepalives_interval": 2,
    "tcp_keepalives_count": 3,
}

LOGGER = logging.getLogger("web2py.shared")


class UnavailableError(Exception):
    """The database can't be reached, or did not do as told; the reason is in the log."""


class Database:
    """The database that a `private/appconfig.ini` names."""

    def __init__(self, settings):
        self._settings = settings
        self._connection = None
        self._paused_until = 0.0
        self._locks = set()

    def execute(self, statement, arguments=(), seconds=ANSWER_SECONDS):
        """The rows that a statement returns, or the number of those that it changed. Raises UnavailableError."""
        try:
            connection = self._connected()
            with connection.cursor() as cursor:
                cursor.execute(statement, arguments)
                _wait(connection, seconds)
                return cursor.fetchall() if cursor.description else cursor.rowcount
        except psycopg2.Error as error:
            # After any other error the connection is as good as before.
            if isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError):
                self.close()
            raise _unavailable(error) from error

    def close(self):
        """The next statement makes another connection. Advisory locks are given up."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
            self._locks.clear()

    def lead(self, lock):
        """Whether this process is the one of the fleet that has the lock, for as long as its connection lives."""
        if lock not in self._locks or self._connection is None or _is_closed(self._connection):
            ((taken,),) = self.execute("SELECT pg_try_advisory_lock(%s)", [lock])
            if taken:
                self._locks.add(lock)
            return taken
        return True

    def _connected(self):
        if self._connection is not None and _is_closed(self._connection):
            self.close()
        if self._connection is None:
            if time.monotonic() < self._paused_until:
                raise UnavailableError
            try:
                self._connection = _connect(self._settings)
            except psycopg2.Error:
                self._paused_until = time.monotonic() + PAUSE
                raise
        return self._connection


def uri(settings):
    """The address as `[db] uri` of a `private/appconfig.ini` has it; "" when there is none."""
    configuration = configparser.RawConfigParser(strict=False)
    configuration.read(settings)
    return configuration.get("db", "uri", fallback="")


def address(settings):
    """The same, as psycopg2 takes it. psycopg2.OperationalError: it names no database."""
    # pydal decodes nothing in its address either.
    parts = urllib.parse.urlsplit(uri(settings))
    if not parts.hostname:
        raise psycopg2.OperationalError(f"{settings} names no database: [db] uri")
    return {
        "host": parts.hostname,
        "port": parts.port or 5432,
        "user": parts.username,
        "password": parts.password,
        "dbname": parts.path.lstrip("/"),
    }


def _connect(settings):
    connection = psycopg2.connect(
        **address(settings),
        options=" ".join(f"-c {name}={value}" for name, value in SERVER.items()),
        async_=True,
        **KEEPALIVE,
    )
    try:
        _wait(connection, CONNECT_SECONDS)
    except psycopg2.Error:
        connection.close()
        raise
    return connection


def _wait(connection, seconds):
    """Until the server has answered. psycopg2.OperationalError: it has not within so many seconds."""
    deadline = time.monotonic() + seconds
    ready = select.poll()
    while (state := connection.poll()) != psycopg2.extensions.POLL_OK:
        ready.register(connection.fileno(), select.POLLIN if state == psycopg2.extensions.POLL_READ else select.POLLOUT)
        if not ready.poll(1000 * max(0, deadline - time.monotonic())):
            raise psycopg2.OperationalError(f"no answer within {seconds} s")
        ready.unregister(connection.fileno())


def _is_closed(connection):
    """By us, or by the server: a connection that waits for nothing and yet has something to read got its farewell."""
    if connection.closed:
        return True
    ready = select.poll()
    ready.register(connection.fileno(), select.POLLIN)
    return bool(ready.poll(0))


def _unavailable(error):
    # What the driver says has no password in it.
    reason = str(error).strip().splitlines()[:1]
    LOGGER.error("No database: %s", *reason or [type(error).__name__])
    return UnavailableError(*reason)
