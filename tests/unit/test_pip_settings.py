"""What the hosts' pip is told of this machine's."""

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
    for name in ("https_proxy", "HTTPS_PROXY", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_PROXY", "PIP_TRUSTED_HOST"):
        monkeypatch.delenv(name, raising=False)
    file = tmp_path / "pip.conf"
    file.touch()
    monkeypatch.setenv("PIP_CONFIG_FILE", str(file))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_DIRS", str(tmp_path))
    return file


def lines(program, capsys):
    program.main()
    return capsys.readouterr().out.splitlines()


def test_file_and_environment(program, machine, monkeypatch, capsys):
    machine.write_text(
        "[global]\nindex-url = https://weak.example/simple\nextra-index-url = https://a.example/s file:///srv/b\n"
        "  https://c.example/s\ntrusted-host = weak.example\ntimeout = 9\n[install]\nproxy = http://proxy.example:3128\n"
    )
    monkeypatch.setenv("PIP_INDEX_URL", "https://user:pass=word@strong.example/simple")
    assert sorted(lines(program, capsys)[1:]) == [
        "extra-index-url = https://a.example/s https://c.example/s",
        "index-url = https://user:pass=word@strong.example/simple",
        "proxy = http://proxy.example:3128",
        "trusted-host = weak.example",
    ]


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
