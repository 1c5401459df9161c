"""CloudWatch's extended statistics over the API: GetMetricStatistics, GetMetricData, alarms; and no others."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

Client = Callable[[str], Any]
METRIC = {"Namespace": "N", "MetricName": "M"}
ALARM = {
    **METRIC,
    "AlarmName": "alarm",
    "Period": 60,
    "EvaluationPeriods": 1,
    "Threshold": 1,
    "ComparisonOperator": "GreaterThanThreshold",
}


@pytest.fixture(scope="module")
def period(client: Client) -> dict[str, Any]:
    """A period with nine times 1 and a 100 in it."""
    start = datetime.now(UTC).replace(second=0, microsecond=0) - timedelta(minutes=5)
    datum = {"MetricName": "M", "Timestamp": start, "Values": [1, 100], "Counts": [9, 1]}
    client("cloudwatch").put_metric_data(Namespace="N", MetricData=[datum])
    return {"StartTime": start, "EndTime": start + timedelta(minutes=1)}


def query(statistic: str, id_: str = "q") -> dict[str, Any]:
    return {"Id": id_, "MetricStat": {"Metric": METRIC, "Period": 60, "Stat": statistic}}


def refused(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as error:
        call(**request)
    answer = error.value.response["Error"]
    return answer["Code"], answer["Message"]


@pytest.mark.essential
def test_statistics_of_a_period(client: Client, period: dict[str, Any]) -> None:
    cloudwatch = client("cloudwatch")
    expected = {"p90": 1.0, "p99.9": 100.0, "tm90": 1.0, "IQM": 1.0, "TC(1:)": 1.0, "PR(:1)": 90.0, "WM(:90%)": 1.0}
    (point,) = cloudwatch.get_metric_statistics(**METRIC, **period, Period=60, ExtendedStatistics=list(expected))[
        "Datapoints"
    ]
    assert point["ExtendedStatistics"] == expected
    queries = [query(statistic, f"q{number}") for number, statistic in enumerate(expected)]
    results = cloudwatch.get_metric_data(MetricDataQueries=queries, **period)["MetricDataResults"]
    assert [result["Values"] for result in results] == [[value] for value in expected.values()]
    assert [result["Label"] for result in results] == [f"M {statistic}" for statistic in expected]
    (result,) = cloudwatch.get_metric_data(MetricDataQueries=[query("Sum")], **period)["MetricDataResults"]
    assert result["Label"] == "M"


@pytest.mark.essential
def test_what_is_no_statistic_is_refused(client: Client, period: dict[str, Any]) -> None:
    cloudwatch = client("cloudwatch")
    statistics = {**METRIC, **period, "Period": 60}
    assert refused(cloudwatch.get_metric_data, MetricDataQueries=[query("Sum", "a"), query("Min", "b")], **period) == (
        "ValidationError",
        "The value Min for parameter MetricDataQueries.member.2.MetricStat.Stat is not a valid statistic.",
    )
    assert refused(cloudwatch.get_metric_statistics, **statistics, ExtendedStatistics=["p101"]) == (
        "InvalidParameterValue",
        "The value p101 for parameter ExtendedStatistics.member.1 is not supported.",
    )
    both = {"Statistics": ["Sum"], "ExtendedStatistics": ["p90"]}
    assert refused(cloudwatch.get_metric_statistics, **statistics, **both)[0] == "InvalidParameterCombination"
    assert refused(cloudwatch.put_metric_alarm, **ALARM, ExtendedStatistic="TM(9%:1%)") == (
        "InvalidParameterValue",
        "The value TM(9%:1%) for parameter ExtendedStatistic is not supported.",
    )
    of_metrics = {name: value for name, value in ALARM.items() if name not in ("Namespace", "MetricName", "Period")}
    assert refused(cloudwatch.put_metric_alarm, **of_metrics, Metrics=[query("Nonsense")]) == (
        "ValidationError",
        "The value Nonsense for parameter Metrics.member.1.MetricStat.Stat is not a valid statistic.",
    )
    assert refused(cloudwatch.put_metric_alarm, **of_metrics, Metrics=[query("Sum")], Statistic="Sum") == (
        "ValidationError",
        "Statistic should not be set if list of Metrics is set.",
    )
    for given in ({}, {"Statistic": "Sum", "ExtendedStatistic": "p90"}):
        assert refused(cloudwatch.put_metric_alarm, **ALARM, **given)[0] == "ValidationError"
    assert cloudwatch.describe_alarms()["MetricAlarms"] == []
    cloudwatch.put_metric_alarm(**ALARM, ExtendedStatistic="tm90")
    assert cloudwatch.describe_alarms()["MetricAlarms"][0]["ExtendedStatistic"] == "tm90"


def test_a_query_that_asks_for_nothing_is_refused(client: Client, period: dict[str, Any]) -> None:
    get = client("cloudwatch").get_metric_data
    assert refused(get, MetricDataQueries=[query("Sum"), {"Id": "q1"}], **period) == (
        "ValidationError",
        "The parameter MetricDataQueries.member.2.MetricStat is required.\n",
    )
    code, message = refused(get, MetricDataQueries=[{"Id": "q", "Expression": "SELECT SUM(M) FROM N"}], **period)
    assert (code, "Metrics Insights" in message) == ("InvalidParameterValue", True)
    code, message = refused(client("cloudwatch").get_metric_statistics, **METRIC, **period, Period=60)
    assert (code, message) == (
        "InvalidParameterCombination",
        "Must specify either Statistics or ExtendedStatistics",
    )


def test_a_time_range_is_of_whole_seconds(client: Client, period: dict[str, Any]) -> None:
    cloudwatch, start = client("cloudwatch"), period["StartTime"]
    late, later = start.replace(microsecond=20_000), start.replace(microsecond=987_000)
    (result,) = cloudwatch.get_metric_data(
        MetricDataQueries=[query("SampleCount")], StartTime=later, EndTime=start + timedelta(seconds=1)
    )["MetricDataResults"]
    assert result["Values"] == [10]
    for times, message in (
        ({"StartTime": late, "EndTime": later}, "The parameter StartTime must not equal parameter EndTime."),
        ({"StartTime": period["EndTime"], "EndTime": start}, "The parameter EndTime must be greater than StartTime."),
    ):
        assert refused(cloudwatch.get_metric_data, MetricDataQueries=[query("Sum")], **times) == (
            "ValidationError",
            message,
        )
        assert refused(cloudwatch.get_metric_statistics, **METRIC, **times, Period=60, Statistics=["Sum"]) == (
            "InvalidParameterValue",
            "The parameter StartTime must be less than the parameter EndTime.",
        )
