"""Every version that is pinned, where, and which is the newest: python -m bootstrap.outdated, or make outdated.

It changes nothing. A source that can't be reached is said to be, and is no failure.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.request
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from packaging.version import InvalidVersion, Version

from bootstrap import terraform

PROJECT_ROOT = Path(__file__).resolve().parents[1]
TIMEOUT = 120  # seconds for one answer
PROVIDER = "https://registry.terraform.io/v1/providers/hashicorp/aws/versions"
TERRAFORM = "https://checkpoint-api.hashicorp.com/v1/check/terraform"


@dataclass(frozen=True)
class Pin:
    """`version` of `name` is written in `file`; `versions()` asks its source for all that there are."""

    name: str
    version: str
    file: str
    versions: Callable[[], list[str]]


def pins() -> list[Pin]:
    """All of them, in the order in which a reader meets them."""
    return [*_python(), *_roles(), *_git(), *_terraform()]


def newest(versions: list[str]) -> str:
    """The newest release; a tag's `v` doesn't count. ValueError when there is none."""
    found = []
    for text in versions:
        try:
            version = Version(text)
        except InvalidVersion:
            continue
        if not version.is_prerelease:
            found.append(version)
    return str(max(found))


def report(pinned: list[Pin]) -> list[tuple[str, str, str, str]]:
    """Name, version, the newest (or why it isn't known) and file of each."""

    def look(pin: Pin) -> str:
        try:
            return newest(pin.versions())
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            return f"unknown ({type(error).__name__})"

    with ThreadPoolExecutor(8) as pool:
        return [
            (pin.name, pin.version, found, pin.file) for pin, found in zip(pinned, pool.map(look, pinned), strict=True)
        ]


def _python() -> list[Pin]:
    """What requirements*.in ask for; what these need in turn is pinned with it, by `make requirements`."""
    found = []
    for name in ("requirements", "requirements-dev", "requirements-checkov", "requirements-k6"):
        asked = re.findall(r"^([A-Za-z][\w.-]*)", (PROJECT_ROOT / f"{name}.in").read_text(), re.MULTILINE)
        locked = dict(re.findall(r"^([\w.-]+)==([^\s;]+)", (PROJECT_ROOT / f"{name}.txt").read_text(), re.MULTILINE))
        found += [_on_pypi(package, locked[package.lower()], f"{name}.in") for package in asked]
    return found


def _roles() -> list[Pin]:
    """What hosts get from PyPI."""
    found = []
    for role in ("web2py", "uwsgi"):
        file = f"roles/{role}/defaults/main.yml"
        for variable, value in yaml.safe_load((PROJECT_ROOT / file).read_text()).items():
            # web2py itself is no package.
            if variable.endswith("_version") and variable != "web2py_version":
                package = variable.removesuffix("_version").removeprefix("web2py_")
                found.append(_on_pypi({"psycopg2": "psycopg2-binary"}.get(package, package), str(value), file))
    return found


def _on_pypi(package: str, version: str, file: str) -> Pin:
    def versions() -> list[str]:
        # pip knows this machine's index and proxy.
        answer = _run([sys.executable, "-m", "pip", "index", "versions", "--disable-pip-version-check", package])
        return re.findall(r"[^\s,]+", answer.partition("Available versions:")[2].partition("\n")[0])

    return Pin(package, version, file, versions)


def _git() -> list[Pin]:
    collections = yaml.safe_load((PROJECT_ROOT / "requirements.yml").read_text())["collections"]
    settings = yaml.safe_load((PROJECT_ROOT / "group_vars/all.yml").read_text())
    return [
        *(_tagged(collection["name"], str(collection["version"]), "requirements.yml") for collection in collections),
        _tagged(settings["web2py_repository"], settings["web2py_version"], "group_vars/all.yml, with web2py_commit"),
    ]


def _tagged(repository: str, version: str, file: str) -> Pin:
    def versions() -> list[str]:
        answer = _run(["git", "ls-remote", "--tags", "--refs", repository])
        return [line.rpartition("refs/tags/")[2] for line in answer.splitlines()]

    return Pin(repository.rpartition("/")[2].removesuffix(".git"), version, file, versions)


def _terraform() -> list[Pin]:
    versions_file = "terraform/network/versions.tf"
    constraint = re.search(r'version = "~> ([\d.]+)"', (PROJECT_ROOT / versions_file).read_text())
    assert constraint, f"{versions_file} pins no provider"
    return [
        Pin("terraform", terraform.VERSION, "bootstrap/terraform.py", lambda: [_json(TERRAFORM)["current_version"]]),
        Pin(
            "hashicorp/aws",
            constraint[1],
            "terraform/*/versions.tf",
            lambda: [version["version"] for version in _json(PROVIDER)["versions"]],
        ),
    ]


def _run(command: list[str]) -> str:
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=TIMEOUT)
    return done.stdout


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
        return json.load(answer)


def main() -> None:
    """Print the table, with a mark where there is something newer."""
    for name, version, found, file in report(pins()):
        mark = "*" if not found.startswith("unknown") and Version(found) > Version(version) else " "
        print(f"{mark} {name:24} {version:14} {found:24} {file}")
    print("\n* is newer. Python: make requirements. The others: in the file, then make test.")


if __name__ == "__main__":
    main()
