"""Migrations: two versions of an application use the same tables, and what fails leaves everything as it was.

With real web2py, pydal and PostgreSQL; the way there, from playbook to host, is the end-to-end tests' business.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from migration_lab import (
    CONTAINER,
    USER,
    Application,
    Version,
    administrate,
    finish,
    install_packages,
    postgresql,
    unpack_web2py,
)
from running_cloud import PROJECT_ROOT, docker

NUMBERS = itertools.count()
# The status of a refusal.
REFUSED = 3
UNCHANGED = "schema unchanged"


def thing(*fields: str) -> str:
    return f'db.define_table("thing", {", ".join(("Field(" + field + ")") for field in fields)})'


FIRST = thing('"name"')


@pytest.fixture(scope="module")
def make(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Application]]:
    """Make applications, each with a database of its own: a new one, or a copy of another application's."""
    packages = install_packages()
    home = tmp_path_factory.mktemp("web2py")
    unpack_web2py(home)
    sys.path.append(str(packages))  # for Version
    with postgresql() as host:

        def application(like: Application | None = None) -> Application:
            name = f"app{next(NUMBERS)}"
            administrate(host, f"CREATE DATABASE {name} OWNER {USER} TEMPLATE {like.name if like else 'template1'}")
            app = Application(name, home, packages, host)
            for directory in ("controllers", "private", "databases"):
                (app.directory / directory).mkdir(parents=True)
            (app.directory / "private/appconfig.ini").write_text(f"[db]\nuri = {app.uri}\n")
            return app

        yield application
    sys.path.remove(str(packages))


@pytest.fixture
def empty(make: Callable[..., Application]) -> Application:
    """An application whose database has no tables."""
    return make()


@pytest.fixture(scope="module")
def migrated(make: Callable[..., Application]) -> Application:
    application = make()
    application.migrate(FIRST)
    return application


@pytest.fixture
def app(make: Callable[..., Application], migrated: Application) -> Application:
    """An application with the table `thing`, which has the string `name`."""
    return make(like=migrated)


def test_first_run_creates_and_second_changes_nothing(empty: Application) -> None:
    empty.models(FIRST)
    assert empty.check() == "schema would change: there are no tables yet; thing is new"
    first = empty.run()
    assert first.outcome == "schema changed"
    assert [line.split("(")[0] for line in first.statements] == ['CREATE TABLE "thing"']
    before = empty.state()
    assert empty.run().lines == [UNCHANGED]
    assert empty.check() == UNCHANGED
    assert empty.state() == before


@pytest.fixture
def keeping_sessions(app: Application) -> Iterator[Application]:
    """The application is older than the setting that its sessions are in the database."""
    settings = app.home / "web2py_shared.json"
    settings.write_text(json.dumps({"application": app.name, "sessions": "database", "session_days": 1}))
    yield app
    settings.unlink()


@pytest.mark.parametrize("model", ["", "session.connect(request, response, db)"])
def test_table_of_sessions(keeping_sessions: Application, model: str) -> None:
    app, table = keeping_sessions, f"web2py_session_{keeping_sessions.name}"
    app.models(FIRST, model)
    assert app.check() == f"schema would change: {table} is new"
    assert [line.split("(")[0] for line in app.run().statements] == [f'CREATE TABLE "{table}"']
    assert app.run().lines == [UNCHANGED]
    assert app.check() == UNCHANGED


def test_table_of_tickets(app: Application) -> None:
    settings = app.home / "web2py_shared.json"
    settings.write_text(json.dumps({"application": app.name, "tickets": "database", "ticket_days": 1}))
    app.models(FIRST)
    assert [line.split("(")[0] for line in app.run().statements] == [f'CREATE TABLE "web2py_ticket_{app.name}"']
    assert app.run().lines == [UNCHANGED]
    assert app.check() == UNCHANGED
    settings.unlink()


