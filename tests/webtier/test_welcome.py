"""web2py's own application, unchanged, on two hosts of one fleet."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import web2py_release
import yaml
from mail_server import MailServer, mail_server
from waiting import PATIENCE
from web_host import MIGRATED, PROBE, Visitor, Web, answers

from benchmarks.lab import Lab, wait_until

ROOT = Path(__file__).resolve().parents[2]
USER = "/default/user"
ADA = "ada@example.com"
SHOP = "shop@example.com"
PASSWORD = "a long enough 1 Password!"
# What an application of one machine may have in its appconfig.ini.
SMTP_PASSWORD = "50%;#secret"


@pytest.fixture(scope="module")
def mails(host: Web, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MailServer]:
    directory = tmp_path_factory.mktemp("mails")
    certificate, key = directory / "certificate", directory / "key"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=mails"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    with mail_server(host.lab.gateway, certificate, key, "ada", SMTP_PASSWORD) as server:
        yield server


@pytest.fixture(scope="module")
def fleet(host: Web, mails: MailServer, tmp_path_factory: pytest.TempPathFactory) -> list[Lab]:
    network = host.lab.address.rpartition(".")[0]
    source = web2py_release.unpack("welcome", tmp_path_factory.mktemp("welcome"))
    first = host.become(
        **{
            **PROBE,
            **MIGRATED,
            "web2py_app_sessions": "database",
            "web2py_app_uploads": "database",
            "web2py_app_source": str(source),
            "web2py_app_smoke_paths": [],
            # Beside other tests a login takes long, and those of a load test wait for each other.
            "uwsgi_queue_seconds": 1.9 * PATIENCE,
            "web2py_app_config": {
                "app": {"author": "Ada of the deployment"},
                "smtp": {"server": f"{host.lab.gateway}:{mails.port}", "sender": SHOP, "tls": True, "ssl": False},
                # Both hosts, and what each asks itself.
                "host": {"names": ["shop.example.com", f"{network}.*", "127.0.0.1"]},
            },
            "web2py_app_secrets": {"google": {"analytics_id": "analytics"}, "smtp": {"login": "smtp_login"}},
            "web2py_app_secret_values": {"analytics": "100%;#secret", "smtp_login": f"ada:{SMTP_PASSWORD}"},
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


def register(visitor: Visitor, email: str) -> None:
    names = {"first_name": "Ada", "last_name": "Lovelace", "email": email}
    submit(visitor, USER + "/register", **names, password=PASSWORD, password_two=PASSWORD)


def logged_in(visitor: Visitor) -> str | None:
    """Who the application takes the visitor for: an address, or None."""
    answer = visitor.ask("/default/api_get_user_email")
    assert answer.status_code == 200
    return answer.json()["email"] if answer.text.startswith("{") else None


def test_who_has_registered_stays_logged_in(fleet: list[Lab]) -> None:
    visitor = Visitor(fleet)
    register(visitor, ADA)
    assert [logged_in(visitor) for _ in range(24)] == [ADA] * 24
    visitor.ask(USER + "/logout")
    assert [logged_in(visitor) for _ in range(4)] == [None] * 4
    submit(visitor, USER + "/login", email=ADA, password=PASSWORD)
    assert [logged_in(visitor) for _ in range(24)] == [ADA] * 24


def test_visitors_of_a_load_test_log_in(fleet: list[Lab], tmp_path: Path) -> None:
    """The scenario of loadtest/README.md, with this application's page that says who has logged in."""
    email = "load@example.com"
    register(Visitor(fleet), email)
    text = (ROOT / "loadtest/README.md").read_text()
    (block,) = [found for found in re.findall("```yaml\n(.*?)```", text, re.DOTALL) if "visit:" in found]
    scenario = yaml.safe_load(block) | {"slo": {"success_percent": 100}, "rate": {"from": 1, "to": 3}, "timeout": "60s"}
    scenario["visit"][1]["form"] |= {"email": email, "password": PASSWORD}
    scenario["visit"][2] |= {"path": "/default/api_get_user_email", "keep": {"me": f"({re.escape(email)})"}}
    (tmp_path / "mine.yml").write_text(yaml.safe_dump(scenario))
    command = [sys.executable, "-m", "loadtest", "run", str(tmp_path / "mine.yml"), "--results", str(tmp_path)]
    command += ["--outside-environment", "--url", fleet[0].url]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)
    (file,) = tmp_path.glob("*-mine/result.json")
    assert done.returncode == 0, f"{done.stderr}\n{file.read_text()[:3000]}"
    counts = {part["name"]: part["succeeded"] for part in json.loads(file.read_text())["parts"]}
    assert set(counts) == {"/user/login", "POST /user/login", "/default/api_get_user_email"}
    assert len(set(counts.values())) == 1


