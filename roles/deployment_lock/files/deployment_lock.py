"""One run of the playbooks at a time: an object in S3 that a run holds until its process has ended.

    acquire  --bucket B --object O --pid PID --what TEXT   exit code 0: held; 3: another run holds it
    break    --bucket B --object O --id ID                 exit code 0: no longer there; 3: the lock has another id
    keep     what `acquire` leaves behind: it waits for the end of the process, and removes the object

Exit code 4: there is no such bucket; 1: the API did not do it, and standard error says why. The answer is JSON.

Region, credentials and endpoint come from the environment, as for all of AWS's tools. It needs s3:GetObject,
s3:PutObject and s3:DeleteObject on the object, and s3:ListBucket: without it S3 doesn't say that an object is missing.

S3 creates an object only if there is none (If-None-Match), and replaces or deletes it only if it is still the one that
was read (If-Match): https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-requests.html
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import getpass
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import time
import uuid
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

REFUSED = 3
NO_BUCKET = 4
# An answer that takes longer than this, in seconds, is none. The keeper must not outlive a cloud that is gone.
CONFIG = Config(connect_timeout=5, read_timeout=5, retries={"mode": "standard", "total_max_attempts": 3})
# How often the lock may change hands while it is being asked for.
TRIES = 10
# "The condition does not hold", "something else was written at that moment", "it is gone".
CONDITION_FAILED = ("PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey")


# -- processes and machines --------------------------------------------------------------------------------------------


def start_of(pid: int) -> str | None:
    """When a process started, to compare with: None if it has ended, "" if that can't be seen."""
    try:
        if sys.platform == "linux":
            # What follows the name, which may hold blanks and brackets: the state, and as 20th the start in clock ticks
            # since the boot. https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
            values = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
            state, start = values[0], values[19]
        else:
            command = ["ps", "-p", str(pid), "-o", "stat=", "-o", "lstart="]
            environment = {**os.environ, "LC_ALL": "C", "TZ": "UTC"}
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            state, _, start = done.stdout.strip().partition(" ")
    except (OSError, IndexError):
        state = start = ""
    if state.startswith(("Z", "X")):
        return None
    return start.strip() if state else _hidden(pid)


def _hidden(pid: int) -> str | None:
    """Tell a process of another user that this machine doesn't show ("") from none (None)."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass
    return ""


def first_line(path: str) -> str:
    """First line of a small file, "" if there is none."""
    try:
        return Path(path).read_text().partition("\n")[0].strip()
    except OSError:
        return ""


def machine() -> str:
    """What tells this machine from others. Hashed, because a machine id is nobody else's business."""
    # Copies of a disk have the same machine id; containers of one image, too. Their names differ.
    identity = first_line("/etc/machine-id") or f"{uuid.getnode():x}"
    return hashlib.sha256(f"deployment lock {identity} {socket.gethostname()}".encode()).hexdigest()[:32]


def boot() -> str:
    """What tells this boot of the machine from others; "" where that can't be seen."""
    return first_line("/proc/sys/kernel/random/boot_id")


def pid_namespace() -> str:
    """In which namespace a process id means something; "" where there are none."""
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


# -- the lock ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lock:
    """Who holds it. `since` is in UTC, `started` whatever this machine can say (see start_of)."""

    id: str = ""
    who: str = "somebody"
    host: str = "some machine"
    what: str = "a run"
    since: str = ""
    machine: str = ""
    boot: str = ""
    pid_namespace: str = ""
    pid: int = 0
    started: str = ""

    @property
    def process(self) -> tuple[str, str, str, int, str]:
        """What no other process has ever had."""
        return (self.machine, self.boot, self.pid_namespace, self.pid, self.started)

    def has_ended(self) -> bool:
        """Whether its process is known to have ended; of another machine's process nothing is known."""
        if self.machine != machine():
            return False
        if self.boot != boot():
            return True
        if self.pid_namespace != pid_namespace():
            return False
        start = start_of(self.pid)
        return start is None or (start != self.started and "" not in (start, self.started))


