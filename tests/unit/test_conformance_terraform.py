"""What `make conformance` makes of what Terraform says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conformance import terraform
from conformance.errors import ConformanceError
from conformance.outcomes import FAILED, PASSED, SKIPPED, Outcome, read_report

TYPES = {"network": ["aws_subnet", "aws_vpc"], "groups": ["aws_security_group", "aws_vpc"]}
VPC, SUBNET = "module.network.aws_vpc.main", "module.network.aws_subnet.main[0]"
GROUP, OTHER_VPC = "module.groups.aws_security_group.main", "module.groups.aws_vpc.main"
NAMES = (VPC, SUBNET, GROUP, OTHER_VPC)


def change(kind: str, *addresses: str, action: str = "create") -> list[dict[str, Any]]:
    key = "change" if kind == "planned_change" else "hook"
    return [{"type": kind, key: {"resource": {"addr": address}, "action": action}} for address in addresses]


def error(address: str, summary: str = "refused") -> list[dict[str, Any]]:
    diagnostic = {"severity": "error", "summary": summary, "detail": "", **({"address": address} if address else {})}
    return [{"type": "diagnostic", "diagnostic": diagnostic}]


def applied(*addresses: str) -> list[dict[str, Any]]:
    return [event for kind in ("planned_change", "apply_start", "apply_complete") for event in change(kind, *addresses)]


@pytest.fixture
def outcomes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Gives the outcomes where Terraform answers so, command by command, and what it was told."""

    def run(*answers: list[dict[str, Any]]) -> tuple[dict[str, Outcome], list[tuple[str, ...]]]:
        told: list[tuple[str, ...]] = []
        rest = list(answers)

        def answer(_self: Any, *arguments: str) -> tuple[int, str]:
            if arguments[0] == "init":
                return 0, ""
            told.append(arguments)
            return 0, "\n".join(["not JSON", *map(json.dumps, rest.pop(0) if rest else [])])

        source = tmp_path / "source"
        source.mkdir()
        for name, kinds in TYPES.items():
            (source / f"{name}.tf").write_text("".join(f'resource "{kind}" "main" {{}}\n' for kind in kinds))
        monkeypatch.setattr(terraform.Configurations, "_run", answer)
        configurations = terraform.Configurations("http://here", tmp_path / "work", tmp_path / "log", source)
        return configurations.outcomes(), told

    return run


def statuses(outcomes: dict[str, Outcome]) -> list[str]:
    return [outcomes[kind].status for kind in ("aws_vpc", "aws_subnet", "aws_security_group")]


def test_all_is_well(outcomes: Any) -> None:
    found, told = outcomes(applied(*NAMES), change("planned_change", VPC, action="read"), [], [], [])
    assert statuses(found) == [PASSED, PASSED, PASSED]
    assert [arguments[0] for arguments in told] == ["apply", "plan", "apply", "plan", "destroy"]


def test_what_is_planned_again_has_failed(outcomes: Any) -> None:
    found, _ = outcomes(applied(*NAMES), change("planned_change", SUBNET, action="update"))
    assert statuses(found) == [PASSED, FAILED, PASSED]
    assert found["aws_subnet"].message == f"plan after apply: {SUBNET}: update is planned"


def test_what_stands_on_a_failure_is_not_reached(outcomes: Any) -> None:
    begun = change("planned_change", VPC, SUBNET) + change("apply_start", VPC) + error(VPC, "no more VPCs")
    found, told = outcomes(begun + applied(OTHER_VPC, GROUP), change("planned_change", VPC, SUBNET))
    assert statuses(found) == [FAILED, SKIPPED, PASSED]
    assert "no more VPCs" in found["aws_vpc"].message
    assert len(told) == 5


def test_a_configuration_that_cannot_be_planned_is_left_out(outcomes: Any) -> None:
    found, told = outcomes(error(GROUP, "no such filter"), applied(VPC, SUBNET))
    assert statuses(found) == [PASSED, PASSED, FAILED]
    assert not any("-target" in argument for argument in told[0])
    assert all("-target=module.network" in arguments for arguments in told[1:])
    assert [arguments[0] for arguments in told] == ["apply", "apply", "plan", "apply", "plan", "destroy"]


def test_what_can_not_be_read_leaves_its_configuration_out(outcomes: Any) -> None:
    found, told = outcomes(applied(*NAMES), error(VPC, "gone"))
    assert statuses(found) == [FAILED, SKIPPED, PASSED]
    assert all("-target=module.groups" in arguments for arguments in told[2:])


def test_what_is_not_destroyed_has_failed(outcomes: Any) -> None:
    left = change("planned_change", *NAMES) + change("apply_start", *NAMES) + error(GROUP, "in use")
    found, _ = outcomes(applied(*NAMES), [], [], [], left + change("apply_complete", VPC, SUBNET, OTHER_VPC))
    assert statuses(found) == [PASSED, PASSED, FAILED]
    assert found["aws_security_group"].message.startswith("destroy: ")


def test_a_failure_that_names_its_resource_in_words_is_that_resources(outcomes: Any) -> None:
    said = f"When applying changes to {GROUP}, provider produced an unexpected new value."
    found, _ = outcomes(applied(VPC, SUBNET, OTHER_VPC) + change("planned_change", GROUP) + error("", said))
    assert statuses(found) == [PASSED, PASSED, FAILED]


def test_what_could_not_be_destroyed_is_said_beside_the_failure(outcomes: Any) -> None:
    left = change("planned_change", *NAMES) + change("apply_start", *NAMES)
    ended = change("apply_complete", VPC, SUBNET, OTHER_VPC) + change("apply_errored", GROUP) + error("", "in use")
    found, _ = outcomes(applied(*NAMES), [], [], [], left + ended)
    assert statuses(found) == [PASSED, PASSED, FAILED]
    assert "in use" in found["aws_security_group"].message


def test_a_failure_of_nothing_in_particular_ends_it(outcomes: Any) -> None:
    with pytest.raises(ConformanceError, match="provider"):
        outcomes(error("", "the provider does not start"))


def test_report(tmp_path: Path) -> None:
    found = {"aws_vpc": Outcome(PASSED), "aws_eip": Outcome(FAILED, "apply: why"), "aws_lb": Outcome(SKIPPED)}
    terraform.write_report(found, tmp_path / "report.xml")
    read = read_report(tmp_path / "report.xml")
    assert {test: outcome.status for test, outcome in read.items()} == {
        f"{terraform.SERVICE}::{kind}": outcome.status for kind, outcome in found.items()
    }
    assert "apply: why" in read["Terraform::aws_eip"].message


def test_each_type_of_ours_is_a_case() -> None:
    stages = [terraform.cases(stage) for stage in terraform.ROOT.glob("terraform/*")]
    ours = {kind for stage in stages for kinds in stage.values() for kind in kinds if kind.startswith("aws_")}
    assert ours <= {kind for kinds in terraform.cases().values() for kind in kinds}
