"""Figures in documents: where they go, and those of the local cloud."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from benchmarks import local_cloud
from loadtest import figures

COMMAND = "make figures"


def test_what_stands_between_the_markers_is_replaced(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"# Title\n\n{figures.begin(COMMAND)}old\n{figures.END}\n\nMore.\n")
    figures.write(page, COMMAND, ["| a |", "|---|"])
    assert page.read_text() == f"# Title\n\n{figures.begin(COMMAND)}\n| a |\n|---|\n\n{figures.END}\n\nMore.\n"
    assert figures.read(page, COMMAND).split() == ["|", "a", "|", "|---|"]
    figures.write(page, COMMAND, ["| a |", "|---|"])
    assert page.read_text().count("| a |") == 1


def test_a_document_without_markers_is_left_alone(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# Title\n")
    with pytest.raises(ValueError, match="make figures"):
        figures.write(page, COMMAND, ["new"])
    assert page.read_text() == "# Title\n"


def test_each_document_has_the_markers_of_what_is_written_into_it() -> None:
    assert figures.begin(local_cloud.COMMAND) in local_cloud.PAGE.read_text()


def test_memory_of_processes_that_are_there() -> None:
    mine = local_cloud.proportional([os.getpid()])
    assert mine > 1 << 20
    none = 1 << 22  # greater than any process id
    assert local_cloud.proportional([none]) == 0


def test_figures_say_how_they_spread() -> None:
    assert local_cloud.spread([3.0, 1.0, 2.04]) == "2.0 s (1.0 to 3.0 in 3 runs)"
