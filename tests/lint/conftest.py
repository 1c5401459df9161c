"""What the lint tests share: the project's root, its files, and a way to run a tool."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

Runner = Callable[..., str]


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(scope="session")
def run() -> Runner:
    """Run a tool in the project's root as it would be typed; a failure shows what it said. Returns its stdout."""

    def runner(*command: str, **environment: str) -> str:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=os.environ
            | {
                "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
                "NO_COLOR": "1",
                "ANSIBLE_COLLECTIONS_PATH": str(ROOT / ".collections"),
            }
            | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            pytest.fail(f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}", pytrace=False)
        return done.stdout

    return runner


@pytest.fixture(scope="session")
def project_files(run: Runner) -> list[Path]:
    """The files that git has or would add."""
    names = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "-z").split("\0")
    return [ROOT / name for name in names if name and (ROOT / name).is_file()]
