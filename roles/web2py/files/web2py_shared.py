"""What an application keeps beside its tables is the same on every instance of the fleet.

web2py keeps it in files of the machine, and a fleet has many machines that come and go. The settings are those of the
role web2py_app (SETTINGS, in web2py's directory); without them web2py is left as it is.
"""

import configparser
import contextlib
import datetime
import functools
import hmac
import inspect
import json
import re
import time
import urllib.parse
from pathlib import Path

import web2py_shared_database
import web2py_shared_sessions
import web2py_shared_tickets
import web2py_shared_uploads
from psycopg2 import sql

SETTINGS = "web2py_shared.json"

# Any fixed number does; it names the lock among the database's advisory locks. web2py_migrate.py has another.
CLEANING = 0x7765623270797B
# Rows removed by one statement, seconds that it may take, and seconds after which the rest waits for the next time.
ROWS = 1000
STATEMENT_SECONDS = 10
CLEANING_SECONDS = 5

# Tickets that are kept, whatever their age: an error in each request makes many, of some 30 KB each.
MOST_TICKETS = 10_000

EXPIRED = """
SET LOCAL statement_timeout = {milliseconds};
DELETE FROM {table} WHERE id IN (SELECT id FROM {table} WHERE {condition} LIMIT {rows})
"""
EXPIRED_SESSION = sql.SQL("modified_datetime < %s")
EXPIRED_TICKET = sql.SQL("created_datetime < %s OR id <= (SELECT max(id) FROM {table}) - {most}")


class Shared:
    """An application's settings and its database, below web2py's directory."""

    def __init__(self, home="."):
        path = Path(home, SETTINGS)
        self.settings = json.loads(path.read_text()) if path.exists() else {}
        self.application = self.settings.get("application", "")
        self.private = Path(home, "applications", self.application, "private")
        self.database = web2py_shared_database.Database(self.private / "appconfig.ini")

    def has(self, what, store):
        """Whether this is what the application is to have: `has("sessions", "database")`."""
        return self.settings.get(what) == store and (
            what != "sessions" or needs_session(self.private / "appconfig.ini")
        )

    def apply(self):
        """Change web2py accordingly, in this process and those that are forked from it."""
        if self.settings.get("migrate") is False:
            leave_tables_alone()
        web2py_shared_sessions.mend_cookies()
        if self.has("sessions", "database"):
            web2py_shared_sessions.keep_in_database(self.application, self.database)
        if self.has("sessions", "cookie"):
            key = self.private / "session.key"
            # It comes with the settings of the database, which may still be on its way.
            if key.exists():
                web2py_shared_sessions.keep_in_cookies(self.application, key.read_text())
        # Both files come with the settings of the database.
        if self.application and (key := cookie_key(self.private / "appconfig.ini")):
            web2py_shared_sessions.share_cookie_key(self.application, key)
        if self.has("tickets", "database"):
            web2py_shared_tickets.keep_in_database(self.application, self.database)
        if uploads := self.uploads():
            web2py_shared_uploads.keep_in(uploads)

    def be_asked_by_name(self):
        """Have models that run without a request take the application's own name for the one that was asked.

        gluon.shell says 127.0.0.1:8000, which Auth refuses where `[host] names` has other names, and which leads
        nowhere in a mail that a task sends.
        """
        from gluon import shell

        name = own_name(self.private / "appconfig.ini")
        build = shell.build_environment

        def build_with_name(request, *arguments, **named):
            request.env.http_host = name or request.env.http_host
            return build(request, *arguments, **named)

        shell.build_environment = build_with_name

    def uploads(self):
        """Where uploads are kept, or None: in files of the host."""
        if self.has("uploads", "database"):
            return web2py_shared_uploads.Uploads(self.application, self.database)
        if self.has("uploads", "s3"):
            # boto3 is not there otherwise.
            import web2py_shared_uploads_s3

            place = (self.settings[f"uploads_{name}"] for name in ("bucket", "region", "endpoint"))
            return web2py_shared_uploads_s3.Uploads(self.application, *place)
        return None

    @property
    def expiring(self):
        """Table -> the condition for a row that has expired, and the days that it takes to."""
        found = {}
        if self.has("sessions", "database"):
            found[web2py_shared_sessions.TABLE + self.application] = EXPIRED_SESSION, self.settings["session_days"]
        if self.has("tickets", "database"):
            table = web2py_shared_tickets.TABLE + self.application
            condition = EXPIRED_TICKET.format(table=sql.Identifier(table), most=sql.Literal(MOST_TICKETS))
            found[table] = condition, self.settings["ticket_days"]
        return found

    def clean_up(self, _signal=None):
        """Remove what has expired, if this process is the one of the fleet that does: how many rows, or None."""
        try:
            leads = self.database.lead(CLEANING)
        except web2py_shared_database.UnavailableError:
            return None  # The next time will do.
        if not leads:
            # This process may have no other need of it.
            self.database.close()
            return None
        removed = 0
        for table, expiry in self.expiring.items():
            with contextlib.suppress(web2py_shared_database.UnavailableError):
                removed += self._remove(table, *expiry)
        return removed

    def _remove(self, table, condition, days):
        statement = sql.SQL(EXPIRED).format(
            milliseconds=sql.Literal(1000 * STATEMENT_SECONDS),
            table=sql.Identifier(table),
            condition=condition,
            rows=sql.Literal(ROWS),
        )
        # web2py writes the time of the host.
        before = datetime.datetime.now() - datetime.timedelta(days=days)
        removed, until = 0, time.monotonic() + CLEANING_SECONDS
        while time.monotonic() < until:
            count = self.database.execute(statement, [before], STATEMENT_SECONDS + 1)
            removed += count
            if count < ROWS:
                break
        return removed


