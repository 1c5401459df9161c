"""CloudWatch alarms: evaluated over their periods, put into the state that follows, their actions run.

AWS evaluates a high-resolution alarm (period below a minute) every 10 s and any other every minute, over the newest
periods that are complete. So does this.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/AlarmThatSendsEmail.html
"""

from __future__ import annotations

import json
import logging
import math
import operator
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from localcloud import backends, metric_math
from localcloud.alarm_rules import parse_rule
from localcloud.controller import Action, Observed
from localcloud.metric_statistics import aggregate
from localcloud.metrics import epoch
from localcloud.overlay.cloudwatch import ALARM, INSUFFICIENT_DATA, OK, change_state, run_actions

LOGGER = logging.getLogger(__name__)
SETTLE = 1.0  # seconds after the end of a period until its samples are all there
EXTRA_PERIODS = 2  # older periods that AWS looks at too, when newer ones have no data

_COMPARISONS: dict[str, tuple[Callable[[float, float], bool], str]] = {
    "GreaterThanOrEqualToThreshold": (operator.ge, "greater than or equal to"),
    "GreaterThanThreshold": (operator.gt, "greater than"),
    "LessThanOrEqualToThreshold": (operator.le, "less than or equal to"),
    "LessThanThreshold": (operator.lt, "less than"),
}


@dataclass(frozen=True)
class Point:
    """The metric's value over one period; `start` in seconds since the epoch. No data in that period: None."""

    start: float
    value: float | None


@dataclass(frozen=True)
class Verdict:
    """What an evaluation says. `state` None: stay as it is."""

    state: str | None
    reason: str = ""
    points: tuple[Point, ...] = ()


class Alarms:
    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._evaluated: dict[str, float] = {}  # alarm's ARN -> end of the newest period that was evaluated

    def reconcile(self, observed: Observed) -> list[Action]:  # noqa: ARG002 (metrics are all that matters)
        for backend in backends.each("cloudwatch"):
            if not backend.alarms:
                continue
            data: list[Any] | None = None
            for alarm in list(backend.alarms.values()):
                end = self._due(alarm)
                if end is None or alarm.rule is not None:
                    continue
                data = backend.get_all_metrics() if data is None else data
                try:
                    self._evaluate(backend, alarm, data, end)
                except Exception:
                    LOGGER.exception("alarm %s: evaluation failed", alarm.name)
                self._evaluated[alarm.alarm_arn] = end
            for alarm in [alarm for alarm in backend.alarms.values() if alarm.rule is not None]:
                try:
                    self._evaluate_rule(backend, alarm)
                except Exception:
                    LOGGER.exception("alarm %s: evaluation failed", alarm.name)
        return []

    def _due(self, alarm: Any) -> float | None:
        """End of the newest complete period when it has not been evaluated yet."""
        interval = 10 if period_of(alarm) < 60 else 60
        end = math.floor((self._clock() - SETTLE) / interval) * interval
        return end if end > self._evaluated.get(alarm.alarm_arn, 0) else None

    def _evaluate(self, backend: Any, alarm: Any, data: Sequence[Any], end: float) -> None:
        points = collect(alarm, data, end)
        verdict = judge(alarm, points)
        changed = False
        if verdict.state is not None and verdict.state != alarm.state_value:
            values = [point.value for point in verdict.points]
            reason_data = {
                "version": "1.0",
                "queryDate": _iso(self._clock()),
                "startDate": _iso(verdict.points[0].start) if verdict.points else None,
                "statistic": alarm.statistic or alarm.extended_statistic,
                "period": period_of(alarm),
                "recentDatapoints": values,
                "threshold": alarm.threshold,
            }
            changed = change_state(backend, alarm, verdict.state, verdict.reason, json.dumps(reason_data))
        if not changed:
            # As long as an alarm stays in a state, its scaling policies are asked again at each evaluation.
            newest = next((point.value for point in reversed(points) if point.value is not None), None)
            run_actions(backend, alarm, again=True, metric_value=newest)

    def _evaluate_rule(self, backend: Any, alarm: Any) -> None:
        """A composite alarm follows the alarms that its rule names at once."""

        def state_of(name: str) -> str:
            return str(backend.alarms[name].state_value) if name in backend.alarms else INSUFFICIENT_DATA

        rule = parse_rule(alarm.rule)
        state = ALARM if rule.holds(state_of) else OK
        if state == alarm.state_value:
            return
        named = [backend.alarms[name] for name in sorted(rule.alarms) if name in backend.alarms]
        newest = max(named, key=lambda other: other.state_updated_timestamp, default=None)
        reason = f"AlarmRule was evaluated to {state}"
        if newest is not None:
            changed = newest.state_transitioned_timestamp.strftime("%A %d %B, %Y %H:%M:%S")
            reason = f"{newest.alarm_arn} transitioned to {newest.state_value} at {changed} UTC"
        data = [
            {"arn": other.alarm_arn, "state": {"value": other.state_value, "timestamp": other.state_updated_timestamp}}
            for other in named
        ]
        change_state(backend, alarm, state, reason, json.dumps({"triggeringAlarms": data}, default=str))