def of_process(pid: int, what: str = "") -> Lock:
    """A lock for a process of this machine."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    host = socket.gethostname()
    return Lock(
        id=str(uuid.uuid4()),
        who=f"{user}@{host}",
        host=host,
        what=what,
        since=datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        machine=machine(),
        boot=boot(),
        pid_namespace=pid_namespace(),
        pid=pid,
        started=start_of(pid) or "",
    )


def parsed(text: bytes, etag: str) -> Lock:
    """The lock that is written there. What isn't one is somebody's, and has its ETag for an id."""
    try:
        written = json.loads(text)
        known = {field.name: written[field.name] for field in fields(Lock) if field.name in written}
        return Lock(**{**known, "id": str(written["id"]), "pid": int(written["pid"])})
    except (ValueError, TypeError, KeyError):
        return Lock(id=etag.strip('"'))


class LockObject:
    """The object in S3. What fails for another reason than the condition raises BotoCoreError or ClientError."""

    def __init__(self, bucket: str, name: str) -> None:
        self.client: S3Client = boto3.session.Session().client("s3", config=CONFIG)
        self.bucket = bucket
        self.name = name

    def read(self) -> tuple[Lock, str] | None:
        """The lock and its ETag."""
        try:
            answer = self.client.get_object(Bucket=self.bucket, Key=self.name)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise
        return parsed(answer["Body"].read(), answer["ETag"]), answer["ETag"]

    def write(self, lock: Lock, etag: str = "") -> bool:
        """Write it, instead of the one with that ETag or of none; False if something else is there."""
        condition: Any = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
        body = json.dumps(asdict(lock), indent=2).encode()
        try:
            self.client.put_object(Bucket=self.bucket, Key=self.name, Body=body, **condition)
        except ClientError as error:
            if error.response["Error"]["Code"] in CONDITION_FAILED:
                return False
            raise
        return True

    def delete(self, etag: str) -> None:
        """Delete the one with that ETag; another one stays."""
        try:
            self.client.delete_object(Bucket=self.bucket, Key=self.name, IfMatch=etag)
        except ClientError as error:
            if error.response["Error"]["Code"] not in CONDITION_FAILED:
                raise


@dataclass(frozen=True)
class Answer:
    """What came of asking for the lock: whose it is now, and who had it before and ended without giving it back."""

    lock: Lock
    new: bool = False
    left_by: Lock | None = None


def acquire(place: LockObject, mine: Lock) -> Answer:
    """Take the lock, if nobody has it or only a process that has ended. TimeoutError if it doesn't hold still."""
    left_by, etag = None, ""
    for _ in range(TRIES):
        if place.write(mine, etag):
            return Answer(mine, new=True, left_by=left_by)
        left_by, etag = None, ""
        found = place.read()
        if found is None:
            continue
        # Ours, and not known to be: the request was repeated because its answer got lost.
        if found[0].id == mine.id:
            return Answer(mine, new=True)
        if found[0].process == mine.process or not found[0].has_ended():
            return Answer(found[0])
        left_by, etag = found
    raise TimeoutError("it changes hands all the time")


def remove(place: LockObject, lock_id: str) -> Lock | None:
    """Remove the lock with that id; return the one that is there instead."""
    found = place.read()
    if found is None:
        return None
    if found[0].id != lock_id:
        return found[0]
    place.delete(found[1])
    return None


# -- the keeper --------------------------------------------------------------------------------------------------------


def leave_keeper(arguments: argparse.Namespace, lock: Lock) -> None:
    """Start `keep` apart from Ansible, which would wait for the end of its output, and from the terminal's Ctrl-C."""
    command = [sys.executable, __file__, "keep", "--bucket", arguments.bucket, "--object", arguments.object]
    command += ["--id", lock.id, "--pid", str(lock.pid), "--started", lock.started]
    subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def wait_for_end(pid: int, started: str) -> None:
    """Return when the process has ended."""
    try:
        # From here on this is one process, even if its id should be given to another.
        descriptor = os.pidfd_open(pid)
    except (AttributeError, OSError):  # not on macOS, not with Linux before 5.3; or it has ended
        descriptor = -1
    while start_of(pid) in (started, ""):
        if descriptor == -1:
            time.sleep(0.5)
            continue
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        poll.poll()
        return


def keep(arguments: argparse.Namespace) -> None:
    """Wait, and give the lock back. Where nothing answers any more, there is nothing to give back."""
    # What stops a machine or a session asks every process to end. This one does, right after the run.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    wait_for_end(arguments.pid, arguments.started)
    # If it can't, the next run of this machine sees that the process has ended, and takes the lock over.
    with contextlib.suppress(BotoCoreError, ClientError, OSError):
        # Credentials are looked for now: those of the beginning may have expired.
        remove(LockObject(arguments.bucket, arguments.object), arguments.id)


# -- the command line --------------------------------------------------------------------------------------------------


def command_line() -> argparse.Namespace:
    """Arguments; argparse's message and exit code 2 if they are wrong."""
    parser = argparse.ArgumentParser(description="One run of the playbooks at a time.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("acquire", "break", "keep"):
        command = commands.add_parser(name)
        command.add_argument("--bucket", required=True)
        command.add_argument("--object", required=True)
        if name in ("acquire", "keep"):
            command.add_argument("--pid", type=int, required=True)
        if name in ("break", "keep"):
            command.add_argument("--id", required=True)
        if name == "acquire":
            command.add_argument("--what", required=True)
        if name == "keep":
            command.add_argument("--started", required=True)
    return parser.parse_args()


def run(arguments: argparse.Namespace) -> int:
    """Do it, print the answer, return the exit code."""
    place = LockObject(arguments.bucket, arguments.object)
    if arguments.command == "break":
        other = remove(place, arguments.id)
        print(json.dumps({"broken": other is None, "holder": asdict(other) if other else None}))
        return REFUSED if other else 0
    if start_of(arguments.pid) is None:
        raise ProcessLookupError(f"there is no process {arguments.pid}")
    mine = of_process(arguments.pid, arguments.what)
    answer = acquire(place, mine)
    if answer.lock.process != mine.process:
        print(json.dumps({"held": False, "holder": asdict(answer.lock)}))
        return REFUSED
    if answer.new:
        leave_keeper(arguments, answer.lock)
    left_by = asdict(answer.left_by) if answer.left_by else None
    print(json.dumps({"held": True, "id": answer.lock.id, "left_by": left_by}))
    return 0


def main() -> int:
    """Say on standard error what went wrong."""
    arguments = command_line()
    if arguments.command == "keep":
        keep(arguments)
        return 0
    try:
        return run(arguments)
    except (BotoCoreError, ClientError, OSError) as error:
        print(error, file=sys.stderr)
        missing = isinstance(error, ClientError) and error.response["Error"]["Code"] == "NoSuchBucket"
        return NO_BUCKET if missing else 1


if __name__ == "__main__":
    sys.exit(main())
