"""The figures of docs/performance.md: those of each scenario's newest run, as it came out, and where it ran."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from loadtest import figures, scenario
from loadtest.errors import LoadtestError
from loadtest.report import read_result

PAGE = Path(__file__).parents[1] / "docs/performance.md"
COMMAND = "make claims"
COLUMNS = ("scenario", "requests", "succeeded, %", "mean, ms", "p99, ms", "longest, ms", "requests/s", "SLO, goals")


def write(results: Path, page: Path = PAGE) -> Path:
    """Put the figures into the page, in place of those that are there. Raises LoadtestError when there are none."""
    runs = newest(results)
    if not runs:
        raise LoadtestError(
            f"no run has come to its end in {results}", look="loadtest/README.md", type_this="make claims"
        )
    share = "which generator, load balancer, instances and database share."
    figures.write(page, COMMAND, [*table(runs), "", f"{figures.machine()}, {share}"])
    return page


def newest(results: Path) -> list[dict[str, Any]]:
    """Result of the newest run of each of the project's scenarios that was not cut short."""
    found = []
    for name in scenario.names():
        for directory in sorted(results.glob(f"*-{name}"), reverse=True):
            try:
                result = read_result(directory)
            except LoadtestError:
                continue
            if result.get("scenario") == name and not result["interrupted"]:
                found.append(result)
                break
    return found


def table(runs: list[dict[str, Any]]) -> Iterator[str]:
    yield f"| {' | '.join(COLUMNS)} |"
    yield "|" + "---|" * len(COLUMNS)
    for result in runs:
        verdict = ["**" + missed(result["verdict"]) + "**" if missed(result["verdict"]) else "met"]
        # ab's steps are tests of their own; the others are one.
        parts = result["parts"] if result["tool"] == "ab" else [result["total"]]
        for part in parts:
            name = f"{result['scenario']}: {part['name']}" if result["tool"] == "ab" else result["scenario"]
            yield f"| {' | '.join([name, *cells(part), *verdict])} |"
            verdict = [""]


def missed(verdict: list[Mapping[str, Any]]) -> str:
    lines = [line for line in verdict if not line["met"]]
    return ", ".join(f"{'goal' if line['kind'] == 'goal' else 'SLO'} missed: {line['text']}" for line in lines)


def cells(part: Mapping[str, Any]) -> list[str]:
    percent = part["success_percent"]
    return [
        f"{part['requests']:,}",
        # Never rounded up to all of them.
        "-" if percent is None else "100" if part["succeeded"] == part["requests"] else f"{min(percent, 99.9999):.4f}",
        *("-" if part[key] is None else f"{part[key]:,.1f}" for key in ("mean_ms", "p99_ms", "max_ms")),
        "-" if part["rate"] is None else f"{part['rate']:,.0f}",
    ]
