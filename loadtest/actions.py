"""What a scenario does to the stack while the load runs."""

from __future__ import annotations

import os
import subprocess
import sys
from urllib.parse import urlsplit

from loadtest.errors import LoadtestError
from loadtest.sampling import Sampler
from loadtest.scenario import Action, Scenario
from loadtest.target import ROOT, Target


class Actions:
    """Carries out actions; `undo` wakes what still hangs at the end."""

    def __init__(self, sampler: Sampler, target: Target) -> None:
        self.sampler = sampler
        self.target = target
        self.hanging: list[str] = []

    def do(self, action: Action) -> str:
        """Carry out an action and say what was done. Raises whatever the API raises."""
        if action.do == "reboot_database":
            self.sampler.rds.reboot_db_instance(DBInstanceIdentifier=self.target.database)
            return f"database {self.target.database} restarts"
        instances = self.sampler.in_service()
        if not instances:
            return f"{action.do}: no instance is in service"
        if action.do == "terminate_instance":
            self.sampler.ec2.terminate_instances(InstanceIds=[instances[0]])
            return f"instance {instances[0]} is terminated"
        self._localcloud("hang", instances[-1])
        self.hanging.append(instances[-1])
        return f"instance {instances[-1]} hangs"

    def undo(self) -> None:
        """Let go on what still hangs; an instance that was replaced meanwhile is gone."""
        for instance in self.hanging:
            self._localcloud("wake", instance, check=False)

    def _localcloud(self, *command: str, check: bool = True) -> None:
        """Raises CalledProcessError, whose text is the command and what it said."""
        port = urlsplit(self.target.variables["AWS_ENDPOINT_URL"]).port
        subprocess.run(
            [sys.executable, "-m", "localcloud", *command],
            cwd=ROOT,
            env={**os.environ, "LOCALCLOUD_PORT": str(port)},
            capture_output=True,
            check=check,
        )


def check(scenario: Scenario, target: Target) -> None:
    """Refuse a scenario whose actions can't be done to this target. Raises LoadtestError."""
    if (scenario.actions or any(phase.until for phase in scenario.phases)) and not target.autoscaling_group:
        raise LoadtestError(
            f"scenario {scenario.name} acts on a deployment or waits for it, and this address has none that is known",
            look=f"loadtest/scenarios/{scenario.name}.yml",
            type_this=f"python -m loadtest run {scenario.name}   (against an environment of this project)",
        )
    if any(action.do == "hang_instance" for action in scenario.actions) and "AWS_ENDPOINT_URL" not in target.variables:
        raise LoadtestError(
            f"scenario {scenario.name} lets an instance hang, which only the local cloud can do",
            look=f"loadtest/scenarios/{scenario.name}.yml",
            type_this="a copy of that file without hang_instance, by its path",
        )
