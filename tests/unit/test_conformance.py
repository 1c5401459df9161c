"""The verdicts of `make conformance`, its list of expected differences, and its table."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from conformance import page
from conformance.__main__ import EXPECTED, SERVICES
from conformance.errors import ConformanceError
from conformance.outcomes import (
    AS_ON_AWS,
    BETTER,
    NOT_HERE,
    SAME,
    UNKNOWN,
    WORSE,
    Difference,
    Outcome,
    compare,
    read_expected,
    read_report,
)
from conformance.suite import source_directory
from loadtest import figures

PASSED, SKIPPED = Outcome("passed"), Outcome("skipped")
FAILED = Outcome("failed", "ClientError: (InvalidKeyPair.NotFound)")


@pytest.mark.parametrize(
    ("moto", "localcloud", "verdict"),
    [
        (PASSED, PASSED, SAME),
        (FAILED, PASSED, BETTER),
        (PASSED, FAILED, WORSE),
        (FAILED, FAILED, UNKNOWN),
        (SKIPPED, SKIPPED, UNKNOWN),
        (PASSED, SKIPPED, UNKNOWN),
        (None, PASSED, UNKNOWN),
        (PASSED, None, UNKNOWN),
    ],
)
def test_verdict(moto: Outcome | None, localcloud: Outcome | None, verdict: str) -> None:
    comparison = compare({"a::b": moto} if moto else {}, {"a::b": localcloud} if localcloud else {}, [])
    assert comparison.verdicts == {"a::b": verdict}
    assert list(comparison.failures) == (["a::b"] if verdict == WORSE else [])


def test_an_expected_difference_needs_test_and_message() -> None:
    known = Difference(AS_ON_AWS, "AWS knows its keys", ("*::test_key[*",), r"InvalidKeyPair\.NotFound")
    tests = ("ec2.keys::test_key[a]", "ec2.keys::test_key[b]", "ec2.keys::test_other[a]", "ec2.keys::test_keys")
    ours = dict.fromkeys(tests, FAILED) | {tests[1]: Outcome("failed", "KeyError")}
    comparison = compare(dict.fromkeys(tests, PASSED), ours, [known])
    assert list(comparison.verdicts.values()) == [AS_ON_AWS, WORSE, WORSE, WORSE]
    assert comparison.unused == []


def test_what_fails_against_both_is_met_too() -> None:
    known = Difference(NOT_HERE, "no spot instances", ("*spot*",))
    comparison = compare({"ec2::spot": FAILED}, {"ec2::spot": FAILED}, [known])
    assert (comparison.verdicts, comparison.unused) == ({"ec2::spot": UNKNOWN}, [])


def test_what_is_expected_in_vain_is_said() -> None:
    known = Difference(NOT_HERE, "no spot instances", ("*spot*",))
    comparison = compare({"ec2::spot": PASSED}, {"ec2::spot": PASSED}, [known])
    assert comparison.verdicts == {"ec2::spot": SAME}
    assert comparison.unused == [known]


def test_report_is_read(tmp_path: Path) -> None:
    report = tmp_path / "report.xml"
    report.write_text(
        """<testsuites><testsuite>
        <testcase classname="tests.test_ec2.test_keys" name="test_a[x.y]"/>
        <testcase classname="tests.test_ec2.test_keys.TestKeys" name="test_b">
          <failure message="assert 1 == 2">the stack</failure></testcase>
        <testcase classname="tests.test_ec2.test_keys" name="test_c"><skipped message="no"/></testcase>
        <testcase classname="" name="tests.test_ec2.test_d"><error message="collection failure"/></testcase>
        </testsuite></testsuites>"""
    )
    assert read_report(report) == {
        "test_ec2.test_keys::test_a[x.y]": PASSED,
        "test_ec2.test_keys.TestKeys::test_b": Outcome("failed", "assert 1 == 2\nthe stack"),
        "test_ec2.test_keys::test_c": SKIPPED,
        "::tests.test_ec2.test_d": Outcome("failed", "collection failure\n"),
    }


@pytest.mark.parametrize(
    ("entry", "wrong"),
    [
        ("{kind: as on AWS, tests: [a]}", "reason"),
        ("{kind: better, tests: [a], reason: why}", "kind"),
        ("{kind: not here, reason: why}", "explain everything"),
        ("{kind: not here, reason: why, test: a}", "test is none of"),
    ],
)
def test_a_wrong_entry_is_refused(tmp_path: Path, entry: str, wrong: str) -> None:
    (tmp_path / "expected.yml").write_text(f"ec2: [{entry}]\n")
    with pytest.raises(ConformanceError, match=wrong):
        read_expected(tmp_path / "expected.yml")


def test_the_list_is_read() -> None:
    assert set(read_expected(EXPECTED)) <= set(SERVICES)


def rows(readme: Path) -> list[str]:
    return [line for line in readme.read_text().splitlines() if line.startswith("| ")]


def test_page(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"# Cloud\n\n{figures.begin(page.COMMAND)}old figures\n{figures.END}\n\nMore text.\n")
    counts = {"ec2": Counter({SAME: 2, WORSE: 1}), "rds": Counter({UNKNOWN: 1})}
    page.write(counts, "5.0", readme)
    text = readme.read_text()
    assert text.startswith("# Cloud\n")
    assert text.endswith("\n\nMore text.\n")
    assert "old figures" not in text
    assert rows(readme) == [
        "| service | cases | same | better | as on AWS | not here | worse | unknown |",
        "| ec2 | 3 | 2 | 0 | 0 | 0 | 1 | 0 |",
        "| rds | 1 | 0 | 0 | 0 | 0 | 0 | 1 |",
        "| all | 4 | 2 | 0 | 0 | 0 | 1 | 1 |",
    ]
    page.write(counts, "5.0", readme)
    assert readme.read_text() == text


def test_page_keeps_the_figures_of_what_did_not_run(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"{figures.begin(page.COMMAND)}{figures.END}")
    page.write({"ec2": Counter({SAME: 2}), "rds": Counter({UNKNOWN: 1})}, "5.0", readme)
    page.write({"ec2": Counter({SAME: 3})}, "5.0", readme)
    assert [row.split(" | ")[:3] for row in rows(readme)[1:]] == [
        ["| ec2", "3", "3"],
        ["| rds", "1", "0"],
        ["| all", "4", "3"],
    ]
    page.write({"ec2": Counter({SAME: 4})}, "6.0", readme)
    assert len(rows(readme)) == 2


def test_a_clone_of_moto_has_its_tests(tmp_path: Path) -> None:
    with pytest.raises(ConformanceError, match="has no tests/test_ec2"):
        source_directory(str(tmp_path))
    (tmp_path / "tests/test_ec2").mkdir(parents=True)
    assert source_directory(str(tmp_path)) == tmp_path.resolve()
