"""Scenarios: short YAML files that say which load, for how long, and what happens meanwhile.

With `tool: open_loop` requests leave at a constant rate, whatever the answers do; with `tool: ab` a fixed number of
clients each wait for an answer before they ask again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from loadtest.errors import LoadtestError

DIRECTORY = Path(__file__).parent / "scenarios"
TOOLS = ("open_loop", "ab")
ACTIONS = {
    "terminate_instance": "An instance in service is terminated",
    "hang_instance": "An instance in service hangs (local cloud only)",
    "reboot_database": "The database restarts",
}
# What may end a phase before its time.
CONDITIONS = ("minimum_size",)
UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
# Lines of an SLO: name -> what it limits. A scenario may give its own limits for any of them.
SLO_LINES = ("mean_ms", "max_ms", "p99_ms", "success_percent", "rate")


@dataclass(frozen=True)
class Phase:
    """A constant rate (requests/s) for a time (s); `until` may end it earlier."""

    rate: float
    duration: float
    until: str = ""


@dataclass(frozen=True)
class Step:
    """One run of `ab`: a number of requests by so many clients at once."""

    requests: int
    concurrency: int


@dataclass(frozen=True)
class Action:
    """What is done to the stack, `at` seconds after the load began."""

    at: float
    do: str


@dataclass(frozen=True)
class Scenario:
    """What a scenario file says, checked."""

    name: str
    description: str
    tool: str
    paths: tuple[str, ...] = ()
    phases: tuple[Phase, ...] = ()
    steps: tuple[Step, ...] = ()
    actions: tuple[Action, ...] = ()
    timeout: float = 10.0
    slo: Mapping[str, float] = field(default_factory=dict)

    @property
    def duration(self) -> float:
        """Longest time that the phases take, in seconds; 0 where the tool decides."""
        return sum(phase.duration for phase in self.phases)


def names() -> list[str]:
    """Names of the scenarios that come with the project."""
    return sorted(path.stem for path in DIRECTORY.glob("*.yml"))


def find(name: str) -> Path:
    """Return the file of a scenario, given by its name or as a path. Raises LoadtestError."""
    path = Path(name) if name.endswith((".yml", ".yaml")) else DIRECTORY / f"{name}.yml"
    if not path.is_file():
        raise LoadtestError(
            f"there is no scenario {name!r}",
            look=f"{DIRECTORY}: {', '.join(names())}",
            type_this=f"python -m loadtest run {names()[0]}   (or the path of a .yml file of your own)",
        )
    return path


def load(name: str) -> Scenario:
    """Read and check a scenario. Raises LoadtestError with the file, the key and what would be right."""
    path = find(name)
    try:
        content = yaml.safe_load(path.read_text())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _wrong(path, f"is not YAML: {error}", "see a scenario beside it") from error
    try:
        return parse(path.stem, content)
    except ValueError as error:
        raise _wrong(path, str(error), "loadtest/README.md lists the keys") from error


def _wrong(path: Path, what: str, hint: str) -> LoadtestError:
    return LoadtestError(
        f"scenario {path.name}: {what}", look=f"{path} ({hint})", type_this="the same again, once mended"
    )


def parse(name: str, content: Any) -> Scenario:
    """Check a scenario's content. Raises ValueError, whose text names the key."""
    values = _mapping("the file", content)
    _known(
        "the file",
        values,
        {"description", "tool", "paths", "rate", "duration", "phases", "steps", "actions"} | {"timeout", "slo"},
    )
    tool = values.get("tool", "open_loop")
    if tool not in TOOLS:
        raise ValueError(f"tool: {tool!r} is none of {', '.join(TOOLS)}")
    description = values.get("description")
    if not isinstance(description, str) or not description.strip():
        raise ValueError("description: one sentence is missing")
    foreign = {"open_loop": {"steps"}, "ab": {"rate", "duration", "phases", "actions"}}[tool] & values.keys()
    if foreign:
        raise ValueError(f"{', '.join(sorted(foreign))}: not with tool: {tool}")
    phases = _phases(values) if tool == "open_loop" else ()
    actions = tuple(_action(f"actions[{number}]", item) for number, item in enumerate(_list("actions", values)))
    total = sum(phase.duration for phase in phases)
    for action in actions:
        if action.at >= total:
            raise ValueError(f"actions: {action.do} at {action.at:g} s is after the end, {total:g} s")
    steps = tuple(_step(f"steps[{number}]", item) for number, item in enumerate(_list("steps", values)))
    if tool == "ab" and not steps:
        raise ValueError("steps: at least one is needed, such as {requests: 5000, concurrency: 20}")
    return Scenario(
        name=name,
        description=description.strip(),
        tool=tool,
        paths=tuple(path(f"paths[{number}]", item) for number, item in enumerate(_list("paths", values))),
        phases=phases,
        steps=steps,
        actions=tuple(sorted(actions, key=lambda action: action.at)),
        timeout=seconds("timeout", values.get("timeout", 10)),
        slo=slo("slo", values.get("slo", {})),
    )


