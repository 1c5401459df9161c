"""The report: what is on the page, that it is HTML that closes what it opens, and that it needs nothing but itself."""

import json
import re
from html.parser import HTMLParser

import loadtest_results
import pytest

from loadtest import report, svg
from loadtest.errors import LoadtestError

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """Elements in order with their attributes, the text, and whether each element is closed where it should be."""

    def __init__(self, html):
        super().__init__()
        self.elements = []
        self.open = []
        self.words = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def html():
    return report.render(loadtest_results.result(), loadtest_results.result(60))


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_it_needs_nothing_but_itself(html, page):
    assert not [tag for tag, _ in page.elements if tag in ("script", "img", "iframe", "object")]
    for _, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "xlink:href"):
            assert attributes.get(name, "data:,").startswith("data:")
    assert "@import" not in html
    assert "url(" not in html


def test_each_line_of_the_slo_has_its_verdict(page):
    cards = [attributes for _, attributes in page.elements if "data-line" in attributes]
    verdicts = [(card["data-line"], card["data-kind"], card["class"].split()[-1]) for card in cards]
    assert verdicts == [
        ("mean_ms", "slo", "met"),
        ("success_percent", "slo", "missed"),
        ("rate", "slo", "met"),
        ("mean_ms", "goal", "missed"),
        ("max_ms", "goal", "missed"),
    ]
    assert "SLO missed" in page.text
    assert "at least 99.99 %" in page.text


def test_every_chart_is_there_for_wide_and_narrow_screens(page):
    charts = [attributes["aria-label"] for tag, attributes in page.elements if tag == "svg"]
    assert charts[::2] == charts[1::2]
    assert charts[::2] == [
        "Latency over time",
        "Throughput and errors over time",
        "Instances over time",
        "CPU over time",
        "Latency distribution",
    ]
    styles = [attributes["class"] for tag, attributes in page.elements if tag == "svg"]
    assert styles == ["wide", "narrow"] * 5


def test_events_are_marked_on_every_chart_over_time_and_listed(page):
    for kind in ("alarm", "deploy", "scaling", "action"):
        lines = [attrs for tag, attrs in page.elements if tag == "line" and attrs["class"] == f"mark {kind}"]
        assert len(lines) == 8
        # The same moment is at the same place in each chart.
        assert len({attributes["x1"] for attributes in lines}) == 2
    assert "web2py-local-cpu-high: ALARM" in page.text
    assert "database web2py-local restarts" in page.text


def test_what_was_measured_is_text_not_markup(html, page):
    assert "<b>" not in html
    assert "something to escape" in page.text
    broken = loadtest_results.result(notes=["</section><script>alert(1)</script>"])
    assert not [tag for tag, _ in Page(report.render(broken)).elements if tag == "script"]


def test_failures_are_listed_with_their_time(page):
    assert re.search(r"What failed, for how long .* 80\.0 s 1\.0 s 13 \d+ 503: 13", page.text)


def test_the_run_before_is_compared(page):
    assert "Compared with the run before" in page.text
    rows = report.compare(
        {"mean_ms": 10.0, "p50_ms": 5.0, "p99_ms": 30.0, "max_ms": None, "rate": 1000.0, "success_percent": 99.9},
        {"mean_ms": 20.0, "p50_ms": 5.1, "p99_ms": 20.0, "max_ms": 9.0, "rate": 500.0, "success_percent": 100.0},
    )
    assert [(row["text"], row["better"]) for row in rows] == [
        ("mean latency, ms", True),
        ("median, ms", None),
        ("99th percentile, ms", False),
        ("requests/s", True),
        ("succeeded, %", False),
    ]


