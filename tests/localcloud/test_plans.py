"""Terraform plans nothing after what it applied and after what it changed, for each type of resource.

There are no machines behind it, only the API: what Terraform reads back must be what it has set. `make conformance`
applies the same configurations to moto, too.
"""

from __future__ import annotations

import pytest
from instant_cloud import instant_cloud

from conformance import terraform
from conformance.__main__ import EXPECTED
from conformance.outcomes import PASSED, Outcome, read_expected

TYPES = sorted({kind for kinds in terraform.cases().values() for kind in kinds})
pytestmark = pytest.mark.timeout(1800)  # the first waits for all of them


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    directory = tmp_path_factory.mktemp("plans")
    # With all of them there, to write them takes longer than to answer.
    with instant_cloud(directory, saved_every=20) as cloud:
        return terraform.Configurations(cloud.endpoint, directory / "terraform", directory / "terraform.log").outcomes()


@pytest.mark.parametrize("kind", TYPES)
def test_nothing_is_planned_again(outcomes: dict[str, Outcome], kind: str) -> None:
    known = [
        difference
        for difference in read_expected(EXPECTED)[terraform.SERVICE]
        if difference.explains(f"{terraform.SERVICE}::{kind}", outcomes[kind])
    ]
    assert outcomes[kind].status == PASSED or known, outcomes[kind].message
