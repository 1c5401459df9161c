"""A role reads what it declares: it has inputs of its own, and what the project around it has is their default.

So defaults/main.yml and meta/argument_specs.yml say all that a role needs, and who uses it elsewhere gives it that.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, meta

ROOT = Path(__file__).resolve().parents[2]
# Reads the settings of the project themselves, under their own names: checking them is what it is for.
EXEMPT = {"preflight"}
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir() if path.is_dir() and path.name not in EXEMPT)
READING = ("tasks", "handlers", "vars", "templates")
INCLUDES = {"include_tasks", "import_tasks", "include_vars"}
# What Ansible knows of itself. Not playbook_dir: what is there belongs to the playbooks.
ANSIBLES_OWN = {"item", "omit", "hostvars", "groups", "role_path"}
ANSIBLES_PREFIXES = ("ansible_", "inventory_")
# What an expression doesn't name as a variable: hostvars.localhost.name, hostvars['a']['name'], lookup('vars', 'name').
INDIRECT = re.compile(
    r"""(?:hostvars(?:\.\w+|\[[^]]+\])(?:\.|\[["'])|["'](?:ansible\.builtin\.)?vars["'], *["'])(\w+)"""
)
# Expressions without braces.
CONDITIONS = {"when", "until", "changed_when", "failed_when", "break_when", "that", "unless"}


class AnyName(dict[str, Any]):
    """Filters or tests of a Jinja environment that knows them all: which there are is Ansible's business."""

    def get(self, *_: Any) -> Any:
        return str


JINJA = Environment(optimized=False)
JINJA.filters = JINJA.tests = AnyName()
JINJA.globals |= dict.fromkeys(("lookup", "query", "q", "now", "undef"))


@pytest.mark.filterwarnings("ignore:invalid escape sequence:DeprecationWarning")  # of regular expressions
@pytest.mark.parametrize("role", ROLES)
def test_a_role_reads_its_own_variables_only(role: str) -> None:
    known = declared(role)
    wrong = [
        f"{path.relative_to(ROOT)} reads {name}, which is none of the role's variables. Make it an input: {role}_..., "
        f"with {{{{ {name} }}}} as its default in roles/{role}/defaults/main.yml; required in meta/argument_specs.yml"
        for path in files(role)
        for name in sorted(reads(path) - known - ANSIBLES_OWN)
        if not name.startswith(ANSIBLES_PREFIXES)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", ROLES)
def test_a_role_includes_its_own_files_only(role: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)} includes {value}, which is no file of the role. Make its path an input: {role}_..., "
        f"required in roles/{role}/meta/argument_specs.yml, which the playbook gives"
        for path in files(role)
        if path.suffix == ".yml"
        for key, value in pairs(yaml.safe_load(path.read_text()))
        if key.removeprefix("ansible.builtin.") in INCLUDES and "/" in str(value)
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("role", ROLES)
def test_documented_defaults_need_nothing_around_the_role(role: str) -> None:
    """Ansible evaluates them whenever the role is used, also those of inputs that were given."""
    known = declared(role)
    wrong = [
        f"roles/{role}/meta/argument_specs.yml reads {name} in the default of {option}. Make it required: true there, "
        f"or give {name} a default(...) of its own"
        for option, given in options(role)
        for name in meta.find_undeclared_variables(JINJA.parse(str(given.get("default", ""))))
        if name not in known | ANSIBLES_OWN and f"{name} | default(" not in given["default"]
    ]
    assert not wrong, "\n".join(wrong)


def files(role: str) -> list[Path]:
    return sorted(path for part in READING for path in (ROOT / "roles" / role / part).rglob("*") if path.is_file())


def declared(role: str) -> set[str]:
    """Variables that the role documents, has as its own, or sets."""
    names = {name for name, _ in options(role)}
    for path in files(role):
        if path.suffix == ".yml":
            content = yaml.safe_load(path.read_text())
            names |= set(content) if path.parent.name == "vars" else set_by(content)
    return names


def options(role: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What meta/argument_specs.yml says, of all entry points."""
    described = yaml.safe_load((ROOT / "roles" / role / "meta/argument_specs.yml").read_text())
    for entry_point in described["argument_specs"].values():
        yield from entry_point.get("options", {}).items()


def set_by(content: Any) -> set[str]:
    """Names that tasks give a value: results, facts, variables of a task or a loop."""
    names: set[str] = set()
    for key, value in pairs(content):
        if key in ("register", "loop_var", "index_var"):
            names.add(value)
        elif key in ("vars", "ansible.builtin.set_fact"):
            names |= value.keys()
    return names


def reads(path: Path) -> set[str]:
    """Names of the variables in the file's templates and conditions."""
    text = path.read_text()
    templates = [text] if path.suffix != ".yml" else expressions(yaml.safe_load(text))
    names = {name for template in templates for name in meta.find_undeclared_variables(JINJA.parse(template))}
    return names | set(re.findall(INDIRECT, text))


def expressions(content: Any, key: str = "") -> Iterator[str]:
    """All texts, which may have braces, and all conditions, which get some."""
    if isinstance(content, dict):
        for name, value in content.items():
            yield str(name)
            yield from expressions(value, str(name))
    elif isinstance(content, list):
        for each in content:
            yield from expressions(each, key)
    elif isinstance(content, str):
        yield f"{{{{ {content} }}}}" if key in CONDITIONS else content


def pairs(content: Any) -> Iterator[tuple[str, Any]]:
    """The keys and values of all dictionaries, at any depth."""
    for each in content if isinstance(content, list) else []:
        yield from pairs(each)
    for key, value in content.items() if isinstance(content, dict) else []:
        yield str(key), value
        yield from pairs(value)
