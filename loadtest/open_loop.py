"""Requests at a given rate, whatever the answers do: an open loop over keep-alive connections.

Each request has the moment at which it is due. It leaves then, on an idle connection or on a new one; its latency
counts from that moment, not from when it left. So an answer that is late makes no later request late, a request that
could not leave in time is late all the same, and nothing that was slow is omitted ("coordinated omission").

h2load, which Debian has, was looked at first: its latency counts from when a request left; after a connection error it
neither logs the request nor uses that connection again, so the rate falls just when something fails; and it has no time
limit for an answer. ab and wrk are closed loops.

With visits, those who come are due at the rate; a visitor's next request is due when he has his answer and has thought.

    python -m loadtest.open_loop URL --phase RATE[-RATE]:SECONDS [--phase ...] --path PATH [--path ...] --output FILE

writes a line for each request into FILE (CSV: number, path, due, sent, latency, status, bytes, error, expected; times
in s after the start, sent and latency in ms) and one JSON object a second to stdout. SIGINT ends the sending; what is
under way is waited for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import itertools
import json
import math
import random
import re
import resource
import signal
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from time import monotonic as clock
from typing import Any, NamedTuple, TextIO, cast
from urllib.parse import urlsplit

import httptools
import uvloop

from loadtest.asking import IDEMPOTENT, Request, Visit, from_json

MAX_CONNECTIONS = 4000
# Seconds after which a load balancer's name is looked up again: on AWS its addresses change while it grows.
LOOKUP_INTERVAL = 10.0
HEADER = "number,path,due,sent,latency,status,bytes,error,expected\n"
# Of arrivals by chance: the same in each run, so that two runs can be compared.
SEED = 1


class Share(NamedTuple):
    """Of `of` processes this is `number`; all begin at a moment, in seconds since 1970."""

    number: int
    of: int
    begin: float = 0.0


ALONE = Share(0, 1)


class Phase(NamedTuple):
    """A rate (1/s) that becomes `to` within `duration` (s)."""

    rate: float
    to: float
    duration: float

    @property
    def total(self) -> float:
        """How many are due in it."""
        return (self.rate + self.to) / 2 * self.duration

    def when(self, count: float) -> float:
        """After how many seconds so many are due."""
        if self.rate == self.to:
            return count / self.rate
        slope = (self.to - self.rate) / self.duration
        return (math.sqrt(max(self.rate**2 + 2 * slope * count, 0.0)) - self.rate) / slope


def schedule(phases: Sequence[Phase], arrivals: str) -> Iterator[float]:
    """When each is due, in seconds after the start.

    Evenly, or by chance (`poisson`), as people come who don't know of each other.
    """
    chance = random.Random(SEED)  # noqa: S311
    begin = total = count = 0.0
    left = iter(phases)
    phase = next(left, None)
    if arrivals == "poisson":
        count = chance.expovariate(1.0)
    while phase is not None:
        # Less than a request, for what floating point makes of the sum.
        if count < total + phase.total - 1e-6:
            yield begin + phase.when(count - total)
            count += chance.expovariate(1.0) if arrivals == "poisson" else 1.0
        else:
            begin, total = begin + phase.duration, total + phase.total
            phase = next(left, None)


class Shot:
    """One request: its number, which of the requests it is, of which visit, and when it is due, by the loop's clock."""

    __slots__ = ("done", "due", "number", "retried", "sent", "step", "visit")

    def __init__(self, number: int, step: int, due: float, visit: Visit | None = None) -> None:
        self.number = number
        self.step = step
        self.due = due
        self.visit = visit
        self.sent = due
        self.done = False
        self.retried = False


