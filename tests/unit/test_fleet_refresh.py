"""The module fleet_refresh, against moto: which instances are to be replaced."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from autoscaling_world import World, new_world
from programs import as_module

MODULE = Path(__file__).resolve().parents[2] / "plugins/modules/fleet_refresh.py"


@pytest.fixture
def world() -> Iterator[World]:
    """A group of two, of the launch template's first version. The second has the same content, the third another."""
    with new_world() as world:
        world.client("ec2").create_launch_template_version(
            LaunchTemplateId=world.template_id, SourceVersion="1", LaunchTemplateData={"InstanceType": "t3.small"}
        )
        world.create_group(DesiredCapacity=2)
        world.settle()
        yield world


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    return as_module(MODULE, monkeypatch)


def parameters(world: World, version: str) -> dict[str, Any]:
    return {
        "launch_template_id": world.template_id,
        "version": version,
        "warmup": 0,
        "alarm": "",
        "bake_time": 0,
        "timeout": 10,
    }


def fleet_of(module: ModuleType, world: World) -> Any:
    return module.Fleet(SimpleNamespace(params={"group": "g"}, client=world.client))


@pytest.mark.parametrize(("version", "number"), [("1", 0), ("2", 0), ("3", 2)])
def test_compared_by_what_is_in_a_version(world: World, module: ModuleType, version: str, number: int) -> None:
    found = module.compare(fleet_of(module, world), parameters(world, version)).answer
    assert len(found["outdated"]) == number
    assert (found["total"], found["previous"]["version"]) == (2, "1")
    assert not world.group.instance_refreshes


@pytest.mark.parametrize(("version", "settled"), [("2", True), ("3", False)])
def test_settled_when_there_is_nothing_to_start(world: World, module: ModuleType, version: str, settled: bool) -> None:
    assert module.look(fleet_of(module, world), parameters(world, version))["settled"] is settled


def test_not_settled_while_a_refresh_is_under_way(world: World, module: ModuleType) -> None:
    fleet = fleet_of(module, world)
    module.start(fleet, parameters(world, "3"))
    assert module.look(fleet, parameters(world, "1"))["settled"] is False


@pytest.mark.parametrize(("version", "number"), [("2", 0), ("3", 1)])
def test_started_only_when_there_is_something_to_replace(
    world: World, module: ModuleType, version: str, number: int
) -> None:
    answer = module.start(fleet_of(module, world), parameters(world, version))
    assert (answer["changed"], bool(answer["refresh_id"])) == (bool(number), bool(number))
    again = module.start(fleet_of(module, world), parameters(world, version))
    assert (again["changed"], again["refresh_id"]) == (False, answer["refresh_id"])
    assert len(world.group.instance_refreshes) == number


def test_instance_on_its_way_out_is_not_compared(world: World, module: ModuleType) -> None:
    world.group.instance_states[0].lifecycle_state = "Terminating"
    found = module.compare(fleet_of(module, world), parameters(world, "3")).answer
    assert (len(found["outdated"]), found["total"]) == (1, 1)


def test_successful_when_each_instance_has_the_version(world: World, module: ModuleType) -> None:
    fleet = fleet_of(module, world)
    refresh = module.start(fleet, parameters(world, "3"))["refresh_id"]
    (started,) = fleet.refreshes(InstanceRefreshIds=[refresh])
    old = {member.instance_id for member in world.members()}
    assert {line.partition(" ")[0] for line in module.remaining(fleet, started)} == old
    world.settle(30)
    watched = module.watch(fleet, {"refresh_id": refresh})
    assert (watched["status"], watched["trouble"]) == ("Successful", [])


def launches(*outcomes: str, seconds: int = 30) -> list[dict[str, Any]]:
    """A group's activities, newest first, as AWS describes them; outcomes are in the order of time."""
    begun = datetime(2026, 11, 28, 20, tzinfo=UTC)
    return [
        {
            "Description": "Launching a new EC2 instance.  Status Reason: no room",
            "StatusCode": outcome,
            "StatusMessage": "no room",
            "StartTime": begun + timedelta(seconds=seconds * number),
        }
        for number, outcome in enumerate(outcomes)
    ][::-1]


@pytest.mark.parametrize(
    ("outcomes", "found"),
    [
        (["Failed"], []),
        (["Failed", "Failed", "Successful"], []),
        (["Failed", "Failed", "Failed", "Successful", "Failed"], []),
        (["Failed", "Failed"], []),
        (["Successful", "Failed", "Failed", "InProgress", "Failed"], ["no room"]),
    ],
)
def test_launches_have_failed_when_it_goes_on(module: ModuleType, outcomes: list[str], found: list[str]) -> None:
    assert module.failed_launches(launches(*outcomes)) == found
    # A moment without room may be more than one failure.
    assert module.failed_launches(launches(*outcomes, seconds=1)) == []
