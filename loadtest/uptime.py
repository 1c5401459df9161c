"""How many instances an uptime takes, from measured figures; docs/uptime.md derives it and says what is weak in it.

Each instance is down with a probability p, which follows from how often it fails and how long until another serves in
its place. Of n instances, k are needed for the load. The service is down while fewer than k are up.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from loadtest import figures
from loadtest.errors import LoadtestError

PAGE = Path(__file__).parents[1] / "docs/uptime.md"
COMMAND = "python -m loadtest uptime --table"
# Those of the table: from what is easy to what is hard.
SLOS = (99.9, 99.99, 99.999)
INPUTS = Path(__file__).with_name("uptime.yml")
DAY = 86400.0
# More instances than this are no answer.
MOST_INSTANCES = 1000


@dataclass(frozen=True)
class Inputs:
    """The figures of uptime.yml, by the same names; times in s, rates in requests/s."""

    launch_to_healthy: float
    detection_dead: float
    detection_hanging: float
    hanging_share: float
    instance_failures_per_day: float
    common_cause_share: float
    deploys_per_day: float
    lost_per_deploy: float
    database_restarts_per_day: float
    database_restart: float
    load_balancer_lost_per_day: float
    alarm_delay: float
    growth_per_minute: float
    capacity_per_instance: float

    @property
    def detection(self) -> float:
        """Mean time until a failed instance gets no more requests, in s."""
        return self.hanging_share * self.detection_hanging + (1 - self.hanging_share) * self.detection_dead

    @property
    def repair(self) -> float:
        """Mean time from a failure until another instance serves, in s."""
        return self.detection + self.launch_to_healthy

    @property
    def down_probability(self) -> float:
        """Probability that an instance is down at a given moment: repair / (time between failures + repair)."""
        between = DAY / self.instance_failures_per_day if self.instance_failures_per_day else math.inf
        return float(self.repair / (between + self.repair))


@dataclass(frozen=True)
class Losses:
    """Seconds a day in which requests fail, by cause. A second in which a tenth of them fails counts as a tenth."""

    too_few: float
    common_cause: float
    undetected: float
    deploys: float
    database: float
    load_balancer: float

    @property
    def total(self) -> float:
        return float(sum(vars(self).values()))

    @property
    def whatever_the_size(self) -> float:
        """What no further instance takes away."""
        return self.total - self.too_few


@dataclass(frozen=True)
class Answer:
    """The smallest group that keeps within the budget; `size` is None where none does."""

    budget: float
    needed: int
    warm: int
    size: int | None
    losses: Losses


def too_few_up(size: int, needed: int, down: float) -> float:
    """Probability that fewer than `needed` of `size` instances are up, each down with probability `down` by itself."""
    if needed > size:
        return 1.0
    if down in (0.0, 1.0):
        return 1.0 if down and needed else 0.0
    # By logarithms: the binomial coefficients of a few hundred instances don't fit into a float.
    log_up, log_down = math.log1p(-down), math.log(down)
    return math.fsum(
        math.exp(_log_choose(size, up) + up * log_up + (size - up) * log_down) for up in range(min(needed, size + 1))
    )


def _log_choose(size: int, chosen: int) -> float:
    return math.lgamma(size + 1) - math.lgamma(chosen + 1) - math.lgamma(size - chosen + 1)


def instances_for(rate: float, capacity: float) -> int:
    """Instances that carry a rate, at least one."""
    # Rounded, so that 3 x 0.1 / 0.1 is three instances and not four.
    return max(1, math.ceil(round(rate / capacity, 9)))


def losses(inputs: Inputs, size: int, needed: int) -> Losses:
    """Losses of a group of `size` of which `needed` carry the load."""
    down, common = inputs.down_probability, inputs.common_cause_share
    return Losses(
        too_few=DAY * too_few_up(size, needed, down * (1 - common)),
        common_cause=DAY * down * common,
        # n instances fail n times as often, and each failure hits one n-th of the requests: the size cancels out.
        undetected=inputs.instance_failures_per_day * (1 - common) * inputs.detection,
        deploys=inputs.deploys_per_day * inputs.lost_per_deploy,
        database=inputs.database_restarts_per_day * inputs.database_restart,
        load_balancer=inputs.load_balancer_lost_per_day,
    )


def warm_instances(inputs: Inputs, rate: float) -> int:
    """Instances beyond those that carry the rate, which carry what is added until new ones serve."""
    growth = inputs.growth_per_minute / 60 * (inputs.alarm_delay + inputs.launch_to_healthy)
    capacity = inputs.capacity_per_instance
    return instances_for(rate + growth, capacity) - instances_for(rate, capacity)


def smallest_group(inputs: Inputs, slo_percent: float, rate: float) -> Answer:
    """The smallest group that serves `rate` with `slo_percent` of the time of a day, and has its warm instances."""
    budget = DAY * (1 - slo_percent / 100)
    needed = instances_for(rate, inputs.capacity_per_instance)
    warm = warm_instances(inputs, rate)
    for size in range(needed + warm, needed + warm + MOST_INSTANCES):
        found = losses(inputs, size, needed)
        if found.total <= budget:
            return Answer(budget, needed, warm, size, found)
        if found.whatever_the_size > budget:
            break
    return Answer(budget, needed, warm, None, losses(inputs, needed + warm, needed))


def read(file: Path = INPUTS) -> tuple[Inputs, dict[str, dict[str, Any]]]:
    """Read the figures, and the file's content with their sources. Raises LoadtestError."""
    try:
        content = yaml.safe_load(file.read_text())
        values = {name: _value(name, entry) for name, entry in content.items()}
        inputs = Inputs(**values)
        for name in ("hanging_share", "common_cause_share"):
            if values[name] > 1:
                raise ValueError(f"{name}: a share is at most 1")
        if not inputs.capacity_per_instance:
            raise ValueError("capacity_per_instance: above 0")
    except (OSError, yaml.YAMLError, TypeError, ValueError, AttributeError) as error:
        raise LoadtestError(f"{file}: {error}", look=str(INPUTS), type_this="the same again, once mended") from error
    return inputs, content


