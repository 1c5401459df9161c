"""A copy of the project with a stack of its own, beside the one that somebody may be using."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

PROJECT_ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
PATIENCE = 30  # seconds after which Ctrl-C is pressed again


@dataclass(frozen=True)
class Answer:
    """An HTTP answer: status 0 when there was none."""

    status: int
    body: str


@dataclass(frozen=True)
class Run:
    """A finished run of ansible-playbook: exit code, output, and the recap's count of changes over all hosts."""

    returncode: int
    output: str

    @property
    def changed(self) -> int:
        counts = re.findall(r"\bok=\d+\s+changed=(\d+)", self.output)
        assert counts, f"no recap in:\n{self.output[-2000:]}"
        return sum(map(int, counts))


@dataclass(frozen=True)
class Project:
    """The copy: `port` and `cidr` set its local cloud apart; `inventory` where it is not the default one."""

    root: Path
    port: int
    cidr: str
    inventory: str | None = None
    # Of a user with an AWS account: the local cloud must be used all the same.
    credentials: Mapping[str, str] = field(default_factory=lambda: {"AWS_PROFILE": "a-profile-of-the-user"})

    @classmethod
    def copy_to(cls, root: Path, port: int, cidr: str) -> Project:
        """Copy what git knows of the project, and link what `make` installed."""
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=PROJECT_ROOT, check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
        for name in filter(None, listed.split("\0")):
            source, target = PROJECT_ROOT / name, root / name
            if source.exists() or source.is_symlink():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target, follow_symlinks=False)
        for name in (".venv", ".collections", ".cache"):
            (PROJECT_ROOT / name).mkdir(exist_ok=True)
            (root / name).symlink_to(PROJECT_ROOT / name)
        return cls(root, port, cidr)

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self.root}/.venv/bin:{os.environ['PATH']}",
            **self.credentials,
            "LOCALCLOUD_PORT": str(self.port),
            "LOCALCLOUD_HOME": str(self.root / ".localcloud"),
        }

    def playbook(self, name: str, **variables: Any) -> Run:
        """Run ansible-playbook to its end, whatever the end is."""
        with self._running(name, variables) as (process, output):
            process.wait()
        return Run(process.returncode, output.read_text())

    def interrupted_playbook(self, name: str, text: str, delay: float, **variables: Any) -> Run:
        """Run ansible-playbook and press Ctrl-C, `delay` seconds after `text` is in its output.

        AssertionError when the run ends before.
        """
        with self._running(name, variables) as (process, output):
            while text not in output.read_text():
                assert process.poll() is None, f"{text!r} is not in:\n{output.read_text()[-3000:]}"
                time.sleep(0.1)
            time.sleep(delay)
            while process.poll() is None:
                # A terminal sends Ctrl-C to all processes that it runs in the foreground.
                os.killpg(process.pid, signal.SIGINT)
                # When a worker is interrupted at a bad moment, Ansible locks itself up. Users press it again.
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(PATIENCE)
        return Run(process.returncode, output.read_text())

    @contextlib.contextmanager
    def _running(self, name: str, variables: dict[str, Any]) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
        """A started ansible-playbook and the file that it writes to. It does not outlive the `with`."""
        variables = {"localcloud_port": self.port, "vpc_cidr": self.cidr, **variables}
        extra = [part for key, value in variables.items() for part in ("-e", f"{key}={value}")]
        if self.inventory:
            extra = ["-i", self.inventory, *extra]
        output = self.root / "run.log"
        with output.open("w") as file:
            process = subprocess.Popen(
                [self.root / ".venv/bin/ansible-playbook", name, *extra],
                cwd=self.root, env=self.environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        try:
            yield process, output
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            with (self.root / "runs.log").open("a") as log:
                log.write(f"$ ansible-playbook {name} {' '.join(extra)}\n{output.read_text()}\n")

    def client(self, service: str) -> Any:
        """A boto3 client of the stack's local cloud."""
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=REGION,
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )

    def localcloud(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.root / ".venv/bin/python", "-m", "localcloud", *arguments],
            cwd=self.root, env=self.environment, text=True, check=False, capture_output=True,
        )  # fmt: skip

    @property
    def url(self) -> str:
        return (self.root / ".deploy/local/url").read_text().strip()

    def get(self, path: str) -> Answer:
        """GET a path through the load balancer, by its DNS name, as a user would."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
                return Answer(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode())
        except OSError as error:
            return Answer(0, str(error))