def test_what_happened_is_told_by_what_it_did():
    """Half a minute before and after; what came close together counts once."""
    found = report.effects(loadtest_results.result())
    assert [(row["at"], row["kind"]) for row in found] == [(41, "scaling"), (60, "deploy"), (80, "action")]
    stall, deploy, restart = found
    assert stall["before"]["max_ms"] == deploy["before"]["max_ms"] > 2900
    assert deploy["after"]["max_ms"] < 200
    assert restart["before"]["failed_percent"] == 0
    # 13 of the 50 in a second are refused.
    assert restart["after"]["failed_percent"] == pytest.approx(100 * 13 / 1500, abs=0.01)
    assert restart["before"]["goodput"] == pytest.approx(50, abs=1)
    (early,) = report.effects(loadtest_results.result(marks=[{"at": 0.0, "kind": "deploy", "text": "one"}]))
    assert early["before"] is None


def test_behind_each_chart_is_its_table(page):
    heads = [tag for tag, _ in page.elements].count("details")
    assert heads == 5
    assert "at, s in service desired healthy targets 0 1 1 1 40 1 11 1 60 11 11 1 64 11 11 10" in page.text


def test_two_runs_are_on_one_page(tmp_path):
    runs = {"one": loadtest_results.result(60, samples=[]), "two": loadtest_results.result(120, scenario="other")}
    for name, found in runs.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "result.json").write_text(json.dumps(found))
    written = report.compare_runs(tmp_path / "one", tmp_path / "two")
    assert written == tmp_path / "two/compared-with-one.html"
    page = Page(written.read_text())
    assert "sustained and other: two runs" in page.text
    assert re.search(r"of this part before now change mean latency, ms [\d.]+ [\d.]+ -\d+\.\d % better", page.text)
    assert "Instances not measured" in page.text
    # To one scale: the shorter run takes half of the axis.
    assert [tag for tag, _ in page.elements].count("svg") == 9
    with pytest.raises(LoadtestError, match="there is no result in"):
        report.compare_runs(tmp_path / "none", tmp_path / "two")


def test_the_run_before_is_the_newest_whole_one_of_the_same_scenario(tmp_path):
    def kept(name, **changes):
        directory = tmp_path / name
        directory.mkdir()
        (directory / "result.json").write_text(json.dumps(loadtest_results.result(10, **changes)))
        return directory

    kept("20261101-000000-sustained", url="http://first")
    kept("20261102-000000-sustained", url="http://second")
    kept("20261103-000000-sustained", interrupted=True)
    kept("20261103-000001-burst", scenario="burst")
    (tmp_path / "20261104-000000-sustained").mkdir()
    now = kept("20261105-000000-sustained")
    kept("20261106-000000-sustained")
    assert report.previous(now, {"scenario": "sustained"})["url"] == "http://second"
    page = report.write(now)
    assert "http://second" in page.read_text()
    with pytest.raises(LoadtestError, match="there is no result"):
        report.write(tmp_path / "20261104-000000-sustained")


@pytest.mark.parametrize(
    "changes",
    [
        {
            "timeline": [],
            "histogram": [],
            "samples": [],
            "cpu": [],
            "marks": [],
            "outages": [],
            "notes": [],
            "parts": [],
        },
        {"interrupted": True, "exit_code": 130},
        {"exit_code": 3},
        {"exit_code": 0, "verdict": []},
        {"duration": 0.0, "timeline": loadtest_results.result(1)["timeline"]},
    ],
)
def test_a_page_is_made_of_whatever_there_is(changes):
    assert "Figures" in Page(report.render(loadtest_results.result(10, **changes))).text


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0, "0"), (99.99, "99.99"), (99.9999, "99.999"), (100, "100"), (1234.5, "1,234"), (0.1234, "0.123")],
)
def test_numbers_have_the_digits_that_matter(value, text):
    assert report.number(value) == text


def test_axes_are_round():
    assert [svg.nice_ceiling(value) for value in (0, 0.9, 1, 3, 41, 950, 1001)] == [1, 1, 1, 4, 60, 1000, 2000]
    assert svg.nice_step(600, 5) == 120
    assert [svg.duration(value) for value in (5, 90, 120, 3661)] == ["5 s", "90 s", "2 min", "61 min 1 s"]
