"""Statistics, ab's output, the verdict: from answers to figures to an exit code."""

import random
import statistics

import patient  # noqa: F401
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest import apache_bench, measurements, verdict
from loadtest.measurements import Answer
from loadtest.scenario import Step

AB = """\
This is ApacheBench, Version 2.3 <$Revision: 1923142 $>

Concurrency Level:      20
Time taken for tests:   0.592 seconds
Complete requests:      5000
Failed requests:        7
   (Connect: 1, Receive: 2, Length: 0, Exceptions: 4)
Non-2xx responses:      13
Requests per second:    8440.40 [#/sec] (mean)
"""


@given(st.lists(st.floats(0, 1e6), min_size=1), st.floats(0.1, 100))
def test_a_percentile_is_the_smallest_value_that_so_many_do_not_exceed(values, percent):
    values.sort()
    found = measurements.percentile(values, percent)
    share = 100 * sum(value <= found for value in values) / len(values)
    assert found in values
    assert share >= percent - 1e-6
    smaller = [value for value in values if value < found]
    assert 100 * len(smaller) / len(values) < percent + 1e-6


def test_known_percentiles():
    thousand = [float(number) for number in range(1, 1001)]
    assert [measurements.percentile(thousand, percent) for percent in (50, 99, 99.9, 100)] == [500, 990, 999, 1000]
    assert measurements.percentile([], 50) is None


def test_a_part_counts_failures_and_leaves_them_out_of_the_mean():
    answers = [Answer(0, 10, "200"), Answer(1, 30, "204"), Answer(2, 1, "503"), Answer(3, 9000, "timeout")]
    figures = measurements.part("all", answers, 4).figures()
    assert figures["requests"] == 4
    assert figures["succeeded"] == 2
    assert figures["failures"] == {"503": 1, "timeout": 1}
    assert figures["success_percent"] == 50
    assert figures["mean_ms"] == 20
    assert figures["max_ms"] == 9000
    # The timeout came after the end.
    assert figures["rate"] == 0.75


@given(st.lists(st.tuples(st.floats(0, 100), st.floats(0.1, 5000), st.booleans()), min_size=1, max_size=200))
def test_the_timeline_loses_no_request(rows):
    answers = sorted((Answer(due, latency, "200" if ok else "500") for due, latency, ok in rows), key=lambda a: a.due)
    line = measurements.timeline(answers, 100)
    assert sum(row["requests"] for row in line) == len(rows)
    assert sum(row["answers_per_second"] for row in line) == pytest.approx(sum(ok for _, _, ok in rows))
    assert sum(row["failures_per_second"] for row in line) == pytest.approx(sum(not ok for _, _, ok in rows))
    assert max(row["max_ms"] for row in line if row["max_ms"]) == max(latency for _, latency, _ in rows)


def test_a_long_run_has_a_short_timeline():
    assert len(measurements.timeline([Answer(3599.5, 1, "200")], 3600)) <= measurements.MOST_BUCKETS


@given(st.lists(st.floats(0, 1e5), min_size=1))
def test_the_histogram_holds_every_value_once(values):
    bins = measurements.histogram(values)
    assert sum(row["count"] for row in bins) == len(values)
    assert bins[0]["count"] > 0
    assert bins[-1]["count"] > 0


def test_failures_that_belong_together_are_one_outage():
    def at(due):
        return Answer(due, 5, "502" if 10 <= due < 13 else "timeout" if due == 50 else "200")

    found = measurements.outages([at(number / 2) for number in range(200)])
    assert [(row["from"], row["to"], row["failed"], row["of"]) for row in found] == [(10, 12.5, 6, 6), (50, 50, 1, 1)]
    assert found[0]["failures"] == {"502": 6}


def test_the_generators_file_is_read_in_the_order_in_which_requests_were_due(tmp_path):
    file = tmp_path / "requests.csv"
    file.write_text(
        "number,path,due,sent,latency,status,bytes,error,expected\n"
        "1,/b,0.5,0.2,7.5,500,3,,no\n"
        "0,/a,0.0,0.1,600.0,200,3,,yes\n"
        "2,/a,1.0,0.1,10000.0,0,0,timeout,no\n"
        "3,/a,1.5,0.1,4.0,303,0,,yes\n"
        "4,/a,2.0,0.1,4.0,200,9,200 unexpected,no\n"
        "5,/a,2.5,0."
    )
    assert measurements.read_answers(file) == [
        Answer(0.0, 600.0, "200", "/a", 0.1),
        Answer(0.5, 7.5, "500", "/b", 0.2),
        Answer(1.0, 10000.0, "timeout", "/a", 0.1),
        Answer(1.5, 4.0, "", "/a", 0.1),
        Answer(2.0, 4.0, "200 unexpected", "/a", 0.1),
    ]


def test_the_output_of_ab_is_read():
    summary = apache_bench.read_summary(AB)
    assert (summary.complete, summary.duration) == (5000, 0.592)
    assert summary.failures == {"no connection": 1, "connection reset": 2, "connection closed": 4, "not 2xx": 13}


