"""Scenarios: short YAML files that say which load, for how long, and what happens meanwhile.

With `tool: open_loop` or `tool: k6` requests leave at a given rate, whatever the answers do; with `tool: ab` a fixed
number of clients each wait for an answer before they ask again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from loadtest.asking import METHODS, PLACEHOLDER, Request
from loadtest.errors import LoadtestError

DIRECTORY = Path(__file__).parent / "scenarios"
TOOLS = ("open_loop", "k6", "ab")
ARRIVALS = ("constant", "poisson")
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
    """A rate (1/s) for a time (s), which may grow or fall evenly until it is `to`; `until` may end it earlier."""

    rate: float
    duration: float
    until: str = ""
    to: float | None = None


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
    # Asked for in turn, instead of paths; or, as a visit, all of them one after the other by each who comes.
    requests: tuple[Request, ...] = ()
    is_visit: bool = False
    arrivals: str = "constant"
    processes: int = 1
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
        line = line_of(path.read_text(), str(error))
        raise _wrong(path, str(error), "loadtest/README.md lists the keys", line) from error


def line_of(text: str, complaint: str) -> int:
    """The line of the key that a complaint begins with, such as `phases[1].rate: ...`, or of what it is missing in."""
    node = yaml.compose(text, yaml.SafeLoader)
    line = 1
    for name, number in re.findall(r"(\w+)|\[(\d+)\]", re.match(r"[\w.\[\]]*", complaint)[0]):  # type: ignore[index]
        if isinstance(node, yaml.SequenceNode) and number and int(number) < len(node.value):
            node = node.value[int(number)]
            line = node.start_mark.line + 1
        elif isinstance(node, yaml.MappingNode) and name in (keys := {key.value: key for key, _ in node.value}):
            line = keys[name].start_mark.line + 1
            node = {key.value: value for key, value in node.value}[name]
        else:
            break
    return line


def _wrong(path: Path, what: str, hint: str, line: int = 0) -> LoadtestError:
    place = f"{path.name}, line {line}" if line else path.name
    return LoadtestError(f"scenario {place}: {what}", look=f"{path} ({hint})", type_this="the same again, once mended")


def parse(name: str, content: Any) -> Scenario:
    """Check a scenario's content. Raises ValueError, whose text names the key."""
    values = _mapping("the file", content)
    _known(
        "the file",
        values,
        {"description", "tool", "paths", "rate", "duration", "phases", "steps", "actions"}
        | {"timeout", "slo", "requests", "visit", "arrivals", "processes"},
    )
    tool = values.get("tool", "open_loop")
    if tool not in TOOLS:
        raise ValueError(f"tool: {tool!r} is none of {', '.join(TOOLS)}")
    description = values.get("description")
    if not isinstance(description, str) or not description.strip():
        raise ValueError("description: one sentence is missing")
    of_ours = {"visit", "arrivals", "processes"}
    at_a_rate = {"rate", "duration", "phases", "actions", "requests"}
    foreign = {"open_loop": {"steps"}, "k6": {"steps"} | of_ours, "ab": at_a_rate | of_ours}[tool] & values.keys()
    if foreign:
        raise ValueError(f"{', '.join(sorted(foreign))}: not with tool: {tool}")
    phases = () if tool == "ab" else _phases(values)
    actions = tuple(_action(f"actions[{number}]", item) for number, item in enumerate(_list("actions", values)))
    total = sum(phase.duration for phase in phases)
    for action in actions:
        if action.at >= total:
            raise ValueError(f"actions: {action.do} at {action.at:g} s is after the end, {total:g} s")
    steps = tuple(_step(f"steps[{number}]", item) for number, item in enumerate(_list("steps", values)))
    if tool == "ab" and not steps:
        raise ValueError("steps: at least one is needed, such as {requests: 5000, concurrency: 20}")
    asked = [key for key in ("paths", "requests", "visit") if key in values]
    if len(asked) > 1:
        raise ValueError(f"{' and '.join(asked)}: only one of them")
    arrivals = values.get("arrivals", "constant")
    if arrivals not in ARRIVALS:
        raise ValueError(f"arrivals: {arrivals!r} is none of {', '.join(ARRIVALS)}")
    return Scenario(
        name=name,
        description=description.strip(),
        tool=tool,
        paths=tuple(path(f"paths[{number}]", item) for number, item in enumerate(_list("paths", values))),
        requests=_requests(values),
        is_visit="visit" in values,
        arrivals=arrivals,
        processes=_whole("processes", values.get("processes", 1)),
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
    rate, to = _rate(f"{key}.rate", values["rate"])
    return Phase(rate, seconds(f"{key}.duration", values["duration"]), until, to)


def _rate(key: str, value: Any) -> tuple[float, float | None]:
    """A number, or {from: 100, to: 1000}."""
    if not isinstance(value, Mapping):
        return _number(key, value), None
    _known(key, _mapping(key, value), {"from", "to"})
    if value.keys() != {"from", "to"}:
        raise ValueError(f"{key}: from and to are needed, such as {{from: 100, to: 1000}}")
    return _number(f"{key}.from", value["from"]), _number(f"{key}.to", value["to"])


def _requests(values: Mapping[str, Any]) -> tuple[Request, ...]:
    key = "visit" if "visit" in values else "requests"
    found = [_request(f"{key}[{number}]", item, key) for number, item in enumerate(_list(key, values))]
    if key in values and not found:
        raise ValueError(f"{key}: at least one is needed, such as /date_time")
    known = {"visit"} if key == "visit" else set()
    for number, request in enumerate(found):
        texts = [request.path, request.body, *request.headers.values(), *(request.form or {}).values()]
        # Braces in a body may be its own, as in JSON.
        named = {name for text in texts for name in PLACEHOLDER.findall(text)} if key == "visit" else set()
        if unknown := sorted(name for name in named if name not in known):
            raise ValueError(f"{key}[{number}]: {{{unknown[0]}}} is kept by no request before it")
        known |= request.keep.keys()
    return tuple(found)


def _request(key: str, item: Any, kind: str) -> Request:
    values = {"path": item} if isinstance(item, str) else _mapping(key, item)
    of_visits = {"think", "keep"} if kind == "visit" else set()
    _known(key, values, {"path", "method", "headers", "form", "body", "expect"} | of_visits)
    method = values.get("method", "POST" if {"form", "body"} & values.keys() else "GET")
    if method not in METHODS:
        raise ValueError(f"{key}.method: {method!r} is none of {', '.join(METHODS)}")
    if {"form", "body"} <= values.keys():
        raise ValueError(f"{key}: form and body: only one of them")
    body = values.get("body", "")
    if not isinstance(body, str):
        raise ValueError(f"{key}.body: text is needed, not {body!r}")
    headers = _texts(f"{key}.headers", values.get("headers", {}))
    if wrong := [text for pair in headers.items() for text in pair if re.search(r"[\r\n]", text)]:
        raise ValueError(f"{key}.headers: {wrong[0]!r} is more than a line")
    expect: Any = values.get("expect", [])
    keep = _texts(f"{key}.keep", values.get("keep", {}))
    for name, pattern in keep.items():
        try:
            groups = re.compile(pattern).groups
        except re.error as error:
            raise ValueError(f"{key}.keep.{name}: {pattern!r} is no regular expression: {error}") from error
        if groups < 1 or not name.isidentifier():
            raise ValueError(f"{key}.keep.{name}: a name, and a regular expression with a group, such as 'key=(\\w+)'")
    return Request(
        path=path(f"{key}.path", values.get("path")),
        method=method,
        headers=headers,
        form=_texts(f"{key}.form", values["form"]) if "form" in values else None,
        body=body,
        think=seconds(f"{key}.think", values["think"]) if values.get("think") else 0.0,
        expect=tuple(_whole(f"{key}.expect", one) for one in (expect if isinstance(expect, list) else [expect])),
        keep=keep,
    )


def _texts(key: str, value: Any) -> dict[str, str]:
    """Names and values, which may be numbers."""
    found = _mapping(key, value)
    for name, text in found.items():
        if isinstance(text, bool) or not isinstance(text, str | int | float):
            raise ValueError(f"{key}.{name}: text is needed, not {text!r}")
    return {name: str(text) for name, text in found.items()}


def _whole(key: str, value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{key}: {value!r} is not a whole number from 1")
    return value


def _step(key: str, item: Any) -> Step:
    values = _mapping(key, item)
    _known(key, values, {"requests", "concurrency"})
    numbers = {name: _whole(f"{key}.{name}", values.get(name)) for name in ("requests", "concurrency")}
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
