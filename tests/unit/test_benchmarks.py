"""What wrk prints is read right, and summed up."""

import pytest

from benchmarks import measure, overload, wrk
from loadtest.measurements import Answer

GOOD = """Running 4s test @ http://172.18.0.3:8001/date_time
  1 threads and 100 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency    87.02ms   12.31ms 310.20ms   91.70%
    Req/Sec     1.16k   102.47     1.40k    73.00%
  Latency Distribution
     50%  850.00us
     75%   89.41ms
     90%   96.20ms
     99%    1.21s
  4631 requests in 4.01s, 1.72MB read
Requests/sec:   1155.32
Transfer/sec:    440.11KB
"""


def test_figures_are_read_in_milliseconds() -> None:
    assert wrk.read(GOOD, "url") == wrk.Run(4631, 1155.32, 87.02, 1210.0)


@pytest.mark.parametrize(
    "line",
    [
        "  Non-2xx or 3xx responses: 4631",
        "  Socket errors: connect 0, read 3, write 0, timeout 12",
    ],
)
def test_bad_answers_are_no_measurement(line: str) -> None:
    with pytest.raises(wrk.WrkError, match=line.strip()):
        wrk.read(GOOD.replace("Requests/sec:", f"{line}\nRequests/sec:"), "url")


def test_no_answers_are_no_measurement() -> None:
    with pytest.raises(wrk.WrkError, match="no answers"):
        wrk.read(GOOD.replace("4631 requests in", "0 requests in"), "url")
    with pytest.raises(wrk.WrkError, match="no answers"):
        wrk.read("unable to connect", "url")


def sample(contender: str, cpu_us: float) -> measure.Sample:
    return measure.Sample(contender, "date_time", cpu_us, wrk.Run(10, 5.0, 2.0, 3.0))


def test_medians_and_gain() -> None:
    results = measure.summarize(iter([*(sample("older", us) for us in (900, 1200, 99999)), sample("ours", 300)]))
    assert results == {
        "date_time": {
            "older": {"cpu_us": 1200, "rate": 5.0, "mean_ms": 2.0, "p99_ms": 3.0},
            "ours": {"cpu_us": 300, "rate": 5.0, "mean_ms": 2.0, "p99_ms": 3.0},
        }
    }
    (line,) = (line for line in measure.table(results).splitlines() if line.startswith("  ours"))
    assert line.split() == ["ours", "300", "4.0", "5", "2.00", "3.00"]


def test_who_is_served_too_late_under_overload_is_not_served() -> None:
    served = [Answer(0.1, latency, "200") for latency in (5, 1999, 2001)]
    refused = [Answer(0.1, float(latency), "503") for latency in range(100)]
    found = overload.sum_up([*served, *refused, Answer(0.2, 9, "502")], 1.5, 4, capacity=2, seconds=2)
    assert found.goodput == 0.5
    assert found.refused_ms == 98
    assert (
        str(found)
        == "  1.5 ms, with all around it 250.0       2/s  4x   50.0 %  (3 200, 1 502, 100 503, refused within 98 ms)"
    )
    assert "refused" not in str(overload.sum_up(served, 1.5, 2, capacity=2, seconds=2))