def test_table_of_uploads(app: Application) -> None:
    """And it is said which uploads are files all the same."""
    settings, table = app.home / "web2py_shared.json", f"web2py_upload_{app.name}"
    settings.write_text(json.dumps({"application": app.name, "uploads": "database"}))
    fields = "Field('kept', 'upload'), Field('own', 'upload', uploadfolder='/tmp'), Field('late', 'upload')"
    app.models(FIRST, f"db.define_table('paper', {fields}); db.paper.late.uploadfolder = '/tmp'")
    in_files = ["in files: paper.late", "in files: paper.own"]
    made = ['CREATE TABLE "paper"', f'CREATE TABLE "{table}"']
    assert [line.split("(")[0] for line in app.run().statements] == [*made, *in_files]
    assert app.run().lines == [*in_files, UNCHANGED]
    assert app.check() == UNCHANGED
    settings.write_text(json.dumps({"application": app.name, "uploads": "local"}))
    assert app.run().lines == ["in files: paper.kept", *in_files, UNCHANGED]
    settings.unlink()


@pytest.mark.parametrize("change", ["sessions = false", "files"])
def test_no_table_of_sessions_where_there_are_none(keeping_sessions: Application, change: str) -> None:
    app = keeping_sessions
    app.models(FIRST)
    if change == "files":
        (app.home / "web2py_shared.json").write_text(json.dumps({"application": app.name, "sessions": "files"}))
    else:
        (app.directory / "private/appconfig.ini").write_text(f"[db]\nuri = {app.uri}\n[web2py]\n{change}\n")
    assert app.check() == UNCHANGED
    assert app.run().lines == [UNCHANGED]


def test_new_column(app: Application) -> None:
    app.models(thing('"name"', '"note", "text"'))
    assert app.check() == "schema would change: thing.note is new"
    assert app.run().statements == ['ALTER TABLE "thing" ADD "note" TEXT;']
    assert app.run().lines == [UNCHANGED]


def test_old_version_goes_on_while_a_not_null_column_with_a_default_comes(app: Application) -> None:
    after = thing('"name"', '"kind", notnull=True, default="plain"')
    with Version(app.uri, FIRST) as old, Version(app.uri, after) as new:
        old.insert(name="before")
        app.migrate(after)
        assert old.insert(name="after")["name"] == "after"
        assert [row.kind for row in new.db(new.db.thing).select()] == ["plain", "plain"]


def test_removed_column_stays_for_the_old_version(empty: Application) -> None:
    app, before = empty, thing('"name"', '"kind", notnull=True', '"note"')
    app.migrate(before)
    app.models(FIRST)
    assert app.check() == "schema would change: thing.kind is not in the model any more and may be empty"
    removed = app.run()
    assert removed.lines == [
        'ALTER TABLE "thing" ALTER COLUMN "kind" DROP NOT NULL;',
        "left over: thing.kind",
        "left over: thing.note",
        "schema changed",
    ]
    with Version(app.uri, FIRST) as new, Version(app.uri, before) as old:
        assert new.insert(name="of the new version")
        assert old.insert(name="of the old version", kind="x", note="y")["kind"] == "x"
        assert old.db(old.db.thing).count() == 2
    assert app.run().lines == ["left over: thing.kind", "left over: thing.note", UNCHANGED]
    assert app.check() == UNCHANGED


