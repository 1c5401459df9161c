"""A copy of the project with a stack of its own, beside the one that somebody may be using."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

PROJECT_ROOT = Path(__file__).resolve().parents[2]
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


class Started:
    """A run of ansible-playbook that goes on, and the file that it writes to."""

    def __init__(self, process: subprocess.Popen[bytes], output: Path) -> None:
        self._process = process
        self._output = output

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def wait_for(self, text: str) -> None:
        """Return when `text` is in its output. AssertionError when it ends before."""
        while text not in self._output.read_text():
            assert self.running, f"{text!r} is not in:\n{self._output.read_text()[-3000:]}"
            time.sleep(0.1)

    def press_ctrl_c(self) -> None:
        """Return when it has ended, or `PATIENCE` is over."""
        # A terminal sends Ctrl-C to all processes that it runs in the foreground.
        os.killpg(self._process.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(PATIENCE)

    def wait(self) -> Run:
        """How it has ended, when it has."""
        self._process.wait()
        return Run(self._process.returncode, self._output.read_text())


@dataclass(frozen=True)
class Project:
    """The copy: `port` and `cidr` set its local cloud apart; `inventory` where it is not the default one."""

    root: Path
    port: int
    cidr: str
    inventory: str | None = None
    name: str = "local"  # of the environment
    region: str = "us-east-1"
    # Of its playbooks. On AWS the machine that deploys is another one; here, under load, it shares its cores with the
    # fleet, which is to go first.
    nice: int = 0
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
    def logs(self) -> list[Path]:
        """What tests/conftest.py shows beside a failure: of playbooks that have ended, and of the local cloud."""
        return [self.root / "runs.log", self.home / "log"]

    @property
    def home(self) -> Path:
        """The local cloud's directory."""
        return self.root / f".localcloud{'' if self.name == 'local' else f'-{self.name}'}"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **os.environ,
            "PATH": f"{self.root}/.venv/bin:{os.environ['PATH']}",
            **self.credentials,
            "LOCALCLOUD_PORT": str(self.port),
            "LOCALCLOUD_HOME": str(self.home),
        }

    def playbook(self, name: str, **variables: Any) -> Run:
        """Run ansible-playbook to its end, whatever the end is."""
        with self._running(name, variables) as started:
            return started.wait()

    def started_playbook(self, name: str, **variables: Any) -> contextlib.AbstractContextManager[Started]:
        """A run of ansible-playbook that goes on during the `with`, and does not outlive it."""
        return self._running(name, variables)

    def interrupted_playbook(self, name: str, text: str, delay: float, **variables: Any) -> Run:
        """Run ansible-playbook and press Ctrl-C, `delay` seconds after `text` is in its output.

        AssertionError when the run ends before.
        """
        with self._running(name, variables) as started:
            started.wait_for(text)
            time.sleep(delay)
            while started.running:
                # When a worker is interrupted at a bad moment, Ansible locks itself up. Users press it again.
                started.press_ctrl_c()
            return started.wait()

    def killed_playbook(self, name: str, text: str, delay: float, *, cloud: bool = True) -> None:
        """Run ansible-playbook and kill everything, `delay` seconds after `text` is in its output.

        AssertionError when the run ends before.
        """
        with self._running(name, {}) as started:
            started.wait_for(text)
            time.sleep(delay)
            assert started.running, started.wait().output[-3000:]
            self.kill(cloud=cloud)

    def kill(self, *, cloud: bool = True) -> None:
        """Kill Ansible, Terraform, the lock's keeper and, if wanted, the local cloud, but not its machines."""
        mark = f"LOCALCLOUD_HOME={self.home}".encode()
        for directory in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):  # it has just ended
                is_cloud = b"localcloud" in (directory / "cmdline").read_bytes().split(b"\0")
                if mark in (directory / "environ").read_bytes().split(b"\0") and (cloud or not is_cloud):
                    os.kill(int(directory.name), signal.SIGKILL)

    @contextlib.contextmanager
    def _running(self, name: str, variables: dict[str, Any]) -> Iterator[Started]:
        """A started ansible-playbook. It does not outlive the `with`."""
        variables = {"localcloud_port": self.port, "vpc_cidr": self.cidr, **variables}
        extra = [part for key, value in variables.items() for part in ("-e", f"{key}={value}")]
        if self.inventory:
            extra = ["-i", self.inventory, *extra]
        with tempfile.NamedTemporaryFile("w", prefix="run-", suffix=".log", dir=self.root, delete=False) as file:
            output = Path(file.name)
            process = subprocess.Popen(
                ["nice", "-n", str(self.nice), self.root / ".venv/bin/ansible-playbook", name, *extra],
                cwd=self.root, env=self.environment, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT,
            )  # fmt: skip
        # Where Linux weighs sessions before processes.
        with contextlib.suppress(OSError):
            Path(f"/proc/{process.pid}/autogroup").write_text(str(self.nice))
        try:
            yield Started(process, output)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
            with (self.root / "runs.log").open("a") as log:
                log.write(f"$ ansible-playbook {name} {' '.join(extra)}\n{output.read_text()}\n")
            output.unlink()

    def end_playbooks(self) -> None:
        """Kill what interrupted runs left: a worker has a session of its own, and may wait for its parent for ever."""
        program = str(self.root / ".venv/bin/ansible-playbook").encode()
        for command_line in Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if program in command_line.read_bytes().split(b"\0"):
                    os.kill(int(command_line.parent.name), signal.SIGKILL)

    def client(self, service: str) -> Any:
        """A boto3 client of the stack's local cloud."""
        return boto3.client(
            service,
            endpoint_url=f"http://127.0.0.1:{self.port}",
            region_name=self.region,
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
        return (self.root / f".deploy/{self.name}/url").read_text().strip()

    def get(self, path: str) -> Answer:
        """GET a path through the load balancer, by its DNS name, as a user would."""
        try:
            with urllib.request.urlopen(f"{self.url}{path}", timeout=10) as answer:
                return Answer(answer.status, answer.read().decode())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.read().decode())
        except OSError as error:
            return Answer(0, str(error))
