"""Waiting for what takes as long as the machine needs."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

# Beside other groups of tests (bootstrap/run_tests.py) everything takes longer.
PATIENCE = 3 if "TESTS_RUN_IN_GROUPS" in os.environ else 1
T = TypeVar("T")


def wait_until(look: Callable[[], T], timeout: float = 60, interval: float = 0.2, what: str = "") -> T:
    """Return what `look` returns once that is true; AssertionError after `timeout` seconds of a machine for itself."""
    deadline = time.monotonic() + PATIENCE * timeout
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < deadline, f"not within {timeout} s: {what or look}; last seen: {found!r}"
        time.sleep(interval)
