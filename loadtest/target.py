"""What is tested: the deployment of one environment, as playbooks/loadtest.yml wrote it down.

An address that is not that deployment's is refused unless it is asked for by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtest.errors import LoadtestError
from loadtest.scenario import path as scenario_path
from loadtest.scenario import slo

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Target:
    """A deployment. Without `autoscaling_group` nothing can be sampled beside the load or done to the stack."""

    environment: str
    url: str
    paths: tuple[str, ...]
    slo: Mapping[str, float]
    goals: Mapping[str, float]
    autoscaling_group: str = ""
    target_group_arn: str = ""
    database: str = ""
    alarm_period: int = 60
    alarm_evaluation_periods: int = 2
    # What is run where no scenario is named, and what a load test means there: none on the local cloud.
    scenarios: tuple[str, ...] = ()
    warning: str = ""
    # Environment variables that lead boto3 to this deployment's API.
    variables: Mapping[str, str] = field(default_factory=dict)

    @property
    def reaction_time(self) -> int:
        """Seconds after a load in which the group's alarms have seen all of it. Metrics come a period late; those of
        target tracking look at three minutes."""
        return max(self.alarm_period * (self.alarm_evaluation_periods + 2), 300)


def deploy_directory(environment: str, root: Path = ROOT) -> Path:
    """Where a deployment's files are."""
    return root / ".deploy" / environment


def load(environment: str, url: str = "", *, outside: bool = False, root: Path = ROOT) -> Target:
    """Read an environment's deployment; `url` may name its address again, or with `outside` any other.

    Raises LoadtestError.
    """
    directory = deploy_directory(environment, root)
    settings_file = directory / "loadtest.json"
    try:
        settings: dict[str, Any] = json.loads(settings_file.read_text())
    except FileNotFoundError:
        settings = {}
    except ValueError as error:
        raise LoadtestError(
            f"{settings_file} is broken: {error}", look=str(settings_file), type_this="make loadtest"
        ) from error
    try:
        own = (directory / "url").read_text().strip()
    except FileNotFoundError:
        own = ""
    if outside:
        if not url:
            raise LoadtestError(
                "--outside-environment without an address",
                look="python -m loadtest run --help",
                type_this="--url http://...",
            )
        return Target(environment, _origin(url), *_limits(settings))
    if not own:
        raise LoadtestError(
            f"nothing is deployed in `{environment}`",
            look=str(directory / "url"),
            type_this=f"make deploy ENV={environment}",
        )
    if url and _origin(url) != _origin(own):
        raise LoadtestError(
            f"{url} is not the address of `{environment}`, which is {own}",
            look=str(directory / "url"),
            type_this="the same without --url, or with --outside-environment if that address is yours to load",
        )
    if not settings:
        raise LoadtestError(
            f"the deployment in `{environment}` has not been described for load tests",
            look=str(settings_file),
            type_this=f"ansible-playbook -i inventory/{environment} playbooks/loadtest.yml",
        )
    return Target(
        environment,
        _origin(own),
        *_limits(settings),
        autoscaling_group=settings["autoscaling_group"],
        target_group_arn=settings["target_group_arn"],
        database=settings["database"],
        alarm_period=int(settings["alarm_period"]),
        # A description from before it was one of its lines.
        alarm_evaluation_periods=int(settings.get("alarm_evaluation_periods", 2)),
        scenarios=tuple(settings.get("scenarios", ())),
        warning=settings.get("warning", ""),
        variables=settings["variables"],
    )


def with_paths(target: Target, paths: Sequence[str]) -> Target:
    """Return the target with other paths; they are checked as a scenario's are. Raises LoadtestError."""
    try:
        checked = tuple(scenario_path("--path", path) for path in paths)
    except ValueError as error:
        raise LoadtestError(str(error), look="python -m loadtest run --help", type_this="--path /") from error
    return replace(target, paths=checked)


def _limits(settings: Mapping[str, Any]) -> tuple[tuple[str, ...], dict[str, float], dict[str, float]]:
    try:
        limits = slo("loadtest_slo", settings.get("slo", {})), slo("loadtest_goals", settings.get("goals", {}))
    except ValueError as error:
        raise LoadtestError(str(error), look="group_vars/all.yml", type_this="make loadtest") from error
    return tuple(settings.get("paths", ["/"])), *limits


def _origin(url: str) -> str:
    """Scheme, host and port of an address. Raises LoadtestError when it has none."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise LoadtestError(
            f"{url!r} is no address", look="python -m loadtest run --help", type_this="--url http://host"
        )
    return f"{parts.scheme}://{parts.netloc}".lower()
