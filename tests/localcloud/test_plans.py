"""Terraform plans nothing after what it applied and after what it changed, for each kind of resource.

There are no machines behind it, only the API: what Terraform reads back must be what it has set.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from instant_cloud import instant_cloud
from running_cloud import Cloud
from terraform_stack import terraform_stack

PLANS = Path(__file__).parent / "stacks/plans"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with instant_cloud(tmp_path_factory.mktemp("plans")) as cloud:
        yield cloud


@pytest.mark.parametrize("name", sorted(path.stem for path in PLANS.glob("*.tf")))
def test_nothing_is_planned_again(api: Cloud, tmp_path: Path, name: str) -> None:
    configuration = (PLANS / f"{name}.tf").read_text()
    with terraform_stack(api, tmp_path, configuration, {"changed": False}) as stack:
        stack.apply()
        stack.assert_no_drift()
        stack.set_variables({"changed": True})
        stack.apply()
        stack.assert_no_drift()
