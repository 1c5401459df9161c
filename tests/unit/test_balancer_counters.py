"""What CloudWatch gets from HAProxy's counters, also when a reload has begun them anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from localcloud.metrics import MeasuredMetrics
from localcloud.reconcilers import load_balancer_metrics
from localcloud.reconcilers.load_balancer_metrics import Balancer, Row, TargetCounts, report

PLACE = ("123456789012", "us-east-1")
WHOLE, PART = ("LoadBalancer", "app/web/1"), ("TargetGroup", "targetgroup/fleet/2")
Rows = dict[tuple[str, str], Row]


def row(**counters: int) -> Row:
    return {name: str(value) for name, value in counters.items()}


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> MeasuredMetrics:
    metrics = MeasuredMetrics()
    monkeypatch.setattr(load_balancer_metrics, "MEASURED", metrics)
    return metrics


def values(metrics: MeasuredMetrics) -> dict[tuple[str, int], float]:
    """(name, number of dimensions) -> sum."""
    found: dict[tuple[str, int], float] = {}
    for datum in metrics.data(PLACE):
        key = (datum.name, len(datum.dimensions))
        found[key] = found.get(key, 0) + datum.value  # type: ignore[attr-defined]
    return found


def rows(requests: int, good: int, bad: int, refused: int) -> Rows:
    """The counters of a listener and one target, which answered `good` and `bad` requests."""
    return {
        ("listener-80", "FRONTEND"): row(conn_tot=requests, scur=2, hrsp_2xx=good, hrsp_4xx=refused, hrsp_5xx=bad),
        ("fleet.2", "BACKEND"): row(stot=good + bad),
        ("fleet.2", "i-1_10.0.0.4:80"): row(hrsp_2xx=good, hrsp_5xx=bad, rtime=20),
        ("other", "i-9"): row(hrsp_2xx=1000),
    }


def balancer(healthy: int = 1, unhealthy: int = 0) -> Balancer:
    return Balancer(PLACE, WHOLE, Path(), {"fleet.2": TargetCounts(PART, healthy, unhealthy)})


def test_counts_are_those_since_the_last_reading(measured: MeasuredMetrics) -> None:
    report(balancer(healthy=2), rows(10, 8, 2, 0), rows(40, 28, 6, 6))
    found = values(measured)
    assert found["RequestCount", 2] == found["RequestCount", 1] == 24
    assert found["RequestCountPerTarget", 2] == 12
    assert found["HTTPCode_Target_2XX_Count", 2] == 20
    assert found["HTTPCode_Target_5XX_Count", 1] == 4
    assert found["HTTPCode_ELB_4XX_Count", 1] == 6
    assert ("HTTPCode_ELB_5XX_Count", 1) not in found  # the targets' own
    assert found["TargetResponseTime", 2] == pytest.approx(0.02)
    assert (found["HealthyHostCount", 2], found["ActiveConnectionCount", 1]) == (2, 2)


def test_counters_that_began_anew_count_from_nothing(measured: MeasuredMetrics) -> None:
    report(balancer(), rows(100, 100, 0, 0), rows(3, 3, 0, 0))
    assert values(measured)["RequestCount", 1] == 3


def test_without_requests_there_are_zeros_and_no_answers(measured: MeasuredMetrics) -> None:
    report(balancer(), rows(5, 5, 0, 0), rows(5, 5, 0, 0))
    found = values(measured)
    assert found["RequestCount", 1] == found["RequestCountPerTarget", 2] == 0
    assert not [name for name, _count in found if name.startswith("HTTPCode") or name == "TargetResponseTime"]


def test_without_targets_requests_are_not_reported(measured: MeasuredMetrics) -> None:
    report(balancer(healthy=0), rows(5, 0, 0, 5), rows(9, 0, 0, 9))
    found = values(measured)
    assert ("RequestCount", 1) not in found
    assert found["HTTPCode_ELB_4XX_Count", 1] == 4
