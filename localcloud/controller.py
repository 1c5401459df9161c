"""The loop that makes this machine agree with what the API was told.

Level-triggered: each pass reads what is wanted (moto's state) and what is there (Docker), and acts on the difference.
Nothing depends on having seen an event, so the process may be killed and started at any moment.

A reconciler looks and decides under the API lock, quickly and without touching Docker; what it wants done it returns as
actions. Actions run in threads, one at a time per resource, and take the lock only to write results back.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Protocol

import docker.errors
import requests

from localcloud.backends import API_LOCK
from localcloud.docker_host import Container, DockerHost
from localcloud.persistence import StateStore

LOGGER = logging.getLogger(__name__)
PASS_INTERVAL = 1.0  # seconds between two passes when nothing happens
# Seconds between two looks at Docker when its events say that nothing happened: a look costs Docker time per container.
LOOK_INTERVAL = 5.0
MEASURED_PASSES = 60
RETRY_DELAY = 3.0  # seconds before a failed action is tried again


@dataclass(frozen=True)
class Action:
    """Something to be done outside the lock. Two actions with one key never run at the same time."""

    key: str
    description: str
    run: Callable[[], None]


@dataclass(frozen=True)
class Observed:
    """What is there, at the start of a pass."""

    containers: Mapping[str, Mapping[str, Container]]
    networks: Mapping[str, str]
    busy: frozenset[str] = field(default_factory=frozenset)
    # Whether this is the first pass since the controller, or Docker, came up: what is found stopped then was stopped
    # by that, not by the machine's own wish.
    after_outage: bool = False

    def of_kind(self, kind: str) -> Mapping[str, Container]:
        return self.containers.get(kind, {})


class Reconciler(Protocol):
    """One AWS notion: compares what moto was told with what is there."""

    def reconcile(self, observed: Observed) -> list[Action]:
        """Called under the API lock; must be quick and must not call Docker."""


@dataclass(frozen=True)
class Passes:
    """How many passes have ended well since the start, and seconds that each of the last ones took, oldest first."""

    count: int
    seconds: list[float]


class Controller:
    """Runs the reconcilers until it is stopped."""

    def __init__(self, docker_host: DockerHost, store: StateStore, reconcilers: list[Reconciler]) -> None:
        self._docker = docker_host
        self._store = store
        self._reconcilers = reconcilers
        self._pool = ThreadPoolExecutor(max_workers=8, thread_name_prefix="action")
        self._in_flight: dict[str, Future[None]] = {}
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._after_outage = True
        self._look = threading.Event()  # Docker's containers are not what the last look found
        self._look_again_at = 0.0
        self._seen: tuple[Mapping[str, Mapping[str, Container]], Mapping[str, str]] = ({}, {})
        self._pass_count = 0
        self._pass_times: deque[float] = deque(maxlen=MEASURED_PASSES)  # seconds that the last passes took

    def passes(self) -> Passes:
        """What was done so far."""
        return Passes(self._pass_count, list(self._pass_times))

    def wake(self) -> None:
        """Look again now: something changed."""
        self._wake.set()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()

    def run(self) -> None:
        """Loop until `stop`. One broken resource or pass never ends it."""
        threading.Thread(target=self._follow_docker, name="docker-events", daemon=True).start()
        while not self._stopping.is_set():
            self._wake.clear()
            begin = time.monotonic()
            try:
                self.run_pass()
                self._pass_times.append(time.monotonic() - begin)
                self._pass_count += 1
            except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
                LOGGER.error("Docker does not answer: %s", error)
                self._after_outage = True
            except Exception:
                LOGGER.exception("pass failed")
            self._wake.wait(PASS_INTERVAL)
        self._pool.shutdown(wait=True, cancel_futures=True)

    def run_pass(self) -> None:
        busy = frozenset(key for key, future in list(self._in_flight.items()) if not future.done())
        observed = Observed(*self._look_at_docker(), busy, self._after_outage)
        self._after_outage = False
        taken = set(busy)
        for reconciler in self._reconcilers:
            try:
                with API_LOCK:
                    actions = reconciler.reconcile(observed)
            except Exception:
                LOGGER.exception("%s failed", type(reconciler).__name__)
                continue
            for action in actions:
                if action.key not in taken:
                    taken.add(action.key)
                    self._in_flight[action.key] = self._pool.submit(self._perform, action)
        self._store.save()

    def _look_at_docker(self) -> tuple[Mapping[str, Mapping[str, Container]], Mapping[str, str]]:
        """Containers and networks: from a new look when one is due or something happened, else from the last one."""
        if self._look.is_set() or time.monotonic() >= self._look_again_at:
            self._look_again_at = 0.0  # until this look has succeeded
            self._look.clear()
            self._seen = (self._docker.containers(), self._docker.networks())
            self._look_again_at = time.monotonic() + LOOK_INTERVAL
        return self._seen

    def _perform(self, action: Action) -> None:
        LOGGER.info("%s: %s", action.key, action.description)
        try:
            action.run()
        except Exception as error:
            LOGGER.error("%s: %s failed: %s", action.key, action.description, error)
            self._stopping.wait(RETRY_DELAY)
        self._look.set()
        self.wake()

    def _follow_docker(self) -> None:
        while not self._stopping.is_set():
            try:
                for event in self._docker.events():
                    if event.get("Action") in ("die", "start", "destroy", "stop"):
                        self._look.set()
                        self.wake()
            except Exception as error:
                LOGGER.error("Docker's events ended: %s", error)
                self._after_outage = True
            self._look.set()
            self._stopping.wait(1)