def slo(key: str, value: Any) -> dict[str, float]:
    """Check limits by name."""
    lines = _mapping(key, value)
    _known(key, lines, set(SLO_LINES))
    return {name: _number(f"{key}.{name}", limit) for name, limit in lines.items()}


def seconds(key: str, value: Any) -> float:
    """Read a time: a number of seconds, or text such as 30s, 10m, 500ms. Raises ValueError."""
    if isinstance(value, str):
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h)", value.strip())
        if not match:
            raise ValueError(f"{key}: {value!r} is no time, such as 30s, 10m or 500ms")
        value = float(match[1]) * UNITS[match[2]]
    return _number(key, value)


def _phases(values: Mapping[str, Any]) -> tuple[Phase, ...]:
    if "phases" in values:
        if "rate" in values or "duration" in values:
            raise ValueError("phases: not together with rate and duration")
        phases = tuple(_phase(f"phases[{number}]", item) for number, item in enumerate(_list("phases", values)))
        if not phases:
            raise ValueError("phases: at least one is needed, such as {rate: 1000, duration: 1m}")
        if any(phase.until for phase in phases[:-1]):
            raise ValueError("phases: only the last one may have until")
        return phases
    missing = [key for key in ("rate", "duration") if key not in values]
    if missing:
        raise ValueError(f"{' and '.join(missing)}: missing (requests/s; such as 10m)")
    return (_phase("the file", {key: values[key] for key in ("rate", "duration")}),)


def _phase(key: str, item: Any) -> Phase:
    values = _mapping(key, item)
    _known(key, values, {"rate", "duration", "until"})
    if not {"rate", "duration"} <= values.keys():
        raise ValueError(f"{key}: rate and duration are needed")
    until = values.get("until", "")
    if until and until not in CONDITIONS:
        raise ValueError(f"{key}.until: {until!r} is none of {', '.join(CONDITIONS)}")
    return Phase(_number(f"{key}.rate", values["rate"]), seconds(f"{key}.duration", values["duration"]), until)


def _step(key: str, item: Any) -> Step:
    values = _mapping(key, item)
    _known(key, values, {"requests", "concurrency"})
    numbers = {}
    for name in ("requests", "concurrency"):
        number = values.get(name)
        if not isinstance(number, int) or isinstance(number, bool) or number < 1:
            raise ValueError(f"{key}.{name}: {number!r} is not a whole number from 1")
        numbers[name] = number
    if numbers["concurrency"] > numbers["requests"]:
        raise ValueError(f"{key}.concurrency: more clients than requests")
    return Step(**numbers)


def _action(key: str, item: Any) -> Action:
    values = _mapping(key, item)
    _known(key, values, {"at", "do"})
    if values.get("do") not in ACTIONS:
        raise ValueError(f"{key}.do: {values.get('do')!r} is none of {', '.join(ACTIONS)}")
    if "at" not in values:
        raise ValueError(f"{key}.at: missing, such as 20s")
    return Action(seconds(f"{key}.at", values["at"]), values["do"])


def path(key: str, value: Any) -> str:
    """Check a path of the application. Raises ValueError."""
    # `//host/` would be another host's address to whatever resolves it.
    if not isinstance(value, str) or not re.fullmatch(r"/(?!/)[!-~]*", value):
        raise ValueError(
            f"{key}: {value!r} is no path of the application, such as /date_time; the address is the environment's"
        )
    return value


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ValueError(f"{key}: keys and values are needed, not {value!r}")
    return value


def _list(key: str, values: Mapping[str, Any]) -> list[Any]:
    value = values.get(key, [])
    if not isinstance(value, list):
        raise ValueError(f"{key}: a list is needed, not {value!r}")
    return value


def _known(key: str, values: Mapping[str, Any], known: set[str]) -> None:
    unknown = sorted(values.keys() - known)
    if unknown:
        raise ValueError(f"{key}: {', '.join(unknown)} is unknown; there are {', '.join(sorted(known))}")


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ValueError(f"{key}: {value!r} is not a number above 0")
    return float(value)
