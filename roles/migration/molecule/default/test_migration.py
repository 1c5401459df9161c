"""The schema that the project's application needs, made once."""

COLUMNS = """
import psycopg2
with psycopg2.connect(host="database", user="web2py", dbname="web2py") as connection, connection.cursor() as cursor:
    cursor.execute("SELECT column_name, is_nullable FROM information_schema.columns WHERE table_name = 'date_time'")
    print(sorted(cursor.fetchall()))
"""


def test_table_is_there(host):
    columns = host.check_output("/opt/web2py-venv/bin/python -c %s", COLUMNS)
    assert columns == "[('date_time', 'NO'), ('id', 'NO')]"


def test_application_uses_it(host):
    assert host.run("curl --silent --fail http://127.0.0.1/date_time").rc == 0


def test_nothing_is_left_to_change(host):
    check = "web2py-migrate --web2py /opt/web2py --application welcome --check"
    run = host.run(f"runuser --user=www-data -- /opt/web2py-venv/bin/python /usr/local/sbin/{check}")
    assert run.stdout.splitlines()[-1] == "schema unchanged", run.stderr