def test_renamed_in_three_deploys(empty: Application) -> None:
    """The worked example of docs/migrations.md, word for word: at each step the version before goes on."""
    page = (PROJECT_ROOT / "docs/migrations.md").read_text()
    (add_and_fill,) = re.findall(r"^```python\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    (fill,) = re.findall(r"`(db\.executesql\(.*\))`", page)
    assert "-e drop_columns=yes" in page
    steps = [
        thing('"note"'),
        add_and_fill,
        thing('"remark"') + f"\nif request.is_shell:\n    {fill}",
        thing('"remark"'),
    ]
    app = empty
    app.migrate(steps[0])
    app.query("INSERT INTO thing (note) VALUES ('a'), ('b')")
    first = app.migrate(steps[1])
    assert first.lines[-2:] == ['UPDATE "thing": 2 rows', "schema changed"]
    with Version(app.uri, steps[0]) as old, Version(app.uri, thing('"note"', '"remark"')) as new:
        assert old.insert(note="written meanwhile")
        assert new.insert(note="both", remark="both")
    app.models(steps[2])
    assert app.check() == "schema would change: a model executes UPDATE thing"
    assert app.run().lines == ["UPDATE thing: 1 rows", "left over: thing.note", UNCHANGED]
    with Version(app.uri, thing('"note"', '"remark"')) as old, Version(app.uri, steps[3]) as new:
        assert old.insert(note="old", remark="old")
        assert new.insert(remark="new")
    app.models(steps[3])
    assert app.run("--drop-columns").outcome == "schema changed"
    assert app.column("note") is None
    assert [row[0] for row in app.query("SELECT remark FROM thing ORDER BY id")] == [
        "a", "b", "written meanwhile", "both", "old", "new",
    ]  # fmt: skip


def test_field_that_comes_back_is_no_change(app: Application) -> None:
    both = thing('"name"', '"note"')
    app.migrate(both)
    app.migrate(FIRST)
    app.query("INSERT INTO thing (name, note) VALUES ('a', 'kept')")
    app.models(both)
    assert app.run().lines == [UNCHANGED]
    assert app.query("SELECT note FROM thing") == [("kept",)]


def test_left_over_columns_are_dropped_when_told_so(app: Application) -> None:
    app.migrate(thing('"name"', '"note"'))
    app.migrate(FIRST)
    app.query("INSERT INTO thing (name, note) VALUES ('a', 'lost'), ('b', NULL), ('c', 'lost')")
    assert (
        app.check("--drop-columns") == "schema would change: thing.note is dropped for good (2 of 3 rows have a value)"
    )
    dropped = app.run("--drop-columns")
    assert dropped.lines == ['ALTER TABLE "thing" DROP COLUMN "note";', "schema changed"]
    assert app.column("note") is None
    assert app.run("--drop-columns").lines == [UNCHANGED]


def test_string_grows_in_place(app: Application) -> None:
    app.query("INSERT INTO thing (name) VALUES ('kept')")
    app.models(thing('"name", length=1000'))
    assert app.check() == "schema would change: thing.name is VARCHAR(1000) instead of VARCHAR(512)"
    assert app.run().statements == ['ALTER TABLE "thing" ALTER COLUMN "name" TYPE VARCHAR(1000);']
    assert app.run().lines == [UNCHANGED]
    assert app.migrate(thing('"name", "text"')).statements == ['ALTER TABLE "thing" ALTER COLUMN "name" TYPE TEXT;']
    assert app.column("name") == ("text", "YES")
    assert app.query("SELECT name FROM thing WHERE id = 1") == [("kept",)]


def test_column_and_reference_that_may_be_empty_from_now_on(app: Application) -> None:
    app.migrate(
        FIRST,
        """
        db.define_table("part", Field("size", "integer", notnull=True), Field("thing", db.thing, notnull=True))
    """,
    )
    loosened = app.migrate(FIRST, 'db.define_table("part", Field("size", "integer"), Field("thing", db.thing))')
    assert loosened.statements == [
        'ALTER TABLE "part" ALTER COLUMN "size" DROP NOT NULL;',
        'ALTER TABLE "part" ALTER COLUMN "thing" DROP NOT NULL;',
    ]
    app.query("INSERT INTO part (size, thing) VALUES (NULL, NULL)")
    assert app.run().lines == [UNCHANGED]


def test_destructive_changes_are_refused_together(app: Application) -> None:
    other = 'db.define_table("other", Field("size", "integer"), Field("label"))'
    app.migrate(thing('"name"', '"count", "integer"'), other)
    app.query("INSERT INTO thing (name, count) VALUES ('a', 1), (NULL, 2)")
    before = app.state()
    app.models(
        thing('"name", notnull=True', '"count"', '"extra", notnull=True', '"harmless"'),
        'db.define_table("between", Field("name"))',
        'db.define_table("other", Field("size", "integer", rname="how_big"), Field("label", length=10))',
    )
    refused = app.run()
    assert refused.status == REFUSED
    # Once there is a new table, what it refers to is locked, and nothing is counted.
    assert refused.errors.splitlines() == [
        "refused: thing.name is VARCHAR(512) NOT NULL instead of VARCHAR(512) (1 of 2 rows have a value)",
        "refused: thing.count is VARCHAR(512) instead of INTEGER (2 of 2 rows have a value)",
        "refused: thing.extra is new, NOT NULL and without a default",
        "refused: other.size is called how_big in the database instead of size",
        "refused: other.label is VARCHAR(10) instead of VARCHAR(512)",
        "nothing was changed",
    ]
    assert app.state() == before
    assert app.check().startswith("schema would change: refused: thing.name is VARCHAR(512) NOT NULL instead of")
    assert app.check("--allow-destructive").startswith("schema would change: thing.name is VARCHAR(512) NOT NULL")


def test_destructive_changes_are_made_with_an_explicit_yes(app: Application) -> None:
    app.migrate(thing('"name"', '"count", "integer"', '"size"'))
    app.query("INSERT INTO thing (name, count, size) VALUES ('a', 12, 'big'), (NULL, 13, 'small')")
    app.models(
        thing('"name", notnull=True, default="none"', '"count"', '"size", rname="how_big"', '"gone", default="x"')
    )
    assert app.run().status == REFUSED
    allowed = app.run("--allow-destructive")
    assert allowed.status == 0, allowed.errors
    assert app.query("SELECT name, count, how_big FROM thing ORDER BY id") == [
        ("a", "12", "big"),
        ("none", "13", "small"),
    ]
    assert app.column("name") == ("character varying 512", "NO")
    assert app.run().lines == [UNCHANGED]


def test_failure_leaves_nothing_and_the_next_run_works(app: Application) -> None:
    app.query("CREATE TABLE taken (id integer)")
    before = app.state()
    changed = thing('"name"', '"note"')
    app.models(changed, 'db.define_table("taken", Field("name"))')
    failed = app.run()
    assert failed.status == 1
    assert 'relation "taken" already exists' in failed.errors
    assert failed.errors.endswith("nothing was changed\n")
    assert app.state() == before
    assert app.migrate(changed).outcome == "schema changed"


def test_failure_that_a_model_swallows_is_a_failure(app: Application) -> None:
    before = app.state()
    app.models(
        thing('"name"', '"note"'),
        """
        try:
            db.executesql("SELECT 1 / 0")
        except Exception:
            pass
    """,
    )
    failed = app.run()
    assert (failed.status, failed.errors.splitlines()[0]) == (
        1,
        "the database refuses the changes: division by zero: SELECT 1 / 0",
    )
    assert app.state() == before


def test_rollback_of_a_model_is_a_failure(app: Application) -> None:
    before = app.state()
    app.models(
        thing('"name"', '"note"'),
        """
        try:
            db.thing.create_index("by_name", db.thing.no_such_field)
        except:
            db.rollback()
    """,
    )
    failed = app.run()
    assert failed.status == 1
    assert "a model rolls back, which would undo what was done for the tables before it" in failed.errors
    assert app.state() == before


def test_several_connections_to_a_database_are_one_transaction(app: Application) -> None:
    again = """
        other = DAL(AppConfig().get("db.uri"), pool_size=1)
        other.define_table("more", Field("name"), Field("thing", "integer"))
        db.commit()
        other.close()
    """
    before = app.state()
    app.models(thing('"name"', '"note"'), again, "raise ValueError('no')")
    failed = app.run()
    assert failed.status == 1
    assert "db2.py: <class 'ValueError'> no" in failed.errors
    assert app.state() == before
    app.models(thing('"name"', '"note"'), again)
    assert app.run().outcome == "schema changed"


def test_locked_table(app: Application) -> None:
    before = app.state()
    app.models(thing('"name"', '"note"'))
    with app.session() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; LOCK TABLE thing IN ACCESS EXCLUSIVE MODE")
        assert app.run("--check").outcome == "schema would change: thing.note is new"
        cursor.execute("ROLLBACK; BEGIN; LOCK TABLE thing IN ACCESS SHARE MODE")  # what any query holds
        busy = app.run()
        cursor.execute("ROLLBACK")
    assert busy.status == os.EX_TEMPFAIL
    assert busy.errors.startswith("no lock within 1 s: canceling statement due to lock timeout: ALTER TABLE")
    assert f" of {USER} from " in busy.errors
    assert app.state() == before
    assert app.run().outcome == "schema changed"


def test_second_migration_waits_for_the_first(app: Application) -> None:
    app.models(thing('"name"', '"note"'), "import time; time.sleep(0.7)")
    results = [finish(process) for process in [app.start(), app.start()]]
    assert sorted(result.outcome for result in results) == ["schema changed", UNCHANGED]


def test_check_of_models_that_fail(app: Application) -> None:
    app.models(FIRST, "1 / 0")
    assert app.check().startswith("schema would change: unknown, the models could not be run to their end: ")


def test_the_applications_own_models(empty: Application) -> None:
    """files/web2py_app, which reads its database from private/appconfig.ini, too."""
    source = Path(__file__).resolve().parents[2] / "files/web2py_app"
    for directory in ("models", "modules"):
        (empty.directory / directory).symlink_to(source / directory)
    assert empty.check() == "schema would change: there are no tables yet; date_time is new"
    assert empty.run().outcome == "schema changed"
    assert empty.run().lines == [UNCHANGED]


def test_dump_takes_the_place_of_what_is_there(make: Callable[..., Application], app: Application) -> None:
    """What `pg_dump` gives of an application that has grown over three migrations on another machine, where the history
    is in files. The models are newer than the dump."""
    elsewhere = make()
    for fields in (
        ['"name", length=64', '"gone", notnull=True, default="x"'],
        ['"name", length=64', '"gone", notnull=True, default="x"', '"parent", "reference thing"', '"price", "double"'],
        ['"name", length=64', '"gone", notnull=True, default="x"', '"parent", "reference thing"', '"made", "datetime"'],
    ):
        elsewhere.migrate(thing(*fields))
    elsewhere.query("DROP TABLE web2py_filesystem")
    elsewhere.query(
        "INSERT INTO thing (name, gone) VALUES ('f\u00efrst\t\\.', repeat('y', 500)), (E'a\\n\\\\.\\n', '')"
    )
    elsewhere.query("CREATE TABLE large AS SELECT repeat('0123456789', 200000) AS text")
    # A body that has in it what separates a script's parts.
    body = "SELECT E'\n\\\\.\nCOPY thing FROM stdin;\n'::text"
    elsewhere.query(f"CREATE FUNCTION odd() RETURNS text LANGUAGE sql AS $$ {body} $$")
    elsewhere.query("CREATE VIEW names AS SELECT id FROM thing")
    elsewhere.query("CREATE INDEX by_name ON thing (name)")
    elsewhere.query("SELECT setval('thing_id_seq', 70)")
    dump = elsewhere.dump()
    app.query("INSERT INTO thing (name) VALUES ('of before')")
    before = app.state()
    app.models(
        thing('"name", length=128', '"parent", "reference thing"', '"made", "datetime"', '"note"'),
        'db.define_table("other", Field("name", notnull=True))',
    )
    occupied = app.run("--adopt", dump)
    assert (occupied.status, occupied.errors) == (4, "it has rows in thing: 1\nnothing was changed\n")
    assert app.state() == before

    adopted = app.run("--adopt", dump, "--replace")
    assert adopted.status == 0, adopted.errors
    assert adopted.lines[0] == "adopted: thing"
    assert {"left over: thing.gone", "left over: thing.price"} < set(adopted.lines)
    assert adopted.outcome == "schema changed"
    assert app.column("name") == ("character varying 128", "YES")
    assert app.column("note") == ("character varying 512", "YES")
    assert app.column("gone") == ("character varying 512", "NO")  # it has a default
    assert app.query("SELECT id, name, note FROM thing ORDER BY id") == [
        (1, "f\u00efrst\t\\.", None),
        (2, "a\n\\.\n", None),
    ]
    assert app.query("SELECT length(text) FROM large") == [(2_000_000,)]
    assert app.query("SELECT odd()") == [("\n\\.\nCOPY thing FROM stdin;\n",)]
    assert app.query("SELECT count(*) FROM names") == [(2,)]
    assert app.query("SELECT indexname FROM pg_indexes WHERE indexname = 'by_name'")
    assert app.query("SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'") == [(USER,)]
    # From now on it is like any other.
    assert app.check() == UNCHANGED
    assert app.run("--drop-columns").outcome == "schema changed"
    assert app.column("gone") is None
    with Version(app.uri, thing('"name"', '"note"')) as new:
        assert new.insert(name="after")["id"] == 71


@pytest.mark.parametrize("options", [[], ["--inserts"]])
def test_dump_that_is_as_the_models_say(
    make: Callable[..., Application], empty: Application, migrated: Application, options: list[str]
) -> None:
    elsewhere = make(like=migrated)
    elsewhere.query("DROP TABLE web2py_filesystem")
    elsewhere.query("INSERT INTO thing (name) VALUES ('kept')")
    empty.models(FIRST)
    assert empty.run("--adopt", elsewhere.dump(*options)).lines == ["adopted: thing", "schema changed"]
    assert empty.state()[0] == migrated.state()[0]
    assert empty.query("SELECT name FROM thing") == [("kept",)]
    assert empty.check() == UNCHANGED


def test_dump_of_a_deployment(make: Callable[..., Application], empty: Application) -> None:
    """It has the history of its tables in it."""
    elsewhere = make()
    elsewhere.migrate(thing('"name"', '"gone"'))
    empty.models(FIRST)
    adopted = empty.run("--adopt", elsewhere.dump())
    assert adopted.status == 0, adopted.errors
    assert "left over: thing.gone" in adopted.lines
    assert empty.check() == UNCHANGED


GROWN = [
    thing('"name", length=64', '"gone", "integer"', '"tags", "text"'),
    thing('"name"', '"tags", "list:string"', '"owner", "reference thing"', '"price", "decimal(10,2)"'),
    thing(
        *('"name", unique=True', '"tags", "list:string"', '"owner", "reference thing"', '"price", "decimal(10,2)"'),
        *('"note", rname="remark"', '"day", "date"', '"hour", "time"', '"made", "datetime", notnull=True, default=now'),
        *('"active", "boolean"', '"data", "blob"', '"paper", "upload"', '"secret", "password"', '"more", "json"'),
        *('"weight", "double"', '"size", "integer", notnull=True, default=1', '"large", "bigint"', '"short", length=9'),
        *(
            '"parent", "reference thing", notnull=True, unique=True, ondelete="SET NULL"',
            '"far", "big-reference thing"',
        ),
        *('"ones", "list:integer"', '"others", "list:reference thing"', '"long", "text", notnull=True, default=""'),
    ),
]


def test_history_of_a_dump_is_what_the_files_in_databases_have(
    make: Callable[..., Application], empty: Application
) -> None:
    """For an application that has grown over three migrations by web2py's own means."""
    elsewhere = make()
    for models in GROWN:
        elsewhere.grow(models)
    empty.models("import datetime; now = datetime.datetime(2020, 1, 1)", "\n" + GROWN[-1])
    adopted = empty.run("--adopt", elsewhere.dump())
    assert adopted.lines == ["adopted: thing", "in files: thing.paper", "schema changed"]
    assert empty.columns_of("thing") == elsewhere.columns_of("thing")
    assert empty.history() == elsewhere.history_in_files()
    assert empty.check() == UNCHANGED


@pytest.mark.parametrize("options", [[], ["--allow-destructive", "--drop-columns"]], ids=" ".join)
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('"value", length=64', '"value", length=128'),
        ('"value", length=64', '"value", "text"'),
        ('"value", length=64', '"value", length=64, notnull=True, default="x"'),
        ('"value", length=64, notnull=True, default="x"', '"value", length=64'),
        ('"value", length=64', '"value", length=64, unique=True'),
        ('"value"', '"value", "integer"'),
        ('"value", "integer"', '"value"'),
        ('"value", "date"', '"value", "datetime"'),
        ('"value", "decimal(10,2)"', '"value", "decimal(12,4)"'),
        ('"value", "decimal(10,2)"', '"value", "integer"'),
        ('"value", "bigint"', '"value", "text"'),
        ('"value", "boolean"', '"value", "integer"'),
        ('"value", "text"', '"value", "blob"'),
        ('"value", "text"', '"value", "json"'),
        ('"value", "text"', '"value", "list:string"'),
        ('"value", "list:integer"', '"value", "list:reference thing"'),
        ('"value", "upload"', '"value", "password"'),
        ('"value", "integer"', '"value", "double"'),
        ('"value", "integer"', '"value", "reference thing"'),
        ('"value", "reference thing"', '"value", "big-reference thing"'),
        ('"value"', '"other"'),
        ('"value"', '"value", rname="other"'),
        ('"value", notnull=True', '"other", notnull=True'),
    ],
)
def test_files_in_databases_would_change_nothing(
    make: Callable[..., Application], before: str, after: str, options: list[str]
) -> None:
    """A dump and newer models: what is done, and what is refused, is the same with web2py's own history of the tables
    as without."""
    elsewhere = make()
    elsewhere.grow(thing('"name"'))
    elsewhere.grow(thing('"name"', before))
    dump = elsewhere.dump()
    found = []
    for history in (elsewhere.history_in_files(), {}):
        app = make(like=elsewhere if history else None)
        app.write_history(history)
        app.models(thing('"name"', after))
        result = app.run(*options, *([] if history else ["--adopt", dump]))
        lines = [line for line in result.lines if line not in ("adopted: thing", "schema changed", UNCHANGED)]
        columns = app.state()[0] if result.status == 0 else ()
        found.append((result.status, lines, result.errors.replace(app.name, "app"), columns))
    assert found[0] == found[1]


