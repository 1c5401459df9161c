"""Whether a steady load makes the group grow and shrink for ever, with the settings as they come: docs/uptime.md."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from localcloud.overlay.target_tracking import SCALE_IN_MARGIN, proportional_capacity

ROOT = Path(__file__).resolve().parents[2]
LOADS = range(1, 2001)  # percent of one instance's CPU


def settings(environment: str) -> dict[str, Any]:
    files = ("group_vars/all.yml", f"inventory/{environment}/group_vars/all.yml")
    return {key: value for file in files for key, value in yaml.safe_load((ROOT / file).read_text()).items()}


def by_thresholds(values: dict[str, Any], load: int, size: int) -> int:
    """The group's next size: the average CPU is what an alarm looks at, and its policy adds a fixed number."""
    cpu = load / size
    change = 0
    if cpu >= values["scale_out_cpu_threshold"]:
        change = values["scale_out_adjustment"]
    elif cpu <= values["scale_in_cpu_threshold"]:
        change = values["scale_in_adjustment"]
    return max(values["asg_min_size"], min(values["asg_max_size"], size + change))


def by_target(values: dict[str, Any], load: int, size: int) -> int:
    """The same with target tracking, whose low alarm is some way below the target."""
    cpu, target = load / size, values["target_cpu"]
    if target * SCALE_IN_MARGIN <= cpu <= target:
        return size
    return max(values["asg_min_size"], min(values["asg_max_size"], proportional_capacity(size, cpu, target)))


def swings(rule: Callable[[dict[str, Any], int, int], int], values: dict[str, Any]) -> dict[int, set[int]]:
    """The loads that never let a group rest that starts with its least size, and the sizes that it comes back to."""
    found = {}
    for load in LOADS:
        size, seen = values["asg_min_size"], []
        while size not in seen:
            seen.append(size)
            size = rule(values, load, size)
        if len(around := set(seen[seen.index(size) :])) > 1:
            found[load] = around
    return found


def test_the_older_projects_numbers_swing_on_aws() -> None:
    assert swings(by_thresholds, settings("aws")) == {load: {1, 11, 6} for load in range(40, 61)}


def test_those_of_the_local_cloud_do_not() -> None:
    assert swings(by_thresholds, settings("local")) == {}


@pytest.mark.parametrize("environment", ["local", "aws"])
def test_target_tracking_does_not(environment: str) -> None:
    assert swings(by_target, settings(environment)) == {}
