"""Restore a dump of an application's database, in the place of what the application has there.

Reads a JSON object from standard input (host, port, database, user, password, dump: the path of a file that pg_dump has
written in its own format, replace: whether rows that are there may go) and prints one (restored, error, occupied: the
tables that hold rows, as "table: number of rows").
All is done, or nothing: it is one transaction. What it restores belongs to `user`, whoever it belonged to before.
Exit status 3: refused, because of rows that are there. 1: the dump or the database is the reason; the error says it.
"""

import json
import os
import subprocess
import sys
import tempfile

import psycopg2
from psycopg2 import sql

REFUSED = 3

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


class RestoreError(Exception):
    """It could not be restored; the message is for the reader."""


def occupied(request):
    """Tables of the application that hold rows: ["table: number", …]."""
    connection = psycopg2.connect(
        host=request["host"],
        port=request["port"],
        dbname=request["database"],
        user=request["user"],
        password=request["password"],
        connect_timeout=10,
    )
    found = []
    with connection, connection.cursor() as cursor:
        cursor.execute(TABLES, [OWN])
        for (table,) in cursor.fetchall():
            cursor.execute(sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(table)))
            rows = cursor.fetchone()[0]
            if rows:
                found.append(f"{table}: {rows}")
    connection.close()
    return found


def script(dump, file):
    """Write the SQL of a dump into an open file. RestoreError: it is no such dump, or not whole."""
    command = ["pg_restore", "--no-owner", "--no-privileges", "--schema=public", "--file=-", dump]
    done = subprocess.run(command, stdout=file, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RestoreError(f"pg_restore can't read it: {done.stderr.strip()}")


def restore(request):
    """Do it. RestoreError: nothing was changed."""
    environment = {**os.environ, "PGPASSWORD": request["password"], "PGCONNECT_TIMEOUT": "10"}
    names = {"host": "host", "port": "port", "username": "user", "dbname": "database"}
    options = [f"--{option}={request[name]}" for option, name in names.items()]
    # Beside the dump, and whole before psql sees any of it: half a script would be half a database.
    with tempfile.TemporaryFile("w+", dir=os.path.dirname(request["dump"])) as file:
        file.write(EMPTY)
        file.flush()
        script(request["dump"], file)
        file.seek(0)
        done = subprocess.run(
            ["psql", *options, "--no-psqlrc", "--quiet", "--single-transaction", "--set=ON_ERROR_STOP=1", "--file=-"],
            env=environment,
            stdin=file,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    if done.returncode:
        raise RestoreError(f"PostgreSQL refuses it: {first_error(done.stderr)}")


def first_error(said):
    lines = [line for line in said.splitlines() if "ERROR" in line or "FATAL" in line]
    return (lines or said.splitlines() or ["no reason was given"])[0]


def main():
    request = json.load(sys.stdin)
    answer = {"restored": False, "error": "", "occupied": []}
    status = 0
    try:
        answer["occupied"] = occupied(request)
        if answer["occupied"] and not request["replace"]:
            status = REFUSED
        else:
            restore(request)
            answer["restored"] = True
    except (RestoreError, psycopg2.Error) as error:
        answer["error"] = str(error).strip()
        status = 1
    print(json.dumps(answer))
    return status


if __name__ == "__main__":
    sys.exit(main())
