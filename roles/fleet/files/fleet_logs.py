"""Show what the instances of the fleet write into their logs: what `make logs` runs.

    fleet_logs.py .deploy/<environment>/logs.json

playbooks/logs.yml writes that file. The way to an instance is SSH through the migration host, which is started for it,
and stopped at the end by whoever started it. Each line of uWSGI, nginx, the scheduler and the application's services is
printed on standard output as

    i-0123abcd  uwsgi         2026-11-27 10:00:00  the line

and what happens to the instances on standard error. Instances that come are followed, too. Exit code 0, also after
Ctrl-C; 1: standard error says what failed.

Region, credentials and endpoint come from the file and from the environment, as for all of AWS's tools.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import io
import json
import os
import re
import shlex
import signal
import sys
import tempfile
import textwrap
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

CONFIG = Config(connect_timeout=5, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
API_ERRORS = (BotoCoreError, ClientError)
LOOK_EVERY = 3.0  # seconds between two looks at which instances there are
RETRY_AFTER = 2.0  # seconds until a connection that failed is tried again
TRIES = 5  # of a connection, when the logs are not followed
# Seconds in which a host that boots lets us in; then it is said that it doesn't.
BOOT_PATIENCE = 30.0
GATEWAY_PATIENCE = 180.0
LAST_WORDS = 10.0  # seconds that an instance that goes is still listened to
END_PATIENCE = 5.0  # seconds that a connection has for its end
LONGEST_LINE = 1 << 20  # bytes; what is longer comes in pieces

# What writes logs on an instance (roles uwsgi, nginx, web2py_app), and what it is called here.
UNITS = {"uwsgi-web2py": "uwsgi", "nginx": "nginx", "web2py-ready": "ready", "web2py-scheduler": "scheduler"}
SERVICE = "web2py-service-"
FILES = {"nginx-access": "/var/log/nginx/access.log", "nginx-error": "/var/log/nginx/error.log"}
CURSOR = re.compile(r'"__CURSOR" ?: ?"([^"\\]+)"')  # of an entry of the journal
# Control characters, but for the tabulator.
ESCAPED = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0)) if code != 0x09}
CONNECTED = "connected"
WHY_NOT = "An instance lets in who had deployed when it was launched, from the first deployment with this version on"


class LogsError(Exception):
    """What failed, where to look, what to type."""

    def __init__(self, what: str, look: str, type_this: str) -> None:
        super().__init__(what)
        # As bootstrap/report.py says it; this program is on its own.
        parts = {"ERROR:   ": f"{what}.", "Look at: ": look, "Type:    ": type_this}
        self.message = "\n".join(
            title + textwrap.indent(part.strip(), " " * 9).lstrip() for title, part in parts.items()
        )


@dataclass(frozen=True)
class Settings:
    """As playbooks/logs.yml writes them."""

    environment: str
    autoscaling_group: str
    gateway: str  # id of the migration host
    gateway_address: str  # by which of its addresses it is reached: PublicIpAddress or PrivateIpAddress
    user: str
    key: str
    known_hosts: str
    lock_bucket: str
    lock_object: str
    keep_gateway: bool = False
    lines: int = 10
    follow: bool = True
    instance: str = ""  # only this one; the beginning of its id is enough
    # Environment variables that lead boto3 to this deployment's API.
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def make_env(self) -> str:
        return "" if self.environment == "local" else f" ENV={self.environment}"


# -- lines -------------------------------------------------------------------------------------------------------------


def short(instance: str) -> str:
    """As much of an id as tells it from others."""
    return instance[:10]


def remote_command(lines: int, *, follow: bool, cursor: str = "") -> str:
    """What an instance is told to run: JSON from its journal, and lines of files with their source before each.

    With `cursor`, the journal goes on where another connection ended.
    """
    units = " ".join(f"--unit={unit}" for unit in UNITS)
    # By their names: a pattern would be compared with what the journal has now, not with what comes.
    services = f"systemctl list-unit-files --plain --no-legend '{SERVICE}*.service' | sed 's/ .*//; s/^/--unit=/'"
    journal = "journalctl --quiet --all --output=json --output-fields=MESSAGE,UNIT,_SYSTEMD_UNIT"
    journal += f" --no-tail --after-cursor={shlex.quote(cursor)}" if cursor else f" --lines={lines}"
    # -F: logrotate puts another file in the place of this one, and an access log may not be there yet.
    tail = f"tail --lines={lines} {'-F ' if follow else ''}"
    parts = [f"{journal} {'--follow ' if follow else ''}{units} $({services})"]
    parts += [f"{tail}{path} 2> /dev/null | sed --unbuffered 's/^/{source} /'" for source, path in FILES.items()]
    if follow:
        # Standard input ends with the connection, which a program that waits for a next line would not notice.
        script = "".join(f"{part} &\n" for part in parts) + "cat > /dev/null\nkill 0\n"
    else:
        script = "".join(f"{part}\n" for part in parts)
    return f"sudo sh -c {shlex.quote(f'echo {CONNECTED}{chr(10)}{script}')}"


def parsed(raw: str) -> Iterator[tuple[str, str]]:
    """Source and text of the lines that an instance sent as one."""
    if not raw.startswith("{"):
        source, _, text = raw.partition(" ")
        yield source, text
        return
    try:
        entry = json.loads(raw)
        when = datetime.datetime.fromtimestamp(int(entry["__REALTIME_TIMESTAMP"]) / 1e6, datetime.UTC)
    except (ValueError, KeyError, TypeError):
        yield "journal", raw
        return
    # What systemd says about a unit is its own.
    unit = str(entry.get("UNIT") or entry.get("_SYSTEMD_UNIT") or "journal").removesuffix(".service")
    message = entry.get("MESSAGE")
    if isinstance(message, list):  # bytes that are no text
        message = bytes(byte for byte in message if isinstance(byte, int)).decode(errors="replace")
    for text in str(message or "").splitlines() or [""]:
        yield UNITS.get(unit) or unit.replace(SERVICE, "service-", 1), f"{when:%Y-%m-%d %H:%M:%S}  {text}"


def shown(instance: str, raw: str) -> Iterator[str]:
    """What is printed of what an instance sent."""
    for source, text in parsed(raw):
        # What a visitor has put into a log must not speak to the terminal.
        yield f"{short(instance)}  {source:<12}  {text.translate(ESCAPED)}"


async def lines_of(stream: asyncio.StreamReader) -> AsyncIterator[str]:
    """Each line of a stream, without its end, however long it is."""
    rest = b""
    while chunk := await stream.read(1 << 16):
        *whole, rest = (rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            whole, rest = [*whole, rest], b""
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")


# -- the cloud ---------------------------------------------------------------------------------------------------------


class Cloud(Protocol):
    """What is asked of the API. Each raises one of API_ERRORS."""

    def instances(self) -> dict[str, str]:
        """Ids and addresses of the fleet's instances that run."""

    def gateway(self) -> tuple[str, str]:
        """State of the migration host, and its address if it has one."""

    def start_gateway(self) -> None:
        """Let it boot."""

    def stop_gateway(self) -> None:
        """Let it shut down."""

    def is_being_changed(self) -> bool:
        """Whether a playbook that changes the deployment is running: it may be using the migration host."""


