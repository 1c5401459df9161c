"""CloudWatch's statistics: what AWS's definitions say of each, computed from the values."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest
from moto.cloudwatch.models import MetricAggregatedDatum, MetricDatum

from localcloud.metric_statistics import aggregate, is_statistic
from localcloud.metrics import KEPT_SAMPLES, SAMPLE_INTERVAL, Series

NINE_AND_ONE = [1.0] * 9 + [100.0]
TEN = [float(value) for value in range(1, 11)]
THOUSAND = [float(value) for value in range(1, 1001)]


def samples(values: Sequence[float]) -> list[MetricDatum]:
    return [MetricDatum("N", "M", value, [], datetime.now(UTC)) for value in values]


@pytest.mark.parametrize(
    ("statistic", "values", "expected"),
    [
        ("p50", TEN, 5.0),
        ("p90", TEN, 9.0),
        ("p90.1", TEN, 10.0),
        ("p0", TEN, 1.0),
        ("p100", TEN, 10.0),
        ("p99.9", THOUSAND, 999.0),
        ("p99.99", THOUSAND, 1000.0),
        ("tm90", NINE_AND_ONE, 1.0),
        ("tm100", NINE_AND_ONE, 10.9),
        ("tm90", [1.0, 2.0, 3.0], 2.0),  # a tenth of three values is none of them
        ("TM(10%:90%)", TEN, 5.5),
        ("TM(20%:90%)", TEN, 6.0),  # 3 … 9
        ("TM(:90%)", NINE_AND_ONE, 1.0),
        ("TM(90%:)", NINE_AND_ONE, 100.0),
        ("TM(2:4)", TEN, 3.5),  # above 2, up to 4
        ("TM(:2)", TEN, 1.5),
        ("TM(8.5:)", TEN, 9.5),
        ("TM(200:300)", TEN, None),
        ("IQM", TEN, 5.5),  # without two at either end
        ("IQM", [1.0, 2.0, 3.0, 1000.0], 2.5),
        ("tc90", NINE_AND_ONE, 9.0),
        ("TC(0.5:3)", TEN, 3.0),
        ("TC(200:300)", TEN, 0.0),
        ("ts90", NINE_AND_ONE, 9.0),
        ("TS(80%:)", TEN, 19.0),  # "not including any data points in the lowest 80% of the range of values"
        ("TS(200:)", TEN, 0.0),
        ("wm90", NINE_AND_ONE, 1.0),
        ("WM(10%:90%)", TEN, 5.5),
        ("WM(20%:90%)", TEN, 5.7),  # 3, 3, 3 … 9, 9
        ("WM(2:4)", TEN, 3.5),  # 2, 2, 3, 4, 4 …
        ("PR(:3)", TEN, 30.0),
        ("PR(3:5)", TEN, 20.0),
        ("PR(9:)", TEN, 10.0),
        ("p50", [-1.0, 1.0], None),  # "not available … when any of the metric values are negative numbers"
        ("tm50", [-1.0, 1.0], -1.0),
    ],
)
def test_extended_statistics(statistic: str, values: list[float], expected: float | None) -> None:
    assert is_statistic(statistic)
    assert aggregate(samples(values), statistic) == (expected if expected is None else pytest.approx(expected))


@pytest.mark.parametrize(
    "text",
    [
        "Nonsense", "Median", "average", "p", "p101", "p-1", "P90", "p90.12345678901", "tm101", "TM90", "tm(10%:90%)",
        "TM(:)", "TM(%:%)", "TM(90%:10%)", "TM(10%:10%)", "TM(10%:20)", "TM(10:20%)", "TM(%:20)", "TM(10%)", "IQM(1:2)",
        "PR(10%:20%)", "PR(:)", "PR(5:1)", "iqm", "TC(-5%:50%)", "WM(0%:101%)", "p90 ", "",
    ],
)  # fmt: skip
def test_what_is_no_statistic(text: str) -> None:
    assert not is_statistic(text)


def test_sets_of_values() -> None:
    """Their values are known when there is one, or all are the same; else CloudWatch has no percentiles of them."""
    same = MetricAggregatedDatum("N", "M", 2, 2, 9, 18, [], None)
    assert aggregate([same, *samples([100])], "tm90") == 2.0
    assert aggregate([same, *samples([100])], "p90") == 2.0
    unknown = MetricAggregatedDatum("N", "M", 1, 4, 2, 5, [], None)
    assert aggregate([unknown, *samples([3])], "p50") is None
    assert aggregate([unknown, *samples([3])], "Average") == pytest.approx(8 / 3)


def test_measured_values_are_known_when_they_are_kept_by_the_minute() -> None:
    series = Series("N", "M", (), "Percent")
    start = datetime(2026, 1, 1)
    count = 2 * KEPT_SAMPLES
    for index in range(count):
        series.add(float(index % 10), start + timedelta(seconds=SAMPLE_INTERVAL * index))
    data = list(series.data())
    assert any(isinstance(datum, MetricAggregatedDatum) for datum in data)
    assert aggregate(data, "SampleCount") == count
    assert aggregate(data, "tm90") == pytest.approx(4.0)
    assert aggregate(data, "p90") == 8.0
