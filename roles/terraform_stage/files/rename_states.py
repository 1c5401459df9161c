"""Give the states of stages that once had other names the keys that they have now.

    rename_states.py --bucket=B network=vpc database=db

prints ["vpc is network", ...], what was renamed. It can be ended at any moment and run again: a state is copied before
its old key goes. Run it under the deployment's lock, while no Terraform of the deployment is at work on this machine.

Exit code 3, with {"stage": S, "who": W, "since": T}: a Terraform of another machine, or one of another user, holds the
lock of a state, so this one can't be renamed. A lock of this user on this machine is renamed with its state.

Region, credentials and endpoint come from the environment, as for all of AWS's tools.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import pwd
import sys
from pathlib import Path
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

STATE = "terraform.tfstate"
LOCK = "terraform.tfstate.tflock"
FOREIGN_LOCK = 3


class ForeignLockError(Exception):
    """Somebody else's Terraform holds a state's lock."""

    def __init__(self, stage: str, lock: dict[str, str]) -> None:
        super().__init__(stage)
        self.stage = stage
        self.lock = lock


class Renaming:
    """What there is under a stage's former name, and under the one of now."""

    def __init__(self, s3: Any, bucket: str, name: str, former: str) -> None:
        self.name, self.former = name, former
        self._s3, self._bucket = s3, bucket
        self._state, self._lock = self._read(f"{former}/{STATE}"), self._read(f"{former}/{LOCK}")
        self._there = self._read(f"{name}/{STATE}")

    def _read(self, key: str) -> Any:
        """The JSON in an object, or None where there is no such object."""
        try:
            return json.loads(self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read())
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket"):
                return None
            raise

    @property
    def is_due(self) -> bool:
        """Whether there is a state with the former name, or the lock of one that is being made."""
        return bool(self._state or self._lock)

    def check(self) -> None:
        """ForeignLockError: somebody else changes it. ValueError: both names have a state, of different resources."""
        if self._lock and self._lock["Who"] != me():
            raise ForeignLockError(self.former, self._lock)
        if self._state and self._there and self._state["lineage"] != self._there["lineage"]:
            keys = f"{self.former}/{STATE} and {self.name}/{STATE}"
            raise ValueError(f"{keys} in bucket {self._bucket} are states of different resources")

    def do(self) -> None:
        # The lock first: without it, the state would be taken for one that no killed Terraform has left in the middle.
        if self._lock:
            self._move(LOCK)
        if self._state and self._there and self._state["serial"] <= self._there["serial"]:
            # It has been copied, by a run that ended there.
            self._s3.delete_object(Bucket=self._bucket, Key=f"{self.former}/{STATE}")
        elif self._state:
            self._move(STATE)

    def _move(self, file: str) -> None:
        """Nothing is lost wherever this ends."""
        old, new = f"{self.former}/{file}", f"{self.name}/{file}"
        self._s3.copy_object(Bucket=self._bucket, Key=new, CopySource={"Bucket": self._bucket, "Key": old})
        self._s3.delete_object(Bucket=self._bucket, Key=old)


def me() -> str | None:
    """Who this is in Terraform's locks. None where processes can't be seen: a Terraform of ours may be at work."""
    if not Path("/proc/self/environ").exists():
        return None
    try:
        return f"{pwd.getpwuid(os.getuid()).pw_name}@{platform.node()}"
    except KeyError:  # a user without a name
        return None


def main() -> int:
    """Say on standard error what went wrong."""
    parser = argparse.ArgumentParser(description="States of stages that once had other names.")
    parser.add_argument("--bucket", required=True, help="where the states are")
    parser.add_argument("names", nargs="+", metavar="name=former")
    arguments = parser.parse_args()
    try:
        s3 = boto3.client("s3")
        stages = [Renaming(s3, arguments.bucket, *pair.split("=")) for pair in arguments.names]
        due = [stage for stage in stages if stage.is_due]
        # All of them before any: an earlier version of the project finds all that it has made, or nothing.
        for stage in due:
            stage.check()
        for stage in due:
            stage.do()
    except ForeignLockError as error:
        print(json.dumps({"stage": error.stage, "who": error.lock["Who"], "since": error.lock["Created"]}))
        return FOREIGN_LOCK
    except (BotoCoreError, ClientError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps([f"{stage.former} is {stage.name}" for stage in due]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