class Connection(asyncio.Protocol):
    """A keep-alive connection that carries one request at a time."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator
        self.parser = httptools.HttpResponseParser(self)
        self.transport: asyncio.Transport | None = None
        self.shot: Shot | None = None
        self.used = False
        self._reset()

    def _reset(self) -> None:
        self.size = 0
        self.began = False
        # Without a length, an answer ends with its connection.
        self.has_length = False
        self.has_head = False
        self.body: list[bytes] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, shot: Shot) -> None:
        """Send a request; the connection must be idle."""
        assert self.transport is not None
        self._reset()
        self.shot = shot
        self.transport.write(self.generator.bytes_of(shot))

    def data_received(self, data: bytes) -> None:
        self.began = True
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("not HTTP")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by the parser."""
        name = name.lower()
        if name in (b"content-length", b"transfer-encoding"):
            self.has_length = True
        elif name == b"set-cookie" and self.shot and self.shot.visit:
            self.shot.visit.take(value.decode("latin-1"))

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self.size += len(body)
        if self.shot and self.shot.visit and self.generator.requests[self.shot.step].keep:
            self.body.append(body)

    def on_message_complete(self) -> None:
        """Called by the parser."""
        status = self.parser.get_status_code()
        if status < 200:
            return
        shot, self.shot, self.used = self.shot, None, True
        if shot is None or not self.parser.should_keep_alive():
            self.close()
        else:
            self.generator.idle(self)
        if shot is not None:
            self.generator.answered(shot, status, self.size, self.body)

    def connection_lost(self, exc: Exception | None) -> None:
        self.generator.lost(self)
        shot, self.shot = self.shot, None
        if shot is None or shot.done:
            return
        if self.has_head and not self.has_length and exc is None:
            self.generator.answered(shot, self.parser.get_status_code(), self.size, self.body)
        elif self.used and not self.began and not shot.retried and self.generator.may_repeat(shot):
            # The server closed an idle connection just when we used it again: every client asks once more on another
            # connection (RFC 9112, 9.3.1). The request is not due any later for that.
            shot.retried = True
            self.generator.retried += 1
            self.generator.fire(shot)
        else:
            self.generator.failed(shot, "connection closed" if exc is None else "connection reset")

    def close(self) -> None:
        """Close at once; what was under way is forgotten."""
        if self.transport is not None:
            self.transport.abort()

    def _fail(self, error: str) -> None:
        shot, self.shot = self.shot, None
        self.close()
        if shot is not None and not shot.done:
            self.generator.failed(shot, error)


