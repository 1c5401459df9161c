"""The verdict: each line of the SLO, with its figure and its limit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# Exit codes. A usage error is 2, as everywhere.
MET, MISSED, GOAL_MISSED, INTERRUPTED = 0, 1, 3, 130
# A constant rate was served when at least this share of it was answered in the planned time.
RATE_TOLERANCE = 0.999
TEXTS = {
    "mean_ms": ("mean latency", "ms", "below"),
    "p99_ms": ("99th percentile of latency", "ms", "below"),
    "max_ms": ("longest answer", "ms", "below"),
    "success_percent": ("answers that succeeded", "%", "at least"),
    "rate": ("rate answered", "requests/s", "at least"),
    "added": ("instances added", "", "at least"),
}


@dataclass(frozen=True)
class Line:
    """One line of the SLO, judged. `kind` is `slo` (a promise) or `goal` (stricter, our own)."""

    name: str
    kind: str
    limit: float
    figure: float | None
    met: bool
    where: str

    @property
    def text(self) -> str:
        return TEXTS[self.name][0]

    @property
    def unit(self) -> str:
        return TEXTS[self.name][1]

    @property
    def comparison(self) -> str:
        return TEXTS[self.name][2]


def judge(
    parts: Sequence[Mapping[str, Any]],
    total: Mapping[str, Any],
    limits: Mapping[str, float],
    kind: str,
    offered_rate: float | None = None,
) -> list[Line]:
    """Judge each limit by the part that is worst in it; the rate by the total, where a constant rate was offered.

    A limit for the rate that the scenario doesn't offer is not judged: the other lines say less then, not more.
    """
    lines = []
    for name, limit in limits.items():
        if name == "rate":
            if offered_rate is None or offered_rate < limit:
                continue
            figure = total["rate"]
            met = figure is not None and figure >= RATE_TOLERANCE * limit
            lines.append(Line(name, kind, limit, figure, met, total["name"]))
            continue
        worst = _worst(name, parts)
        figure = worst.get(name)
        lines.append(Line(name, kind, limit, figure, _meets(name, figure, limit), worst.get("name", "")))
    return lines


def grown(added: int) -> Line:
    """Of a scenario that waits for the group to be small again: without having grown, it has shown nothing."""
    return Line("added", "goal", 1, added, added >= 1, "")


def exit_code(lines: Sequence[Line], *, interrupted: bool) -> int:
    """The verdict as an exit code. A broken promise weighs more than an interruption, that more than a goal."""
    if not lines or any(not line.met for line in lines if line.kind == "slo"):
        return MISSED
    if interrupted:
        return INTERRUPTED
    return GOAL_MISSED if any(not line.met for line in lines) else MET


def _meets(name: str, figure: float | None, limit: float) -> bool:
    if figure is None:
        return False
    return figure >= limit if TEXTS[name][2] == "at least" else figure < limit


def _worst(name: str, parts: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The part with the worst figure; one without any (nothing succeeded) is worse than all."""
    missing = [part for part in parts if part[name] is None]
    if missing or not parts:
        return missing[0] if missing else {}
    choose = min if TEXTS[name][2] == "at least" else max
    return choose(parts, key=lambda part: float(part[name]))
