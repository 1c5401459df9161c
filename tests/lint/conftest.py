"""What the lint tests share: the project's root, its files, and a way to run a tool."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from programs import TERRAFORM

ROOT = Path(__file__).resolve().parents[2]

CACHE = ROOT / ".cache"

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


@pytest.fixture(scope="session", autouse=True)
def terraform_checks(request: pytest.FixtureRequest, run: Runner) -> Iterator[dict[str, Future[None]]]:
    """What Terraform says of each stage whose test is to run, in a thread beside the other checks."""

    def check(stage: str) -> None:
        for command in (["init", "-backend=false", "-input=false"], ["validate"], ["test"]):
            run(
                "terraform",
                f"-chdir=terraform/{stage}",
                *command,
                "-no-color",
                # Working files of its own, so that neither git nor a deployment sees them.
                TF_DATA_DIR=str(CACHE / "terraform-lint" / stage),
                TF_PLUGIN_CACHE_DIR=str(plugins),
                **TERRAFORM,
            )

    plugins = CACHE / "terraform-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    wanted = [
        item.callspec.params["stage"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.originalname == "test_terraform_stage"
    ]
    with ThreadPoolExecutor(max_workers=1) as thread:
        yield {stage: thread.submit(check, stage) for stage in wanted}
