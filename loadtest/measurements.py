"""From single answers to figures: counts, percentiles, what failed and for how long."""

from __future__ import annotations

import bisect
import csv
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
# A chart of more points than this says no more.
MOST_BUCKETS = 300
# Failures that are less than this apart, in seconds, belong together.
OUTAGE_GAP = 2.0
# Answers count for the rate until this long after the last request was due, in seconds; a longer queue was not served.
RATE_GRACE = 1.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request: when it was due (s after the start), how long until it was answered (ms), and how.

    `outcome` is the HTTP status, or what went wrong where there was no answer or the wrong one; "" where the tool
    doesn't say, or where another status than 2xx is the right one.
    """

    due: float
    latency: float
    outcome: str
    path: str = ""
    sent_late: float = 0.0

    @property
    def failed(self) -> bool:
        return self.outcome != "" and not (self.outcome.isdigit() and self.outcome.startswith("2"))

    @property
    def answered(self) -> bool:
        return self.outcome == "" or self.outcome[:3].isdigit()

    @property
    def answered_at(self) -> float:
        return self.due + self.latency / 1000


@dataclass
class Part:
    """What is judged by itself: an endpoint, or one step of the ladder. Times in ms, `duration` in s."""

    name: str
    requests: int
    duration: float
    # Of successful answers; a fast error would flatter the mean.
    latencies: Sequence[float]
    # Longest time of any request, failed ones included.
    longest: float
    failures: dict[str, int] = field(default_factory=dict)
    # Requests that make up the rate: those answered in time, whatever the answer, or all where the tool waits for each.
    served: int | None = None

    @property
    def failed(self) -> int:
        return sum(self.failures.values())

    def figures(self) -> dict[str, Any]:
        """All figures by name; those that nothing was measured for are None."""
        ordered = sorted(self.latencies)
        succeeded = self.requests - self.failed
        served = self.requests if self.served is None else self.served
        return {
            "name": self.name,
            "requests": self.requests,
            "succeeded": succeeded,
            "failures": dict(sorted(self.failures.items())),
            "duration": round(self.duration, 3),
            "success_percent": 100 * succeeded / self.requests if self.requests else None,
            "rate": served / self.duration if self.duration > 0 else None,
            "mean_ms": math.fsum(ordered) / len(ordered) if ordered else None,
            "max_ms": self.longest if self.requests else None,
            **{f"p{percent:g}_ms": percentile(ordered, percent) for percent in PERCENTILES},
        }


def percentile(ordered: Sequence[float], percent: float) -> float | None:
    """Smallest value that at least `percent` % of the (ordered) values don't exceed (nearest rank)."""
    if not ordered:
        return None
    # Rounded, because 99.9 % of 1,000 is 999.0000000000001 in floating point.
    rank = math.ceil(round(percent * len(ordered) / 100, 9))
    return ordered[max(rank, 1) - 1]


def read_answers(file: Path) -> list[Answer]:
    """Read what `loadtest.open_loop` wrote, in the order in which the requests were due.

    A last line that an end by force cut short is left out.
    """
    answers = []
    with file.open(newline="") as lines:
        for row in csv.DictReader(lines):
            if row["expected"] not in ("yes", "no"):
                continue
            outcome = row["error"] or row["status"]
            if row["expected"] == "yes" and not outcome.startswith("2"):
                outcome = ""
            answers.append(Answer(float(row["due"]), float(row["latency"]), outcome, row["path"], float(row["sent"])))
    answers.sort(key=lambda answer: answer.due)
    return answers


def part(name: str, answers: Sequence[Answer], duration: float) -> Part:
    """Sum up answers."""
    return Part(
        name=name,
        requests=len(answers),
        duration=duration,
        latencies=[answer.latency for answer in answers if not answer.failed],
        longest=max((answer.latency for answer in answers), default=0.0),
        failures=dict(Counter(answer.outcome for answer in answers if answer.failed)),
        served=sum(answer.answered and answer.answered_at <= duration + RATE_GRACE for answer in answers),
    )


def parts_by_path(answers: Sequence[Answer], duration: float) -> list[Part]:
    """One part for each endpoint, in the order of their first request."""
    found: dict[str, list[Answer]] = {}
    for answer in answers:
        found.setdefault(answer.path, []).append(answer)
    return [part(path, own, duration) for path, own in found.items()]


def timeline(answers: Sequence[Answer], duration: float) -> list[dict[str, Any]]:
    """Figures per bucket of time: latency by when requests were due, rates (1/s) by when they were answered."""
    width = max(1, math.ceil(duration / MOST_BUCKETS))
    count = max(1, math.ceil(duration / width))
    latencies: list[list[float]] = [[] for _ in range(count)]
    answered, failed = [0] * count, [0] * count
    for answer in answers:
        latencies[min(int(answer.due / width), count - 1)].append(answer.latency)
        bucket = int(answer.answered_at / width)
        while bucket >= len(answered):
            answered.append(0)
            failed.append(0)
            latencies.append([])
        (failed if answer.failed else answered)[bucket] += 1
    rows = []
    for number, values in enumerate(latencies):
        values.sort()
        rows.append(
            {
                "at": number * width,
                "answers_per_second": answered[number] / width,
                "failures_per_second": failed[number] / width,
                "requests": len(values),
                "mean_ms": math.fsum(values) / len(values) if values else None,
                "p50_ms": percentile(values, 50),
                "p95_ms": percentile(values, 95),
                "p99_ms": percentile(values, 99),
                "max_ms": values[-1] if values else None,
            }
        )
    return rows


def histogram(latencies: Iterable[float], per_decade: int = 10) -> list[dict[str, float]]:
    """Counts in bins that each are 10^(1/per_decade) wide, from the first to the last that holds anything (ms)."""
    counts = Counter(math.floor(math.log10(max(value, 0.1)) * per_decade) for value in latencies)
    if not counts:
        return []
    return [
        {"from_ms": 10 ** (bin_ / per_decade), "to_ms": 10 ** ((bin_ + 1) / per_decade), "count": counts[bin_]}
        for bin_ in range(min(counts), max(counts) + 1)
    ]


def outages(answers: Sequence[Answer]) -> list[dict[str, Any]]:
    """Stretches of time in which requests failed: from when to when (due, in s), how many of how many, and how.

    The answers are in the order in which they were due.
    """
    found: list[list[Answer]] = []
    for answer in answers:
        if not answer.failed:
            continue
        if not found or answer.due - found[-1][-1].due > OUTAGE_GAP:
            found.append([])
        found[-1].append(answer)
    due = [answer.due for answer in answers]
    return [
        {
            "from": failures[0].due,
            "to": failures[-1].due,
            "failed": len(failures),
            "of": bisect.bisect_right(due, failures[-1].due) - bisect.bisect_left(due, failures[0].due),
            "failures": dict(sorted(Counter(answer.outcome for answer in failures).items())),
        }
        for failures in found
    ]
