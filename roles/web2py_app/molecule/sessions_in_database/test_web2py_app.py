"""An application that names no store for its sessions."""

VISIT = "curl --silent --fail --cookie-jar /tmp/jar --cookie /tmp/jar http://127.0.0.1/visits"
ROWS = """
import psycopg2
with psycopg2.connect(host="database", user="web2py", dbname="web2py") as connection, connection.cursor() as cursor:
    cursor.execute("SELECT count(*) FROM web2py_session_shop")
    print(cursor.fetchone()[0])
"""


def rows(host):
    return int(host.check_output("/opt/web2py-venv/bin/python -c %s", ROWS))


def test_it_keeps_sessions_in_the_database(host):
    before = rows(host)
    assert [host.check_output(VISIT) for _ in range(2)] == ["1", "2"]
    assert rows(host) == before + 1
    assert host.check_output("find /var/lib/web2py/shop/sessions -type f") == ""


def test_who_keeps_nothing_gets_no_session(host):
    before = rows(host)
    headers = host.check_output("curl --silent --fail --include http://127.0.0.1/health")
    assert "set-cookie" not in headers.lower()
    assert rows(host) == before
