"""A Docker engine that answers: the one that runs, or the distribution's, installed and started here."""

import enum
import functools
import os
import pwd
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import docker
from docker.errors import DockerException, ImageNotFound

from bootstrap import packages
from bootstrap.packages import as_root
from bootstrap.report import fail, say
from localcloud import base_images

SYSTEMD = Path("/run/systemd/system")
INIT_SCRIPT = Path("/etc/init.d/docker")
# Root's commands are here, and not on the PATH of every user (nor of root after a plain `su`).
ROOT_DIRECTORIES = "/usr/local/sbin:/usr/sbin:/sbin"
PID_FILE = Path("/var/run/docker.pid")
LOG = Path(".cache/dockerd.log")


class Engine(enum.Enum):
    """Whether an engine can be used."""

    ANSWERS = enum.auto()
    FORBIDDEN = enum.auto()
    SILENT = enum.auto()


def state() -> Engine:
    """Ask the engine (DOCKER_HOST's, or the local socket's) whether it is there and lets us in."""
    try:
        client = docker.from_env(timeout=10)
        try:
            client.ping()
        finally:
            client.close()
    except (DockerException, OSError) as error:
        return Engine.FORBIDDEN if "Permission denied" in repr(error) else Engine.SILENT
    return Engine.ANSWERS


def find(command: str) -> str | None:
    """Return the path of one of root's commands, or None."""
    return shutil.which(command, path=f"{os.environ.get('PATH', '')}:{ROOT_DIRECTORIES}")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Wait for a condition; tell whether it came true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def reachable() -> bool:
    """Tell whether an engine is there, whether or not it lets us in."""
    return state() is not Engine.SILENT


def run_as_root(*command: str) -> bool:
    """Run a command that starts or stops something; its words go to the log."""
    LOG.parent.mkdir(exist_ok=True)
    with LOG.open("a") as log:
        done = subprocess.run(
            as_root(*command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            check=False,
        )
    return done.returncode == 0


def unit_active(unit: str) -> bool:
    """Tell whether systemd runs the unit."""
    return subprocess.run(["systemctl", "is-active", "--quiet", unit], check=False).returncode == 0


def process_id() -> int | None:
    """Return dockerd's process id, or None where none runs."""
    try:
        pid = int(PID_FILE.read_text())
    except (OSError, ValueError):
        return None
    return pid if Path(f"/proc/{pid}").exists() else None


def stop_process() -> None:
    """Stop the dockerd that we started; it stops its containers and its containerd first."""
    pid = process_id()
    if pid is not None:
        run_as_root("kill", f"-{signal.SIGTERM.value}", str(pid))
        wait_until(lambda: process_id() is None, seconds=60)


def stop_service(*command: str) -> None:
    """Stop what a service manager started for us."""
    run_as_root(*command)


def start() -> Callable[[], None]:
    """Start the installed engine; return what stops exactly that again."""
    LOG.parent.mkdir(exist_ok=True)
    if SYSTEMD.is_dir():
        units = [unit for unit in ("docker.socket", "docker.service", "containerd.service") if not unit_active(unit)]
        say("Starting Docker (systemctl start docker)")
        if run_as_root("systemctl", "start", "docker") and wait_until(reachable, seconds=60):
            return functools.partial(stop_service, "systemctl", "stop", *units)
        fail(
            "systemd could not start Docker",
            look="journalctl --unit docker --lines 50",
            type_this="sudo systemctl restart docker && docker version",
        )
    service = find("service")
    if INIT_SCRIPT.exists() and service:
        say("Starting Docker (service docker start)")
        # The script succeeds before the engine answers. In some containers it fails altogether, where dockerd itself
        # would run: it changes resource limits first, which may be forbidden.
        if run_as_root(service, "docker", "start") and wait_until(reachable, seconds=20):
            return functools.partial(stop_service, service, "docker", "stop")
    stop_process()
    say("Starting Docker (dockerd, in the background)")
    # In a session of its own and with no terminal or pipe of ours, so that it outlives this command and a Ctrl-C.
    with LOG.open("a") as log:
        subprocess.Popen(
            as_root(find("dockerd") or "dockerd"),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    if wait_until(reachable, seconds=60):
        return stop_process
    fail(
        "dockerd was started and does not answer",
        look=f"{LOG}, its last lines",
        type_this="sudo dockerd   (in another terminal, to see why)",
    )


def ensure() -> Callable[[], None] | None:
    """Make sure that an engine answers; return what stops it, or None where it was running already."""
    stop = None
    if state() is Engine.SILENT:
        address = os.environ.get("DOCKER_HOST", "")
        if address:
            fail(
                f"the Docker engine at DOCKER_HOST={address} does not answer",
                look="docker version",
                type_this="unset DOCKER_HOST   (to use this machine's own engine)",
            )
        if find("dockerd") is None:
            packages.install("docker.io", purpose="the local cloud's machines are Docker containers")
        stop = start()
    if state() is Engine.FORBIDDEN:
        user = pwd.getpwuid(os.geteuid()).pw_name
        fail(
            f"Docker runs, but {user} may not use it: not in the group `docker` (members are as good as root here)",
            look="ls -l /var/run/docker.sock; id",
            type_this=f"sudo usermod --append --groups docker {user}   (then log out and in, and type the same again)",
        )
    return stop


def ensure_images_can_be_built() -> None:
    """Install mmdebstrap where machine images are still to be built and no registry hands out what they stand on."""
    client = docker.from_env(timeout=120)
    try:

        def missing(tag: str) -> bool:
            try:
                client.images.get(tag)
            except ImageNotFound:
                return True
            return False

        if not missing(base_images.DEBIAN) or not any(missing(image.tag) for image in base_images.ALL):
            return
        try:
            client.images.get_registry_data(base_images.DEBIAN)
        except (DockerException, OSError):
            if shutil.which("mmdebstrap") is None:
                packages.install(
                    "mmdebstrap",
                    "debian-archive-keyring",
                    purpose="no container registry can be reached, so the base image is made from Debian's packages",
                )
    finally:
        client.close()


def main() -> None:
    """Make sure that a Docker engine answers; one that is started here keeps running."""
    ensure()
    ensure_images_can_be_built()


if __name__ == "__main__":
    main()
