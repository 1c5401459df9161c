"""The report of a run: one HTML page that needs nothing but itself."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2

from loadtest.errors import LoadtestError
from loadtest.svg import Chart, duration, label, nice_step

WIDE, HALF, NARROW = 920, 440, 380
SYMBOLS = {"alarm": "▲", "deploy": "◆", "scaling": "■", "action": "✖"}
MARK_TEXTS = {"alarm": "alarm", "deploy": "deploy", "scaling": "scaling", "action": "done by the scenario"}
MOST_MARKS = 200
# Marks of which it is said what they did, and how many seconds before and after them are compared.
EFFECTIVE, BESIDE = ("deploy", "scaling", "action"), 30.0
PERCENTILES = ("p50_ms", "p95_ms", "p99_ms", "max_ms")
# What is compared with the run before: the key, its text, whether less is better.
COMPARED = (
    ("mean_ms", "mean latency, ms", True),
    ("p50_ms", "median, ms", True),
    ("p99_ms", "99th percentile, ms", True),
    ("max_ms", "longest, ms", True),
    ("rate", "requests/s", False),
    ("success_percent", "succeeded, %", False),
)


@dataclass(frozen=True)
class Table:
    """What a chart shows, in figures: heads, and the keys of the rows."""

    heads: Sequence[str]
    keys: Sequence[str]
    rows: Sequence[Mapping[str, Any]]


def read_result(directory: Path) -> dict[str, Any]:
    """What a run has left. Raises LoadtestError."""
    try:
        found: dict[str, Any] = json.loads((directory / "result.json").read_text())
    except (OSError, ValueError) as error:
        raise LoadtestError(
            f"there is no result in {directory}: {error}",
            look=f"{directory.parent}, which has a directory of each run",
            type_this="the same with one of them, or make loadtest",
        ) from error
    return found


def write(directory: Path) -> Path:
    """Write report.html beside result.json, compared with the run of this scenario before it. Raises LoadtestError."""
    result = read_result(directory)
    page = directory / "report.html"
    page.write_text(render(result, previous(directory, result)))
    return page


def compare_runs(before: Path, now: Path) -> Path:
    """Write a page with two runs side by side into the later one's directory. Raises LoadtestError."""
    results = [read_result(directory) for directory in (before, now)]
    old, new = ({chart["title"]: chart for chart in charts(result, results)} for result in results)
    page = now / f"compared-with-{before.resolve().name}.html"
    page.write_text(
        _environment()
        .get_template("compare.html.j2")
        .render(
            before=results[0],
            now=results[1],
            comparison=compare(results[1]["total"], results[0]["total"]),
            both=parts_of_both(results[0]["parts"], results[1]["parts"]),
            pairs=[(old.get(title), new.get(title)) for title in {**old, **new}],
        )
    )
    return page