def period_of(alarm: Any) -> int:
    """Seconds of an alarm's period."""
    if alarm.metric_data_queries:
        return metric_math.period_of(alarm.metric_data_queries)
    return int(alarm.period or 60)


def collect(alarm: Any, data: Sequence[Any], end: float) -> list[Point]:
    """What the alarm looks at, over the newest periods before `end`, oldest first."""
    period = period_of(alarm)
    count = alarm.evaluation_periods + EXTRA_PERIODS
    start = end - count * period
    if alarm.metric_data_queries:
        measured = {}
        for query in alarm.metric_data_queries:
            if query.metric_stat is not None:
                metric, stat = query.metric_stat.metric, query.metric_stat
                found = periods_of(data, metric, stat.unit, start, period, count)
                measured[query.id] = [aggregate(datums, stat.stat) for datums in found]
        values = metric_math.evaluate_queries(alarm.metric_data_queries, measured, count)
    else:
        found = periods_of(data, alarm, alarm.unit, start, period, count)
        values = [aggregate(datums, alarm.statistic or alarm.extended_statistic) for datums in found]
    return [Point(start + index * period, value) for index, value in enumerate(values)]


def periods_of(
    data: Sequence[Any], metric: Any, unit: str | None, start: float, period: int, count: int
) -> list[list[Any]]:
    """The samples of a metric in each of `count` periods from `start` on."""
    wanted = {(dimension.name, dimension.value) for dimension in metric.dimensions}
    periods: list[list[Any]] = [[] for _ in range(count)]
    end = start + count * period
    for datum in data:
        if datum.name != metric.metric_name or datum.namespace != metric.namespace or (unit and datum.unit != unit):
            continue
        at = epoch(datum.timestamp)
        if start <= at < end and {(d.name, d.value) for d in datum.dimensions} == wanted:
            periods[int((at - start) // period)].append(datum)
    return periods


def judge(alarm: Any, points: Sequence[Point]) -> Verdict:
    """The state that follows from the newest periods.

    M (datapoints to alarm) of the N (evaluation periods) newest datapoints must be beyond the threshold. When some of
    the newest periods have no data, older ones of the evaluation range stand in; what is missing even then counts as
    the alarm says: breaching, notBreaching, ignore (stay) or missing.
    Source: AWS's tables under "Configuring how CloudWatch alarms treat missing data".
    """
    compare, words = _COMPARISONS[alarm.comparison_operator]
    n = alarm.evaluation_periods
    m = alarm.datapoints_to_alarm or n
    treatment = alarm.treat_missing_data or "missing"
    real = tuple(point for point in points if point.value is not None)[-n:]
    breaching = [point for point in real if point.value is not None and compare(point.value, alarm.threshold)]
    clear = [point for point in real if point not in breaching]
    missing = n - len(real)
    if not real and treatment == "missing":
        text = "1 datapoint was" if n == 1 else f"{n} datapoints were"
        return Verdict(INSUFFICIENT_DATA, f"Insufficient Data: {text} unknown.")
    filled_breaching = missing if treatment == "breaching" else 0
    filled_clear = missing if treatment == "notBreaching" else 0
    if len(breaching) + filled_breaching >= m:
        return Verdict(ALARM, _reason(alarm, real, breaching, filled_breaching, words, ALARM, m), real)
    if len(clear) + filled_clear > n - m or (real and not breaching):
        return Verdict(OK, _reason(alarm, real, clear, filled_clear, words, OK, n - m + 1), real)
    if treatment == "missing" and breaching and not clear:
        oldest = points.index(breaching[0])
        if len(points) - oldest >= m:  # nothing since then says that it got better
            return Verdict(ALARM, _reason(alarm, real, breaching, 0, words, ALARM, m), real)
    return Verdict(None)


def _reason(
    alarm: Any, real: Sequence[Point], shown: Sequence[Point], filled: int, words: str, state: str, minimum: int
) -> str:
    negation = "" if state == ALARM else "not "
    if not shown:
        treated = "Breaching" if state == ALARM else "NonBreaching"
        periods = "1 period" if alarm.evaluation_periods == 1 else f"{alarm.evaluation_periods} periods"
        points = "1 missing datapoint was" if filled == 1 else f"{filled} missing datapoints were"
        return f"Threshold Crossed: no datapoints were received for {periods} and {points} treated as [{treated}]."
    values = ", ".join(f"{point.value} ({_short(point.start)})" for point in reversed(shown))
    verb = "was" if len(shown) == 1 else "were"
    origin = alarm.state_value if alarm.state_value != state else (OK if state == ALARM else ALARM)
    plural = "datapoint" if minimum == 1 else "datapoints"
    return (
        f"Threshold Crossed: {len(shown)} out of the last {max(len(real), len(shown))} datapoints [{values}] {verb} "
        f"{negation}{words} the threshold ({alarm.threshold}) (minimum {minimum} {plural} for {origin} -> {state} "
        "transition)."
    )


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _short(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d/%m/%y %H:%M:%S")
