"""What applications.yml says, and the applications themselves."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import web2py_release
import yaml

OWN = Path(__file__).parent / "applications.yml"


@dataclass(frozen=True)
class Form:
    """A form of a page, or of the page that links lead to from there, and what a visitor fills in."""

    page: str
    form: Mapping[str, str]
    follow: tuple[str, ...] = ()  # of the next link, a part of its address
    file: str = ""  # the field that gets an uploaded file
    says: str = ""  # what the page after it has


@dataclass(frozen=True)
class Application:
    """Where an application is from, and what a visitor does in it.

    `release`: an application of web2py's release; or `git`: an address, and `commit`: all 40 digits; or `directory`:
    a path beside the file. `packages`: a directory, beside the file, of packages that no public index has: a private
    one has them, and asks for a password. `settings`: those of group_vars/all.yml that it needs; each secret that they
    name gets a value. `changed`: a view, and its page; another version differs there. `typed`: lines for web2py's
    shell, before the visitor logs in. `pages`: path -> what is in its answer for who is logged in.
    `upload`: the links to the file that `record` has sent. `counter`: a page that counts this visitor's requests, and
    the pattern that it has once for each.
    """

    name: str
    changed: Mapping[str, str]
    pages: Mapping[str, str]
    release: str = ""
    git: str = ""
    commit: str = ""
    directory: Path | None = None
    packages: Path | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    register: Form | None = None
    typed: tuple[str, ...] = ()
    login: Form | None = None
    record: Form | None = None
    upload: Form | None = None
    counter: Mapping[str, str] | None = None

    def copy_to(self, directory: Path) -> Path:
        """Its files as their authors published them, below this directory."""
        if self.directory:
            return Path(shutil.copytree(self.directory, directory))
        directory.mkdir()
        if self.release:
            return web2py_release.unpack(self.release, directory)
        for command in (
            ["init", "--quiet"],
            ["fetch", "--quiet", "--depth=1", self.git, self.commit],
            ["checkout", "--quiet", "FETCH_HEAD"],
        ):
            subprocess.run(["git", "-C", directory, *command], check=True)
        return directory


def read(path: Path) -> list[Application]:
    found = []
    for name, said in yaml.safe_load(path.read_text()).items():
        forms = {word: Form(**said[word]) for word in ("register", "login", "record", "upload") if word in said}
        place = {word: path.parent / said[word] for word in ("directory", "packages") if word in said}
        found.append(Application(name=name, **{**said, **forms, **place}))
    return found


def chosen() -> list[Application]:
    """Those that come with web2py, our own, and those of the file that APPLICATIONS names."""
    more = os.environ.get("APPLICATIONS")
    return read(OWN) + (read(Path(more)) if more else [])
