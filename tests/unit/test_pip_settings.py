"""What the hosts' pip is told of this machine's."""

import json
import netrc
from pathlib import Path

import pytest
from programs import as_module

PROGRAM = Path(__file__).resolve().parents[2] / "roles/builders/files/pip_settings.py"


@pytest.fixture
def program(monkeypatch):
    return as_module(PROGRAM, monkeypatch)


@pytest.fixture(autouse=True)
def machine(tmp_path, monkeypatch):
    """A machine whose pip has no settings but those of a test."""
    for name in (
        "https_proxy",
        "HTTPS_PROXY",
        "PIP_INDEX_URL",
        "PIP_EXTRA_INDEX_URL",
        "PIP_PROXY",
        "PIP_TRUSTED_HOST",
        "NETRC",
    ):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "pip.conf"
    file.touch()
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path))
    return file


def said(program, capsys):
    program.main()
    return json.loads(capsys.readouterr().out)


def lines(program, capsys):
    return said(program, capsys)["pip.conf"].splitlines()


def known_to_netrc(text, tmp_path, host):
    """As pip and other programs read it."""
    file = tmp_path / "written"
    file.write_text(text)
    return netrc.netrc(file).authenticators(host)


def test_file_and_environment(program, machine, monkeypatch, capsys, tmp_path):
    machine.write_text(
        "[global]\nindex-url = https://weak.example/simple\nextra-index-url = https://a.example/s file:///srv/b\n"
        "  https://c.example/s\ntrusted-host = weak.example\ntimeout = 9\n[install]\nproxy = http://proxy.example:3128\n"
    )
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:pass=word@strong.example/simple")
    found = said(program, capsys)
    assert sorted(found["pip.conf"].splitlines()[1:]) == [
        "extra-index-url = https://a.example/s https://c.example/s",
        "index-url = https://strong.example/simple",
        "proxy = http://proxy.example:3128",
        "trusted-host = weak.example",
    ]
    assert known_to_netrc(found["netrc"], tmp_path, "strong.example") == ("user", "", "pass=word")


@pytest.mark.parametrize(
    ("login", "user", "password"),
    [
        ("token", "token", ""),
        ("me:a%20b%23%22c%5C", "me", 'a b#"c\\'),
        ("me%40work.example:x%40y", "me@work.example", "x@y"),
    ],
)
def test_password_is_in_no_address(program, monkeypatch, capsys, tmp_path, login, user, password):
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", f"https://{login}@one.example:8443/simple https://two.example/simple")
    found = said(program, capsys)
    addresses = "extra-index-url = https://one.example:8443/simple https://two.example/simple"
    assert found["pip.conf"].splitlines() == ["[global]", addresses]
    assert known_to_netrc(found["netrc"], tmp_path, "one.example") == (user, "", password)
    assert known_to_netrc(found["netrc"], tmp_path, "two.example") is None


def test_two_users_of_one_host(program, monkeypatch, capsys, tmp_path):
    """A .netrc has one for each."""
    monkeypatch.setenv("PIP_INDEX_URL", "https://a:b@one.example/x")
    monkeypatch.setenv("PIP_EXTRA_INDEX_URL", "https://a:b@one.example/y https://c:d@one.example/z")
    found = said(program, capsys)
    assert sorted(found["pip.conf"].splitlines()[1:]) == [
        "extra-index-url = https://one.example/y https://c:d@one.example/z",
        "index-url = https://one.example/x",
    ]
    assert known_to_netrc(found["netrc"], tmp_path, "one.example") == ("a", "", "b")


def test_users_of_this_machines_own_file(program, monkeypatch, capsys, tmp_path):
    (tmp_path / ".netrc").write_text(
        "machine one.example login me password mine\nmachine other.example login x password y\n"
    )
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("PIP_INDEX_URL", "https://one.example/simple")
    found = said(program, capsys)
    assert known_to_netrc(found["netrc"], tmp_path, "one.example") == ("me", "", "mine")
    assert "other.example" not in found["netrc"]


def test_own_file_that_cannot_be_read_is_none(program, monkeypatch, capsys, tmp_path):
    (tmp_path / ".netrc").write_text("machine\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://one.example/simple")
    assert said(program, capsys) == {"pip.conf": "[global]\nindex-url = https://one.example/simple\n", "netrc": ""}


@pytest.mark.parametrize("name", ["https_proxy", "HTTPS_PROXY"])
def test_proxy_of_the_environment(program, monkeypatch, capsys, name):
    monkeypatch.setenv(name, "http://proxy.example:3128")
    assert lines(program, capsys) == ["[global]", "proxy = http://proxy.example:3128"]


@pytest.mark.parametrize("host", ["127.0.0.1:3141", "localhost:3141", "[::1]:3141"])
def test_what_only_this_machine_can_ask_is_left_out(program, monkeypatch, capsys, host):
    monkeypatch.setenv("PIP_INDEX_URL", f"http://{host}/simple")
    monkeypatch.setenv("https_proxy", f"http://{host}")
    assert lines(program, capsys) == []


def test_no_settings(program, capsys):
    assert lines(program, capsys) == []
