"""CloudWatch's AWS/EC2 CPUUtilization, per instance and per group, and what AWS/AutoScaling counts of a group."""

from __future__ import annotations

import functools
import logging
import time
from typing import Any

from localcloud import backends
from localcloud.controller import Action, Observed
from localcloud.docker_host import Container, DockerHost
from localcloud.metrics import MEASURED, SAMPLE_INTERVAL, CpuMeter, vcpus_of
from localcloud.overlay.autoscaling import IN_SERVICE, STANDBY
from localcloud.reconcilers import instances

LOGGER = logging.getLogger(__name__)


class Metrics:
    """Samples the machines' CPU."""

    def __init__(self, docker_host: DockerHost, meter: CpuMeter | None = None) -> None:
        self._docker = docker_host
        self._meter = meter or CpuMeter()
        self._next_sample = 0.0
        self._searched: set[str] = set()  # containers whose cgroup was looked for by process id

    def reconcile(self, observed: Observed) -> list[Action]:
        now = time.monotonic()
        if now < self._next_sample:
            return []
        self._next_sample = now + SAMPLE_INTERVAL
        containers = observed.of_kind(instances.KIND)
        actions = []
        for backend in backends.each("ec2"):
            place = (backend.account_id, backend.region_name)
            for instance in backend.all_instances():
                container = containers.get(instance.id)
                if instance.state != "running" or container is None or not container.running:
                    continue
                action = self._sample(place, instance, container)
                if action:
                    actions.append(action)
        count_members()
        self._meter.keep_only({container.container_id for container in containers.values()})
        MEASURED.prune()
        return actions

    def _sample(self, place: tuple[str, str], instance: Any, container: Container) -> Action | None:
        percent = self._meter.percent(container.container_id, vcpus_of(instance.instance_type))
        if percent is None:
            if self._meter.used(container.container_id) is None and container.container_id not in self._searched:
                self._searched.add(container.container_id)
                locate = functools.partial(self._locate, container.container_id)
                return Action(f"cpu of {instance.id}", "find its cgroup", locate)
            return None
        value = round(percent, 4)
        MEASURED.put(place, "AWS/EC2", "CPUUtilization", (("InstanceId", instance.id),), value, "Percent")
        group = getattr(instance, "autoscaling_group", None)
        if group is not None:
            dimensions = (("AutoScalingGroupName", group.name),)
            MEASURED.put(place, "AWS/EC2", "CPUUtilization", dimensions, value, "Percent")
        return None

    def _locate(self, container_id: str) -> None:
        if not self._meter.locate(container_id, self._docker.pid(container_id)):
            LOGGER.error("%s: no CPU counter found in its cgroups; its CPUUtilization is missing", container_id[:12])


def count_members() -> None:
    """The metrics of a group that EnableMetricsCollection asked for."""
    for backend in backends.each("autoscaling"):
        place = (backend.account_id, backend.region_name)
        for group in backend.autoscaling_groups.values():
            members = group.instance_states
            values = {
                "GroupMinSize": group.min_size,
                "GroupMaxSize": group.max_size,
                "GroupDesiredCapacity": group.desired_capacity,
                "GroupInServiceInstances": sum(member.lifecycle_state == IN_SERVICE for member in members),
                "GroupPendingInstances": sum(member.launching for member in members),
                "GroupStandbyInstances": sum(member.lifecycle_state == STANDBY for member in members),
                "GroupTerminatingInstances": sum(member.terminating for member in members),
                "GroupTotalInstances": len(members),
            }
            # Without a mixed instances policy each instance is one unit of capacity.
            capacities = {name.replace("Instances", "Capacity"): value for name, value in values.items()}
            values = {**capacities, **values}
            for name in values.keys() & set(group.metrics):
                dimensions = (("AutoScalingGroupName", group.name),)
                MEASURED.put(place, "AWS/AutoScaling", name, dimensions, float(values[name]), "None")
