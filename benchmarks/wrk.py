"""`wrk`, Debian's package of that name: clients that each send the next request when the last one is answered."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass

from bootstrap import packages

MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60000.0}


class WrkError(RuntimeError):
    """A run that measured something else than good answers."""


@dataclass(frozen=True)
class Run:
    """What one run found: requests, requests per second, and latencies in ms."""

    requests: int
    rate: float
    mean_ms: float
    p99_ms: float


def install() -> None:
    """Make sure that wrk is on the PATH."""
    if shutil.which("wrk") is None:
        packages.install("wrk", purpose="the benchmarks load web servers with it")


def run(url: str, *, seconds: int, clients: int) -> Run:
    """Load `url` with so many clients. WrkError when any answer was not good."""
    command = ["wrk", "--threads", "1", "--connections", str(clients), "--duration", f"{seconds}s"]
    # wrk's own limit is 2 s, which a busy machine exceeds now and then.
    done = subprocess.run([*command, "--timeout", "10s", "--latency", url], capture_output=True, text=True)
    if done.returncode != 0:
        raise WrkError(f"{url}: {done.stderr.strip() or done.stdout.strip()}")
    return read(done.stdout, url)


def read(output: str, url: str) -> Run:
    """Read what wrk printed."""
    bad = re.findall(r"^\s*(?:Non-2xx or 3xx responses|Socket errors): .*$", output, re.MULTILINE)
    if bad:
        raise WrkError(f"{url}: {'; '.join(line.strip() for line in bad)}")
    requests = re.search(r"^\s*(\d+) requests in", output, re.MULTILINE)
    rate = re.search(r"^Requests/sec:\s+([\d.]+)", output, re.MULTILINE)
    mean = re.search(r"^\s+Latency\s+([\d.]+)(us|ms|s|m)\s", output, re.MULTILINE)
    p99 = re.search(r"^\s+99%\s+([\d.]+)(us|ms|s|m)\s*$", output, re.MULTILINE)
    if not (requests and rate and mean and p99) or requests[1] == "0":
        raise WrkError(f"{url}: no answers\n{output}")
    return Run(int(requests[1]), float(rate[1]), _milliseconds(mean), _milliseconds(p99))


def _milliseconds(match: re.Match[str]) -> float:
    return float(match[1]) * MILLISECONDS[match[2]]