def leave_tables_alone():
    """No DAL() on PostgreSQL migrates, whatever the models say: the migration does it, for the whole fleet.

    By itself pydal keeps what it knows of the tables in files, and a new host has none: it would make each table again.
    """

    def without_migrations(given):
        given["migrate_enabled"] = False

    change_postgresql(without_migrations)


def change_postgresql(change):
    """Let `change` have the arguments of every DAL() on PostgreSQL, by their names, before it connects."""
    from pydal import DAL

    original = DAL.__init__
    names = list(inspect.signature(original).parameters)[1:]

    @functools.wraps(original)
    def connect(self, *args, **named):
        # Not Signature.bind: models connect with each request, and it is ten times slower.
        given = {**dict(zip(names, args, strict=False)), **named}
        uri = given.get("uri")
        if str(uri[0] if isinstance(uri, list | tuple) else uri).startswith("postgres"):
            change(given)
        original(self, **given)

    DAL.__init__ = connect


def cookie_key(settings):
    """The same on every host, and nobody else's: it follows the database's password. "" where there is none.

    Not private/auth.key: an application may bring its own, which is no secret where its source is none.
    """
    try:
        password = urllib.parse.urlsplit(web2py_shared_database.uri(settings)).password
    except (configparser.Error, ValueError):
        return ""
    return hmac.digest(password.encode(), b"sessions in cookies", "sha512").hex() if password else ""


def own_name(settings):
    """The first of `[host] names` in this file that is no pattern; "" where there is none."""
    configuration = configparser.RawConfigParser(strict=False)
    try:
        configuration.read(settings)
        names = configuration.get("host", "names", fallback="").split(",")
    except configparser.Error:
        return ""
    return next((name for name in map(str.strip, names) if name and not re.search(r"[*?\[]", name)), "")


def needs_session(settings):
    """Whether an application keeps sessions, as they all do unless they say otherwise in this file."""
    configuration = configparser.RawConfigParser(strict=False)
    try:
        configuration.read(settings)
        return configuration.getboolean("web2py", "sessions", fallback=True)
    except (configparser.Error, ValueError):
        return True
