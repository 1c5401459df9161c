"""A dump of an application's database takes the place of what the application has there, within a transaction.

For web2py_migrate --adopt, which migrates the schema in the same transaction. What is restored belongs to the role that
restores, whoever it belonged to before.
"""

import re
import subprocess
import tempfile

import psycopg2
import psycopg2.extensions
from psycopg2 import sql

# What web2py and the migration keep for themselves: sessions, tickets, the history of the tables.
OWN = "^web2py_(session_|ticket_|filesystem$)"
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename !~ %s ORDER BY 1"

# Relations of extensions are the extension's.
EMPTY = """
DO $$
DECLARE found record;
BEGIN
  FOR found IN
    SELECT c.relname, CASE c.relkind WHEN 'v' THEN 'VIEW' WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'S' THEN 'SEQUENCE'
           ELSE 'TABLE' END AS kind
      FROM pg_class c
     WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'S')
       AND pg_has_role(c.relowner, 'USAGE')
       AND NOT EXISTS (SELECT FROM pg_depend d
                        WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
  LOOP
    -- One may have gone with another.
    EXECUTE format('DROP %s IF EXISTS public.%I CASCADE', found.kind, found.relname);
  END LOOP;
END $$;
"""

COPY = re.compile(rb"COPY .* FROM stdin;\n")
# For psql only: a key without which the script can't leave SQL, since the minor versions of August 2025.
RESTRICTION = re.compile(rb"\\restrict (\w+)\n")
# Of the INSERTs of a dump that has them in place of COPY, so many bytes are sent at a time.
BATCH = 1024 * 1024
# Written for PostgreSQL 17, and unknown to those before.
NEW_SETTING = b"SET transaction_timeout = 0;\n"


class DumpError(Exception):
    """The dump can't be read; the message is for the reader."""


class Rows:
    """The lines of one COPY, as the open file that psycopg2 reads."""

    def __init__(self, lines):
        self.lines = lines
        self.ended = False

    def read(self, size):
        """At least one line, and lines until there are `size` bytes; b"" at the end."""
        taken = bytearray()
        while not self.ended and len(taken) < size:
            line = next(self.lines, b"\\.\n")  # a pg_restore that was cut off: its exit status says so
            if line == b"\\.\n":
                self.ended = True
            else:
                taken += line
        return bytes(taken)


def occupied(connection):
    """Tables of the application that hold rows: ["table: number", …]."""
    found = []
    with _cursor(connection) as cursor:
        cursor.execute(TABLES, [OWN])
        for (table,) in cursor.fetchall():
            cursor.execute(sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(table)))
            rows = cursor.fetchone()[0]
            if rows:
                found.append(f"{table}: {rows}")
    return found


def restore(connection, dump):
    """Do it, in the transaction of the connection. DumpError; psycopg2.Error: PostgreSQL refuses what is in it."""
    with _cursor(connection) as cursor:
        cursor.execute(EMPTY)
        # Only the rows' section has COPY in it, where a function's body can't be taken for one.
        _execute(cursor, b"".join(_script(dump, "pre-data")))
        _restore_rows(cursor, _script(dump, "data"))
        _execute(cursor, b"".join(_script(dump, "post-data")))
        # The script has set the search path, timeouts and more.
        cursor.execute("RESET ALL")


def _cursor(connection):
    # Not the connection's own, which notes what models do.
    return connection.cursor(cursor_factory=psycopg2.extensions.cursor)


def _script(dump, section):
    """The lines of SQL of a section of a dump, as bytes: the encoding is the dump's."""
    command = [
        "pg_restore",
        "--no-owner",
        "--no-privileges",
        "--schema=public",
        f"--section={section}",
        "--file=-",
        dump,
    ]
    with tempfile.TemporaryFile("w+") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors) as process:
            yield from _for_servers(process.stdout)
        if process.returncode:
            errors.seek(0)
            raise DumpError(f"pg_restore can't read it: {errors.read().strip()}")


def _for_servers(script):
    """The lines without those that are for psql, and the setting that older servers refuse.

    They are before the first other setting, and at the end; a function's body may have lines that look the same.
    """
    last = None
    for line in script:
        if found := RESTRICTION.fullmatch(line):
            last = b"\\unrestrict " + found[1] + b"\n"
            continue
        yield line
        if line.startswith(b"SET "):
            break
    before = True
    for line in script:
        if line == last or (before and line == NEW_SETTING):
            continue
        before = before and line.startswith((b"SET ", b"SELECT pg_catalog.set_config("))
        yield line


def _restore_rows(cursor, lines):
    statements = bytearray()

    def flush():
        _execute(cursor, bytes(statements))
        statements.clear()

    for line in lines:
        if COPY.fullmatch(line):
            flush()
            cursor.copy_expert(line.decode(), Rows(lines))
            continue
        # A line of a text may look like a statement: within it, the number of quotes is odd.
        if len(statements) >= BATCH and line.startswith(b"INSERT INTO ") and statements.count(b"'") % 2 == 0:
            flush()
        statements += line
    flush()


def _execute(cursor, script):
    # A script of comments only would be an error.
    cursor.execute(script + b"\nSELECT 1")
