"""Run a web2py application's models once with migrations on, as the only process that does so.

Works for every application, whatever its models say about migrations: DAL() is made to migrate, and to keep the
schema's history in the database itself (pydal's InDBMigrator) instead of in files on this machine.

Columns that the models no longer have stay until --drop-columns. What could lose data, or break the version of the
application that is about to be replaced, is refused unless --allow-destructive says yes: web2py_schema_changes.py.

The tables that web2py itself has in the application's database are made, too (web2py_shared.py).

With --adopt, a dump takes the place of what is there before that; a table of it that has no history gets the history
of what it is, and is migrated from there.

Prints what was executed, "left over: table.column" for each column that stays without a field, "in files: table.field"
for each field whose uploads are files of the host, and last "schema changed" or "schema unchanged"; with --check
"schema would change: ..." or "schema unchanged". All is done, or nothing.
Exit status 3: refused. 4: there are rows whose place the dump would take. 5: the dump is the reason. 75: something
holds a lock that is needed, try again.
"""

import argparse
import functools
import os
import sys

# Any fixed number does; it names the lock among the database's advisory locks.
LOCK = 0x77656232707921

# Seconds to wait for a lock on a table. All later queries on the table wait behind a migration that waits for it, and a
# request of ours gives up after 1.5 s.
TABLE_LOCK_TIMEOUT = 1

REFUSED = 3
OCCUPIED = 4
WRONG_DUMP = 5

UNCHANGED = "nothing was changed"

EMPTY = "SELECT NOT EXISTS (SELECT FROM pg_tables WHERE schemaname = 'public')"

# Who may hold the lock: transactions that are open, the oldest first.
TRANSACTIONS = """
SELECT format('session %s of %s from %s, %s for %s s', pid, usename, coalesce(host(client_addr), 'the server itself'),
              state, round(extract(epoch FROM clock_timestamp() - xact_start)))
  FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
 ORDER BY xact_start LIMIT 3
"""


class ModelsError(Exception):
    """The models could not be run to their end."""


def arguments():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--web2py", required=True, help="directory of web2py")
    parser.add_argument("--application", required=True)
    parser.add_argument("--lock-timeout", type=int, default=300, help="seconds to wait for another migration")
    parser.add_argument("--check", action="store_true", help="change nothing; say whether there is something to do")
    parser.add_argument("--adopt", metavar="DUMP", help="a file that pg_dump has written in its own format")
    parser.add_argument("--replace", action="store_true", help="rows that are there may go for it")
    parser.add_argument("--drop-columns", action="store_true", help="drop the columns that are left over")
    parser.add_argument("--allow-destructive", action="store_true", help="do what would be refused otherwise")
    options = parser.parse_args()
    options.settings = os.path.join(options.web2py, "applications", options.application, "private", "appconfig.ini")
    return options


def guard(options):
    """A connection of its own that holds the lock for as long as it is open."""
    import psycopg2
    import web2py_shared_database

    try:
        connection = psycopg2.connect(**web2py_shared_database.address(options.settings), connect_timeout=10)
    except psycopg2.OperationalError as error:
        raise SystemExit(str(error).strip()) from None
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


def ask(connection, query):
    with connection.cursor() as cursor:
        cursor.execute(query)
        return [row[0] for row in cursor.fetchall()]


def always_migrate(run, migrator):
    """Make every DAL() on PostgreSQL migrate, with the history in the database, as part of this run."""
    from pydal.adapters.postgres import Postgre
    from web2py_shared import change_postgresql

    def migrating(given):
        given.update(migrate_enabled=True, attempts=1, pool_size=0)
        # Part of the name of each table's history. The default is a hash of the address and the password in it,
        # so a new password would make every table look new.
        given["table_hash"] = "web2py"
        given["adapter_args"] = {**(given.get("adapter_args") or {}), "migrator": functools.partial(migrator, run)}
        # Altering a big table takes longer than any request may; waiting for a lock on it must not.
        given["driver_args"] = {
            **(given.get("driver_args") or {}),
            "options": f"-c statement_timeout=0 -c lock_timeout={TABLE_LOCK_TIMEOUT}s",
        }

    change_postgresql(migrating)
    Postgre.connector = lambda adapter: run.connect(adapter.driver_args)


def run_models(run, application):
    """All models, those for single controllers and functions as well; every table that they define is touched."""
    import web2py_shared
    import web2py_shared_uploads
    from gluon.compileapp import run_models_in
    from gluon.globals import current
    from gluon.http import HTTP
    from gluon.restricted import RestrictedError
    from gluon.shell import env
    from pydal import DAL

    shared = web2py_shared.Shared()
    shared.be_asked_by_name()
    environment = env(application, import_models=False)
    current.request.is_shell = True
    current.response.models_to_run = [r"\.py$"]
    try:
        run_models_in(environment)
        databases = [value for value in environment.values() if isinstance(value, DAL)]
        for database in databases:
            for table in database.tables:
                # With lazy_tables, a table is defined (and migrated) when it is first used.
                run.in_files += web2py_shared_uploads.in_files(database[table], shared)
    except HTTP as answer:
        raise ModelsError(
            f"a model answered with HTTP {answer.status} instead of defining its tables: {answer.body}; "
            "guard what is for visitors with: if not request.is_shell"
        ) from None
    except RestrictedError as error:
        raise ModelsError(f"{error.layer}: {error.output}\n{error.traceback}") from None
    except Exception as error:
        raise ModelsError(f"{type(error).__name__}: {error}") from error
    if not databases:
        print("the models define no database", file=sys.stderr)


