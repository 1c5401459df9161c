"""List and run scenarios, write reports, compute uptime.

Exit codes of `run`: 0 the SLO and the goals are met, 1 the SLO is missed, 2 wrong use or broken, 3 only a stricter goal
is missed, 130 interrupted (what was measured is kept and judged).
"""

from __future__ import annotations

import argparse
import datetime
import json
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from loadtest import actions, claims, report, scenario, target, uptime
from loadtest.errors import LoadtestError
from loadtest.progress import Progress
from loadtest.run import Run


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return its exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtest", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="list the scenarios")
    run = commands.add_parser("run", help="run scenarios; the exit code is the verdict")
    run.add_argument(
        "scenario",
        nargs="*",
        help="name of a scenario in loadtest/scenarios, or a .yml file (default: loadtest_scenarios)",
    )
    run.add_argument("--yes", action="store_true", help="on AWS: don't ask whether the load is wanted")
    run.add_argument("--environment", default="local", help="name of a directory in inventory/ (default: local)")
    run.add_argument("--url", default="", help="the environment's address, to be sure; no other unless:")
    run.add_argument(
        "--outside-environment", action="store_true", help="load --url, whatever it is; it is yours to load"
    )
    run.add_argument("--path", action="append", default=[], help="with --outside-environment: a path to ask for")
    run.add_argument("--results", type=Path, help="directory of the results (default: .deploy/ENVIRONMENT/loadtest)")
    again = commands.add_parser("report", help="write the report of a run again")
    again.add_argument("directory", type=Path)
    figures = commands.add_parser("claims", help="put each scenario's newest figures into docs/performance.md")
    figures.add_argument("--environment", default="local", help="name of a directory in inventory/ (default: local)")
    uptime.add_arguments(
        commands.add_parser("uptime", help="compute group size and warm capacity from measured figures")
    )
    options = parser.parse_args(arguments)
    try:
        if options.command == "list":
            for name in scenario.names():
                print(f"{name:10} {scenario.load(name).description}")
            return 0
        if options.command == "report":
            print(report.write(options.directory))
            return 0
        if options.command == "claims":
            print(claims.write(target.deploy_directory(options.environment) / "loadtest"))
            return 0
        if options.command == "uptime":
            return uptime.run(options)
        return run_scenarios(options)
    except LoadtestError as error:
        print(f"\n{error}", file=sys.stderr)
        return 2
    except Exception:
        # Python's own exit code would be 1, which is the verdict that the SLO is missed.
        traceback.print_exc()
        return 2


def run_scenarios(options: argparse.Namespace) -> int:
    """Run scenarios one after the other; return the worst verdict."""
    scenarios = [scenario.load(name) for name in options.scenario]
    place = target.load(options.environment, options.url, outside=options.outside_environment)
    if options.path:
        if not options.outside_environment:
            raise LoadtestError(
                "--path is for --outside-environment", look="the scenario's paths", type_this="without --path"
            )
        place = target.with_paths(place, options.path)
    scenarios = scenarios or [scenario.load(name) for name in place.scenarios]
    if not scenarios:
        raise LoadtestError(
            "no scenario is named", look="python -m loadtest list", type_this="python -m loadtest run sustained"
        )
    # Before the first of them, which may take ten minutes.
    for wanted in scenarios:
        actions.check(wanted, place)
    results = options.results or target.deploy_directory(options.environment) / "loadtest"
    if place.warning and not options.yes:
        ask(place.warning, f"Load {place.url} with {', '.join(wanted.name for wanted in scenarios)}?")
    progress = Progress(sys.stderr)
    codes = []
    size = None
    for wanted in scenarios:
        moment = datetime.datetime.now(datetime.UTC).strftime("%Y%m%d-%H%M%S")
        directory = results / f"{moment}-{wanted.name}"
        progress.say(f"{wanted.name}: {wanted.description} ({place.url})")
        run = Run(wanted, place, directory, progress)
        size = run.settle(size)
        if run.interrupted:
            progress.say(f"{wanted.name}: interrupted before its load began")
            codes.append(130)
            break
        result = run()
        page = report.write(directory)
        print(summary(result, page), flush=True)
        codes.append(result["exit_code"])
        if result["interrupted"]:
            break
    order = (1, 130, 3, 0)
    return next(code for code in order if code in codes)


def ask(warning: str, question: str) -> None:
    """Say what it means, and go on when a person types yes. Raises LoadtestError otherwise."""
    print(f"{warning.strip()}\n", file=sys.stderr)
    print(f"{question} Type yes to go on: ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip() != "yes":
        raise LoadtestError(
            "nothing was tested, because nobody said yes", look="the list above", type_this="the same with --yes"
        )


def summary(result: dict[str, object], page: Path) -> str:
    """The verdict in a few lines."""
    data = json.loads(json.dumps(result))
    lines = [f"{data['scenario']}{' (interrupted)' if data['interrupted'] else ''}:"]
    for line in data["verdict"]:
        figure = report.number(line["figure"])
        what = "met   " if line["met"] else "MISSED"
        kind = "" if line["kind"] == "slo" else " (goal)"
        lines.append(f"  {what} {line['text']}{kind}: {figure} {line['unit']}, {line['comparison']} {line['limit']:g}")
    return "\n".join([*lines, f"  report: {page}"])
