"""What the documents name is there: files, headings, targets of make, playbooks, settings, commands of our programs.

Looked at is code: what stands between backticks, or in a block.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
FILES = subprocess.run(
    ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
    cwd=ROOT,
    check=True,
    text=True,
    stdout=subprocess.PIPE,
).stdout.split()
FILES = [file for file in FILES if (ROOT / file).is_file()]
DOCUMENTS = [file for file in FILES if file.endswith(".md")]
# Made by the reader, as the document says, or part of an application.
MADE = re.compile(
    r"inventory/(staging|second|<environment>)(/.*)?$|loadtest/scenarios/mine.yml$|management/provided/$|routes.py$"
)
WORD = r"[A-Za-z0-9_.-]+"


def code(text: str) -> Iterator[str]:
    """Each piece of code in a document."""
    fences = re.compile(r"^ *```(\w*)\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
    yield from (match[2] for match in fences.finditer(text) if match[1] != "diff")
    yield from re.findall(r"`([^`\n]+)`", fences.sub("", text))


def text_of(document: str) -> str:
    return (ROOT / document).read_text()


def anchors(file: Path) -> set[str]:
    """Of the headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)", file.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def exists(name: str, beside: Path) -> bool:
    """Whether a file, directory or pattern is in the repository, seen from its root or from the document."""
    pattern = re.sub(r"<[^>]+>|…", "*", name).rstrip("/").removeprefix("./")
    return any(
        base.joinpath(pattern).exists() or any(base.glob(pattern)) for base in (ROOT, beside, *ROOT.glob("roles/*"))
    )


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document: str) -> None:
    here = (ROOT / document).parent
    wrong = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(document)):
        name, _, anchor = link.partition("#")
        file = here / name if name else ROOT / document
        if "://" in link:
            continue
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(link)
    assert wrong == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_files_exist(document: str) -> None:
    top = "|".join(sorted({re.escape(file.split("/")[0]) for file in FILES if "/" in file}))
    named = {
        name for piece in code(text_of(document)) for name in re.findall(rf"(?<![\w/.-])(?:{top})/[\w./*<>…-]*", piece)
    }
    # What stands alone between backticks and ends like a file of ours.
    named |= set(re.findall(rf"`({WORD}(?:/{WORD})*\.(?:yml|py|md|tf|sh|cfg|toml))`", text_of(document)))
    beside = (ROOT / document).parent
    everywhere = {Path(file).name for file in FILES}
    wrong = [
        name
        for name in named
        if not exists(name.rstrip("."), beside) and not MADE.match(name) and name not in everywhere
    ]
    assert sorted(wrong) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_targets_of_make_exist(document: str) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", text_of("Makefile"), re.MULTILINE))
    named = {
        target
        for piece in code(text_of(document))
        for target in re.findall(r"(?:^|[ $(])make(?: -s)? ([a-z][a-z0-9-]+)", piece, re.MULTILINE)
    }
    assert sorted(named - targets) == []


def settings() -> set[str]:
    """Names of all variables that may be set: of group_vars, inventories, roles, stages, load tests."""
    names: set[str] = set()
    for file in FILES:
        if re.match(r"group_vars/|inventory/.*/group_vars/|roles/[^/]+/(defaults|vars)/main\.yml", file):
            names |= set(yaml.safe_load(text_of(file)) or {})
        elif re.match(r"roles/[^/]+/meta/argument_specs\.yml", file):
            for entry in yaml.safe_load(text_of(file))["argument_specs"].values():
                names |= set(entry.get("options", {}))
        elif re.match(r"terraform/[^/]+/(variables|outputs)\.tf", file):
            names |= set(re.findall(r'^(?:variable|output) "(\w+)"', text_of(file), re.MULTILINE))
    return names


@pytest.mark.parametrize("document", DOCUMENTS)
def test_settings_of_a_run_exist(document: str) -> None:
    named = {
        name for piece in code(text_of(document)) for name in re.findall(r"(?:-e |--extra-vars )['\"]?(\w+)=", piece)
    }
    used = "\n".join(text_of(file) for file in FILES if re.match(r"(playbooks|roles)/.*\.yml$|[^/]+\.yml$", file))
    wrong = [name for name in named - settings() if not re.search(rf"\b{name}\b", used)]
    assert sorted(wrong) == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_commands_of_our_programs_exist(document: str) -> None:
    used = {
        match
        for piece in code(text_of(document))
        for match in re.findall(
            r"-m ((?:localcloud|loadtest|benchmarks|bootstrap|conformance)[\w.]*)(?: ([a-z]+))?", piece
        )
    }
    wrong = []
    for module, command in used:
        path = ROOT / module.replace(".", "/")
        main = path / "__main__.py" if path.is_dir() else path.with_suffix(".py")
        words = "".join(file.read_text() for file in (main, path / "cli.py") if file.exists())
        if not words or (command and not re.search(rf"\b{command}\b", words)):
            wrong.append(f"{module} {command}")
    assert sorted(wrong) == []


def test_names_are_still_used() -> None:
    """A word with underscores is a variable, a function, a metric...: something that is not prose has it, too."""
    others = "\n".join(text_of(file) for file in FILES if not file.endswith((".md", ".svg", ".png", ".csv")))
    known = set(re.findall(r"\w+", others))
    wrong = [
        (document, name)
        for document in DOCUMENTS
        for name in re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", text_of(document))
        if name not in known | {"pg_dump"}
    ]
    assert wrong == []
