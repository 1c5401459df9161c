"""What is written into an application's private/appconfig.ini, as web2py reads it."""

import configparser
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from programs import as_module

PROGRAM = Path(__file__).parents[2] / "plugins/modules/web2py_app_settings.py"


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return as_module(PROGRAM, monkeypatch)


def as_web2py_reads(text: str) -> dict[str, dict[str, str]]:
    """gluon/contrib/appconfig.py read_config_ini."""
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return {section: dict(parser.items(section)) for section in parser.sections()}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[host]\n",
        "[host]\nnames = *\n",
        "[host]\nnames = localhost:*,\n    127.0.0.1:*,\n\n    *\n",
        "[host]\nnames: *\n",
        "[host]\nNames = *\n",
        "; of one machine\n[host]\n# all of them\nnames=*\n",
    ],
)
def test_a_value_takes_the_place_of_another(settings: ModuleType, text: str) -> None:
    written = settings.changed(text, {"host": {"names": "shop.example.com, 127.0.0.1"}})
    assert as_web2py_reads(written) == {"host": {"names": "shop.example.com, 127.0.0.1"}}
    assert settings.changed(written, {"host": {"names": "shop.example.com, 127.0.0.1"}}) == written


def test_other_options_keep_their_values(settings: ModuleType) -> None:
    text = "[DEFAULT]\nall = 1\n[app]\nname = 100%; #1\nKeywords: web2py,\n  python\n[db]\nuri = sqlite\npool_size=10\n"
    before = as_web2py_reads(text)
    written = settings.changed(text, {"db": {"uri": "postgres://a:b%40@c/d"}, "smtp": {"tls": "True"}})
    before["db"]["uri"] = "postgres://a:b%40@c/d"
    assert as_web2py_reads(written) == before | {"smtp": {"all": "1", "tls": "True"}}
    assert "Keywords = web2py,\n\tpython\n" in written


@pytest.mark.parametrize(
    ("value", "line"), [("a", "a"), (1, "1"), (True, "True"), (["a", 1], "a, 1"), ("", ""), ("  a", "  a")]
)
def test_values_are_lines(settings: ModuleType, value: Any, line: str) -> None:
    assert settings.wanted({"a": {"b": value}}, {}, {}) == {"a": {"b": line}}


def test_a_secret_that_is_known_wins(settings: ModuleType) -> None:
    given = {"smtp": {"login": "none", "server": "mail"}}
    secrets = {"smtp": {"login": "smtp_login"}, "other": {"key": "unknown"}}
    found = settings.wanted(given, secrets, {"smtp_login": "ada:1"})
    assert found == {"smtp": {"login": "ada:1", "server": "mail"}}


def run(path: Path, **parameters: object) -> dict[str, Any]:
    arguments = {"ANSIBLE_MODULE_ARGS": {"path": str(path), "_ansible_remote_tmp": str(path.parent), **parameters}}
    done = subprocess.run(
        [sys.executable, PROGRAM], input=json.dumps(arguments), text=True, capture_output=True, check=False
    )
    return {**json.loads(done.stdout), "rc": done.returncode}


def test_the_second_run_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "appconfig.ini"
    given = {"settings": {"db": {"uri": "postgres://a"}}, "mode": "0640"}
    assert run(path, **given, _ansible_check_mode=True)["changed"]
    assert not path.exists()
    assert run(path, **given)["changed"]
    assert path.read_text() == "[db]\nuri = postgres://a\n\n"
    assert path.stat().st_mode & 0o777 == 0o640
    before = path.stat()
    assert not run(path, **given)["changed"]
    assert path.stat() == before
    path.chmod(0o644)
    assert run(path, **given)["changed"]


def test_what_web2py_cannot_read_is_left(tmp_path: Path) -> None:
    path = tmp_path / "appconfig.ini"
    path.write_text("uri = none\n")
    said = run(path, settings={"db": {"uri": "postgres://a"}})
    assert said["rc"] == 1
    assert "can't be read: File contains no section headers" in said["msg"]
    assert path.read_text() == "uri = none\n"
