"""CloudWatch's AWS/ApplicationELB, measured from HAProxy's counters every few seconds.

Names, dimensions and when something is reported: "CloudWatch metrics for your Application Load Balancer", AWS.
A sample is what was counted since the last one, so the statistic Sum is exact. TargetResponseTime is HAProxy's average
over a target's last 1024 requests.
"""

from __future__ import annotations

import csv
import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud import backends
from localcloud.backends import API_LOCK
from localcloud.controller import Action, Observed
from localcloud.docker_host import DockerHost
from localcloud.haproxy_runtime import HAProxyError, Runtime
from localcloud.load_balancer_config import group_name, target_groups
from localcloud.metrics import MEASURED, SAMPLE_INTERVAL
from localcloud.overlay import elbv2
from localcloud.reconcilers import load_balancers

LOGGER = logging.getLogger(__name__)
NAMESPACE = "AWS/ApplicationELB"
CLASSES = ("2xx", "3xx", "4xx", "5xx")
COUNTERS = ("stot", "conn_tot", "econ", "bin", "bout", *(f"hrsp_{code}" for code in CLASSES))

Row = Mapping[str, str]


@dataclass(frozen=True)
class Balancer:
    """A load balancer to measure. `groups`: HAProxy's backend -> the target group's dimension and number of targets."""

    place: tuple[str, str]  # account id, region
    dimension: tuple[str, str]
    directory: Path
    groups: Mapping[str, TargetCounts]


@dataclass(frozen=True)
class TargetCounts:
    dimension: tuple[str, str]
    healthy: int
    unhealthy: int


@dataclass(frozen=True)
class Traffic:
    """What went through a listener or to a target group since the last reading."""

    counts: Counter[str]
    response_time: float | None = None  # seconds, while there were requests


class LoadBalancerMetrics:
    """Samples the load balancers, in a thread of its own: asking a HAProxy takes no lock and may take a while."""

    def __init__(self, docker_host: DockerHost) -> None:
        self._home = docker_host.settings.home / "haproxy"
        self._balancers: tuple[Balancer, ...] = ()
        self._last: dict[Path, dict[tuple[str, str], Row]] = {}
        self._thread: threading.Thread | None = None

    def reconcile(self, observed: Observed) -> list[Action]:
        running = {key for key, container in observed.of_kind(load_balancers.KIND).items() if container.running}
        self._balancers = tuple(
            self._describe(backend, load_balancer)
            for backend in backends.each("elbv2")
            for load_balancer in backend.load_balancers.values()
            if load_balancers.container_key(load_balancer) in running
        )
        if self._thread is None and self._balancers:
            self._thread = threading.Thread(target=self._sample_for_ever, name="load-balancer-metrics", daemon=True)
            self._thread.start()
        return []

    def _describe(self, backend: Any, load_balancer: Any) -> Balancer:
        groups = {}
        for group in target_groups(load_balancer):
            states = Counter(elbv2.health_of(group, target_id).state for target_id in group.targets)
            groups[group_name(group)] = TargetCounts(
                ("TargetGroup", group.arn.rpartition(":")[2]), states["healthy"], states["unhealthy"]
            )
        # Its directory has the name that the reconciler of the load balancers gives it: the id in its ARN.
        directory = self._home / load_balancers.container_key(load_balancer).rpartition("-")[2]
        dimension = ("LoadBalancer", load_balancer.arn.split(":loadbalancer/")[1])
        return Balancer((backend.account_id, backend.region_name), dimension, directory, groups)

    def _sample_for_ever(self) -> None:
        while True:
            time.sleep(SAMPLE_INTERVAL)
            balancers = self._balancers
            for balancer in balancers:
                try:
                    self._sample(balancer)
                except HAProxyError as error:
                    LOGGER.debug("no metrics of %s: %s", balancer.dimension[1], error)
                except Exception:
                    LOGGER.exception("metrics of %s could not be read", balancer.dimension[1])
            self._last = {b.directory: self._last[b.directory] for b in balancers if b.directory in self._last}

    def _sample(self, balancer: Balancer) -> None:
        rows = read(Runtime(balancer.directory))
        before = self._last.get(balancer.directory)
        self._last[balancer.directory] = rows
        if before is not None:
            with API_LOCK:
                report(balancer, before, rows)


