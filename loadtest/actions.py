"""What a scenario does to the stack while the load runs."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from loadtest.errors import LoadtestError
from loadtest.sampling import Sampler
from loadtest.scenario import Action, Scenario
from loadtest.target import Target


class Actions:
    """Carries out actions; `undo` wakes what still hangs at the end."""

    def __init__(self, sampler: Sampler, target: Target) -> None:
        self.sampler = sampler
        self.target = target
        self.hanging: list[Any] = []

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
        container = self._container(instances[-1])
        # All its processes stop, but for init and the shell that says so: connections are accepted, and nobody answers.
        # Docker's own pause would be seen by the local cloud, as the end of the instance.
        container.exec_run(["/bin/sh", "-c", "kill -STOP -1"])
        self.hanging.append(container)
        return f"instance {instances[-1]} hangs"

    def undo(self) -> None:
        """Let go on what still hangs; an instance that was replaced meanwhile is gone."""
        import docker.errors

        for container in self.hanging:
            try:
                container.exec_run(["/bin/sh", "-c", "kill -CONT -1"])
            except docker.errors.DockerException:
                continue

    def _container(self, instance_id: str) -> Any:
        import docker

        from localcloud.config import LABEL_ID, LABEL_PORT

        port = urlsplit(self.target.variables["AWS_ENDPOINT_URL"]).port
        labels = [f"{LABEL_PORT}={port}", f"{LABEL_ID}={instance_id}"]
        return docker.from_env().containers.list(filters={"label": labels})[0]


def check(scenario: Scenario, target: Target) -> None:
    """Refuse a scenario whose actions can't be done to this target. Raises LoadtestError."""
    if (scenario.actions or any(phase.until for phase in scenario.phases)) and not target.autoscaling_group:
        raise LoadtestError(
            f"scenario {scenario.name} acts on a deployment or waits for it, and this address has none that is known",
            look=f"loadtest/scenarios/{scenario.name}.yml",
            type_this=f"python -m loadtest run {scenario.name}   (against an environment of this project)",
        )
    if any(action.do == "hang_instance" for action in scenario.actions) and target.environment != "local":
        raise LoadtestError(
            f"scenario {scenario.name} lets an instance hang, which only the local cloud can do",
            look=f"loadtest/scenarios/{scenario.name}.yml",
            type_this="a copy of that file without hang_instance, by its path",
        )
