"""Playbooks and roles: YAML, Ansible's own rules, and that the roles' two descriptions of their variables agree."""

import os
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = sorted(path for path in (ROOT / "roles").glob("*") if path.is_dir())
PLAYBOOKS = [name for name in ("site.yml", "teardown.yml") if (ROOT / name).exists()]


def test_yamllint(run):
    run("yamllint", "--strict", ".")


def test_ansible_lint(run):
    run("ansible-lint", "--offline", "--strict", "-q")


@pytest.mark.parametrize("environment", ["local", "aws"])
@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_syntax(run, playbook, environment):
    run("ansible-playbook", "--syntax-check", "-i", f"inventory/{environment}", playbook)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_and_argument_specs_agree(role):
    defaults = load(role / "defaults/main.yml")
    options = load(role / "meta/argument_specs.yml")["argument_specs"]["main"].get("options", {})
    optional = {name: option for name, option in options.items() if not option.get("required")}
    # A required variable has no default by definition; the role's own `__` variables are nobody else's.
    assert sorted(name for name in defaults if not name.startswith("__")) == sorted(optional)
    for name, option in optional.items():
        if "default" in option:
            assert option["default"] == defaults[name], f"{name}: the documented default is not the default"
    for name, option in options.items():
        assert option.get("description"), f"{name} has no description"
        assert name.startswith(f"{role.name}_"), f"{name} does not carry its role's name"


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_role_has_a_readme(role):
    assert (role / "README.md").exists()


def test_each_variable_lives_in_one_place():
    everywhere = set()
    for file in sorted((ROOT / "group_vars").glob("**/*.yml")):
        everywhere |= load(file).keys()
    for environment in ("local", "aws"):
        for file in sorted((ROOT / "inventory" / environment / "group_vars").glob("**/*.yml")):
            assert not everywhere & load(file).keys(), f"{os.path.relpath(file, ROOT)} repeats group_vars/"


def test_both_environments_set_the_same_variables():
    def names(environment):
        files = sorted((ROOT / "inventory" / environment / "group_vars").glob("**/*.yml"))
        return {name for file in files for name in load(file) if not name.startswith(("__", "localcloud_"))}

    assert names("local") == names("aws")


def load(path):
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}