class Aws:
    """See Cloud."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        session = boto3.session.Session()
        self._ec2: Any = session.client("ec2", config=CONFIG)
        self._s3: Any = session.client("s3", config=CONFIG)

    def instances(self) -> dict[str, str]:
        filters = [
            {"Name": "tag:aws:autoscaling:groupName", "Values": [self._settings.autoscaling_group]},
            {"Name": "instance-state-name", "Values": ["running"]},
        ]
        pages = self._ec2.get_paginator("describe_instances").paginate(Filters=filters)
        found = (instance for page in pages for group in page["Reservations"] for instance in group["Instances"])
        return {instance["InstanceId"]: instance["PrivateIpAddress"] for instance in found}

    def gateway(self) -> tuple[str, str]:
        answer = self._ec2.describe_instances(InstanceIds=[self._settings.gateway])
        instance = answer["Reservations"][0]["Instances"][0]
        return instance["State"]["Name"], instance.get(self._settings.gateway_address, "")

    def start_gateway(self) -> None:
        self._ec2.start_instances(InstanceIds=[self._settings.gateway])

    def stop_gateway(self) -> None:
        self._ec2.stop_instances(InstanceIds=[self._settings.gateway])

    def is_being_changed(self) -> bool:
        try:
            self._s3.head_object(Bucket=self._settings.lock_bucket, Key=self._settings.lock_object)
        except ClientError as error:
            if error.response["Error"]["Code"] == "404":
                return False
            raise
        return True


# -- SSH ---------------------------------------------------------------------------------------------------------------


async def started(command: Iterable[str]) -> asyncio.subprocess.Process:
    """A process that the terminal's Ctrl-C doesn't reach."""
    pipe = asyncio.subprocess.PIPE
    return await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=pipe, start_new_session=True)


async def ended(process: asyncio.subprocess.Process) -> None:
    """Bring it to its end: what runs at the other end of the connection ends with its standard input."""
    if process.returncode is not None:
        return
    assert process.stdin
    process.stdin.close()
    try:
        await asyncio.wait_for(process.wait(), END_PATIENCE)
    except TimeoutError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()


def last_line(text: bytes) -> str:
    """What ssh said in the end."""
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1].strip() if lines else "the connection ended"


def ssh(settings: Settings, host: str, *options: str) -> list[str]:
    """The beginning of a command that connects to the instance with that id."""
    return [
        "ssh",
        *("-i", settings.key, "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"),
        # As Ansible does (roles/builders): addresses come back with other hosts behind them.
        *("-o", f"HostKeyAlias={host}", "-o", "StrictHostKeyChecking=accept-new"),
        *("-o", f'UserKnownHostsFile="{settings.known_hosts}"'),
        # A host that is gone without a word is noticed after 15 seconds.
        *("-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"),
        *options,
    ]


class Gateway:
    """The migration host, and one connection to it that all others go through: sshd doesn't take twenty at once."""

    def __init__(self, settings: Settings, cloud: Cloud, note: Callable[[str], None]) -> None:
        self._settings = settings
        self._cloud = cloud
        self._note = note
        self._lock = asyncio.Lock()
        # The path of a socket has about 100 characters at most, and the project may lie deeper.
        self._directory = tempfile.TemporaryDirectory(prefix="logs-")
        self._socket = f"{self._directory.name}/ssh"
        self._connection: asyncio.subprocess.Process | None = None
        self._started = False

    def way_to(self, instance: str, address: str, command: str) -> list[str]:
        """A command that runs another one on an instance behind it."""
        proxy = shlex.join(["ssh", "-o", "ControlMaster=no", "-S", self._socket, "-W", "[%h]:%p", "gateway"])
        # With ControlPersist in the user's own settings, a connection would outlive us.
        options = ("-o", "ControlMaster=no", "-o", "ControlPath=none", "-o", f"ProxyCommand={proxy}")
        return [*ssh(self._settings, instance, *options), f"{self._settings.user}@{address}", command]

    async def open(self) -> None:
        """Return when the connection is there. A deployment stops the host; then it is started again."""
        async with self._lock:
            if self._connection and self._connection.returncode is None:
                return
            deadline = time.monotonic() + GATEWAY_PATIENCE
            while True:
                address = await self._address(deadline)
                reason = await self._connect(address)
                if not reason:
                    return
                if time.monotonic() > deadline:
                    raise LogsError(
                        f"the migration host {self._settings.gateway} can't be reached at {address}: {reason}",
                        "ssh_cidr in group_vars/all.yml: SSH is open to one address only; is it this machine's?",
                        f"make deploy{self._settings.make_env}   (which opens it to the address of today)",
                    )
                await asyncio.sleep(RETRY_AFTER)

    async def _address(self, deadline: float) -> str:
        """Of the host, when it runs."""
        asked = False
        while True:
            state, address = await asyncio.to_thread(self._cloud.gateway)
            if state == "running" and address:
                return address
            if state == "stopped" and not asked:
                asked = True
                self._note("The migration host is being started: the way to the instances leads through it")
                self._started = True
                await asyncio.to_thread(self._cloud.start_gateway)
            if state in ("shutting-down", "terminated") or time.monotonic() > deadline:
                raise LogsError(
                    f"the migration host {self._settings.gateway}, the way to the instances, is {state}",
                    f"make status{self._settings.make_env}",
                    f"make deploy{self._settings.make_env}",
                )
            await asyncio.sleep(1)

    async def _connect(self, address: str) -> str:
        """Why it did not work; empty if it did."""
        options = ("-o", "ControlMaster=yes", "-o", "ControlPersist=no", "-S", self._socket)
        destination = f"{self._settings.user}@{address}"
        command = [*ssh(self._settings, self._settings.gateway, *options), destination, f"echo {CONNECTED}; cat"]
        process = await started(command)  # it ends when we do, in whatever way: with its standard input
        assert process.stdout
        assert process.stderr
        try:
            if (await process.stdout.readline()).strip() == CONNECTED.encode():
                self._connection = process
                return ""
            return last_line(await process.stderr.read())
        finally:
            if self._connection is not process:
                await ended(process)

    async def close(self) -> None:
        """End the connection, and stop the host if it was started here and nobody else needs it."""
        if self._connection:
            await ended(self._connection)
        self._directory.cleanup()
        if not self._started or self._settings.keep_gateway:
            return
        try:
            if await asyncio.to_thread(self._cloud.is_being_changed):
                self._note(
                    "The migration host goes on running: a deployment that is under way may need it, and stops it"
                )
            else:
                await asyncio.to_thread(self._cloud.stop_gateway)
        except API_ERRORS as error:
            raise LogsError(
                f"the migration host {self._settings.gateway} could not be stopped, and costs money on AWS: {error}",
                f"make status{self._settings.make_env}",
                f"make deploy{self._settings.make_env}   (which stops it)",
            ) from error


