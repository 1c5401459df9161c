"""Measured figures in a document, between two markers: what stands there is replaced, the rest stays."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[1]
END = "<!-- end -->"


def begin(command: str) -> str:
    """The first marker, which says what writes the figures."""
    return f"<!-- figures: {command} -->\n"


def read(page: Path, command: str) -> str:
    """What stands between the markers now."""
    return page.read_text().partition(begin(command))[2].partition(END)[0]


def write(page: Path, command: str, lines: Iterable[str]) -> None:
    """Put lines between the markers."""
    page.write_text(replaced(page.read_text(), command, lines))


def replaced(text: str, command: str, lines: Iterable[str]) -> str:
    """A document's text, with lines between the markers."""
    before, found, rest = text.partition(begin(command))
    if not found:
        raise ValueError(f"the document has no line {begin(command)!r}")
    return "\n".join([before + found, *lines, "", END]) + rest.partition(END)[2]


def machine() -> str:
    """What the figures come from: the commit, and what it ran on."""
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    commit = subprocess.run(
        ["git", "describe", "--always", "--abbrev=10", "--exclude=*", "--dirty=, with changes"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    ).stdout.strip()  # fmt: skip
    return (
        f"Commit {commit or 'unknown'}, on {os.cpu_count()} cores ({model[1] if model else 'of an unknown kind'}) and "
        f"{memory:.0f} GiB"
    )
