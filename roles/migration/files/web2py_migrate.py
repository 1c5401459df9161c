"""Run a web2py application's models once with migrations on, as the only process that does so.

Works for every application, whatever its models say about migrations: DAL() is made to migrate, and to keep the
schema's history in the database itself (pydal's InDBMigrator) instead of in files on this machine.
Prints "schema changed" or "schema unchanged".
"""

import argparse
import configparser
import functools
import hashlib
import os
import sys
import urllib.parse

# Any fixed number does; it names the lock among the database's advisory locks.
LOCK = 0x77656232707921

# Everything that a migration may change, as text.
SCHEMA = """
SELECT format('%s.%s %s %s %s', c.relname, a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull,
              pg_get_expr(d.adbin, d.adrelid))
  FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
 WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v') AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL SELECT indexdef FROM pg_indexes WHERE schemaname = 'public'
UNION ALL SELECT format('%s %s %s', conrelid::regclass, conname, pg_get_constraintdef(oid)) FROM pg_constraint
 WHERE connamespace = 'public'::regnamespace
ORDER BY 1
"""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--web2py", required=True, help="directory of web2py")
    parser.add_argument("--application", required=True)
    parser.add_argument("--lock-timeout", type=int, default=300, help="seconds to wait for another migration")
    return parser.parse_args()


def guard(options):
    """A connection of its own that holds the lock for as long as it is open."""
    import psycopg2

    path = os.path.join(options.web2py, "applications", options.application, "private", "appconfig.ini")
    settings = configparser.RawConfigParser()
    if not settings.read(path):
        raise SystemExit(f"{path} can't be read")
    uri = urllib.parse.urlsplit(settings.get("db", "uri", fallback=""))
    if not uri.hostname:
        raise SystemExit(f"{path} names no database: [db] uri")
    connection = psycopg2.connect(
        host=uri.hostname,
        port=uri.port or 5432,
        user=uri.username,
        password=uri.password,
        dbname=uri.path.lstrip("/"),
        connect_timeout=10,
    )
    connection.autocommit = True
    with connection.cursor() as cursor:
        # lock_timeout covers advisory locks, too.
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{options.lock_timeout}s"])
        try:
            cursor.execute("SELECT pg_advisory_lock(%s)", [LOCK])
        except psycopg2.errors.LockNotAvailable:
            raise SystemExit(
                f"another migration holds the lock for more than {options.lock_timeout} s; it is the session named by: "
                "SELECT pid, client_addr FROM pg_locks JOIN pg_stat_activity USING (pid) WHERE locktype = 'advisory'"
            ) from None
    return connection


def fingerprint(connection):
    with connection.cursor() as cursor:
        cursor.execute(SCHEMA)
        return hashlib.sha256(repr(cursor.fetchall()).encode()).hexdigest()


def always_migrate():
    """Make every DAL() on PostgreSQL migrate, with the history in the database."""
    from pydal import DAL
    from pydal.migrator import InDBMigrator

    original = DAL.__init__

    @functools.wraps(original)
    def migrating(self, uri="sqlite://dummy.db", *args, **named):
        if str(uri).startswith("postgres"):
            named.update(migrate_enabled=True, attempts=1)
            # Part of the name of each table's history. The default is a hash of the address and the password in it,
            # so a new password would make every table look new.
            named["table_hash"] = "web2py"
            named["adapter_args"] = {**(named.get("adapter_args") or {}), "migrator": InDBMigrator}
            # Altering a big table takes longer than any request may; waiting for a lock on it must not.
            named["driver_args"] = {
                **(named.get("driver_args") or {}),
                "options": "-c statement_timeout=0 -c lock_timeout=60s",
            }
        original(self, uri, *args, **named)

    DAL.__init__ = migrating


def run_models(application):
    """All models, those for single controllers and functions as well; every table that they define is touched."""
    from gluon.compileapp import run_models_in
    from gluon.globals import current
    from gluon.http import HTTP
    from gluon.shell import env
    from pydal import DAL
    from pydal.base import BaseAdapter

    environment = env(application, import_models=False)
    current.request.is_shell = True
    current.response.models_to_run = [r"\.py$"]
    try:
        run_models_in(environment)
    except HTTP as answer:
        raise SystemExit(
            f"a model answered with HTTP {answer.status} instead of defining its tables: {answer.body}; "
            "guard what is for visitors with: if not request.is_shell"
        ) from None
    databases = [value for value in environment.values() if isinstance(value, DAL)]
    if not databases:
        print("the models define no database", file=sys.stderr)
    for database in databases:
        for table in database.tables:
            database[table]  # With lazy_tables, a table is defined (and migrated) when it is first used.
        database.commit()
    BaseAdapter.close_all_instances("commit")


def main():
    options = arguments()
    lock = guard(options)
    before = fingerprint(lock)

    # web2py finds itself by the working directory.
    os.chdir(options.web2py)
    sys.path.insert(0, options.web2py)
    from gluon.settings import global_settings

    global_settings.web2py_runtime_handler = True
    import gluon.main  # noqa: F401 -- sets web2py up

    always_migrate()
    run_models(options.application)
    print("schema changed" if fingerprint(lock) != before else "schema unchanged")
    lock.close()


if __name__ == "__main__":
    main()
