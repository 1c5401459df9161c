"""The command line: `python -m localcloud up|down|status|logs|images|hang|wake`."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import http.client
import logging
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from bootstrap.report import AdvisedError, advice
from localcloud.config import PROJECT_ROOT, Settings

START_TIMEOUT = 60  # seconds from the start of the process to its first answer
INOTIFY_INSTANCES = 1024
STOP_TIMEOUT = 60  # seconds that running actions get to end
HANGING = {"hang": "STOP", "wake": "CONT"}  # the signal that does it


class CommandError(AdvisedError):
    """A command failed; the message says what failed, where to look and what to type."""


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m localcloud", description="AWS on this machine.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="up|down|status|logs|images|hang|wake")
    commands.add_parser("up", help="start it; what it ran before runs again")
    commands.add_parser("down", help="stop it and remove all that it made")
    screen = commands.add_parser("status", help="all there is in a region, on one screen")
    screen.add_argument("--region", default="us-east-1", help="(default: us-east-1)")
    logs = commands.add_parser("logs", help="what the controller saw and did")
    logs.add_argument("-f", "--follow", action="store_true", help="go on as it is written")
    commands.add_parser("images", help="build the machine images that are missing")
    for name, what in (
        ("hang", "let an instance hang: it accepts connections, and answers nobody"),
        ("wake", "let it go on"),
    ):
        commands.add_parser(name, help=what).add_argument("instance", help="its id, such as i-0123456789abcdef0")
    commands.add_parser("serve", help="run it in the foreground (what `up` starts)")
    options = parser.parse_args(arguments)
    # The user's own profile is for AWS. boto3, which moto imports, fails on one that it can't find.
    for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
        os.environ.pop(name, None)
    try:
        settings = Settings.from_environment()
        if options.command == "up":
            up(settings)
        elif options.command == "down":
            down(settings)
        elif options.command == "status":
            status(settings, options.region)
        elif options.command == "logs":
            logs_command(settings, follow=options.follow)
        elif options.command == "images":
            build_images()
        elif options.command in HANGING:
            hang(settings, options.instance, options.command)
        else:
            serve(settings)
    except AdvisedError as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except ValueError as error:  # of the environment
        print("\n" + advice(error, look="echo $LOCALCLOUD_PORT", type_this="unset LOCALCLOUD_PORT"), file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def up(settings: Settings) -> None:
    """Start the process unless it runs, and wait until it answers. Prints `started` or `already running`.

    CommandError when a cloud of another directory has the port.
    """
    refuse_anothers(settings)
    if is_ready(settings):
        print(f"already running at {settings.endpoint}")
        return
    build_images()
    settings.home.mkdir(parents=True, exist_ok=True)
    with (settings.home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two at once: the second finds what the first one started
        if is_ready(settings):
            print(f"already running at {settings.endpoint}")
            return
        start_and_wait(settings)
    print(f"started at {settings.endpoint}")


def start_and_wait(settings: Settings) -> None:
    """Start the process unless it is starting already; CommandError when it does not answer in time."""
    if running_pid(settings) is None:
        if port_in_use(settings.port):
            raise CommandError(
                f"port {settings.port} is in use by another program",
                look=f"ss -ltnp 'sport = :{settings.port}'",
                type_this="LOCALCLOUD_PORT=4567 python -m localcloud up   (another port; with ansible-playbook: -e "
                "localcloud_port=4567), or stop that program",
            )
        allow_many_machines()
        start_process(settings)
    deadline = time.monotonic() + START_TIMEOUT
    while not is_ready(settings):
        if running_pid(settings) is None or time.monotonic() > deadline:
            raise CommandError(
                f"the local cloud did not start:\n{last_lines(settings)}",
                look=settings.log_file,
                type_this="python -m localcloud up, or, to start over: python -m localcloud down",
            )
        time.sleep(0.1)


def allow_many_machines() -> None:
    """Raise the kernel's limit for inotify instances: each machine's systemd takes several, and beyond the usual 128
    (about 25 machines) the next one fails to boot. Without root it says what to type."""
    limit = Path("/proc/sys/fs/inotify/max_user_instances")
    try:
        if int(limit.read_text()) < INOTIFY_INSTANCES:
            limit.write_text(str(INOTIFY_INSTANCES))
    except (OSError, ValueError):
        print(
            f"note: {limit} is low; for more than about 20 machines type: "
            f"sudo sysctl fs.inotify.max_user_instances={INOTIFY_INSTANCES}"
        )


def start_process(settings: Settings) -> None:
    """Start `serve` as a process of its own, its output in the log; it outlives the caller."""
    with settings.log_file.open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "localcloud", "serve"],
            cwd=PROJECT_ROOT,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    settings.pid_file.write_text(f"{process.pid} {process_times(process.pid)[1]}")


def down(settings: Settings) -> None:
    """Stop the process; remove its containers, networks, images, host names and state. Nothing there is no error.

    CommandError, and nothing is lost, when the Docker engine that has them doesn't answer, and when they are those of a
    running cloud of another directory.
    """
    refuse_anothers(settings)
    stop_process(settings)
    from localcloud.cleanup import remove_everything
    from localcloud.docker_host import DockerUnavailableError

    try:
        removed = remove_everything(settings)
    except DockerUnavailableError as error:
        raise CommandError(
            "its machines can't be removed, and nothing was, as no Docker engine answers",
            look="docker info",
            type_this="make docker   (installs and starts one), then: python -m localcloud down",
        ) from error
    shutil.rmtree(settings.home, ignore_errors=True)
    print("removed " + ", ".join(removed) if removed else "nothing to remove")


def stop_process(settings: Settings) -> None:
    pid = running_pid(settings)
    if pid is None:
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    while running_pid(settings) is not None:
        if time.monotonic() > deadline:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.1)


def status(settings: Settings, region: str) -> None:
    refuse_anothers(settings)
    if not is_ready(settings):
        raise CommandError(
            f"nothing answers at {settings.endpoint}",
            look="python -m localcloud logs",
            type_this="python -m localcloud up",
        )
    from localcloud.status import show

    print(show(settings, region))


def logs_command(settings: Settings, follow: bool) -> None:
    if not settings.log_file.exists():
        raise CommandError(
            f"there is no log at {settings.log_file}", look=settings.home, type_this="python -m localcloud up"
        )
    command = ["tail", "-n", "200", *(["-f"] if follow else []), str(settings.log_file)]
    subprocess.run(command, check=False)


def hang(settings: Settings, instance_id: str, what: str) -> None:
    """Let an instance `hang`, or `wake` it. CommandError when it does not run here."""
    from localcloud import hanging

    if not hanging.signal_all(settings, instance_id, HANGING[what]):
        raise CommandError(
            f"no instance {instance_id} runs at {settings.endpoint}",
            look="python -m localcloud status",
            type_this=f"python -m localcloud {what} ID   (an id of that list)",
        )


def build_images() -> None:
    from localcloud import base_images

    try:
        base_images.build_missing()
    except base_images.ImageBuildError:
        raise
    except Exception as error:
        raise CommandError(
            f"no Docker engine answers: {error}",
            look="docker info",
            type_this="make docker   (installs and starts one)",
        ) from error


def serve(settings: Settings) -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    from localcloud import server

    server.serve(settings)


def is_ready(settings: Settings) -> bool:
    return home_of_running(settings) == settings.home


def home_of_running(settings: Settings) -> Path | None:
    """The home directory of the local cloud that answers at the port, or None where none does."""
    try:
        with urllib.request.urlopen(f"{settings.endpoint}/localcloud/ready", timeout=5) as answer:
            ready, _, home = answer.read().decode(errors="replace").partition("\n")
    except (urllib.error.URLError, OSError, http.client.HTTPException):
        return None
    return Path(home.rstrip("\n")) if ready == "ready" else None


def refuse_anothers(settings: Settings) -> None:
    """CommandError when the cloud at the port is one of another directory: its machines are not ours."""
    home = home_of_running(settings)
    if home is not None and home != settings.home:
        raise CommandError(
            f"at port {settings.port} runs the local cloud of {home}, and this one would be that of {settings.home}",
            look=f"LOCALCLOUD_PORT={settings.port} LOCALCLOUD_HOME={home} python -m localcloud status",
            type_this="LOCALCLOUD_PORT=4567 for one beside it (with ansible-playbook: -e localcloud_port=4567), "
            f"or to end that one: LOCALCLOUD_PORT={settings.port} LOCALCLOUD_HOME={home} python -m localcloud down",
        )


def running_pid(settings: Settings) -> int | None:
    """Process id of our server, or None: when another process has its number by now, after a reboot, too."""
    try:
        pid, started = map(int, settings.pid_file.read_text().split())
        state, began = process_times(pid)
    except (OSError, ValueError):
        return None
    return pid if began == started and state != "Z" else None


def process_times(pid: int) -> tuple[str, int]:
    """State of a process, and when it was started, in ticks of the kernel's clock. OSError when there is none."""
    values = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return values[0], int(values[19])


def port_in_use(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def last_lines(settings: Settings, count: int = 15) -> str:
    try:
        return "\n".join(settings.log_file.read_text().splitlines()[-count:])
    except OSError:
        return ""
