"""`ab`, Debian's apache2-utils: so many requests by so many clients, each of which waits for its answer. A closed loop.

When the server is slow, ab asks less often, so its latencies flatter a server that stalls. It is here because the
older project was measured with it, and its figures are to be compared.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.measurements import Answer, Part
from loadtest.scenario import Step

# What ab prints -> what it is called in a report.
FAILURES = {"Connect": "no connection", "Receive": "connection reset", "Exceptions": "connection closed"}


@dataclass(frozen=True)
class Summary:
    """What ab printed at its end."""

    complete: int
    failures: dict[str, int]
    duration: float


def command(url: str, path: str, step: Step, requests_file: Path) -> list[str]:
    """Return ab's command line. -l: pages vary in length; -r: a reset connection is counted and doesn't end the run."""
    numbers = ["-n", str(step.requests), "-c", str(step.concurrency)]
    # ab demands a path.
    return ["ab", "-l", "-r", *numbers, "-g", str(requests_file), f"{url.rstrip('/')}{path}"]


def read_summary(output: str) -> Summary:
    """Read ab's output. Raises ValueError with ab's last line when it ended without a result."""
    complete = re.search(r"^Complete requests:\s+(\d+)", output, re.MULTILINE)
    duration = re.search(r"^Time taken for tests:\s+([\d.]+)", output, re.MULTILINE)
    if not complete or not duration:
        lines = output.strip().splitlines()
        raise ValueError(lines[-1] if lines else "it printed nothing")
    failures = {}
    detail = re.search(r"^\s+\(Connect: (\d+), Receive: (\d+), Length: \d+, Exceptions: (\d+)\)", output, re.MULTILINE)
    if detail:
        failures = {text: int(count) for text, count in zip(FAILURES.values(), detail.groups(), strict=True)}
    status = re.search(r"^Non-2xx responses:\s+(\d+)", output, re.MULTILINE)
    failures["not 2xx"] = int(status[1]) if status else 0
    return Summary(int(complete[1]), {what: count for what, count in failures.items() if count}, float(duration[1]))


def read_requests(file: Path, path: str, begin: float) -> list[Answer]:
    """Read the file of `-g`: start (whole seconds) and time (whole ms) of each request; `begin` is the load's start.

    ab doesn't say which of them failed.
    """
    if not file.exists():
        return []
    answers = []
    with file.open(newline="", errors="replace") as lines:
        for row in csv.DictReader(lines, delimiter="\t"):
            if row["ttime"] is None or row["seconds"] is None:
                continue
            answers.append(Answer(max(0.0, float(row["seconds"]) - begin), float(row["ttime"]), "", path))
    return answers


def part(name: str, step: Step, summary: Summary | None, answers: Sequence[Answer], *, interrupted: bool) -> Part:
    """Sum up one step. Requests that ab gave up on count as failed, unless a person ended it."""
    latencies = [answer.latency for answer in answers]
    longest = max(latencies, default=0.0)
    if summary is None:
        return Part(name, 0 if interrupted else step.requests, 0.0, [], longest, {} if interrupted else _none(step))
    failures = dict(summary.failures)
    requests = summary.complete if interrupted else step.requests
    # A request that failed without an answer may or may not be among the complete ones; it counts once.
    missing = requests - summary.complete
    if missing > 0:
        failures["not sent"] = missing
    return Part(name, requests, summary.duration, latencies, longest, failures)


def _none(step: Step) -> dict[str, int]:
    return {"not sent": step.requests}