class Generator:
    """Sends requests by the phases' schedule and writes down what became of each."""

    def __init__(
        self,
        url: str,
        requests: Sequence[Request],
        phases: Sequence[Phase],
        output: TextIO,
        *,
        visits: bool = False,
        arrivals: str = "constant",
        share: Share = ALONE,
        timeout: float = 10.0,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        address = urlsplit(url)
        assert address.hostname
        self.host = address.hostname
        self.tls = ssl.create_default_context() if address.scheme == "https" else None
        self.port = address.port or (443 if self.tls else 80)
        self.address = (address.netloc, address.path.rstrip("/"))
        self.requests = requests
        # Of requests that are the same for everybody.
        self.encoded = [] if visits else [request.encode(*self.address, {}, {}) for request in requests]
        self.names = [quoted(request.name) for request in requests]
        self.visits = visits
        self.thinking = 0
        self.phases = phases
        self.arrivals = arrivals
        self.share = share
        self.output = output
        self.timeout = timeout
        self.max_connections = max_connections
        self.loop = asyncio.get_running_loop()
        self.free: list[Connection] = []
        self.connections = 0
        self.opened = 0
        self.waiting: deque[Shot] = deque()
        # In the order in which they are due, hence also of their deadlines.
        self.under_way: deque[Shot] = deque()
        self.numbers = itertools.count(share.number, share.of)
        self.carriers: dict[int, Connection] = {}
        self.addresses: list[tuple[int, tuple[str, int]]] = []
        self.retried = 0
        self.fired = 0
        self.completed = 0
        self.failures = 0
        self.stopping = asyncio.Event()
        self.start = 0.0
        self.tasks: set[asyncio.Task[None]] = set()
        self.recent: list[float] = []
        self.recent_failures = 0

    # -- connections --------------------------------------------------------------------------------------------

    def fire(self, shot: Shot) -> None:
        """Send a request on an idle connection, on a new one, or as soon as one of the most that may be is idle."""
        if self.free:
            self._send(self.free.pop(), shot)
        elif self.connections < self.max_connections:
            self.connections += 1
            self._start(self._connect(shot))
        else:
            self.waiting.append(shot)

    def _send(self, connection: Connection, shot: Shot) -> None:
        self.carriers[shot.number] = connection
        connection.send(shot)

    async def _connect(self, shot: Shot) -> None:
        try:
            family, address = self.addresses[self.opened % len(self.addresses)]
            self.opened += 1
            async with asyncio.timeout(self.timeout):
                _, connection = await self.loop.create_connection(
                    lambda: Connection(self),
                    address[0],
                    address[1],
                    family=family,
                    ssl=self.tls,
                    server_hostname=self.host if self.tls else None,
                )
        except TimeoutError:
            self.connections -= 1
            self.failed(shot, "timeout")
        except OSError as error:
            self.connections -= 1
            self.failed(shot, "connection refused" if isinstance(error, ConnectionRefusedError) else "no connection")
        else:
            if shot.done:
                self.idle(connection)
            else:
                self._send(connection, shot)

    def idle(self, connection: Connection) -> None:
        """A connection can be used again."""
        while self.waiting:
            shot = self.waiting.popleft()
            if not shot.done:
                self._send(connection, shot)
                return
        self.free.append(connection)

    def lost(self, connection: Connection) -> None:
        """A connection is gone."""
        self.connections -= 1
        with contextlib.suppress(ValueError):
            self.free.remove(connection)
        while self.waiting and self.connections < self.max_connections:
            shot = self.waiting.popleft()
            if not shot.done:
                self.fire(shot)

    async def _look_up(self) -> None:
        found = await self.loop.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        self.addresses = [(int(row[0]), (str(row[4][0]), int(row[4][1]))) for row in found]

    async def _look_up_again(self) -> None:
        while True:
            await asyncio.sleep(LOOKUP_INTERVAL)
            with contextlib.suppress(OSError):
                await self._look_up()

    # -- outcomes -----------------------------------------------------------------------------------------------

    def bytes_of(self, shot: Shot) -> bytes:
        if shot.visit is None:
            return self.encoded[shot.step]
        return self.requests[shot.step].encode(*self.address, shot.visit.values, shot.visit.cookies)

    def may_repeat(self, shot: Shot) -> bool:
        return self.requests[shot.step].method in IDEMPOTENT

    def answered(self, shot: Shot, status: int, size: int, body: Sequence[bytes]) -> None:
        """An answer is complete."""
        request = self.requests[shot.step]
        error = "" if request.is_right(status) or not 200 <= status < 300 else f"{status} unexpected"
        if shot.visit is not None and request.is_right(status) and not shot.done:
            try:
                shot.visit.values.update(request.kept(b"".join(body).decode(errors="replace")))
            except LookupError as missing:
                error = f"{status} without {missing.args[0]}"
            else:
                self._next(shot)
        self._record(shot, status, size, error)

    def _next(self, shot: Shot) -> None:
        """The visitor thinks, and asks for what is next."""
        step = shot.step + 1
        if step < len(self.requests) and not self.stopping.is_set():
            self.thinking += 1
            self.loop.call_later(self.requests[step].think, self._ask, step, shot.visit)

    def _ask(self, step: int, visit: Visit | None) -> None:
        self.thinking -= 1
        if not self.stopping.is_set():
            self._begin(Shot(next(self.numbers), step, clock(), visit))

    def _begin(self, shot: Shot) -> None:
        shot.sent = clock()
        self.under_way.append(shot)
        self.fired += 1
        self.fire(shot)

    def failed(self, shot: Shot, error: str) -> None:
        """There will be no answer."""
        self._record(shot, 0, 0, error)

    def _record(self, shot: Shot, status: int, size: int, error: str) -> None:
        if shot.done:
            return
        shot.done = True
        self.carriers.pop(shot.number, None)
        latency = (clock() - shot.due) * 1000
        self.completed += 1
        self.recent.append(latency)
        right = not error and self.requests[shot.step].is_right(status)
        if not right:
            self.failures += 1
            self.recent_failures += 1
        self.output.write(
            f"{shot.number},{self.names[shot.step]},{shot.due - self.start:.6f},{(shot.sent - shot.due) * 1000:.3f},"
            f"{latency:.3f},{status},{size},{error},{'yes' if right else 'no'}\n"
        )

    def _expire(self, now: float) -> None:
        """End what has been under way for too long."""
        while self.under_way:
            shot = self.under_way[0]
            if not shot.done:
                if now - shot.due < self.timeout:
                    return
                carrier = self.carriers.get(shot.number)
                self.failed(shot, "timeout")
                if carrier is not None:
                    carrier.close()
            self.under_way.popleft()

    # -- schedule -----------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Send all that is scheduled, wait for what is under way, report."""
        await self._look_up()
        self._start(self._look_up_again())
        self._start(self._report())
        wait = max(self.share.begin - time.time(), 0.01)
        self.start = clock() + wait
        print(json.dumps({"started_at": time.time() + wait}), flush=True)
        mine = itertools.islice(enumerate(schedule(self.phases, self.arrivals)), self.share.number, None, self.share.of)
        for number, offset in mine:
            due = self.start + offset
            while not self.stopping.is_set() and (wait := due - clock()) > 0:
                self._expire(clock())
                # Not longer than a fifth of a second, so that timeouts and a request to stop are seen in time.
                await asyncio.sleep(min(wait, 0.2))
            if self.stopping.is_set():
                break
            step, visit = (0, Visit(number)) if self.visits else (number % len(self.requests), None)
            self._begin(Shot(next(self.numbers), step, due, visit))
            # Several that are due at once must not keep their answers waiting.
            if self.fired % 16 == 15:
                await asyncio.sleep(0)
        sent_until = clock() - self.start
        planned = sum(phase.duration for phase in self.phases)
        while self.completed < self.fired or (self.thinking and not self.stopping.is_set()):
            self._expire(clock())
            await asyncio.sleep(0.01)
        for task in self.tasks:
            task.cancel()
        self.output.flush()
        stopped = self.stopping.is_set()
        print(
            json.dumps(
                {
                    "ended": True,
                    # The last request is due a moment before the end.
                    "duration": min(sent_until, planned) if stopped else planned,
                    "stopped": stopped,
                    "retried": self.retried,
                    "connections": self.opened,
                }
            ),
            flush=True,
        )

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(1)
            self.output.flush()
            latencies, failures = self.recent, self.recent_failures
            self.recent, self.recent_failures = [], 0
            report = {
                "elapsed": round(clock() - self.start, 1),
                "answers": len(latencies),
                "failures": failures,
                "mean_ms": round(sum(latencies) / len(latencies), 1) if latencies else None,
                "max_ms": round(max(latencies), 1) if latencies else None,
                "under_way": self.fired - self.completed,
                "total": self.completed,
                "total_failures": self.failures,
            }
            print(json.dumps(report), flush=True)

    def _start(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self.loop.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)


def allow_many_files() -> int:
    """Raise the limit for open files as far as it goes; return it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


async def generate(arguments: argparse.Namespace, output: TextIO) -> None:
    """Run a generator until its schedule or SIGINT ends it."""
    files = allow_many_files()
    generator = Generator(
        arguments.url,
        from_json(arguments.requests.read_text()) if arguments.requests else [Request(path) for path in arguments.path],
        arguments.phase,
        output,
        visits=arguments.visits,
        arrivals=arguments.arrivals,
        share=arguments.share,
        timeout=arguments.timeout,
        max_connections=min(MAX_CONNECTIONS, files - 100),
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        generator.loop.add_signal_handler(number, generator.stopping.set)
    # Nothing here makes cycles in numbers; a collection in the midst would be our own pause in everybody's latency.
    gc.disable()
    await generator.run()


def phase(text: str) -> Phase:
    """Read RATE:SECONDS or RATE-RATE:SECONDS."""
    rate, _, duration = text.partition(":")
    begin, _, end = rate.partition("-")
    return Phase(float(begin), float(end or begin), float(duration))


def share(text: str) -> Share:
    """Read NUMBER/OF@BEGIN."""
    number, _, rest = text.partition("/")
    of, _, begin = rest.partition("@")
    return Share(int(number), int(of), float(begin))


def quoted(name: str) -> str:
    """A value of a CSV file."""
    return '"' + name.replace('"', '""') + '"' if re.search('[,"]', name) else name


def main() -> int:
    """Read the command line and generate load."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.open_loop")
    parser.add_argument("url")
    parser.add_argument("--phase", type=phase, action="append", required=True)
    parser.add_argument("--path", action="append", default=[], help="asked for in turn")
    parser.add_argument("--requests", type=Path, help="in place of paths: a file of loadtest.asking.to_json")
    parser.add_argument("--visits", action="store_true", help="each who comes sends all of them")
    parser.add_argument("--arrivals", choices=("constant", "poisson"), default="constant")
    parser.add_argument("--share", type=share, default=ALONE, help="NUMBER/OF@BEGIN: one of several processes")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--timeout", type=float, default=10.0)
    arguments = parser.parse_args()
    with arguments.output.open("w") as output:
        output.write(HEADER)
        try:
            uvloop.run(generate(arguments, output))
        except OSError as error:
            print(f"{arguments.url}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
