"""The recipes of docs/change-it.md: what they say is to be edited, typed and seen."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from project_copy import PROJECT_ROOT, Project

BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """`language` is diff or console."""

    language: str
    text: str


def recipes(page: Path) -> dict[str, list[Block]]:
    """Headings and the blocks below them, in order."""
    _, *sections = re.split(r"^## ", page.read_text(), flags=re.MULTILINE)
    found = {}
    for section in sections:
        heading, _, body = section.partition("\n")
        found[heading] = [Block(*match) for match in BLOCK.findall(body)]
    return found


RECIPES = recipes(PROJECT_ROOT / "docs/change-it.md")


def follow(project: Project, *blocks: Block) -> str:
    """Do what blocks say, and return what was printed. AssertionError when that isn't what the page says."""
    return "".join(_follow(project, block) for block in blocks)


def _follow(project: Project, block: Block) -> str:
    if block.language == "diff":
        apply(project.root, block.text)
        return ""
    assert block.language == "console"
    return "".join(type_in(project, command, expected) for command, expected in commands(block.text))


def apply(root: Path, diff: str) -> None:
    """Edit as a reader would: what stands there, without the line numbers that `patch` needs, is replaced."""
    for part in re.split(r"^(?=--- )", diff, flags=re.MULTILINE)[1:]:
        header, *hunks = re.split(r"^@@\n", part, flags=re.MULTILINE)
        file = root / re.search(r"^\+\+\+ b/(.+)$", header, re.MULTILINE)[1]
        for hunk in hunks:
            lines = hunk.splitlines(keepends=True)
            old = "".join(line[1:] or "\n" for line in lines if line[0] != "+")
            new = "".join(line[1:] or "\n" for line in lines if line[0] != "-")
            text = file.read_text() if file.exists() else ""
            assert text.count(old) == 1 if old else not text, f"{file.name} has this {text.count(old)} times:\n{old}"
            file.write_text(text.replace(old, new) if old else new)


def commands(text: str) -> list[tuple[str, str]]:
    """Commands, and what is printed by each. A command goes on in lines that begin with `> `."""
    found: list[tuple[str, str]] = []
    for line in text.splitlines(keepends=True):
        if line.startswith("$ "):
            found.append((line[2:], ""))
        elif line.startswith("> "):
            found[-1] = (found[-1][0] + line[2:], "")
        else:
            found[-1] = (found[-1][0], found[-1][1] + line)
    return found


_shell_variables: dict[str, str] = {}


def type_in(project: Project, command: str, expected: str = "") -> str:
    assignment = re.fullmatch(r"(\w+)=(.+)\n", command)
    if assignment:
        command = f"echo {assignment[2]}\n"
    # A make around the tests would hand its own arguments down.
    environment = {
        name: value for name, value in project.environment.items() if not name.startswith(("MAKE", "MFLAGS"))
    }
    done = subprocess.run(
        ["nice", "-n", str(project.nice), "bash", "-c", command],
        cwd=project.root, env={**environment, **_shell_variables},
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    with (project.root / "runs.log").open("a") as log:
        log.write(f"$ {command}{done.stdout}\n")
    assert done.returncode == 0, f"{command}{done.stdout[-6000:]}"
    if assignment:
        _shell_variables[assignment[1]] = done.stdout.strip()
    elif expected:
        pattern = ".*".join(map(re.escape, expected.split("…")))
        assert re.fullmatch(pattern, done.stdout, re.DOTALL), f"{command}{done.stdout[-6000:]}"
    return done.stdout
