"""Load each contender in turn and sum up what it cost."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from benchmarks import wrk
from benchmarks.lab import Lab, wait_until

# Name -> port on the host: contenders.yml.
PORTS = {"older": 8001, "ours": 80, "flask": 8002, "py4web": 8003, "bare": 8004}
ENDPOINTS = ("date_time_only", "date_time", "latest_date_time")

Results = dict[str, dict[str, dict[str, float]]]


@dataclass(frozen=True)
class Sample:
    """One contender at one endpoint: CPU time per request in µs, and what wrk saw."""

    contender: str
    endpoint: str
    cpu_us: float
    run: wrk.Run


def measure(
    lab: Lab, *, rounds: int, seconds: int, clients: int, contenders: Sequence[str] = tuple(PORTS)
) -> Iterator[Sample]:
    """Measure `rounds` times, the contenders one after the other for each endpoint: all see the same weather."""
    for contender in contenders:
        for endpoint in ENDPOINTS:
            wait_until(partial(warmed_up, address(lab, contender, endpoint), clients), f"{contender} answers")
    for _round in range(rounds):
        for endpoint in ENDPOINTS:
            for contender in contenders:
                before = lab.cpu_seconds()
                run = wrk.run(address(lab, contender, endpoint), seconds=seconds, clients=clients)
                used = lab.cpu_seconds() - before
                yield Sample(contender, endpoint, 1e6 * used / run.requests, run)


def warmed_up(url: str, clients: int) -> bool:
    """Load `url` for a second: what a process does once is not what a request costs. False without good answers."""
    try:
        wrk.run(url, seconds=1, clients=clients)
    except wrk.WrkError:
        return False
    return True


def address(lab: Lab, contender: str, endpoint: str) -> str:
    """Return the URL of a contender's endpoint."""
    return f"{lab.url}:{PORTS[contender]}/{endpoint}"


def summarize(samples: Iterator[Sample]) -> Results:
    """Medians of CPU time (µs per request), rate (1/s), mean and 99th percentile (ms).

    Returns endpoint -> contender -> figures.
    """
    grouped: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        grouped.setdefault((sample.endpoint, sample.contender), []).append(sample)
    results: Results = {}
    for (endpoint, contender), group in grouped.items():
        results.setdefault(endpoint, {})[contender] = {
            "cpu_us": round(statistics.median(sample.cpu_us for sample in group), 1),
            "rate": round(statistics.median(sample.run.rate for sample in group), 1),
            "mean_ms": round(statistics.median(sample.run.mean_ms for sample in group), 2),
            "p99_ms": round(statistics.median(sample.run.p99_ms for sample in group), 2),
        }
    return results


def table(results: Mapping[str, Mapping[str, Mapping[str, float]]]) -> str:
    """Return the results as text, with how many times cheaper each is than the older project's set-up."""
    lines = []
    for endpoint, contenders in results.items():
        lines += ["", f"{'/' + endpoint:18} {'CPU µs':>8} {'older ÷':>8} {'req/s':>8} {'mean ms':>9} {'p99 ms':>9}"]
        for contender, row in contenders.items():
            gain = f"{contenders['older']['cpu_us'] / row['cpu_us']:.1f}" if "older" in contenders else ""
            latencies = f"{row['mean_ms']:9.2f} {row['p99_ms']:9.2f}"
            lines.append(f"  {contender:16} {row['cpu_us']:8.0f} {gain:>8} {row['rate']:8.0f} {latencies}")
    return "\n".join(lines)
