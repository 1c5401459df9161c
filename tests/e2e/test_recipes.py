"""Other tests follow docs/change-it.md word for word: all of it, and a misfit is noticed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from change_it import RECIPES, apply, commands


def test_every_recipe_is_tried() -> None:
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("test_*.py"))
    tried = set(re.findall(r'(?:RECIPES\[|recipe\(project, )"([^"]+)"', tests))
    assert tried == {heading for heading, blocks in RECIPES.items() if blocks}


def test_an_edit_that_does_not_fit_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("one\ntwo\n")
    with pytest.raises(AssertionError, match="has this 0 times"):
        apply(tmp_path, "--- a/file\n+++ b/file\n@@\n-three\n+four\n")
    apply(tmp_path, "--- a/file\n+++ b/file\n@@\n one\n-two\n+three\n--- /dev/null\n+++ b/new\n@@\n+line\n")
    assert ((tmp_path / "file").read_text(), (tmp_path / "new").read_text()) == ("one\nthree\n", "line\n")


def test_commands_and_what_they_print() -> None:
    assert commands("$ one\n> more\nprinted\n$ two\n") == [("one\nmore\n", "printed\n"), ("two\n", "")]
