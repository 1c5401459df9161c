"""Machines that take no time and do nothing: what was asked for is so when the request has been answered."""

from __future__ import annotations

from localcloud import backends
from localcloud.controller import Observed
from localcloud.overlay.ec2 import set_state
from localcloud.overlay.interfaces import delete_interface
from localcloud.reconcilers.autoscaling import AutoScalingGroups

INSTANCES = {"pending": "running", "stopping": "stopped", "shutting-down": "terminated"}
DATABASES = {
    "creating": "available",
    "modifying": "available",
    "rebooting": "available",
    "resetting-master-credentials": "available",
    "starting": "available",
    "stopping": "stopped",
}
MOST_STEPS = 12  # of a member's life: a group that never comes to rest is looked at again with the next request


class InstantMachines:
    """Stands for the controller and the machines, in the process of the API."""

    def __init__(self) -> None:
        self._groups = AutoScalingGroups()

    def finish(self) -> None:
        """Bring everything into the state that it is on the way to."""
        before = None
        for _ in range(MOST_STEPS):
            self._step()
            now = _members()
            if now == before:
                return
            before = now

    def _step(self) -> None:
        self._groups.reconcile(Observed({}, {}))
        for ec2 in backends.each("ec2"):
            for instance in ec2.all_instances():
                if instance.state in INSTANCES:
                    set_state(instance, INSTANCES[instance.state])
            for image in ec2.amis.values():
                if image.state == "pending":
                    image.state = "available"
        for rds in backends.each("rds"):
            for name, database in list(rds.databases.items()):
                if database.status == "deleting":
                    delete_interface(database.interface)
                    del rds.databases[name]
                database.status = DATABASES.get(database.status, database.status)
            for snapshot in rds.database_snapshots.values():
                if snapshot.status == "creating":
                    snapshot.status = "available"
        for elbv2 in backends.each("elbv2"):
            for load_balancer in elbv2.load_balancers.values():
                if load_balancer.state == "provisioning":
                    load_balancer.state = "active"


def _members() -> list[tuple[str, str, str]]:
    """Those of all groups, and where in their life they are."""
    return [
        (group.name, member.instance_id, member.lifecycle_state)
        for autoscaling in backends.each("autoscaling")
        for group in autoscaling.autoscaling_groups.values()
        for member in group.instance_states
    ]
