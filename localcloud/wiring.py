"""Which reconcilers the controller runs, in the order in which things depend on each other."""

from __future__ import annotations

from localcloud.controller import Reconciler
from localcloud.docker_host import DockerHost
from localcloud.machine_images import MachineImages
from localcloud.reconcilers.alarms import Alarms
from localcloud.reconcilers.autoscaling import AutoScalingGroups
from localcloud.reconcilers.databases import Databases
from localcloud.reconcilers.db_snapshots import DbSnapshots
from localcloud.reconcilers.instance_refresh import InstanceRefreshes
from localcloud.reconcilers.instance_status import InstanceStatus
from localcloud.reconcilers.instances import Instances
from localcloud.reconcilers.load_balancer_metrics import LoadBalancerMetrics
from localcloud.reconcilers.load_balancers import LoadBalancers
from localcloud.reconcilers.machine_images import Amis
from localcloud.reconcilers.metadata import Metadata
from localcloud.reconcilers.metrics import Metrics
from localcloud.reconcilers.networks import Networks
from localcloud.reconcilers.scheduled_actions import ScheduledActions
from localcloud.reconcilers.traffic import Traffic


def build_reconcilers(docker_host: DockerHost, images: MachineImages) -> list[Reconciler]:
    traffic = Traffic(docker_host)
    traffic.establish()  # before any machine runs
    return [
        Networks(docker_host),
        Metadata(docker_host),
        Metrics(docker_host),
        Alarms(),
        ScheduledActions(),
        InstanceRefreshes(),
        AutoScalingGroups(),
        traffic,
        Instances(docker_host, images),
        InstanceStatus(),
        Amis(docker_host, images),
        DbSnapshots(docker_host),
        Databases(docker_host),
        LoadBalancers(docker_host),
        LoadBalancerMetrics(docker_host),
    ]
