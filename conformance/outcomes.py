"""What the tests said of moto and of the local cloud, put side by side."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from conformance.errors import ConformanceError

PASSED, FAILED, SKIPPED = "passed", "failed", "skipped"
SAME, BETTER, AS_ON_AWS, NOT_HERE, WORSE, UNKNOWN = "same", "better", "as on AWS", "not here", "worse", "unknown"
VERDICTS = (SAME, BETTER, AS_ON_AWS, NOT_HERE, WORSE, UNKNOWN)
KINDS = (AS_ON_AWS, NOT_HERE)  # of an expected difference
KEYS = {"tests", "message", "kind", "reason"}


@dataclass(frozen=True)
class Outcome:
    """How a test ended, and what was said when it failed."""

    status: str
    message: str = ""


@dataclass(frozen=True)
class Difference:
    """Tests that pass against moto and should fail against the local cloud, and why.

    `tests` are patterns of ids, in which `*` is anything; `message` is a regular expression found in what was said.
    """

    kind: str
    reason: str
    tests: tuple[str, ...] = ("*",)
    message: str = ""

    def explains(self, test: str, outcome: Outcome) -> bool:
        return any(_matches(pattern, test) for pattern in self.tests) and bool(re.search(self.message, outcome.message))


@dataclass
class Comparison:
    """Of one service: each test's verdict."""

    verdicts: dict[str, str] = field(default_factory=dict)
    failures: dict[str, Outcome] = field(default_factory=dict)  # against the local cloud, of the tests that are worse
    unused: list[Difference] = field(default_factory=list)  # expected, and not met

    @property
    def counts(self) -> Counter[str]:
        return Counter(self.verdicts.values())


def _matches(pattern: str, test: str) -> bool:
    """Not fnmatch: the brackets of a test's parameters are brackets."""
    return re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), test, re.DOTALL) is not None


def read_report(path: Path) -> dict[str, Outcome]:
    """Outcome of each test in a report in JUnit's format; its id is `test_service.module.Class::name[parameters]`."""
    found = {}
    for case in ElementTree.parse(path).iter("testcase"):
        outcome = Outcome(PASSED)
        for part in case:
            if part.tag in ("failure", "error"):
                outcome = Outcome(FAILED, f"{part.get('message', '')}\n{part.text or ''}")
                break
            if part.tag == "skipped":
                outcome = Outcome(SKIPPED)
        found[f"{case.get('classname', '').removeprefix('tests.')}::{case.get('name')}"] = outcome
    return found


def read_expected(path: Path) -> dict[str, list[Difference]]:
    """Expected differences of each service. Raises ConformanceError."""
    content = yaml.safe_load(path.read_text()) or {}
    return {service: [_difference(service, entry) for entry in entries] for service, entries in content.items()}


def _difference(service: str, entry: Mapping[str, Any]) -> Difference:
    wrong = ""
    if set(entry) - KEYS:
        wrong = f"{', '.join(sorted(set(entry) - KEYS))} is none of {', '.join(sorted(KEYS))}"
    elif not entry.get("reason") or entry.get("kind") not in KINDS:
        wrong = f"it needs a reason, and a kind: {' or '.join(KINDS)}"
    elif not entry.get("tests") and not entry.get("message"):
        wrong = "it needs tests or a message, or it would explain everything"
    if wrong:
        raise ConformanceError(
            f"an expected difference of {service}, {entry.get('reason', entry)!r}: {wrong}",
            look="conformance/expected.yml",
            type_this="make conformance ARGS=--no-run   (when it is mended)",
        )
    return Difference(
        entry["kind"], entry["reason"], tuple(entry.get("tests") or ["*"]), str(entry.get("message") or "")
    )


def compare(moto: Mapping[str, Outcome], localcloud: Mapping[str, Outcome], expected: list[Difference]) -> Comparison:
    """Each test's verdict. What was skipped, or failed against both, or ran against one only says nothing."""
    comparison, used = Comparison(), set()
    for test in sorted(moto.keys() | localcloud.keys()):
        theirs, ours = moto.get(test, Outcome(SKIPPED)), localcloud.get(test, Outcome(SKIPPED))
        verdict = UNKNOWN
        if (theirs.status, ours.status) == (PASSED, PASSED):
            verdict = SAME
        elif (theirs.status, ours.status) == (FAILED, PASSED):
            verdict = BETTER
        elif ours.status == FAILED:
            difference = next((known for known in expected if known.explains(test, ours)), None)
            if difference is not None:
                used.add(difference)
            if theirs.status == PASSED:
                verdict = WORSE if difference is None else difference.kind
            if verdict == WORSE:
                comparison.failures[test] = ours
        comparison.verdicts[test] = verdict
    comparison.unused = [known for known in expected if known not in used]
    return comparison
