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

from moto.cloudwatch.models import MetricAggregatedDatum, MetricDatum

from localcloud import backends
from localcloud.controller import Action, Observed
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
                if end is None:
                    continue
                data = backend.get_all_metrics() if data is None else data
                try:
                    self._evaluate(backend, alarm, data, end)
                except Exception:
                    LOGGER.exception("alarm %s: evaluation failed", alarm.name)
                self._evaluated[alarm.alarm_arn] = end
        return []

    def _due(self, alarm: Any) -> float | None:
        """End of the newest complete period when it has not been evaluated yet. Metric maths and rules are not."""
        if not alarm.metric_name or not alarm.period or alarm.rule is not None:
            return None
        interval = 10 if alarm.period < 60 else 60
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
                "period": alarm.period,
                "recentDatapoints": values,
                "threshold": alarm.threshold,
            }
            changed = change_state(backend, alarm, verdict.state, verdict.reason, json.dumps(reason_data))
        if not changed:
            # As long as an alarm stays in a state, its scaling policies are asked again at each evaluation.
            newest = next((point.value for point in reversed(points) if point.value is not None), None)
            run_actions(backend, alarm, again=True, metric_value=newest)


def collect(alarm: Any, data: Sequence[Any], end: float) -> list[Point]:
    """The alarm's metric over the newest periods before `end`, oldest first."""
    count = alarm.evaluation_periods + EXTRA_PERIODS
    start = end - count * alarm.period
    wanted = {(dimension.name, dimension.value) for dimension in alarm.dimensions}
    periods: list[list[Any]] = [[] for _ in range(count)]
    for datum in data:
        if datum.name != alarm.metric_name or datum.namespace != alarm.namespace:
            continue
        if alarm.unit and datum.unit != alarm.unit:
            continue
        at = _epoch(datum.timestamp)
        if start <= at < end and {(d.name, d.value) for d in datum.dimensions} == wanted:
            periods[int((at - start) // alarm.period)].append(datum)
    statistic = alarm.statistic or alarm.extended_statistic
    return [Point(start + index * alarm.period, aggregate(datums, statistic)) for index, datums in enumerate(periods)]


def aggregate(datums: Sequence[Any], statistic: str) -> float | None:
    """A statistic of CloudWatch over samples: Average, Sum, Minimum, Maximum, SampleCount or a percentile (`p95`)."""
    if not datums:
        return None
    single = [datum.value for datum in datums if isinstance(datum, MetricDatum)]
    sets = [datum for datum in datums if isinstance(datum, MetricAggregatedDatum)]
    count = len(single) + sum(datum.sample_count for datum in sets)
    total = math.fsum(single) + math.fsum(datum.sum for datum in sets)
    if statistic == "SampleCount":
        return float(count)
    if statistic == "Sum":
        return total
    if statistic == "Minimum":
        return float(min([*single, *(datum.min for datum in sets)]))
    if statistic == "Maximum":
        return float(max([*single, *(datum.max for datum in sets)]))
    if statistic and statistic[0] == "p":
        ordered = sorted([*single, *(datum.sum / datum.sample_count for datum in sets if datum.sample_count)])
        rank = math.ceil(float(statistic[1:]) / 100 * len(ordered))
        return float(ordered[max(0, rank - 1)])
    return total / count if count else None


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


def _epoch(timestamp: datetime) -> float:
    """Seconds since the epoch; moto keeps UTC without a time zone."""
    return (timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)).timestamp()


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000+0000")


def _short(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%d/%m/%y %H:%M:%S")
