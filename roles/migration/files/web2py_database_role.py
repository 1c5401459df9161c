"""Create the application's database role, or correct its password, and grant it what migrations need.

Reads a JSON object from standard input (host, port, database, master_user, master_password, app_user, app_password)
and prints one (changed, error). Exit status 3: the database refused; the error says why and holds no password.
"""

import json
import sys

import psycopg2
from psycopg2 import sql
from psycopg2.extensions import encrypt_password


def connect(request, user, password):
    return psycopg2.connect(
        host=request["host"],
        port=request["port"],
        dbname=request["database"],
        user=user,
        password=password,
        connect_timeout=10,
    )


def prepare(request):
    """Whether anything had to be changed. psycopg2.Error: the database refused."""
    changed = False
    user = sql.Identifier(request["app_user"])
    database = sql.Identifier(request["database"])
    connection = connect(request, request["master_user"], request["master_password"])
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [request["app_user"]])
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE ROLE {} LOGIN").format(user))
                changed = True
            # The grants are those of an owner of tables: the application's tables belong to this role.
            cursor.execute(
                "SELECT has_database_privilege(%(role)s, %(database)s, 'CONNECT')"
                " AND has_schema_privilege(%(role)s, 'public', 'USAGE')"
                " AND has_schema_privilege(%(role)s, 'public', 'CREATE')",
                {"role": request["app_user"], "database": request["database"]},
            )
            if not cursor.fetchone()[0]:
                cursor.execute(sql.SQL("GRANT CONNECT, TEMPORARY ON DATABASE {} TO {}").format(database, user))
                cursor.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA public TO {}").format(user))
                changed = True
        if not logs_in(request):
            # Hashed here, so that the password itself is in no statement that the server may log.
            secret = encrypt_password(request["app_password"], request["app_user"], connection, "scram-sha-256")
            with connection, connection.cursor() as cursor:
                cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(user, sql.Literal(secret)))
            changed = True
            if not logs_in(request):
                raise psycopg2.OperationalError(f"{request['app_user']} can't log in after its password was set")
    finally:
        connection.close()
    return changed


def logs_in(request):
    try:
        connect(request, request["app_user"], request["app_password"]).close()
    except psycopg2.OperationalError:
        return False
    return True


def main():
    try:
        answer = {"changed": prepare(json.load(sys.stdin))}
    except psycopg2.Error as error:
        answer = {"changed": False, "error": " ".join(str(error).split())}
    print(json.dumps(answer))
    return 3 if "error" in answer else 0


if __name__ == "__main__":
    sys.exit(main())
