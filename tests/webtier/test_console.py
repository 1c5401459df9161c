"""web2py's shell, `make console`, with the project's own application."""

from benchmarks.lab import Lab

CONSOLE = "runuser --user=www-data -- /opt/web2py-venv/bin/python /usr/local/sbin/web2py-console /opt/web2py"


def test_models_make_what_a_shell_is_given(web: Lab) -> None:
    typed = 'print("rows:", db(db.date_time).count(), request.is_shell)'
    said = web.run("sh", "-c", f"echo '{typed}' | {CONSOLE} 2>&1")
    assert "rows: " in said, said
    assert " True\n" in said, said
