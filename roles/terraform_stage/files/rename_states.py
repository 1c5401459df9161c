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
import getpass
import json
import platform
import sys
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


def read(s3: Any, bucket: str, key: str) -> Any:
    """The JSON in an object, or None where there is no such object."""
    try:
        return json.loads(s3.get_object(Bucket=bucket, Key=key)["Body"].read())
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket"):
            return None
        raise


def rename(s3: Any, bucket: str, former: str, name: str) -> bool:
    """Whether there was a state with the former name, or the lock of one that is being made.

    ForeignLockError: somebody else changes it. ValueError: both names have a state, of different resources.
    """
    old_state, old_lock = f"{former}/{STATE}", f"{former}/{LOCK}"
    state, lock, there = (read(s3, bucket, key) for key in (old_state, old_lock, f"{name}/{STATE}"))
    if lock and lock["Who"] != f"{getpass.getuser()}@{platform.node()}":
        raise ForeignLockError(former, lock)
    if state and there and state["lineage"] != there["lineage"]:
        raise ValueError(f"{old_state} and {name}/{STATE} in bucket {bucket} are states of different resources")
    # The lock first: without it, the state would be taken for one that no killed Terraform has left in the middle.
    if lock:
        move(s3, bucket, old_lock, f"{name}/{LOCK}")
    if state and there and state["serial"] <= there["serial"]:
        s3.delete_object(Bucket=bucket, Key=old_state)  # it has been copied, by a run that ended there
    elif state:
        move(s3, bucket, old_state, f"{name}/{STATE}")
    return bool(state or lock)


def move(s3: Any, bucket: str, old: str, new: str) -> None:
    """Nothing is lost wherever this ends."""
    s3.copy_object(Bucket=bucket, Key=new, CopySource={"Bucket": bucket, "Key": old})
    s3.delete_object(Bucket=bucket, Key=old)


def main() -> int:
    """Say on standard error what went wrong."""
    parser = argparse.ArgumentParser(description="States of stages that once had other names.")
    parser.add_argument("--bucket", required=True, help="where the states are")
    parser.add_argument("names", nargs="+", metavar="name=former")
    arguments = parser.parse_args()
    renamed = []
    try:
        s3 = boto3.client("s3")
        for pair in arguments.names:
            name, _, former = pair.partition("=")
            if rename(s3, arguments.bucket, former, name):
                renamed.append(f"{former} is {name}")
    except ForeignLockError as error:
        print(json.dumps({"stage": error.stage, "who": error.lock["Who"], "since": error.lock["Created"]}))
        return FOREIGN_LOCK
    except (BotoCoreError, ClientError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    print(json.dumps(renamed))
    return 0


if __name__ == "__main__":
    sys.exit(main())