def parts_of_both(before: Sequence[Mapping[str, Any]], now: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The parts that both runs have, compared."""
    old = {part["name"]: part for part in before}
    return [{"name": part["name"], "rows": compare(part, old[part["name"]])} for part in now if part["name"] in old]


def previous(directory: Path, result: Mapping[str, Any]) -> dict[str, Any] | None:
    """Result of the newest earlier run of the same scenario that is kept beside this one and was not cut short."""
    earlier = sorted(path for path in directory.parent.glob(f"*-{result['scenario']}") if path.name < directory.name)
    for candidate in reversed(earlier):
        try:
            found = read_result(candidate)
        except LoadtestError:
            continue
        if not found.get("interrupted") and found.get("scenario") == result["scenario"]:
            return found
    return None


def render(result: Mapping[str, Any], before: Mapping[str, Any] | None = None) -> str:
    """The page."""
    page = _environment().get_template("report.html.j2")
    return page.render(
        result=result,
        before=before,
        comparison=compare(result["total"], before["total"]) if before else [],
        charts=charts(result),
        effects=effects(result),
        symbols=SYMBOLS,
        mark_texts=MARK_TEXTS,
        marks=result["marks"][:MOST_MARKS],
        marks_left_out=max(0, len(result["marks"]) - MOST_MARKS),
        percentiles=[key for key in result["total"] if key.startswith("p") and key.endswith("_ms")],
    )


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters |= {"number": number, "duration": duration}
    return environment


def effects(result: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What a deploy, a change of the group's size or an action did: figures of `BESIDE` seconds before and after it.

    Of the timeline's whole buckets; `before` and `after` are None where there is none.
    """
    found: list[dict[str, Any]] = []
    for mark in result["marks"]:
        if mark["kind"] not in EFFECTIVE or (found and mark["at"] - found[-1]["at"] < BESIDE / 2):
            continue
        at = mark["at"]
        found.append(
            {
                "at": at,
                "kind": mark["kind"],
                "text": mark["text"],
                "before": _stretch(result["timeline"], at - BESIDE, at),
                "after": _stretch(result["timeline"], at, at + BESIDE),
            }
        )
    return found


def _stretch(timeline: Sequence[Mapping[str, Any]], begin: float, end: float) -> dict[str, float] | None:
    rows = [row for row in timeline if begin <= row["at"] < end and row["requests"]]
    if not rows:
        return None
    requests = sum(row["requests"] for row in rows)
    answers = sum(row["answers_per_second"] for row in rows)
    failed = sum(row["failures_per_second"] for row in rows)
    return {
        "goodput": answers / len(rows),
        "failed_percent": 100 * failed / (answers + failed) if answers + failed else 0.0,
        "mean_ms": sum(row["mean_ms"] * row["requests"] for row in rows) / requests,
        "max_ms": max(row["max_ms"] for row in rows),
    }


def compare(now: Mapping[str, Any], before: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Figures of two runs side by side. Less than a twentieth of a difference is none."""
    rows = []
    for key, text, less_is_better in COMPARED:
        old, new = before.get(key), now.get(key)
        if old is None or new is None:
            continue
        change = (new - old) / old if old else 0.0
        near = abs(new - old) < 0.005 if key == "success_percent" else abs(change) < 0.05
        better = None if near else (new < old) == less_is_better
        rows.append({"text": text, "before": old, "now": new, "change": change, "better": better})
    return rows


def number(value: float | None) -> str:
    """A figure with as many digits as say something."""
    if value is None:
        return "-"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    if 99 < value < 100:
        # 99.99 and 99.999 are not the same promise; never rounded up to 100.
        return f"{math.floor(value * 1000) / 1000:.3f}".rstrip("0").rstrip(".")
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def charts(result: Mapping[str, Any], scale: Sequence[Mapping[str, Any]] = ()) -> list[dict[str, Any]]:
    """All charts: title, legend as (style, text), the chart for wide and for narrow screens, and its table.

    They are drawn to the scale of all of `scale`, where there is any: a smaller plot would look like a better one.
    """
    scale = scale or [result]
    built: list[tuple[str, list[tuple[str, str]], Callable[[int], Chart], Table]] = []
    rows = result["timeline"]
    end = max((one["duration"] for one in scale), default=1.0)
    end = max([end, *(row["at"] for one in scale for row in one["timeline"])])
    if any(row["max_ms"] is not None for row in rows):
        legend = [("p50", "median"), ("p95", "95 %"), ("p99", "99 %"), ("max", "longest")]
        table = Table(("at, s", "requests", *(text for _, text in legend)), ("at", "requests", *PERCENTILES), rows)
        built.append(("Latency, ms", legend, lambda width: latency_chart(result, end, width, scale), table))
    if rows:
        legend = [("ok", "succeeded or unknown" if result["tool"] == "ab" else "succeeded"), ("bad", "failed")]
        table = Table(("at, s", "succeeded/s", "failed/s"), ("at", "answers_per_second", "failures_per_second"), rows)
        title = "Answers per second: goodput, and what failed on top of it"
        built.append((title, legend, lambda width: throughput_chart(result, end, width, scale), table))
    if result["samples"]:
        legend = [("in-service", "in service"), ("desired", "desired"), ("healthy", "healthy targets")]
        keys = ("at", "in_service", "desired", "healthy")
        table = Table(("at, s", *(text for _, text in legend)), keys, changes(result["samples"], keys[1:]))
        built.append(("Instances", legend, lambda width: instances_chart(result, end, width, scale), table))
    if result["cpu"]:
        table = Table(("at, s", "average, %"), ("at", "percent"), result["cpu"])
        legend = [("in-service", "average")]
        built.append(("CPU of the group, %", legend, lambda width: cpu_chart(result, end, width), table))
    if result["histogram"]:
        table = Table(("from, ms", "to, ms", "requests"), ("from_ms", "to_ms", "count"), result["histogram"])
        title = "How many requests took how long, ms"
        built.append((title, [], lambda width: distribution_chart(result, width, scale), table))
    return [
        {
            "title": title,
            "legend": legend,
            "svg": build(WIDE).render("wide") + build(NARROW).render("narrow"),
            "half": build(HALF).render("half") if len(scale) > 1 else "",
            "table": table,
        }
        for title, legend, build, table in built
    ]


def changes(rows: Sequence[Mapping[str, Any]], keys: Sequence[str]) -> list[Mapping[str, Any]]:
    """The rows in which any of these values is another than before."""
    return [
        row
        for last, row in zip([{}, *rows], rows, strict=False)
        if [last.get(key) for key in keys] != [row[key] for key in keys]
    ]


def latency_chart(result: Mapping[str, Any], end: float, width: int, scale: Sequence[Mapping[str, Any]]) -> Chart:
    """Percentiles over time, logarithmic: a stall is ten times the mean or a thousand."""
    rows = [row for one in scale for row in one["timeline"] if row["max_ms"] is not None]
    low = max(0.1, min(row["p50_ms"] for row in rows))
    chart = Chart("Latency over time", "ms", width, 240, end, max(row["max_ms"] for row in rows), low, log=True)
    _time(chart, result)
    for line in result["verdict"]:
        if line["name"] in ("max_ms", "mean_ms") and line["kind"] == "slo":
            chart.limit(line["limit"], f"SLO: {line['text']} {line['limit']:g}")
    for key, style in zip(PERCENTILES[::-1], ("max", "p99", "p95", "p50"), strict=True):
        chart.line([(row["at"], row[key]) for row in result["timeline"]], style)
    _hover(
        chart,
        result["timeline"],
        lambda row: " · ".join(f"{key.removesuffix('_ms')} {number(row[key])} ms" for key in PERCENTILES),
    )
    return chart


def throughput_chart(result: Mapping[str, Any], end: float, width: int, scale: Sequence[Mapping[str, Any]]) -> Chart:
    """Answers and failures per second, one on the other."""
    rows = result["timeline"]
    most = max(row["answers_per_second"] + row["failures_per_second"] for one in scale for row in one["timeline"])
    chart = Chart("Throughput and errors over time", "1/s", width, 180, end, most)
    _time(chart, result)
    bucket = rows[1]["at"] - rows[0]["at"] if len(rows) > 1 else end
    ok = [(row["at"], row["at"] + bucket, 0.0, row["answers_per_second"]) for row in rows]
    bad = [
        (
            row["at"],
            row["at"] + bucket,
            row["answers_per_second"],
            row["answers_per_second"] + row["failures_per_second"],
        )
        for row in rows
    ]
    chart.bars(ok, "ok")
    chart.bars(bad, "bad")
    _hover(
        chart,
        rows,
        lambda row: f"{number(row['answers_per_second'])} succeeded/s, {number(row['failures_per_second'])} failed/s",
    )
    return chart


def instances_chart(result: Mapping[str, Any], end: float, width: int, scale: Sequence[Mapping[str, Any]]) -> Chart:
    """Instances: those that should be, those in service, those that the load balancer finds healthy."""
    samples = result["samples"]
    sizes = [max(row["desired"], row["in_service"], row["healthy"]) for one in scale for row in one["samples"]]
    chart = Chart("Instances over time", "", width, 150, end, max(4.0, *map(float, sizes)))
    _time(chart, result)
    for key in ("desired", "healthy", "in_service"):
        chart.line([(row["at"], row[key]) for row in samples], key.replace("_", "-"), steps=True)
    return chart


def cpu_chart(result: Mapping[str, Any], end: float, width: int) -> Chart:
    """The group's average CPU."""
    points = [(row["at"], row["percent"]) for row in result["cpu"] if row["at"] >= 0]
    chart = Chart("CPU over time", "%", width, 150, end, 100.0)
    _time(chart, result)
    chart.line(points, "in-service")
    return chart


def distribution_chart(result: Mapping[str, Any], width: int, scale: Sequence[Mapping[str, Any]]) -> Chart:
    """Counts in bins of equal ratio; y is logarithmic, or the few slow answers could not be seen."""
    bins = result["histogram"]
    every = [row for one in scale for row in one["histogram"]]
    first = math.log10(min(row["from_ms"] for row in every))
    span = math.log10(max(row["to_ms"] for row in every)) - first
    chart = Chart("Latency distribution", "", width, 200, span, max(row["count"] for row in every), 1.0, log=True)
    chart.bars(
        [
            (math.log10(row["from_ms"]) - first, math.log10(row["to_ms"]) - first - 0.01, 0.0, row["count"])
            for row in bins
        ],
        "ok",
    )
    chart.hover(
        [
            (
                math.log10(row["from_ms"]) - first,
                math.log10(row["to_ms"]) - first,
                f"{number(row['from_ms'])} to {number(row['to_ms'])} ms: {number(row['count'])} requests",
            )
            for row in bins
        ]
    )
    powers = range(math.ceil(first - 1e-9), math.floor(first + span + 1e-9) + 1)
    ticks = [(power - first, label(10.0**power)) for power in powers]
    if len(ticks) < 2:
        ticks = [(0.0, label(10.0**first)), (span, label(10.0 ** (first + span)))]
    chart.ticks(ticks)
    return chart


def _time(chart: Chart, result: Mapping[str, Any]) -> None:
    chart.time_axis()
    # Marks of one kind that would stand on each other are one.
    near = chart.x_max / 60
    last: dict[str, float] = {}
    for mark in result["marks"]:
        kind = mark["kind"]
        if kind not in last or mark["at"] - last[kind] > near:
            chart.mark(mark["at"], kind, SYMBOLS[kind], kind in ("alarm", "action"))
            last[kind] = mark["at"]


def _hover(chart: Chart, rows: Sequence[Mapping[str, Any]], text: Callable[[Mapping[str, Any]], str]) -> None:
    # On narrow screens there is no pointer.
    if chart.width < WIDE:
        return
    bucket = rows[1]["at"] - rows[0]["at"] if len(rows) > 1 else nice_step(chart.x_max, 2)
    chart.hover([(row["at"], row["at"] + bucket, f"{duration(row['at'])}: {text(row)}") for row in rows])
