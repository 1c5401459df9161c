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
