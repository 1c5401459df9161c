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
    run("ansible-lint", "--offline", "--strict", "--nocolor", "-q")


@pytest.mark.parametrize("environment", ["local", "aws"])
@pytest.mark.parametrize("playbook", PLAYBOOKS)
def test_syntax(run, playbook, environment):
    run("ansible-playbook", "--syntax-check", "-i", f"inventory/{environment}", playbook)


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_defaults_and_argument_specs_agree(role):
    defaults = load(role / "defaults/main.yml")
    entry_points = load(role / "meta/argument_specs.yml").get("argument_specs", {})
    assert entry_points, "no meta/argument_specs.yml"
    options = {}
    for entry_point in entry_points.values():
        for name, option in entry_point.get("options", {}).items():
            assert option.get("description"), f"{name} has no description"
            assert name.startswith(f"{role.name}_"), f"{name} does not carry its role's name"
            options.setdefault(name, []).append(option)
    # The role's own `__` variables are nobody else's.
    public = {name for name in defaults if not name.startswith("__")}
    optional = {name for name, uses in options.items() if not any(use.get("required") for use in uses)}
    assert public - options.keys() == set(), "in defaults/main.yml, but not documented"
    assert optional - public == set(), "optional, but without a default"
    for name, uses in options.items():
        for use in uses:
            if use.get("required"):
                # Ansible counts a default as given, so nobody would be told that the variable is missing.
                assert defaults.get(name, "given") not in ("", None), f"{name} is required, but its default is empty"
            elif "default" in use and not any("{{" in str(value) for value in (use["default"], defaults[name])):
                assert use["default"] == defaults[name], f"{name}: the documented default is not the default"


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


@pytest.mark.parametrize("role", ["web2py", "uwsgi", "nginx"])
def test_what_is_deployed_is_what_the_role_is_tested_with(role):
    """Deployments take it from group_vars, the tests of the roles from the role's defaults."""
    deployed = load(ROOT / "group_vars/all.yml")
    for name, value in load(ROOT / "roles" / role / "defaults/main.yml").items():
        assert deployed.get(name, value) == value, f"{name} differs between group_vars/all.yml and roles/{role}"


def test_both_environments_set_the_same_variables():
    def names(environment):
        files = sorted((ROOT / "inventory" / environment / "group_vars").glob("**/*.yml"))
        return {name for file in files for name in load(file) if not name.startswith(("__", "localcloud_"))}

    assert names("local") == names("aws")


def load(path):
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}
