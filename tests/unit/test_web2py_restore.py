"""What of pg_restore's script goes to PostgreSQL: all but the lines for psql, whatever functions have in them."""

from __future__ import annotations

from pathlib import Path

import pytest
from programs import as_module

PROGRAM = Path(__file__).resolve().parents[2] / "roles/migration/files/web2py_restore.py"
BODY = [
    b"CREATE FUNCTION public.f() RETURNS text LANGUAGE sql AS $$\n",
    b"SELECT '\n",
    b"\\restrict word\n",
    b"\\unrestrict word\n",
    b"SET transaction_timeout = 0;\n",
    b"'$$;\n",
]
SETTINGS = [b"SET statement_timeout = 0;\n", b"SET lock_timeout = 0;\n"]
NEW = b"SET transaction_timeout = 0;\n"
PATH = b"SELECT pg_catalog.set_config('search_path', '', false);\n"


class Statements:
    """A cursor that keeps what it is to execute."""

    def __init__(self) -> None:
        self.executed: list[bytes] = []

    def execute(self, script: bytes) -> None:
        self.executed.append(script.removesuffix(b"\nSELECT 1"))


def test_inserts_are_sent_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """A text with line breaks stays in one piece, whatever its lines look like."""
    module = as_module(PROGRAM, monkeypatch)
    monkeypatch.setattr(module, "BATCH", 100)
    text = [
        b"INSERT INTO public.thing VALUES (1, 'it''s\n",
        *[b"INSERT INTO public.thing VALUES (2, 3);\n"] * 9,
        b"');\n",
    ]
    lines = [*SETTINGS, *text, *[b"INSERT INTO public.thing VALUES (4, 'four');\n"] * 9]
    cursor = Statements()
    module._restore_rows(cursor, iter(lines))
    assert b"".join(cursor.executed) == b"".join(lines)
    assert [script.count(b"'") % 2 for script in cursor.executed] == [0] * len(cursor.executed)
    assert b"".join(text) in cursor.executed[0]
    assert max(map(len, cursor.executed[1:])) < 200


@pytest.mark.parametrize(
    "script",
    [
        [b"--\n", b"\\restrict k3y\n", *SETTINGS, NEW, PATH, *BODY, b"--\n", b"\\unrestrict k3y\n", b"\n"],
        # Of pg_restore before August 2025, and before 17.
        [b"--\n", *SETTINGS, NEW, PATH, *BODY, b"--\n", b"\n"],
        [b"--\n", *SETTINGS, PATH, *BODY, b"--\n", b"\n"],
    ],
    ids=["with a key", "without one", "older"],
)
def test_lines_for_psql_are_left_out(script: list[bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    module = as_module(PROGRAM, monkeypatch)
    assert [*module._for_servers(iter(script))] == [b"--\n", *SETTINGS, PATH, *BODY, b"--\n", b"\n"]
