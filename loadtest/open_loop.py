"""Requests at a constant rate, whatever the answers do: an open loop over keep-alive connections.

Each request has the moment at which it is due. It leaves then, on an idle connection or on a new one; its latency
counts from that moment, not from when it left. So an answer that is late makes no later request late, a request that
could not leave in time is late all the same, and nothing that was slow is omitted ("coordinated omission").

h2load, which Debian has, was looked at first: its latency counts from when a request left; after a connection error it
neither logs the request nor uses that connection again, so the rate falls just when something fails; and it has no time
limit for an answer. ab and wrk are closed loops.

    python -m loadtest.open_loop URL --phase RATE:SECONDS [--phase ...] --path PATH [--path ...] --output FILE

writes a line for each request into FILE (CSV: number, path, due, sent, latency, status, bytes, error; times in s after
the start, the latter two in ms) and one JSON object a second to stdout. SIGINT ends the sending; what is under way is
waited for.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import resource
import signal
import socket
import ssl
import sys
import time
from collections import deque
from collections.abc import Coroutine, Iterator
from pathlib import Path
from time import monotonic as clock
from typing import Any, TextIO, cast
from urllib.parse import urlsplit

import httptools
import uvloop

MAX_CONNECTIONS = 4000
# Seconds after which a load balancer's name is looked up again: on AWS its addresses change while it grows.
LOOKUP_INTERVAL = 10.0
HEADER = "number,path,due,sent,latency,status,bytes,error\n"


class Shot:
    """One request: its number, path and when it is due, by the loop's clock."""

    __slots__ = ("done", "due", "number", "path", "retried", "sent")

    def __init__(self, number: int, path: int, due: float) -> None:
        self.number = number
        self.path = path
        self.due = due
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

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def send(self, shot: Shot) -> None:
        """Send a request; the connection must be idle."""
        assert self.transport is not None
        self._reset()
        self.shot = shot
        self.transport.write(self.generator.requests[shot.path])

    def data_received(self, data: bytes) -> None:
        self.began = True
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self._fail("not HTTP")

    def on_header(self, name: bytes, value: bytes) -> None:  # noqa: ARG002
        """Called by the parser."""
        if name.lower() in (b"content-length", b"transfer-encoding"):
            self.has_length = True

    def on_headers_complete(self) -> None:
        """Called by the parser."""
        self.has_head = True

    def on_body(self, body: bytes) -> None:
        """Called by the parser."""
        self.size += len(body)

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
            self.generator.answered(shot, status, self.size)

    def connection_lost(self, exc: Exception | None) -> None:
        self.generator.lost(self)
        shot, self.shot = self.shot, None
        if shot is None or shot.done:
            return
        if self.has_head and not self.has_length and exc is None:
            self.generator.answered(shot, self.parser.get_status_code(), self.size)
        elif self.used and not self.began and not shot.retried:
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
        paths: list[str],
        phases: list[tuple[float, float]],
        output: TextIO,
        *,
        timeout: float = 10.0,
        max_connections: int = MAX_CONNECTIONS,
    ) -> None:
        address = urlsplit(url)
        assert address.hostname
        self.host = address.hostname
        self.tls = ssl.create_default_context() if address.scheme == "https" else None
        self.port = address.port or (443 if self.tls else 80)
        prefix = address.path.rstrip("/")
        self.paths = paths
        headers = f"Host: {address.netloc}\r\nUser-Agent: loadtest\r\nAccept: */*\r\n\r\n"
        self.requests = [f"GET {prefix}{path} HTTP/1.1\r\n{headers}".encode() for path in paths]
        self.phases = phases
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

    def answered(self, shot: Shot, status: int, size: int) -> None:
        """An answer is complete."""
        self._record(shot, status, size, "")

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
        if not 200 <= status < 300:
            self.failures += 1
            self.recent_failures += 1
        self.output.write(
            f"{shot.number},{self.paths[shot.path]},{shot.due - self.start:.6f},{(shot.sent - shot.due) * 1000:.3f},"
            f"{latency:.3f},{status},{size},{error}\n"
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

    def schedule(self) -> Iterator[float]:
        """When each request is due, in seconds after the start."""
        begin = 0.0
        for rate, duration in self.phases:
            for number in range(round(rate * duration)):
                yield begin + number / rate
            begin += duration

    async def run(self) -> None:
        """Send all that is scheduled, wait for what is under way, report."""
        await self._look_up()
        self._start(self._look_up_again())
        self._start(self._report())
        self.start = clock() + 0.01
        print(json.dumps({"started_at": time.time() + 0.01}), flush=True)
        for number, offset in enumerate(self.schedule()):
            due = self.start + offset
            while not self.stopping.is_set() and (wait := due - clock()) > 0:
                self._expire(clock())
                # Not longer than a fifth of a second, so that timeouts and a request to stop are seen in time.
                await asyncio.sleep(min(wait, 0.2))
            if self.stopping.is_set():
                break
            shot = Shot(number, number % len(self.paths), due)
            shot.sent = clock()
            self.under_way.append(shot)
            self.fired += 1
            self.fire(shot)
            # Several that are due at once must not keep their answers waiting.
            if number % 16 == 15:
                await asyncio.sleep(0)
        sent_until = clock() - self.start
        planned = sum(duration for _, duration in self.phases)
        while self.completed < self.fired:
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
        arguments.path,
        arguments.phase,
        output,
        timeout=arguments.timeout,
        max_connections=min(MAX_CONNECTIONS, files - 100),
    )
    for number in (signal.SIGINT, signal.SIGTERM):
        generator.loop.add_signal_handler(number, generator.stopping.set)
    # Nothing here makes cycles in numbers; a collection in the midst would be our own pause in everybody's latency.
    gc.disable()
    await generator.run()


def phase(text: str) -> tuple[float, float]:
    """Read RATE:SECONDS."""
    rate, _, duration = text.partition(":")
    return float(rate), float(duration)


def main() -> int:
    """Read the command line and generate load."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.open_loop")
    parser.add_argument("url")
    parser.add_argument("--phase", type=phase, action="append", required=True)
    parser.add_argument("--path", action="append", required=True)
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