def _value(name: str, entry: Mapping[str, Any]) -> float:
    if not isinstance(entry, Mapping) or {"value", "measured", "source"} != entry.keys() - {"aws"}:
        raise ValueError(f"{name}: value, measured and source are needed")
    for key in entry.keys() & {"value", "aws"}:
        value = entry[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
            raise ValueError(f"{name}.{key}: {value!r} is not a number from 0")
    return float(entry["value"])


def on_aws(content: Mapping[str, Mapping[str, Any]]) -> Inputs:
    """The figures of a file, with what it assumes of AWS in place of what was measured here."""
    return Inputs(**{name: float(entry.get("aws", entry["value"])) for name, entry in content.items()})


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `uptime`."""
    parser.add_argument("--slo", type=float, default=99.99, help="percent of the time of a day (default: 99.99)")
    parser.add_argument("--rate", type=float, default=1000, help="requests/s (default: 1000)")
    parser.add_argument("--capacity", type=float, help="requests/s of one instance (default: of the file)")
    parser.add_argument(
        "--table", action="store_true", help="for 99.9, 99.99 and 99.999 %%; written into docs/uptime.md"
    )
    parser.add_argument("--inputs", type=Path, default=INPUTS, help="file of figures (default: loadtest/uptime.yml)")


def table(places: Mapping[str, Inputs], rate: float) -> Iterator[str]:
    """The older project's question, for each of `SLOS`: how many nodes, when each is down with probability p."""
    heads = (
        "",
        "uptime",
        "may fail, s a day",
        "p",
        "carry the load",
        "warm for growth",
        "for failures",
        "**instances**",
        "fail, s a day",
    )
    yield f"| {' | '.join(heads)} |"
    yield "|" + "---|" * len(heads)
    for (place, inputs), slo in itertools.product(places.items(), SLOS):
        answer = smallest_group(inputs, slo, rate)
        spare = "none is enough" if answer.size is None else str(answer.size - answer.needed - answer.warm)
        cells = [
            place,
            f"{slo:g} %",
            f"{answer.budget:.2f}",
            f"{inputs.down_probability:.1e}",
            answer.needed,
            answer.warm,
        ]
        cells += [spare, f"**{answer.size or '-'}**", f"{answer.losses.total:.2f}"]
        yield f"| {' | '.join(map(str, cells))} |"


def run(options: argparse.Namespace) -> int:
    """Print the answer; 1 when no group keeps within the budget."""
    inputs, sources = read(options.inputs)
    if options.capacity is not None:
        inputs = Inputs(**{**vars(inputs), "capacity_per_instance": options.capacity})
    if not 0 < options.slo < 100 or options.rate <= 0 or inputs.capacity_per_instance <= 0:
        raise LoadtestError(
            "--slo is between 0 and 100, --rate and --capacity above 0",
            look="python -m loadtest uptime --help",
            type_this="python -m loadtest uptime --slo 99.99 --rate 1000 --capacity 400",
        )
    if options.table:
        lines = list(table({"the local cloud, measured": inputs, "AWS, assumed": on_aws(sources)}, options.rate))
        print("\n".join(lines))
        figures.write(PAGE, COMMAND, lines)
        return 0
    answer = smallest_group(inputs, options.slo, options.rate)
    print(f"{options.slo:g} % of a day leaves {answer.budget:.2f} s in which requests may fail.")
    print(f"An instance is down with p = {inputs.down_probability:.2e}: {inputs.repair:.1f} s each time.\n")
    if answer.size is None:
        print("No group keeps within that, whatever its size:")
    else:
        print(
            f"Smallest group: {answer.size} instances ({answer.needed} carry {options.rate:g} requests/s, "
            f"{answer.warm} warm for growth, {answer.size - answer.needed - answer.warm} for failures)"
        )
    for name, value in vars(answer.losses).items():
        print(f"  {name.replace('_', ' '):16} {value:10.4f} s a day")
    print(f"  {'total':16} {answer.losses.total:10.4f} s a day\n")
    assumed = [name for name, entry in sources.items() if not entry["measured"]]
    print(f"Assumed, not measured: {', '.join(assumed)} ({options.inputs})")
    return 0 if answer.size is not None else 1
