"""Packages that an application brings: Debian's, and those of its requirements.txt."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import requests
from web_host import HOST, PROBE, Web

from benchmarks.lab import Lab, LabError

# It is compiled, for there is no wheel of it, against libraries that Debian has.
COMPILED = "python-ldap==3.4.8\n--no-binary python-ldap\n"
NEEDS = ["libldap-dev", "libsasl2-dev", "gcc", "python3-dev"]
PAGE = """
import ldap

def index():
    return "{said}: " + ldap.dn.escape_dn_chars("a,b") + str(ldap.OPT_API_INFO)
"""


def application(directory: Path, said: str, requirements: str) -> Path:
    (directory / "controllers").mkdir(parents=True)
    (directory / "controllers/default.py").write_text(PAGE.format(said=said))
    (directory / "requirements.txt").write_text(requirements)
    return directory


def settings(source: Path, packages: list[str]) -> dict[str, object]:
    return {
        **PROBE,
        "web2py_app_source": str(source),
        "web2py_app_smoke_paths": ["/"],
        "web2py_app_apt_packages": packages,
    }


@pytest.fixture(scope="module")
def compiled(host: Web, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    source = application(tmp_path_factory.mktemp("compiled") / "first", "first", COMPILED)
    return host.become(**settings(source, NEEDS))


def page(lab: Lab) -> str:
    answer = requests.get(lab.url, timeout=30)
    assert answer.status_code == 200
    return answer.text


def refused(lab: Lab, **variables: object) -> str:
    """What a deployment ends with, as a reader sees it."""
    with pytest.raises(LabError) as error:
        lab.play(HOST, **variables)
    return str(error.value)


def test_compiled_package_works(compiled: Lab) -> None:
    assert page(compiled) == "first: a\\,b0"


def test_second_run_changes_nothing(compiled: Lab, host: Web) -> None:
    """uWSGI, which needs a compiler for once only, leaves the application's alone."""
    before = compiled.run("dpkg-query", "--show")
    assert host.variables
    assert re.search(r"changed=0 ", compiled.play(HOST, **host.variables))
    assert compiled.run("dpkg-query", "--show") == before


@pytest.mark.parametrize(
    ("requirements", "packages", "said", "setting"),
    [
        (
            "no-such-package-of-web2py-aws\n",
            NEEDS,
            "No matching distribution found for no-such-package",
            "requirements.txt",
        ),
        (
            COMPILED,
            [*NEEDS, "no-such-package"],
            "No package matching 'no-such-package' is available",
            "web2py_app_apt_packages",
        ),
        # Found, and not to be compiled: a library is missing.
        ("pylibmc==1.6.3\n--no-binary pylibmc\n", NEEDS, "libmemcached/memcached.h", "web2py_app_apt_packages"),
    ],
    ids=["no such requirement", "no such package", "does not compile"],
)
def test_package_that_can_not_be_had(
    compiled: Lab, tmp_path: Path, requirements: str, packages: list[str], said: str, setting: str
) -> None:
    """What is wrong is said, with what to do, and the version before is served."""
    releases = compiled.run("ls", "-l", "/opt/web2py/applications")
    installed = compiled.run("/opt/web2py-venv/bin/pip", "freeze")
    second = application(tmp_path / "second", "second", requirements)
    error = refused(compiled, **settings(second, packages))
    assert re.search(rf"ERROR: .*{re.escape(said)}.*Look at: .*Type: [^\n]*{setting}", error, re.DOTALL), error
    assert "Traceback" not in error
    assert "\\n" not in error
    assert page(compiled).startswith("first: ")
    assert compiled.run("ls", "-l", "/opt/web2py/applications") == releases
    assert compiled.run("/opt/web2py-venv/bin/pip", "freeze") == installed
    # Also after a restart, as at a boot.
    compiled.run("systemctl", "restart", "uwsgi-web2py")
    assert page(compiled).startswith("first: ")
