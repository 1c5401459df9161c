"""Sessions that every instance of the fleet has: in the application's database, or in encrypted cookies.

They take the place of web2py's files for an application that names no store itself. One whose models do, with
`session.connect(request, response, db)` or a `cookie_key`, keeps it, and is left alone from then on, but for the key.
"""

import base64
import datetime
import functools
import hmac
import inspect
import logging

import gluon.globals
import psycopg2
import web2py_shared_database
from gluon.globals import Session, current
from gluon.http import HTTP
from gluon.storage import Storage
from psycopg2 import sql

# What web2py calls the table, with the application's name behind it.
TABLE = "web2py_session_"
# What fits: browsers drop a longer cookie without a word.
LONGEST_COOKIE = 4096
COMPRESSION = 6
# PostgreSQL's largest integer, the type of pydal's ids.
LARGEST_ID = 2**31 - 1

LOGGER = logging.getLogger("web2py.shared")


class TooLargeError(Exception):
    """A session does not fit into a cookie."""


def keep_in_database(application, database):
    """Sessions of the application are rows of the table that web2py would make for them.

    A visitor gets a row, and a cookie, with the first thing that is kept for him; a request that changes nothing writes
    nothing. What is changed is written after the application's own commit and before the answer, as web2py does it
    with files: a request that fails leaves the session as it was.
    """
    connect, store, store_elsewhere = (
        Session.connect,
        Session._try_store_in_db,
        Session._try_store_in_cookie_or_file,
    )

    def connect_database(self, request, response, **options):
        table = Table(database, TABLE + application)
        try:
            connect(self, request, response, **{**options, "db": Tables(table)})
        except web2py_shared_database.UnavailableError:
            # Without it, web2py would take the visitor for a new one and log him out.
            response.session_db_table = None
            raise HTTP(503, "The database does not answer.\n", **{"Retry-After": "1"}) from None
        except HTTP:
            raise
        except Exception:
            # Another version of the application has made it. For a session in a file, web2py begins anew as well.
            LOGGER.exception("A session can't be read; its visitor gets a new one")
            Storage.clear(self)
            table.forget()
            connect(self, request, response, **{**options, "db": Tables(table)})

    def store_in_db(self, request, response):
        if isinstance(response.session_db_table, Table):
            return False
        return store(self, request, response)

    def store_after_commit(self, request, response):
        table = response.session_db_table
        if not isinstance(table, Table):
            return store_elsewhere(self, request, response)
        table.write()
        if response.session_new and self._unchanged(response):
            return False
        return store(self, request, response)

    _take_over(application, connect_database)
    Session._try_store_in_db = store_in_db
    Session._try_store_in_cookie_or_file = store_after_commit


def keep_in_cookies(application, key):
    """Sessions of the application are in its visitors' browsers, encrypted and signed by web2py with this key.

    TooLargeError: the session does not fit, which is an error of the request.
    """
    connect, store = Session.connect, Session._try_store_in_cookie

    def connect_cookie(self, request, response, **options):
        connect(self, request, response, **{"compression_level": COMPRESSION, **options, "cookie_key": key})
        response.session_is_default = True

    def store_in_cookie(self, request, response):
        stored = store(self, request, response)
        if not response.session_is_default:
            return stored
        # Nobody reads it: it says "True".
        response.cookies.pop(response.session_id_name, None)
        if stored:
            protect(self, request, response.cookies[response.session_data_name])
        return stored

    def protect(session, request, cookie):
        """As web2py does it with a session's number."""
        if len(cookie.OutputString()) > LONGEST_COOKIE:
            raise TooLargeError(f"The session takes {len(cookie.value)} bytes; a cookie holds {LONGEST_COOKIE}")
        same_site = "Lax" if session._same_site is None else session._same_site
        if same_site:
            cookie["samesite"] = same_site
        cookie["httponly"] = session.get("httponly_cookies", True)
        cookie["secure"] = bool(session._secure or request.is_https)

    _take_over(application, connect_cookie)
    Session._try_store_in_cookie = store_in_cookie


def share_cookie_key(application, key):
    """Where the application itself keeps its sessions in cookies, they are encrypted with this key.

    Its own may be another in each process: web2py's application `examples` makes one when it is first asked.
    """
    connect = Session.connect
    signature = inspect.signature(connect)

    @functools.wraps(connect)
    def connect_session(*args, **options):
        given = signature.bind(*args, **options)
        request = given.arguments.get("request") or current.request
        if given.arguments.get("cookie_key") and request.application == application:
            given.arguments["cookie_key"] = key
        return connect(*given.args, **given.kwargs)

    Session.connect = connect_session


def mend_cookies():
    """web2py 3.3.3 writes a session's cookie as `b'...'` and can't read it: Python's cookies are text."""
    dumps, loads = gluon.globals.secure_dumps, gluon.globals.secure_loads

    def dump_text(*args, **options):
        return dumps(*args, **options).decode("ascii")

    def load_text(data, *args, **options):
        return loads(data.encode("utf-8", "replace"), *args, **options)

    gluon.globals.secure_dumps, gluon.globals.secure_loads = dump_text, load_text


