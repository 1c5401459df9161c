"""What a host still serves when 2 and 4 times as many requests come as it can serve: `python -m benchmarks.overload`.

The host may use half a core, so that the generator has the rest. Each request takes the same CPU time in web2py; the
capacity is what clients get who ask one after the other (wrk). Then requests come at a multiple of that rate, from
visitors who don't wait for each other (loadtest/open_loop.py). Served are those who get a 200 within 2 s.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks import wrk
from benchmarks.lab import PROJECT_ROOT, Lab, wait_until
from loadtest.measurements import Answer, read_answers

HERE = Path(__file__).parent
IN_TIME = 2000  # ms
CORES = 0.5
PERIOD = 100_000  # us, in each of which the host has its share
CAPACITY_SECONDS = 10
MULTIPLES = (2, 4)


@dataclass(frozen=True)
class Overload:
    """One measurement. `capacity`: requests/s; `goodput`: the share of it that was served in time; `outcomes`:
    status, or what went wrong, -> how many; `refused_ms`: how long 99 of 100 who were refused waited at most."""

    milliseconds: float
    multiple: int
    capacity: float
    goodput: float
    outcomes: Counter[str]
    refused_ms: float

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()))
        refused = f", refused within {self.refused_ms:.0f} ms" if self.outcomes["503"] else ""
        return (
            f"{self.milliseconds:5g} ms, with all around it {1000 * CORES / self.capacity:4.1f}  "
            f"{self.capacity:6.0f}/s  {self.multiple}x  {100 * self.goodput:5.1f} %  "
            f"({outcomes}{refused})"
        )


def measure(lab: Lab, milliseconds: float, multiple: int, seconds: int) -> Overload:
    """Capacity first, each time: what else this machine does changes it."""
    url = f"{lab.url}/default/work/{milliseconds}"
    wrk.run(url, seconds=2, clients=8)
    capacity = wrk.run(url, seconds=CAPACITY_SECONDS, clients=8).rate
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "answers.csv"
        command = [sys.executable, "-m", "loadtest.open_loop", lab.url, "--path", f"/default/work/{milliseconds}"]
        command += ["--phase", f"{multiple * capacity:.0f}:{seconds}", "--output", str(file)]
        subprocess.run(command, cwd=PROJECT_ROOT, check=True, stdout=subprocess.DEVNULL)
        return sum_up(read_answers(file), milliseconds, multiple, capacity, seconds)


def sum_up(answers: Sequence[Answer], milliseconds: float, multiple: int, capacity: float, seconds: int) -> Overload:
    """What became of the requests of so many seconds."""
    served = sum(answer.outcome == "200" and answer.latency < IN_TIME for answer in answers)
    refused = sorted(answer.latency for answer in answers if answer.outcome == "503") or [0.0]
    return Overload(
        milliseconds=milliseconds,
        multiple=multiple,
        capacity=capacity,
        goodput=served / (capacity * seconds),
        outcomes=Counter(answer.outcome for answer in answers),
        refused_ms=refused[int(0.99 * (len(refused) - 1))],
    )


def main(arguments: Sequence[str] | None = None) -> None:
    """Set the lab up, measure, print a line for each."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.overload", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of each overload (default: 60)")
    parser.add_argument("--rounds", type=int, default=1, help="measurements of each (default: 1)")
    parser.add_argument(
        "--milliseconds", type=float, nargs="+", default=[0.2, 1.5, 5], help="of CPU time (default: 0.2 1.5 5)"
    )
    options = parser.parse_args(arguments)
    wrk.install()
    with Lab("web2py-overload").running() as lab:
        print("Setting up a host ...", flush=True)
        lab.play(
            HERE / "host.yml",
            web2py_app_source=str(HERE / "busy"),
            web2py_app_smoke_paths=["/"],
            web2py_app_sessions="files",
            web2py_app_tickets="files",
            web2py_app_uploads="local",
        )
        lab.host.update(cpu_period=PERIOD, cpu_quota=int(CORES * PERIOD))
        wait_until(lambda: lab.run("curl", "--silent", "http://127.0.0.1/") == "busy", "the host serves")
        for _round in range(options.rounds):
            for milliseconds in options.milliseconds:
                for multiple in MULTIPLES:
                    print(measure(lab, milliseconds, multiple, options.seconds), flush=True)


if __name__ == "__main__":
    main()
