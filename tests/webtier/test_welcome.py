"""web2py's own application, unchanged, on two hosts of one fleet."""

from __future__ import annotations

import re

import pytest
import web2py_release
from web_host import MIGRATED, PROBE, Visitor, Web, answers

from benchmarks.lab import Lab, wait_until

USER = "/default/user"
ADA = "ada@example.com"


@pytest.fixture(scope="module")
def fleet(host: Web, tmp_path_factory: pytest.TempPathFactory) -> list[Lab]:
    source = web2py_release.unpack("welcome", tmp_path_factory.mktemp("welcome"))
    first = host.become(
        **{
            **PROBE,
            **MIGRATED,
            "web2py_app_sessions": "database",
            "web2py_app_source": str(source),
            "web2py_app_smoke_paths": [],
            "web2py_app_config": {"app": {"author": "Ada of the deployment"}},
            "web2py_app_secrets": {"google": {"analytics_id": "analytics"}},
            "web2py_app_secret_values": {"analytics": "100%;#secret"},
        }
    )
    hosts = [first, first.beside()]
    wait_until(lambda: answers(hosts[1], "/default/index"), "the second host serves")
    return hosts


def submit(visitor: Visitor, page: str, **fields: str) -> str:
    """The page after a form was filled in and sent, as a browser does it with the form's hidden fields."""
    form = visitor.ask(page).text
    hidden = dict(re.findall(r'name="(_formkey|_formname|_next)"[^>]*value="([^"]*)"', form))
    return visitor.ask(page, **hidden, **fields).text


def logged_in(visitor: Visitor) -> str | None:
    """Who the application takes the visitor for: an address, or None."""
    answer = visitor.ask("/default/api_get_user_email")
    assert answer.status_code == 200
    return answer.json()["email"] if answer.text.startswith("{") else None


def test_who_has_registered_stays_logged_in(fleet: list[Lab]) -> None:
    visitor = Visitor(fleet)
    password = "a long enough 1 Password!"
    submit(
        visitor,
        USER + "/register",
        first_name="Ada",
        last_name="Lovelace",
        email=ADA,
        password=password,
        password_two=password,
    )
    assert [logged_in(visitor) for _ in range(24)] == [ADA] * 24
    visitor.ask(USER + "/logout")
    assert [logged_in(visitor) for _ in range(4)] == [None] * 4
    submit(visitor, USER + "/login", email=ADA, password=password)
    assert [logged_in(visitor) for _ in range(24)] == [ADA] * 24


def test_settings_and_secrets_come_from_the_deployment(fleet: list[Lab]) -> None:
    page = Visitor(fleet).ask("/").text
    assert "Ada of the deployment" in page
    assert "100%;#secret" in page


def test_health_check_needs_no_page_of_the_application(fleet: list[Lab]) -> None:
    answer = Visitor(fleet).ask("/health")
    assert (answer.status_code, answer.text) == (200, "web2py is loaded\n")


def test_shell_has_the_models_and_the_database(fleet: list[Lab]) -> None:
    shell = "runuser --user=www-data -- /opt/web2py-venv/bin/python /usr/local/sbin/web2py-console /opt/web2py"
    typed = (
        'print("users:", db(db.auth_user).count(), db.define_table("scans", Field("photo", "upload")).photo.uploadfs)'
    )
    said = fleet[0].run("sh", "-c", f"echo '{typed}' | {shell} 2>&1")
    assert re.search(r"users: \d+ <web2py_shared_uploads.Uploads ", said), said


def test_models_change_no_table_whatever_they_say(fleet: list[Lab]) -> None:
    shell = "runuser --user=www-data -- /opt/web2py-venv/bin/python /usr/local/sbin/web2py-console /opt/web2py"
    for option in ("", ", migrate_enabled=True"):
        typed = f'own = DAL(db._uri{option}); own.define_table("never", Field("name")); own.commit(); print("defined")'
        said = fleet[0].run("sh", "-c", f"echo '{typed}' | {shell} 2>&1")
        assert "defined" in said, said
    assert fleet[0].sql("SELECT to_regclass('never')") == [(None,)]