def _take_over(application, connect_default):
    """`Session.connect` is `connect_default` where no store is named, and no model has ever named one."""
    connect = Session.connect
    names = list(inspect.signature(connect).parameters)[len(("self", "request", "response", "db")) :]
    names_one = False

    @functools.wraps(connect)
    def connect_session(self, request=None, response=None, db=None, *args, **options):
        nonlocal names_one
        request, response = request or current.request, response or current.response
        options.update(zip(names, args, strict=False))
        if db or options.get("cookie_key"):
            names_one = names_one or request.application == application
            _disconnect(self, response)
        elif (options.get("masterapp") or request.application) == application and not names_one:
            connect_default(self, request, response, **options)
            return
        connect(self, request, response, db, **options)

    Session.connect = connect_session


def _disconnect(session, response):
    """As if web2py had not connected this session yet."""
    if isinstance(response.session_db_table, Table) or response.session_is_default:
        Storage.clear(session)
        response.update(
            session_db_table=None,
            session_db_record_id=None,
            session_db_unique_key=None,
            session_new=None,
            session_is_default=None,
        )


class Tables:
    """What web2py takes for a DAL: it asks for the table of sessions only."""

    Field = None

    def __init__(self, table):
        self._table = table

    def get(self, _name, _default=None):
        return self._table


class Id:
    """`table.id == 7` is the query for row 7."""

    __hash__ = None

    def __eq__(self, number):
        return int(number)


class Table:
    """What web2py takes for a table of pydal's, during one request.

    Until `write`, changes are kept and seen by this request only; from then on they are made at once.
    """

    id = Id()

    def __init__(self, database, name):
        self._database = database
        self._name = sql.Identifier(name)
        self._rows = {}
        self._keys = {}  # of the rows: as they were loaded, or have been changed here since then
        self._kept = []
        self._keeps = True

    def __call__(self, record_id, unique_key=None):
        """The row, or None. A key is compared here: a visitor may send what PostgreSQL takes for no text at all."""
        number = int(record_id)
        if number not in self._rows:
            self._rows[number] = self._load(number)
            if self._rows[number]:
                self._keys[number] = self._rows[number]["unique_key"]
        row = self._rows[number]
        # A row without a key is nobody's.
        is_asked_for = row and row["unique_key"] and (unique_key is None or _same(unique_key, row["unique_key"]))
        return row if is_asked_for else None

    def forget(self):
        """The rows that were loaded are not there."""
        self._rows = dict.fromkeys(self._rows)

    def _db(self, number):
        return Row(self, number)

    def insert(self, **values):
        """The new row's id."""
        values = {"created_datetime": datetime.datetime.now(), **_represent(values)}
        statement = sql.SQL("INSERT INTO {} ({}) VALUES ({}) RETURNING id").format(
            self._name,
            sql.SQL(", ").join(map(sql.Identifier, values)),
            sql.SQL(", ").join(sql.Placeholder() * len(values)),
        )
        ((number,),) = self._execute(statement, list(values.values()))
        self._keys[number] = values["unique_key"]
        return number

    def update(self, number, **values):
        """One row, always: what another request has deleted (a logout) or renewed (a login) stays as that left it."""
        if self._rows.get(number):
            self._rows[number] = {**self._rows[number], **values}
        columns = _represent(values)
        statement = sql.SQL("UPDATE {} SET {} WHERE id = %s AND unique_key = %s").format(
            self._name, sql.SQL(", ").join(sql.SQL("{} = %s").format(sql.Identifier(name)) for name in columns)
        )
        self._execute(statement, [*columns.values(), number, self._keys.get(number)])
        self._keys[number] = values.get("unique_key", self._keys.get(number))
        return 1

    def delete(self, number):
        self._rows[number] = None
        return self._execute(sql.SQL("DELETE FROM {} WHERE id = %s").format(self._name), [number])

    def write(self):
        """Make the changes that were kept."""
        self._keeps = False
        for statement, arguments in self._kept:
            self._database.execute(statement, arguments)
        self._kept = []

    def _execute(self, statement, arguments):
        if self._keeps:
            self._kept.append((statement, arguments))
            return 1
        return self._database.execute(statement, arguments)

    def _load(self, number):
        if not 0 < number <= LARGEST_ID:
            return None
        statement = sql.SQL("SELECT unique_key, session_data FROM {} WHERE id = %s").format(self._name)
        for unique_key, data in self._database.execute(statement, [number]):
            return {"id": number, "unique_key": unique_key or "", "session_data": _decode(data)}
        return None


class Row:
    """What web2py takes for a set of pydal's."""

    def __init__(self, table, number):
        self._table, self._number = table, number

    def update(self, **values):
        return self._table.update(self._number, **values)

    def delete(self):
        return self._table.delete(self._number)


def _same(given, kept):
    return hmac.compare_digest(given.encode("utf-8", "replace"), kept.encode("utf-8"))


def _represent(values):
    """As pydal writes it, so that an application which connects the table itself reads the same."""
    values = dict(values)
    if "locked" in values:
        values["locked"] = "T" if values["locked"] else "F"
    if "session_data" in values:
        values["session_data"] = psycopg2.Binary(base64.b64encode(values["session_data"]))
    return values


def _decode(data):
    """What is no session is an empty one, which web2py takes for none."""
    try:
        return base64.b64decode(bytes(data or b""))
    except ValueError:
        return b""
