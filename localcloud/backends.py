"""moto's state: what the API has been told. All access happens under one lock, `API_LOCK`.

moto's backends are plain objects and dictionaries that its request handlers change without locks of their own; the
controller reads and changes them too. One lock around each request and each look makes that safe and simple.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import moto.backends

API_LOCK = threading.RLock()


@contextlib.contextmanager
def without_lock() -> Iterator[None]:
    """Within a request: let the others go on while this one waits for a machine. What it holds may change meanwhile."""
    API_LOCK.release()
    try:
        yield
    finally:
        API_LOCK.acquire()


# The services whose state is kept over a restart. One pickle holds them all, so references between them survive.
SERVICES = (
    "acm", "autoscaling", "cloudwatch", "ec2", "elbv2", "iam", "kms", "logs", "rds", "s3", "secretsmanager", "sns",
    "ssm", "sts",
)  # fmt: skip

# Those that hold no state of their own.
STATELESS = ("instance_metadata", "moto_api", "resourcegroupstaggingapi")


def backend_dict(service: str) -> Any:
    """moto's state of a service: account -> region -> backend."""
    return moto.backends.get_backend(service)  # type: ignore[call-overload]


def each(service: str) -> Iterator[Any]:
    """Every backend (account and region) of a service that has been used."""
    for _account, _region, backend in list(backend_dict(service).iter_backends()):
        yield backend


def backend(service: str, account_id: str, region: str) -> Any:
    return backend_dict(service)[account_id][region]
