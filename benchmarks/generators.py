"""What load generators see of a server that stalls, beside what its visitors do: two minutes.

The server answers at once, and stands still for two seconds of every ten. Whoever comes waits for the rest of the stall
that he comes in, so what is right is known without a measurement. The table goes into loadtest/README.md.
"""

from __future__ import annotations

import asyncio
import math
import multiprocessing
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks import wrk
from bootstrap import packages
from loadtest import asking, figures, k6, measurements

PAGE = Path(__file__).parents[1] / "loadtest/README.md"
COMMAND = "python -m benchmarks.generators"
PERIOD, STALL = 10.0, 2.0  # s
ROUNDS = 3  # stalls in a run
CLIENTS, RATE = 10, 200  # requests/s where a tool has a rate
PERCENTILES = (50, 90, 99)


class Server(asyncio.Protocol):
    """Answers each request with 200."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" * data.count(b"\r\n\r\n")
        self.transport.write(answer)  # type: ignore[attr-defined]


def serve(port: Connection) -> None:
    """Say the port, and serve; stand still at the end of each period."""

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Server, "127.0.0.1", 0, backlog=1000)
        port.send(server.sockets[0].getsockname()[1])
        while True:
            await asyncio.sleep(PERIOD - STALL)
            time.sleep(STALL)  # nobody is answered meanwhile

    asyncio.run(run())


def implied() -> list[float]:
    """What those wait who come at any moment, in ms: of each thousand of a period, evenly spread."""
    moments = [PERIOD * number / 1000 for number in range(1000)]
    return [max(0.0, moment - (PERIOD - STALL)) and (PERIOD - moment) * 1000 for moment in moments]


def open_loop(url: str, seconds: float, directory: Path) -> list[float]:
    file = directory / "open_loop.csv"
    command = [sys.executable, "-m", "loadtest.open_loop", url, "--phase", f"{RATE}:{seconds}", "--path", "/"]
    subprocess.run([*command, "--output", file], check=True, capture_output=True)
    return [answer.latency for answer in measurements.read_answers(file)]


def k6_loop(url: str, seconds: float, directory: Path) -> list[float]:
    """The same scenario, sent by k6."""
    file, asked = directory / "k6.csv", directory / "asked.json"
    asked.write_text(asking.to_json((asking.Request("/"),)))
    command = [sys.executable, "-m", "loadtest.k6", url, "--phase", f"{RATE}:{seconds}", "--requests", str(asked)]
    subprocess.run([*command, "--output", file], check=True, capture_output=True)
    return [answer.latency for answer in measurements.read_answers(file)]


def h2load(url: str, seconds: float, directory: Path) -> list[float]:
    """With a rate for each client; latencies are in its log, in µs."""
    log = directory / "h2load.log"
    command = ["h2load", "--h1", "--clients", str(CLIENTS), "--rps", str(RATE // CLIENTS), "--log-file", str(log)]
    subprocess.run([*command, "--duration", f"{seconds:.0f}", url], check=True, capture_output=True)
    return [int(line.split()[2]) / 1000 for line in log.read_text().splitlines() if line.split()[1] == "200"]


def wrk_percentiles(url: str, seconds: float) -> tuple[int, list[float]]:
    """Requests, and the mean and percentiles that it prints; it keeps no single latencies. In ms."""
    command = [
        "wrk",
        "--threads",
        "1",
        "--connections",
        str(CLIENTS),
        "--duration",
        f"{seconds:.0f}s",
        "--timeout",
        "10s",
    ]
    printed = subprocess.run([*command, "--latency", url], check=True, capture_output=True, text=True).stdout
    requests, values = re.search(r"(\d+) requests in", printed), []
    for name in ("Latency", *(f"{percent}%" for percent in PERCENTILES)):
        found = re.search(rf"^\s+{name}\s+([\d.]+)(us|ms|s)\s", printed, re.MULTILINE)
        assert found, printed
        values.append(float(found[1]) * wrk.MILLISECONDS[found[2]])
    assert requests, printed
    return int(requests[1]), values


def row(name: str, requests: int | None, values: Sequence[float]) -> str:
    count = f"{requests:,}" if requests else ""
    return f"| {' | '.join([name, count, *(f'{value:,.0f}' for value in values)])} |"


def summed(name: str, latencies: Sequence[float], requests: int | None = None) -> str:
    ordered = sorted(latencies)
    mean = math.fsum(ordered) / len(ordered)
    return row(name, requests, [mean, *(measurements.percentile(ordered, percent) or 0.0 for percent in PERCENTILES)])


def lines(url: str) -> Iterator[str]:
    """The table: each tool for the same number of periods."""
    seconds = PERIOD * ROUNDS
    heads = ["", "requests", "mean, ms", *(f"{percent} %, ms" for percent in PERCENTILES)]
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    yield summed("**what visitors wait**", implied())
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        for title, tool in (
            (f"`open_loop`, {RATE}/s", open_loop),
            (f"`k6`, {RATE}/s", k6_loop),
            (f"`h2load`, {CLIENTS} clients with {RATE // CLIENTS}/s each", h2load),
        ):
            latencies = tool(url, seconds, directory)
            yield summed(title, latencies, len(latencies))
    yield row(f"`wrk`, {CLIENTS} clients", *wrk_percentiles(url, seconds))


def install() -> None:
    if k6.program() is None:
        subprocess.run(["make", "--silent", "k6"], check=True)
    for program, package in (("wrk", "wrk"), ("h2load", "nghttp2-client")):
        if shutil.which(program) is None:
            packages.install(package, purpose=f"{program} is compared with our generator")


def main() -> None:
    """Run them one after the other, and write the table."""
    install()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    url = f"http://127.0.0.1:{ours.recv()}"
    try:
        found = list(lines(url))
    finally:
        server.terminate()
    print("\n".join(found))
    figures.write(PAGE, COMMAND, [*found, "", f"{figures.machine()}."])


if __name__ == "__main__":
    main()