def test_settings_and_secrets_come_from_the_deployment(fleet: list[Lab]) -> None:
    page = Visitor(fleet).ask("/").text
    assert "Ada of the deployment" in page
    assert "100%;#secret" in page


def test_forgotten_password_is_mailed_about(fleet: list[Lab], mails: MailServer) -> None:
    """Through a mail server that wants TLS and a password; the link leads to the host that was asked."""
    address = "grace@example.com"
    register(Visitor(fleet), address)
    first = fleet[0]
    visitor = Visitor([first])
    submit(visitor, USER + "/request_reset_password", email=address)
    ((sender, receivers, mail),) = mails.received
    assert (sender, receivers) == (SHOP, [address])
    assert (mail["From"], mail["To"]) == (SHOP, address)
    (link,) = re.findall(r"http://\S+", mail.get_content())
    assert link.startswith(f"http://{first.address}/user/reset_password?key=")
    another = "another long enough 2 Password!"
    visitor.ask(link.removeprefix(first.url))
    # The session knows the key by now.
    submit(visitor, "/user/reset_password", new_password=another, new_password2=another)
    later = Visitor(fleet)
    submit(later, USER + "/login", email=address, password=another)
    assert [logged_in(later) for _ in range(4)] == [address] * 4


def test_links_lead_to_no_other_host(fleet: list[Lab]) -> None:
    """A visitor who claims to ask another host can't have a mail with a link to that."""
    page = requests.get(fleet[0].url + USER + "/login", headers={"Host": "evil.example.com"}, timeout=30)
    assert page.status_code == 403


def test_health_check_needs_no_page_of_the_application(fleet: list[Lab]) -> None:
    answer = Visitor(fleet).ask("/health")
    assert (answer.status_code, answer.text) == (200, "web2py is loaded\n")


def test_shell_has_the_models_and_the_database(fleet: list[Lab]) -> None:
    shell = "runuser --user=www-data -- /opt/web2py-venv/bin/python /usr/local/sbin/web2py-console /opt/web2py"
    typed = [
        'print("asked as:", request.env.http_host)',
        'scans = db.define_table("scans", Field("picture", "upload"))',
        'print("users:", db(db.auth_user).count(), scans.picture.uploadfs)',
    ]
    said = fleet[0].run("sh", "-c", f"echo '{'; '.join(typed)}' | {shell} 2>&1")
    assert re.search(r"users: \d+ <web2py_shared_uploads.Uploads ", said), said
    assert "asked as: shop.example.com\n" in said


def test_models_change_no_table_whatever_they_say(fleet: list[Lab]) -> None:
    shell = "runuser --user=www-data -- /opt/web2py-venv/bin/python /usr/local/sbin/web2py-console /opt/web2py"
    for option in ("", ", migrate_enabled=True"):
        typed = f'own = DAL(db._uri{option}); own.define_table("never", Field("name")); own.commit(); print("defined")'
        said = fleet[0].run("sh", "-c", f"echo '{typed}' | {shell} 2>&1")
        assert "defined" in said, said
    assert fleet[0].sql("SELECT to_regclass('never')") == [(None,)]
