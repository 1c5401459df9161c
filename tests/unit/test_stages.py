"""The stages of Terraform have one name each, wherever they are named."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
STAGES = {path.name for path in (ROOT / "terraform").iterdir() if (path / "main.tf").exists()}
FILES = [path for folder in ("playbooks", "roles") for path in (ROOT / folder).rglob("*.yml")]


def load(path: str) -> Any:
    return yaml.safe_load((ROOT / path).read_text())


@pytest.mark.parametrize("stage", sorted(STAGES))
def test_what_a_stage_makes_has_its_name_as_a_tag(stage: str) -> None:
    assert f'Stage = "{stage}"' in (ROOT / f"terraform/{stage}/versions.tf").read_text()


def test_the_role_takes_each_of_them() -> None:
    options = load("roles/terraform_stage/meta/argument_specs.yml")["argument_specs"]["main"]["options"]
    assert set(options["terraform_stage_name"]["choices"]) == STAGES


def test_former_names_are_those_of_states_that_there_may_be() -> None:
    former = load("roles/terraform_stage/vars/main.yml")["__terraform_stage_former"]
    assert former == {"network": "vpc", "database": "db", "hosts": "ec2", "fleet": "elb"}
    assert former.keys() == STAGES


def test_states_that_are_read_are_those_of_stages() -> None:
    """With another name a state is not there, which is no error: a bucket with uploads would not be known."""
    named = {name for file in FILES for name in re.findall(r"([\w-]+)/terraform\.tfstate", file.read_text())}
    assert named
    assert named <= STAGES


def test_outputs_that_are_used_are_those_of_stages() -> None:
    used = {name for file in FILES for name in re.findall(r"terraform_stage_outputs\.(\w+)", file.read_text())}
    assert used == STAGES
