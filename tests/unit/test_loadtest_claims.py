"""The table of docs/performance.md."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import loadtest_results
import pytest

from loadtest import claims, figures
from loadtest.errors import LoadtestError


@pytest.fixture
def page(tmp_path: Path) -> Path:
    page = tmp_path / "performance.md"
    page.write_text(f"# Performance\n\n{figures.begin(claims.COMMAND)}old figures\n{figures.END}\n\nMore text.\n")
    return page


def leave(results: Path, moment: str, name: str, **changes: Any) -> None:
    directory = results / f"{moment}-{name}"
    directory.mkdir(parents=True)
    result = loadtest_results.result(scenario=name, **changes)
    (directory / "result.json").write_text(json.dumps(result))


def test_newest_whole_run_of_each_scenario(tmp_path: Path, page: Path) -> None:
    results = tmp_path / "loadtest"
    total = loadtest_results.result()["total"]
    leave(results, "20261101-100000", "burst", total=total | {"requests": 11, "succeeded": 11, "success_percent": 100})
    leave(results, "20261102-100000", "burst", total=total | {"requests": 22, "succeeded": 22, "success_percent": 100})
    leave(results, "20261103-100000", "burst", interrupted=True)
    leave(results, "20261101-110000", "mine")
    step = total | {"name": "/date_time, c=20", "requests": 5000, "succeeded": 4999, "success_percent": 99.98}
    leave(results, "20261101-120000", "ladder", tool="ab", parts=[step, step], verdict=[])
    claims.write(results, page)
    text = page.read_text()
    assert text.startswith("# Performance\n")
    assert text.endswith("\n\nMore text.\n")
    assert "old figures" not in text
    assert [
        line.split(" | ")[:3] for line in text.splitlines() if line.startswith(("| burst", "| ladder", "| mine"))
    ] == [
        ["| burst", "22", "100"],
        ["| ladder: /date_time, c=20", "5,000", "99.9800"],
        ["| ladder: /date_time, c=20", "5,000", "99.9800"],
    ]
    assert "SLO missed: answers that succeeded" in text
    again = page.read_text()
    claims.write(results, page)
    assert page.read_text() == again


def test_nearly_all_is_not_all() -> None:
    part = loadtest_results.result()["total"] | {"requests": 600_000, "succeeded": 599_999}
    assert claims.cells(part | {"success_percent": 100 * 599_999 / 600_000})[1] == "99.9998"
    part = part | {"requests": 6_000_000, "succeeded": 5_999_999, "success_percent": 99.99999}
    assert claims.cells(part)[1] == "99.9999"


def test_no_run(tmp_path: Path, page: Path) -> None:
    with pytest.raises(LoadtestError, match="no run has come to its end"):
        claims.write(tmp_path, page)