def test_another_rname_since_the_dump_is_another_column(make: Callable[..., Application], empty: Application) -> None:
    """Only web2py's history knows which field a column was: once that is taken over, the same change is refused."""
    elsewhere = make()
    elsewhere.grow(thing('"name"'))
    elsewhere.grow(thing('"name"', '"size", rname="how_big"'))
    models = thing('"name"', '"size", rname="extent"')
    dump = elsewhere.dump()
    empty.models(models)
    adopted = empty.run("--adopt", dump)
    assert adopted.status == 0, adopted.errors
    assert adopted.lines == [
        "adopted: thing",
        'ALTER TABLE "thing" ADD extent VARCHAR(512);',
        "left over: thing.how_big",
        "schema changed",
    ]
    later = make()
    later.models(thing('"name"', '"size", rname="how_big"'))
    assert later.run("--adopt", dump).status == 0
    later.models(models)
    assert later.run().errors.startswith("refused: thing.size is called extent in the database instead of how_big (")


def test_dump_of_what_a_tool_has_made_of_another_kind_of_database(
    make: Callable[..., Application], empty: Application
) -> None:
    """pgloader has types of its own for what comes from SQLite and MySQL. They serve."""
    elsewhere = make()
    elsewhere.query(
        "CREATE TABLE thing (id bigserial PRIMARY KEY, name text, active boolean, flag text, count bigint,"
        " made timestamptz, price numeric, parent bigint REFERENCES thing (id), short varchar, wide varchar(2000))"
    )
    elsewhere.query("INSERT INTO thing (name, active, flag, count, made) VALUES ('kept', true, 'F', 7, '2020-01-01')")
    fields = (
        *('"name"', '"active", "boolean"', '"flag", "boolean"', '"count", "integer"', '"made", "datetime"'),
        *('"price", "double"', '"parent", "reference thing"', '"short"', '"wide"'),
    )
    empty.models(thing(*fields))
    adopted = empty.run("--adopt", elsewhere.dump())
    assert adopted.status == 0, adopted.errors
    assert adopted.lines == [
        "adopted: thing",
        *(
            f"left as it is: thing.{words}"
            for words in (
                "name is VARCHAR(512) in the models and text in the database",
                "active is CHAR(1) in the models and boolean in the database",
                "flag is CHAR(1) in the models and text in the database",
                "count is INTEGER in the models and bigint in the database",
                "made is TIMESTAMP in the models and timestamp with time zone in the database",
                "parent is INTEGER in the models and bigint in the database",
                "short is VARCHAR(512) in the models and character varying in the database",
                "wide is VARCHAR(512) in the models and character varying(2000) in the database",
                "price is FLOAT8 instead of NUMERIC; web2py does not change this kind of column",
            )
        ),
        "schema changed",
    ]
    assert empty.check() == UNCHANGED
    assert empty.columns_of("thing") == elsewhere.columns_of("thing")
    with Version(empty.uri, thing(*fields)) as version:
        row = version.db.thing(1)
        assert (row.name, row.active, row.flag, row.count) == ("kept", True, False, 7)
        assert (row.made.year, row.price) == (2020, None)
        made = version.insert(name="new", active=False, flag=True, count=8, price=1.5, parent=1)
        assert (made["active"], made["flag"], made["price"]) == (False, True, 1.5)
        assert version.db(version.db.thing.active == True).count() == 1  # noqa: E712 -- pydal's
        assert version.db(version.db.thing.flag == True).count() == 1  # noqa: E712


