"""CloudWatch's statistics, computed from the values themselves: Average and the like, percentiles, trimmed means, ….

A percentage of a few values may be no whole number of them. Here no more are left out at either end than it says, and
a percentile is one of the values: the lowest at or below which so many percent of them are.
Source: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Statistics-definitions.html
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from moto.cloudwatch.models import MetricAggregatedDatum, MetricDatum

from localcloud.metrics import Minute

SIMPLE = ("SampleCount", "Average", "Sum", "Minimum", "Maximum")
ALL = Fraction(100)  # percent

_NUMBER = r"\d+(?:\.\d{1,10})?"
_ONE = re.compile(rf"(?P<kind>p|tm|tc|ts|wm)(?P<high>{_NUMBER})")
_RANGE = re.compile(rf"(?P<kind>TM|TC|TS|WM|PR)\((?P<low>-?{_NUMBER})?(?P<of>%?):(?P<high>-?{_NUMBER})?(?P<to>%?)\)")

# Values, each with how often it occurs, lowest first.
Values = list[tuple[float, float]]


class StatisticError(ValueError):
    """A text that names no statistic."""


@dataclass(frozen=True)
class Extended:
    """A statistic of the values between two bounds: in percent of their number, or values (None: no bound).

    `kind` is p, tm, tc, ts, wm or pr.
    """

    kind: str
    low: Fraction | None
    high: Fraction | None
    percent: bool


def is_statistic(text: str) -> bool:
    """Whether it is one of CloudWatch's, simple or extended."""
    return text in SIMPLE or is_extended(text)


def is_extended(text: str) -> bool:
    try:
        parse(text)
    except StatisticError:
        return False
    return True


def parse(text: str) -> Extended:
    """Read an extended statistic, such as p99.9, tm90, TC(0.005:0.030), PR(:300) or IQM. Raises StatisticError."""
    if text == "IQM":
        return Extended("tm", Fraction(25), Fraction(75), percent=True)
    if match := _ONE.fullmatch(text):
        statistic = Extended(match["kind"], Fraction(0), Fraction(match["high"]), percent=True)
    elif match := _RANGE.fullmatch(text):
        low, high = (None if match[name] is None else Fraction(match[name]) for name in ("low", "high"))
        # Both bounds are of one kind, and a sign of it is where a number is.
        signs = {match[sign] for sign, bound in (("of", low), ("to", high)) if bound is not None}
        absent = {match[sign] for sign, bound in (("of", low), ("to", high)) if bound is None}
        if len(signs) != 1 or "%" in absent:
            raise StatisticError(text)
        percent = signs == {"%"}
        if percent:
            low, high = Fraction(0) if low is None else low, ALL if high is None else high
        statistic = Extended(match["kind"].lower(), low, high, percent)
    else:
        raise StatisticError(text)
    if not _is_range(statistic):
        raise StatisticError(text)
    return statistic


def _is_range(statistic: Extended) -> bool:
    low, high = statistic.low, statistic.high
    if low is None or high is None:
        return True
    if statistic.percent and (low < 0 or high > ALL or statistic.kind == "pr"):
        return False
    return low < high or (statistic.kind == "p" and low == high)


def aggregate(datums: Sequence[Any], statistic: str) -> float | None:
    """A statistic over samples. None: there is none, or the samples don't say. Raises StatisticError."""
    if not datums:
        return None
    if statistic in SIMPLE:
        return _simple(datums, statistic)
    extended = parse(statistic)
    values = _values(datums)
    # "Percentile statistics are not available for metrics when any of the metric values are negative numbers."
    if not values or (extended.kind == "p" and values[0][0] < 0):
        return None
    return _KINDS[extended.kind](values, extended)


def _simple(datums: Sequence[Any], statistic: str) -> float | None:
    single = [datum.value for datum in datums if isinstance(datum, MetricDatum)]
    sets = [datum for datum in datums if isinstance(datum, MetricAggregatedDatum)]
    count = len(single) + sum(datum.sample_count for datum in sets)
    total = math.fsum(single) + math.fsum(datum.sum for datum in sets)
    match statistic:
        case "SampleCount":
            return float(count)
        case "Sum":
            return total
        case "Minimum":
            return float(min([*single, *(datum.min for datum in sets)]))
        case "Maximum":
            return float(max([*single, *(datum.max for datum in sets)]))
    return total / count if count else None


def _values(datums: Sequence[Any]) -> Values:
    """All values; none when a set of them was given whose values nobody knows: CloudWatch has no data then."""
    values: Values = []
    for datum in datums:
        if isinstance(datum, MetricDatum):
            values.append((datum.value, 1))
        elif isinstance(datum, Minute):
            values += [(value, 1) for value in datum.values]
        elif datum.min == datum.max and datum.sum == datum.min * datum.sample_count:
            values.append((datum.min, datum.sample_count))
        else:
            return []
    return sorted(values)


def _count(values: Values) -> float:
    return sum(count for _, count in values)


def _sum(values: Values) -> float:
    return math.fsum(value * count for value, count in values)


def _ranks(values: Values, statistic: Extended) -> tuple[int, int]:
    """Between which ranks the values are that a range in percent keeps: behind the first, up to the second."""
    share = Fraction(_count(values)) / ALL
    return math.floor((statistic.low or 0) * share), math.ceil((statistic.high or 0) * share)


def _kept(values: Values, statistic: Extended) -> Values:
    """The values between the bounds: of a range of values "exclusive on the lower bound and inclusive on the upper"."""
    kept: Values = []
    if not statistic.percent:
        low, high = _bounds(statistic)
        return [(value, count) for value, count in values if low < value <= high]
    first, last = _ranks(values, statistic)
    rank = 0.0
    for value, count in values:
        inside = min(rank + count, last) - max(rank, first)
        if inside > 0:
            kept.append((value, inside))
        rank += count
    return kept


def _bounds(statistic: Extended) -> tuple[float, float]:
    low = -math.inf if statistic.low is None else float(statistic.low)
    high = math.inf if statistic.high is None else float(statistic.high)
    return low, high


def _percentile(values: Values, statistic: Extended) -> float:
    rank = max(1, _ranks(values, statistic)[1])
    reached = 0.0
    for value, count in values:
        reached += count
        if reached >= rank:
            return float(value)
    return float(values[-1][0])


def _trimmed_mean(values: Values, statistic: Extended) -> float | None:
    kept = _kept(values, statistic)
    return _sum(kept) / _count(kept) if kept else None


def _trimmed_count(values: Values, statistic: Extended) -> float:
    return float(_count(_kept(values, statistic)))


def _trimmed_sum(values: Values, statistic: Extended) -> float:
    return _sum(_kept(values, statistic))


def _winsorized_mean(values: Values, statistic: Extended) -> float:
    """What is outside of the bounds counts as the value at their edge."""
    if statistic.percent:
        kept = _kept(values, statistic)
        low, high = kept[0][0], kept[-1][0]
    else:
        low, high = _bounds(statistic)
    return _sum([(min(high, max(low, value)), count) for value, count in values]) / _count(values)


def _percentile_rank(values: Values, statistic: Extended) -> float:
    return 100 * _count(_kept(values, statistic)) / _count(values)


_KINDS: dict[str, Callable[[Values, Extended], float | None]] = {
    "p": _percentile,
    "tm": _trimmed_mean,
    "tc": _trimmed_count,
    "ts": _trimmed_sum,
    "wm": _winsorized_mean,
    "pr": _percentile_rank,
}