# -- reading -----------------------------------------------------------------------------------------------------------


class Reader:
    """Reads the logs of the instances that are wanted, and hands their lines to `write`."""

    def __init__(
        self, settings: Settings, cloud: Cloud, write: Callable[[str], None], note: Callable[[str], None]
    ) -> None:
        self._settings = settings
        self._cloud = cloud
        self._write = write
        self._note = note
        self._gateway = Gateway(settings, cloud, note)
        self._present: dict[str, str] = {}
        self._tasks: dict[str, asyncio.Task[Any]] = {}

    async def run(self) -> None:
        """Return when there is nothing more to read. Cancelled, it leaves nothing behind."""
        try:
            self._present = await self._first_look()
            await self._gateway.open()
            await (self._follow() if self._settings.follow else self._read())
        except API_ERRORS as error:
            raise LogsError(
                f"the instances of {self._settings.environment} can't be looked for: {error}",
                f"make status{self._settings.make_env}",
                f"make logs{self._settings.make_env}   (again, when the reason is gone)",
            ) from error
        finally:
            for task in self._tasks.values():
                task.cancel()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)
            await self._gateway.close()

    def _wanted(self) -> dict[str, str]:
        """Those that run, or the one of them that was asked for."""
        found = self._cloud.instances()
        return {name: found[name] for name in sorted(found) if name.startswith(self._settings.instance)}

    async def _first_look(self) -> dict[str, str]:
        found = await asyncio.to_thread(self._wanted)
        if found:
            return found
        make_env = self._settings.make_env
        if self._settings.instance:
            raise LogsError(
                f"{self._settings.instance} is no running instance of {self._settings.environment}'s fleet",
                f"make status{make_env}   (its list of instances)",
                f"make logs{make_env} ARGS='-e instance=ID'   (an id of that list; or without it: all)",
            )
        raise LogsError(
            f"no instance of {self._settings.environment}'s fleet is running",
            f"make status{make_env}",
            f"make scale{make_env} ARGS='-e desired_capacity=1'",
        )

    async def _connection(self, name: str, address: str, command: str, take: Callable[[str], None]) -> tuple[bool, str]:
        """Hand all lines of a command to `take`. Whether the instance let us in, and why the connection ended."""
        process = await started(self._gateway.way_to(name, address, command))
        assert process.stdout
        assert process.stderr
        said = asyncio.create_task(process.stderr.read())
        let_in = False
        try:
            async for line in lines_of(process.stdout):
                if let_in:
                    take(line)
                let_in = let_in or line == CONNECTED
            return let_in, "" if await process.wait() == 0 else last_line(await said)
        finally:
            await ended(process)
            said.cancel()

    def _print(self, name: str, raw: str) -> None:
        for line in shown(name, raw):
            self._write(line)

    # -- once

    async def _read(self) -> None:
        """Print what there is, one instance after the other."""
        self._tasks = {name: asyncio.create_task(self._read_one(name)) for name in self._present}
        failed = []
        for name, task in self._tasks.items():
            lines, reason = await task
            for line in lines:
                self._print(name, line)
            if reason:
                failed.append(f"{name} ({reason})")
        if failed:
            raise LogsError(
                f"the logs of {', '.join(failed)} can't be read",
                f"make status{self._settings.make_env}. {WHY_NOT}",
                f"make logs{self._settings.make_env}   (again), or make deploy{self._settings.make_env}",
            )

    async def _read_one(self, name: str) -> tuple[list[str], str]:
        """Its lines; or why there are none."""
        reason = ""
        for attempt in range(TRIES):
            if attempt:
                await asyncio.sleep(RETRY_AFTER)
            lines: list[str] = []
            command = remote_command(self._settings.lines, follow=False)
            _, reason = await self._connection(name, self._present[name], command, lines.append)
            if not reason:
                return lines, ""
        return [], reason

    # -- on and on

    async def _follow(self) -> None:
        """Until the only instance that was asked for is gone; otherwise for ever."""
        self._tasks = {name: asyncio.create_task(self._follow_one(name)) for name in self._present}
        complaint = ""
        while self._tasks or not self._settings.instance:
            if self._tasks:
                await asyncio.wait(self._tasks.values(), timeout=LOOK_EVERY, return_when=asyncio.FIRST_EXCEPTION)
            else:
                await asyncio.sleep(LOOK_EVERY)
            for name, task in list(self._tasks.items()):
                if task.done():
                    del self._tasks[name]
                    if not task.cancelled():
                        task.result()
            try:
                self._notice(await asyncio.to_thread(self._wanted))
                complaint = ""
            except API_ERRORS as error:
                if str(error) != complaint:
                    complaint = str(error)
                    self._note(f"Which instances there are can't be found out at the moment: {error}")

    def _notice(self, found: dict[str, str]) -> None:
        """Begin with those that have come, and end with those that are gone."""
        came, gone = found.keys() - self._present.keys(), self._present.keys() - found.keys()
        self._present = found
        for name in sorted(came):
            self._note(f"{short(name)}  has come")
            self._tasks[name] = asyncio.create_task(self._follow_one(name))
        for name in sorted(gone):
            self._note(f"{short(name)}  is gone")
            if name in self._tasks:
                asyncio.get_running_loop().call_later(LAST_WORDS, self._tasks[name].cancel)

    async def _follow_one(self, name: str) -> None:
        """Until it is gone. A connection that ends is made anew."""
        address, lines, cursor = self._present[name], self._settings.lines, ""
        complaint, patient_until = "", time.monotonic() + BOOT_PATIENCE

        def take(line: str) -> None:
            nonlocal cursor
            if found := CURSOR.search(line):
                cursor = found[1]
            self._print(name, line)

        while name in self._present:
            let_in = False
            try:
                await self._gateway.open()
                command = remote_command(lines, follow=True, cursor=cursor)
                let_in, reason = await self._connection(name, address, command, take)
            except (LogsError, *API_ERRORS) as error:
                reason = str(error)
            if name not in self._present:
                return
            if let_in:
                lines, complaint, patient_until = 0, "", 0
            if reason != complaint and time.monotonic() > patient_until:
                complaint = reason
                why_not = "" if let_in else f". {WHY_NOT}"
                self._note(f"{short(name)}  is not followed at the moment, and tried again: {reason}{why_not}")
            await asyncio.sleep(RETRY_AFTER)


