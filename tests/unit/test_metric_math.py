"""Metric math and the rules of composite alarms."""

from __future__ import annotations

import pytest

from localcloud.alarm_rules import RuleError, parse_rule
from localcloud.metric_math import MetricMathError, check_queries, evaluate, evaluate_queries, parse, queries_of

SERIES: dict[str, list[float | None]] = {"m1": [1.0, None, 4.0], "m2": [2.0, 3.0, 0.0]}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("m1 + m2 * 10", [21.0, None, 4.0]),
        ("m1 / m2", [0.5, None, None]),
        ("FILL(m1, 0) + m2", [3.0, 3.0, 4.0]),
        ("FILL(m1, REPEAT)", [1.0, 1.0, 4.0]),
        ("SUM([m1, m2])", [3.0, 3.0, 4.0]),
        ("AVG(METRICS())", [1.5, 3.0, 2.0]),
        ("MAX(METRICS('m1'))", [1.0, None, 4.0]),
        ("m2 - MIN(m2)", [2.0, 3.0, 0.0]),
        ("IF(m2 > 0, 100 * m1 / m2, 0)", [50.0, None, 0.0]),
        ("IF(m2 > 1 && m2 < 3, 1, 2)", [1.0, 2.0, 2.0]),
        ("CEIL(ABS(-m1 / 3))", [1.0, None, 2.0]),
        ("m2 >= 2 || m2 == 0", [1.0, 1.0, 1.0]),
        ("7", [7.0, 7.0, 7.0]),
    ],
)
def test_expressions(expression: str, expected: list[float | None]) -> None:
    assert evaluate(parse(expression), SERIES, 3) == expected


@pytest.mark.parametrize("expression", ["m1 +", "SEARCH('x', 'Sum')", "ANOMALY_DETECTION_BAND(m1)", "m3", "[m1, m2]"])
def test_expressions_that_are_refused(expression: str) -> None:
    with pytest.raises(MetricMathError):
        evaluate(parse(expression), SERIES, 3)


def test_expressions_build_upon_each_other_and_one_is_returned() -> None:
    stat = {"Metric": {"MetricName": "M", "Namespace": "N"}, "Period": 60, "Stat": "Sum"}
    metrics = [
        {"Id": "rate", "Expression": "total / 60", "ReturnData": True},
        {"Id": "total", "Expression": "SUM(METRICS())", "ReturnData": False},
        {"Id": "m1", "MetricStat": stat, "ReturnData": False},
        {"Id": "m2", "MetricStat": stat, "ReturnData": False},
    ]
    queries = queries_of(metrics, 60)
    check_queries(queries)
    assert evaluate_queries(queries, {"m1": [60.0, 120.0], "m2": [0.0, None]}, 2) == [1.0, 2.0]
    for wrong in (metrics[1:], [*metrics, {"Id": "e", "Expression": "m9"}], [{"Id": "Big", "Expression": "1"}]):
        with pytest.raises(MetricMathError):
            check_queries(queries_of(wrong, 60))


STATES = {"a": "ALARM", "b": "OK", "c d": "INSUFFICIENT_DATA"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("ALARM(a)", True),
        ('ALARM("a") AND OK("b")', True),
        ("ALARM(a) AND NOT OK(b)", False),
        ("ALARM(b) OR (ALARM(a) AND INSUFFICIENT_DATA('c d'))", True),
        ("NOT (ALARM(a) OR FALSE)", False),
        ("ALARM(b) AND ALARM(b) OR TRUE", True),
        ("ALARM(arn:aws:cloudwatch:us-east-1:123456789012:alarm:a)", True),
    ],
)
def test_rules_of_composite_alarms(rule: str, expected: bool) -> None:
    assert parse_rule(rule).holds(STATES.__getitem__) is expected


@pytest.mark.parametrize("rule", ["", "ALARM(a", "ALARM(a) ALARM(b)", "a", "ALARM(a) AND", "(TRUE"])
def test_rules_that_are_refused(rule: str) -> None:
    with pytest.raises(RuleError):
        parse_rule(rule)