def test_an_ab_without_a_result_says_why():
    with pytest.raises(ValueError, match="Connection refused"):
        apache_bench.read_summary("Benchmarking x (be patient)\napr_socket_recv: Connection refused (111)\n")
    part = apache_bench.part("one", Step(100, 10), None, [], interrupted=False)
    assert (part.requests, part.failures) == (100, {"not sent": 100})


def test_what_ab_did_not_send_has_failed_unless_a_person_ended_it(tmp_path):
    file = tmp_path / "ab.tsv"
    file.write_text(
        "starttime\tseconds\tctime\tdtime\tttime\twait\n"
        "Sun Nov 22 19:23:11 2026\t1000\t0\t1\t2\t1\n"
        "Sun Nov 22 19:23:12 2026\t1001\t0\t1\t40\t1\n"
        "Sun Nov 22 19"
    )
    answers = apache_bench.read_requests(file, "/a", 999.5)
    assert answers == [Answer(0.5, 2, "", "/a"), Answer(1.5, 40, "", "/a")]
    summary = apache_bench.read_summary(AB)
    ended = apache_bench.part("one", Step(6000, 10), summary, answers, interrupted=True)
    failed = apache_bench.part("one", Step(6000, 10), summary, answers, interrupted=False)
    assert (ended.requests, ended.failed) == (5000, 20)
    assert (failed.requests, failed.failed) == (6000, 1020)
    assert failed.failures["not sent"] == 1000
    assert (ended.longest, ended.figures()["mean_ms"]) == (40, 21)


def judged(answers, limits, rate=None, kind="slo"):
    parts = [part.figures() for part in measurements.parts_by_path(answers, 10)]
    total = measurements.part("all", answers, 10).figures()
    return verdict.judge(parts, total, limits, kind, rate)


def test_the_worst_endpoint_decides():
    answers = [Answer(n / 10, 10 if n % 2 else 500, "200", "/fast" if n % 2 else "/slow") for n in range(100)]
    (line,) = judged(answers, {"mean_ms": 400})
    assert (line.met, line.figure, line.where) == (False, 500, "/slow")
    assert statistics.mean(answer.latency for answer in answers) < 400


@pytest.mark.parametrize(("failed", "met"), [(0, True), (1, True), (2, False)])
def test_four_nines_of_ten_thousand_requests_allow_one(failed, met):
    answers = [Answer(n / 1000, 10, "500" if n < failed else "200", "/") for n in range(10_000)]
    (line,) = judged(answers, {"success_percent": 99.99})
    assert line.met is met


def test_a_limit_is_below_not_at():
    assert not judged([Answer(0, 400, "200", "/")], {"mean_ms": 400})[0].met
    assert judged([Answer(0, 399.9, "200", "/")], {"max_ms": 400})[0].met


def test_where_nothing_succeeded_no_latency_is_good():
    lines = judged([Answer(0, 1, "500", "/")], {"mean_ms": 400, "success_percent": 99.99})
    assert [(line.met, line.figure) for line in lines] == [(False, None), (False, 0)]


def test_a_rate_is_judged_where_it_was_offered():
    answers = [Answer(n / 100, 1, "200", "/") for n in range(1000)]
    assert judged(answers, {"rate": 1000}) == []
    assert judged(answers, {"rate": 1000}, rate=100) == []
    assert judged(answers, {"rate": 100}, rate=100)[0].met
    assert not judged(answers[:900], {"rate": 100}, rate=100)[0].met


def test_a_queue_that_is_served_after_the_end_is_no_rate():
    answers = [Answer(n / 100, 1 if n < 500 else 7000, "200", "/") for n in range(1000)]
    (line,) = judged(answers, {"rate": 100}, rate=100)
    # Of the second half, those that were due before 4 + 1 s before the end.
    assert (line.met, line.figure) == (False, 50)


def test_a_group_that_never_grew_is_a_goal_missed():
    line = verdict.grown(0)
    assert (line.met, line.kind, line.text, line.comparison, line.limit) == (
        False, "goal", "instances added", "at least", 1,
    )  # fmt: skip
    assert verdict.grown(3).met


def test_the_exit_code_is_the_verdict():
    answers = [Answer(n / 10, random.Random(n).uniform(1, 100), "200", "/") for n in range(100)]
    met, missed = judged(answers, {"mean_ms": 400}), judged(answers, {"mean_ms": 1})
    goal = judged(answers, {"mean_ms": 1}, kind="goal")
    assert verdict.exit_code(met, interrupted=False) == 0
    assert verdict.exit_code(missed, interrupted=False) == 1
    assert verdict.exit_code(met + goal, interrupted=False) == 3
    assert verdict.exit_code(met + goal, interrupted=True) == 130
    assert verdict.exit_code(missed, interrupted=True) == 1
    assert verdict.exit_code([], interrupted=False) == 1