def read(runtime: Runtime) -> dict[tuple[str, str], Row]:
    """HAProxy's counters: (proxy, FRONTEND, BACKEND or server) -> columns."""
    text = runtime.command("show stat -1 7 -1")  # all proxies; frontends, backends and servers
    return {(row["pxname"], row["svname"]): row for row in csv.DictReader(text.removeprefix("# ").splitlines())}


def traffic(before: Mapping[tuple[str, str], Row], rows: Mapping[tuple[str, str], Row], keys: Sequence[Any]) -> Traffic:
    """What the rows of `keys` counted since `before`. A counter that is less than it was began anew."""
    total: Counter[str] = Counter()
    weighted = 0.0
    requests = 0
    for key in keys:
        row, last = rows[key], before.get(key, {})
        counted = {}
        for counter in COUNTERS:
            now, then = int(row.get(counter) or 0), int(last.get(counter) or 0)
            counted[counter] = now - then if now >= then else now
        total.update(counted)
        answered = sum(counted[f"hrsp_{code}"] for code in CLASSES)
        weighted += answered * float(row.get("rtime") or 0) / 1000
        requests += answered
    return Traffic(total, weighted / requests if requests else None)


def report(balancer: Balancer, before: Mapping[tuple[str, str], Row], rows: Mapping[tuple[str, str], Row]) -> None:
    """Give what was measured to CloudWatch. Under the API lock."""

    def put(name: str, value: float, unit: str, *dimensions: tuple[str, str]) -> None:
        MEASURED.put(balancer.place, NAMESPACE, name, dimensions, value, unit)

    def put_responses(prefix: str, counts: Mapping[str, int], *dimensions: tuple[str, str]) -> None:
        for code in CLASSES:
            if counts[f"hrsp_{code}"] > 0:
                put(f"{prefix}_{code.upper()}_Count", counts[f"hrsp_{code}"], "Count", *dimensions)

    frontends = [key for key in rows if key[1] == "FRONTEND"]
    all_servers = []
    requests = 0
    whole = balancer.dimension
    for name, group in balancer.groups.items():
        proxies = (name, f"{name}.open")
        servers = [key for key in rows if key[0] in proxies and key[1] != "BACKEND"]
        all_servers += servers
        to_targets = traffic(before, rows, servers)
        asked = traffic(before, rows, [key for key in rows if key[0] in proxies and key[1] == "BACKEND"]).counts["stot"]
        requests += asked
        both = (whole, group.dimension)
        put("HealthyHostCount", group.healthy, "Count", *both)
        put("UnHealthyHostCount", group.unhealthy, "Count", *both)
        if group.healthy or group.unhealthy:
            put("RequestCount", asked, "Count", *both)
            for dimensions in ((group.dimension,), both):
                put("RequestCountPerTarget", asked / max(1, group.healthy), "Count", *dimensions)
        put_responses("HTTPCode_Target", to_targets.counts, *both)
        if to_targets.response_time is not None:
            put("TargetResponseTime", to_targets.response_time, "Seconds", *both)
        if to_targets.counts["econ"]:
            put("TargetConnectionErrorCount", to_targets.counts["econ"], "Count", *both)
    of_targets, listeners = traffic(before, rows, all_servers), traffic(before, rows, frontends)
    if any(group.healthy or group.unhealthy for group in balancer.groups.values()):
        put("RequestCount", requests, "Count", whole)
    put_responses("HTTPCode_Target", of_targets.counts, whole)
    put_responses("HTTPCode_ELB", listeners.counts - of_targets.counts, whole)
    if of_targets.response_time is not None:
        put("TargetResponseTime", of_targets.response_time, "Seconds", whole)
    if listeners.counts["conn_tot"]:
        put("NewConnectionCount", listeners.counts["conn_tot"], "Count", whole)
        put("ProcessedBytes", listeners.counts["bin"] + listeners.counts["bout"], "Bytes", whole)
    put("ActiveConnectionCount", sum(int(rows[key].get("scur") or 0) for key in frontends), "Count", whole)
