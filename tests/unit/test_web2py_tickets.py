"""The reader of tickets: what it takes from a traceback."""

from pathlib import Path

import pytest
from programs import as_module

PROGRAM = Path(__file__).parents[2] / "roles/web2py_app/files/web2py_tickets.py"
CHAINED = """Traceback (most recent call last):
  File "/opt/web2py/gluon/restricted.py", line 319, in restricted
    exec(ccode, environment)
KeyError: 'first'

The above exception was the direct cause of the following exception:

Traceback (most recent call last):
  File "applications/shop/controllers/default.py", line 7, in index
    return query()
           ~~~~~^^
"""


@pytest.mark.parametrize(
    ("said", "line"),
    [
        ("ZeroDivisionError: division by zero\n", "ZeroDivisionError: division by zero"),
        (
            'psycopg2.errors.UndefinedTable: no "a"\nLINE 1: SELECT a\n               ^\n\n',
            'psycopg2.errors.UndefinedTable: no "a"',
        ),
        ("StopIteration", "StopIteration"),
        ("", "unknown"),
    ],
)
def test_first_line_of_what_the_last_exception_says(monkeypatch: pytest.MonkeyPatch, said: str, line: str) -> None:
    program = as_module(PROGRAM, monkeypatch)
    assert program.error(CHAINED + said) == line
    assert program.error("") == "unknown"
