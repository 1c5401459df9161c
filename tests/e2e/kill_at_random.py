"""Kill deployments at moments that nobody chose; each time the next run must serve, and a teardown leave nothing.

    PYTHONPATH=. .venv/bin/python tests/e2e/kill_at_random.py --times 10 [--seed 7]

Each time takes some five minutes. The seed, which is printed, makes the same moments again. Nothing but a copy of the
project, with a local cloud of its own, is touched; it stays when something fails, and its path is printed.
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from pathlib import Path

from project_copy import Project
from stack import PATHS, assert_nothing_is_left, succeeded


def kill(project: Project, playbook: str, seconds: float) -> bool:
    """Kill a run after so many seconds; tell whether it was still at work then."""
    with project.started_playbook(playbook) as started:
        deadline = time.monotonic() + seconds
        while started.running and time.monotonic() < deadline:
            time.sleep(0.05)
        running = started.running
        project.kill()
    return running


def once(project: Project, moments: random.Random, usual: float) -> None:
    """Kill a deployment, deploy, kill the teardown or a deployment again, tear down."""
    seconds = moments.uniform(0, usual)
    print(f"  site.yml killed after {seconds:.1f} s", flush=True)
    kill(project, "site.yml", seconds)
    succeeded(project.playbook("site.yml"))
    for path in PATHS:
        assert project.get(path).status == 200, path
    seconds = moments.uniform(0, 60)
    running = kill(project, "teardown.yml", seconds)
    print(f"  teardown.yml killed after {seconds:.1f} s" if running else "  teardown.yml ended before", flush=True)
    assert "WARNING" not in succeeded(project.playbook("teardown.yml")).output
    assert_nothing_is_left(project)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Kill deployments at random moments.")
    parser.add_argument("--times", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1000))
    parser.add_argument("--port", type=int, default=14690, help="of the local cloud")
    parser.add_argument("--cidr", default="10.99.0.0/16", help="of its VPC")
    parser.add_argument("--usual", type=float, default=200, help="seconds that a deployment from nothing takes here")
    arguments = parser.parse_args()
    moments = random.Random(arguments.seed)
    directory = Path(tempfile.mkdtemp(prefix="killed-"))
    project = Project.copy_to(directory / "project", arguments.port, arguments.cidr)
    print(f"in {directory}, --seed {arguments.seed}")
    for number in range(1, arguments.times + 1):
        print(f"{number} of {arguments.times}", flush=True)
        once(project, moments, arguments.usual)
    print("each time the next run served, and the teardown left nothing")


if __name__ == "__main__":
    main()