def take_over(options):
    """The dump, in the place of what is there, as part of this run. SystemExit: nothing was changed."""
    import psycopg2
    import web2py_restore
    import web2py_shared_database
    from pydal import DAL
    from web2py_schema_changes import one_line

    # By always_migrate() the connection of the models, too: the address is the same.
    connection = DAL(web2py_shared_database.uri(options.settings))._adapter.connection
    try:
        rows = web2py_restore.occupied(connection)
        if rows and not options.replace:
            give_up(f"it has rows in {', '.join(rows)}", OCCUPIED)
        web2py_restore.restore(connection, options.adopt)
    except (psycopg2.errors.LockNotAvailable, psycopg2.errors.DeadlockDetected) as error:
        give_up(f"no lock within {TABLE_LOCK_TIMEOUT} s: {one_line(error)}", os.EX_TEMPFAIL)
    except psycopg2.Error as error:
        give_up(f"PostgreSQL refuses it: {one_line(error)}", WRONG_DUMP)
    except web2py_restore.DumpError as error:
        give_up(str(error), WRONG_DUMP)


def define_shared_tables(application):
    """What web2py itself keeps in the application's database, as web2py describes it."""
    import web2py_shared
    import web2py_shared_uploads
    from gluon.contrib.appconfig import AppConfig
    from gluon.globals import Session
    from gluon.restricted import TicketStorage
    from pydal import DAL

    shared = web2py_shared.Shared()
    if shared.application != application or not any(
        shared.has(what, "database") for what in ("sessions", "tickets", "uploads")
    ):
        return
    db = DAL(AppConfig().get("db.uri"))
    if shared.has("sessions", "database"):
        Session().connect(db=db)
    if shared.has("tickets", "database"):
        storage = TicketStorage(db)
        storage._get_table(db, storage.tablename, application)
    if shared.has("uploads", "database"):
        web2py_shared_uploads.define_table(db, application)


def check(run, application):
    """Whether there is something to do, in one line; empty when there is not."""
    from web2py_schema_changes import Stop, WouldChange

    problem = ""
    try:
        run_models(run, application)
        define_shared_tables(application)
    except (ModelsError, Stop) as error:
        problem = str(error).splitlines()[0]
    problem = str(run.stopped or problem or run.failed_statement())
    run.roll_back()
    if run.refused:
        return "refused: " + "; ".join(run.refused)
    if isinstance(run.stopped, WouldChange):
        return problem
    return f"unknown, the models could not be run to their end: {problem}" if problem else ""


def migrate(run, options):
    """Do it: whether a schema changed. SystemExit: nothing was changed."""
    import psycopg2
    from web2py_schema_changes import Busy, Stop

    failure = None
    try:
        if options.adopt:
            take_over(options)
        try:
            run_models(run, options.application)
            define_shared_tables(options.application)
        except (ModelsError, Stop) as error:
            failure = str(error)
        if isinstance(run.stopped, Busy):
            give_up(f"no lock within {TABLE_LOCK_TIMEOUT} s: {run.stopped}", os.EX_TEMPFAIL)
        # What came after a refusal may have failed for lack of what was refused.
        if run.refused:
            give_up("\n".join(f"refused: {change}" for change in run.refused), REFUSED)
        if failure or run.stopped:
            give_up(f"{run.stopped or failure}", 1)
        try:
            return run.commit()
        except psycopg2.Error as error:
            undone = "another database was changed before it" if run.committed else UNCHANGED
            give_up(f"the database refuses the changes: {str(error).strip()}", 1, undone)
    finally:
        run.roll_back()


def give_up(reason, status, outcome=UNCHANGED):
    print(f"{reason.strip()}\n{outcome}", file=sys.stderr)
    raise SystemExit(status)


def main():
    options = arguments()
    # web2py finds itself by the working directory.
    os.chdir(options.web2py)
    sys.path.insert(0, options.web2py)
    lock = guard(options)
    from gluon.settings import global_settings

    global_settings.web2py_runtime_handler = True
    import gluon.main  # noqa: F401 -- sets web2py up
    from web2py_schema_changes import ExpandMigrator, Run

    run = Run(options.check, bool(options.adopt), options.drop_columns, options.allow_destructive)
    always_migrate(run, ExpandMigrator)
    if options.check:
        found = check(run, options.application)
        if found and ask(lock, EMPTY)[0]:
            found = f"there are no tables yet; {found}"
        print(f"schema would change: {found}" if found else "schema unchanged")
        return
    try:
        changed = migrate(run, options)
    except SystemExit as end:
        if end.code == os.EX_TEMPFAIL:
            print("\n".join(["open transactions:", *ask(lock, TRANSACTIONS)]), file=sys.stderr)
        raise
    for table in run.adopted:
        print(f"adopted: {table}")
    for statement in run.statements:
        print(statement)
    for difference in run.ignored:
        print(f"left as it is: {difference}")
    for column in run.left_over:
        print(f"left over: {column}")
    for field in sorted(set(run.in_files)):
        print(f"in files: {field}")
    print("schema changed" if changed else "schema unchanged")


if __name__ == "__main__":
    main()
