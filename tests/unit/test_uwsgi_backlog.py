"""The length of uWSGI's queue, with a host that serves so many requests a second, one after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from programs import as_module

PROGRAM = Path(__file__).parents[2] / "roles/uwsgi/files/uwsgi_backlog.py"
LONGEST, SHORTEST, SECONDS = 1024, 16, 1.9
# What it takes a process to refuse a request that is late.
REFUSAL = 0.0003


class Host:
    """Time goes on with each request that is served. Counts: `served`, `late`, and `refused` by nginx."""

    def __init__(self, make: Callable[..., Any], capacity: float) -> None:
        self.capacity = capacity
        self.lengths: list[int] = []
        self.waiting: deque[float] = deque()
        self.now = 1000.0
        self.backlog = make(LONGEST, SHORTEST, SECONDS, self.lengths.append, self.now - 1)
        self.served = self.late = self.refused = 0

    def arrive(self, number: int, moment: float) -> None:
        for _ in range(number):
            if len(self.waiting) < self.backlog.length:
                self.waiting.append(moment)
            else:
                self.refused += 1

    def serve(self) -> None:
        arrived = self.waiting.popleft()
        self.backlog.note(arrived, self.now)
        late = self.now - arrived > SECONDS
        self.late += late
        self.served += not late
        self.now += REFUSAL if late else 1 / self.capacity

    def under(self, rate: float, seconds: float) -> None:
        """So many requests a second for so long, at even distances."""
        end, due = self.now + seconds, self.now
        while self.now < end:
            while due <= self.now:
                self.arrive(1, due)
                due += 1 / rate
            if self.waiting:
                self.serve()
            else:
                self.now = due


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], Host]:
    module = as_module(PROGRAM, monkeypatch)
    return lambda capacity: Host(module.Backlog, capacity)


@pytest.mark.parametrize("times", [1.3, 2, 4])
@pytest.mark.parametrize("capacity", [20, 400, 1000])
def test_more_than_a_host_can_serve(host: Callable[[float], Host], capacity: float, times: float) -> None:
    busy = host(capacity)
    busy.under(times * capacity, 60)
    assert busy.served >= 0.9 * capacity * 60
    # And none in vain, once it is known what they cost.
    late = busy.late
    busy.under(times * capacity, 60)
    assert busy.late - late <= 0.01 * capacity * 60


def test_a_queue_gets_its_length_back(host: Callable[[float], Host]) -> None:
    busy = host(200)
    busy.under(800, 30)
    assert busy.backlog.length < LONGEST
    while busy.waiting:
        busy.serve()
    busy.under(20, 2)
    assert busy.backlog.length == LONGEST
    assert busy.lengths[-1] == LONGEST


def test_a_crowd_that_can_be_served_is_not_refused(host: Callable[[float], Host]) -> None:
    busy = host(600)
    busy.arrive(1000, busy.now)
    while busy.waiting:
        busy.serve()
    assert (busy.served, busy.refused, busy.lengths) == (1000, 0, [LONGEST])


def test_requests_that_waited_in_another_queue_say_nothing(host: Callable[[float], Host]) -> None:
    busy = host(100)
    busy.arrive(1000, busy.now)
    while busy.waiting:
        busy.serve()
    assert len(busy.lengths) == 2  # the first that was late has changed it, and none of the others
    assert SHORTEST <= busy.backlog.length < LONGEST