# -- the command line --------------------------------------------------------------------------------------------------


def to_terminal(line: str) -> None:
    """Printed at once, also into a pipe."""
    print(line, flush=True)


def to_errors(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


async def read(settings: Settings, cloud: Cloud) -> None:
    """Until all is read, or Ctrl-C is pressed. Raises LogsError, or BrokenPipeError when nobody reads on."""
    reading = asyncio.create_task(Reader(settings, cloud, to_terminal, to_errors).run())
    loop = asyncio.get_running_loop()

    def end() -> None:
        # Once: Ctrl-C that is pressed again must not keep it from leaving nothing behind.
        for number in ENDING:
            loop.add_signal_handler(number, lambda: None)
        reading.cancel()

    for number in ENDING:
        loop.add_signal_handler(number, end)
    with contextlib.suppress(asyncio.CancelledError):
        await reading


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main(arguments: list[str]) -> int:
    """Do it, return the exit code."""
    settings = Settings(**json.loads(Path(arguments[0]).read_text()))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a log may have characters that a terminal hasn't
    os.environ.update(settings.variables)
    try:
        asyncio.run(read(settings, Aws(settings)))
    except LogsError as error:
        to_errors(error.message)
        return 1
    except BrokenPipeError:
        # `make logs | head`. Python would complain about what it can't flush at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
