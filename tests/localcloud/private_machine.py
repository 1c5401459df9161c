"""A machine of the tests' own on this one: namespaces for network, mounts and processes, with a Docker engine inside.

There the engine can be killed and the machine rebooted, which on the real one would end everybody's containers. When
the namespaces' first process ends, all that ran there ends with it, and nothing of it is left in the network.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

from running_cloud import PROJECT_ROOT
from waiting import wait_until

from bootstrap.docker_engine import find
from localcloud import base_images

CGROUP = "localcloud-private-machine"
CGROUPS = Path("/sys/fs/cgroup")
IMAGES = "images.tar"
# The first process: it sets the machine up and stays, to take care of orphans. /run is empty, as after a boot.
INIT = """
set -e
mount --make-rprivate /
awk '$2 ~ "^/run/" {print $2}' /proc/self/mounts | sort -r | xargs -r umount --lazy
mount -t tmpfs tmpfs /run
cp /etc/hosts "$1/hosts"
mount --bind "$1/hosts" /etc/hosts
ip link set lo up
shift
set +e
"$@"
exit $?
"""


def why_not() -> str:
    """Why there can be no such machine here; empty when there can."""
    if os.geteuid() != 0:
        return "only root can make namespaces and start a Docker engine in them"
    missing = [command for command in ("unshare", "dockerd", "ip", "mount") if find(command) is None]
    if missing:
        return f"there is no {' and no '.join(missing)} here"
    tried = subprocess.run(
        ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "mount", "-t", "tmpfs", "tmpfs", "/run"],
        capture_output=True,
        text=True,
        check=False,
    )
    return f"this machine's kernel refuses namespaces: {tried.stderr.strip()}" if tried.returncode else ""


def run_tests(file: Path, directory: Path, *, port: int, timeout: float) -> subprocess.CompletedProcess[str]:
    """Run pytest for `file` on a private machine whose disk is `directory`; its images are this machine's.

    TimeoutExpired after `timeout` seconds. Whatever happens, nothing of the machine is left but the logs.
    """
    archive = directory / IMAGES
    subprocess.run(["docker", "save", "--output", archive, *(image.tag for image in base_images.ALL)], check=True)
    command = [
        *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
        *("sh", "-c", INIT, "init", str(directory)),
        *(sys.executable, "-m", "pytest", "-x", "-q", "--capture=no", str(file)),
    ]
    environment = {
        **os.environ,
        "DOCKER_HOST": "unix:///run/docker.sock",
        "PRIVATE_MACHINE": str(directory),
        "LOCALCLOUD_TEST_PORT": str(port),
        "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin",
    }
    try:
        return subprocess.run(
            command, cwd=PROJECT_ROOT, env=environment, text=True, capture_output=True, timeout=timeout, check=False
        )
    finally:
        for leftover in (directory / "docker", archive):
            shutil.rmtree(leftover, ignore_errors=True) if leftover.is_dir() else leftover.unlink(missing_ok=True)
        _remove_cgroups()


def _remove_cgroups() -> None:
    for top in (CGROUPS, *(path for path in CGROUPS.glob("*") if path.is_dir())):
        for path, _names, _files in os.walk(top / CGROUP, topdown=False):
            with contextlib.suppress(OSError):
                Path(path).rmdir()


class PrivateMachine:
    """The machine, seen from inside."""

    def __init__(self) -> None:
        self.disk = Path(os.environ["PRIVATE_MACHINE"])
        self._engine: subprocess.Popen[bytes] | None = None

    def start_engine(self) -> None:
        with (self.disk / "dockerd.log").open("ab") as log:
            self._engine = subprocess.Popen(
                [
                    find("dockerd") or "dockerd",
                    *("--data-root", str(self.disk / "docker"), "--exec-root", "/run/docker"),
                    *("--pidfile", "/run/docker.pid", "--host", os.environ["DOCKER_HOST"]),
                    *("--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", f"/{CGROUP}"),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_until(self._engine_answers, 60, what="an answer of the private Docker engine")

    def _engine_answers(self) -> bool:
        return subprocess.run(["docker", "info"], capture_output=True, check=False).returncode == 0

    def load_images(self) -> None:
        subprocess.run(["docker", "load", "--quiet", "--input", self.disk / IMAGES], check=True, capture_output=True)
        (self.disk / IMAGES).unlink()

    def kill_engine(self) -> None:
        """`kill -9` of dockerd and of its containerd; containers go on until the next engine finds them."""
        containerd = int(Path("/run/docker/containerd/containerd.pid").read_text())
        assert self._engine is not None
        self._engine.kill()
        self._engine.wait()
        with contextlib.suppress(ProcessLookupError):
            os.kill(containerd, signal.SIGKILL)
        Path("/run/docker.pid").unlink(missing_ok=True)

    def pull_the_plug(self) -> None:
        """All that runs ends at once; of /run, network interfaces and rules nothing is left. The disk is."""
        keep = {1, os.getpid()}

        def others() -> list[int]:
            return [
                int(path.name) for path in Path("/proc").glob("[0-9]*") if int(path.name) not in keep and alive(path)
            ]

        def kill_others() -> bool:
            for pid in others():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            return not others()

        wait_until(kill_others, 30, what="the end of all processes")
        if self._engine is not None:
            self._engine.wait()
        links = subprocess.run(["ip", "-o", "link"], check=True, capture_output=True, text=True).stdout
        for line in links.splitlines():
            name = line.split(": ")[1].partition("@")[0]
            subprocess.run(["ip", "link", "delete", name], check=False, capture_output=True)
        for table in ("filter", "nat"):
            for option in ("--flush", "--delete-chain"):
                subprocess.run(["iptables", "--table", table, option], check=True, capture_output=True)

        def nothing_is_mounted() -> bool:
            mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
            left = [point for point in mounts if point.startswith(("/run/", str(self.disk / "docker")))]
            for point in reversed(left):  # some go by themselves, with the process that used them
                subprocess.run(["umount", "--lazy", point], check=False, capture_output=True)
            return not left

        wait_until(nothing_is_mounted, 30, what="nothing is mounted")
        for entry in Path("/run").iterdir():
            shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def alive(process: Path) -> bool:
    """Whether a process of /proc runs. One that has ended and waits for its parent does not."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