def test_dump_that_the_models_do_not_fit_leaves_all_as_it_was(
    make: Callable[..., Application], app: Application, migrated: Application
) -> None:
    elsewhere = make(like=migrated)
    elsewhere.query("DROP TABLE web2py_filesystem")
    elsewhere.query("INSERT INTO thing (name) VALUES ('of the dump')")
    dump = elsewhere.dump()
    app.query("INSERT INTO thing (name) VALUES ('of before')")
    before = app.state()
    app.models(thing('"name", notnull=True'))
    refused = app.run("--adopt", dump, "--replace")
    assert refused.status == REFUSED
    assert "refused: thing.name is VARCHAR(512) NOT NULL instead of VARCHAR(512) (" in refused.errors
    app.models(FIRST, "1 / 0")
    assert app.run("--adopt", dump, "--replace").status == 1
    assert app.state() == before
    assert app.query("SELECT name FROM thing") == [("of before",)]
    app.models(thing('"name", notnull=True'))
    assert app.run("--adopt", dump, "--replace", "--allow-destructive").outcome == "schema changed"
    assert app.query("SELECT name FROM thing") == [("of the dump",)]


def test_dump_that_cannot_be_restored_leaves_all_as_it_was(make: Callable[..., Application], app: Application) -> None:
    elsewhere = make()
    elsewhere.query("CREATE TABLE thing AS SELECT generate_series(1, 20000) AS id")
    whole = elsewhere.dump("--compress=none")
    cut = f"{whole}.cut"
    docker("exec", CONTAINER, "sh", "-c", f"head --bytes=60000 {whole} > {cut}")
    elsewhere.query("CREATE TYPE kind AS ENUM ('a')")
    app.query("CREATE TYPE kind AS ENUM ('b')")
    app.query("INSERT INTO thing (name) VALUES ('of before')")
    before = app.state()
    app.models(FIRST)
    for dump, reason in (
        (cut, "pg_restore can't read it: pg_restore: error: could not read from input file: end of file"),
        ("/tmp/nothing", "pg_restore can't read it: pg_restore: error: could not open input file"),
        (elsewhere.dump(), 'PostgreSQL refuses it: type "kind" already exists'),
    ):
        failed = app.run("--adopt", dump, "--replace")
        assert failed.status == 5
        assert reason in failed.errors
        assert failed.errors.endswith("nothing was changed\n")
        assert app.state() == before
        assert app.query("SELECT name FROM thing") == [("of before",)]


def test_dump_waits_for_no_lock(make: Callable[..., Application], app: Application) -> None:
    dump = make().dump()
    app.models(FIRST)
    with app.session() as connection, connection.cursor() as cursor:
        cursor.execute("BEGIN; SELECT count(*) FROM thing")
        busy = app.run("--adopt", dump)
        cursor.execute("ROLLBACK")
    assert busy.status == os.EX_TEMPFAIL
    assert busy.errors.startswith("no lock within 1 s: canceling statement due to lock timeout")
    assert app.run("--adopt", dump).status == 0
