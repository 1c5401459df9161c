"""The project as a collection: built from a directory, and installed somewhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

NAME = "web2py.cloud"
PROGRAMS = Path(sys.executable).parent


class Installed:
    """A directory with the collection in it, and beside it another one in which playbooks are run."""

    def __init__(self, directory: Path, archive: Path) -> None:
        self.path = directory / "collections/ansible_collections" / NAME.replace(".", "/")
        self.elsewhere = directory / "elsewhere"
        self.elsewhere.mkdir()
        # Or that of the user's home would count.
        (self.elsewhere / "ansible.cfg").touch()
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
            "ANSIBLE_CONFIG": str(self.elsewhere / "ansible.cfg"),
            "ANSIBLE_COLLECTIONS_PATH": str(directory / "collections"),
            "ANSIBLE_PIPELINING": "true",
            "PATH": f"{PROGRAMS}:{os.environ['PATH']}",
            "NO_COLOR": "1",
        }
        # Without --no-deps it could ask Galaxy.
        done = self.run(
            "ansible-galaxy", "collection", "install", "--no-deps", archive, "-p", directory / "collections"
        )
        assert done.returncode == 0, done.stdout

    def run(self, *command: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one of Ansible's programs there; what it said is in `stdout`."""
        return subprocess.run(
            command,
            cwd=self.elsewhere,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )


def build(project: Path, directory: Path) -> Path:
    """The archive, made in `directory`."""
    command = [PROGRAMS / "ansible-galaxy", "collection", "build", "--output-path", directory, project]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (archive,) = directory.glob("*.tar.gz")
    return archive
