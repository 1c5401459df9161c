"""Application load balancers: a HAProxy each, told what moto was told, asked what it measured."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import shutil
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from localcloud import backends, haproxy
from localcloud.backends import API_LOCK
from localcloud.base_images import HAPROXY
from localcloud.controller import Action, Observed
from localcloud.docker_host import Container, DockerHost
from localcloud.haproxy import HAProxyError, Runtime, Server, ServerStatus
from localcloud.host_names import HostNames
from localcloud.overlay import elbv2

LOGGER = logging.getLogger(__name__)
KIND = "load-balancer"
HOSTS_KEY = "host-names"
POLL_INTERVAL = 1.0  # seconds between two looks at the health that HAProxy measured
START_TIMEOUT = 15  # seconds for a new HAProxy to answer
HOSTS_CHECK_INTERVAL = 10.0  # seconds between two looks at whether /etc/hosts still says what it should
READY, DRAIN = "ready", "drain"
# The configuration that HAProxy runs with, without its servers: what a new one is compared with.
LOADED_FILE = "loaded.cfg"


@dataclass(frozen=True)
class Desired:
    """What a HAProxy shall do. `targets`: (target group, ((server, ready or drain), …)), …;
    `open_targets`: for each group whose targets are all unhealthy, these targets.
    """

    config: haproxy.LoadBalancer
    targets: tuple[tuple[haproxy.TargetGroup, tuple[tuple[Server, str], ...]], ...]
    open_targets: tuple[tuple[haproxy.TargetGroup, tuple[Server, ...]], ...]

    @property
    def backends(self) -> dict[str, set[str]]:
        """Backend name -> server names."""
        found = {group.name: {server.name for server, _state in servers} for group, servers in self.targets}
        found |= {group.open_name: {server.name for server in servers} for group, servers in self.open_targets}
        return found


class LoadBalancers:
    """Runs a HAProxy per load balancer, keeps its targets and writes their health back."""

    def __init__(self, docker_host: DockerHost) -> None:
        self._docker = docker_host
        self._home = docker_host.settings.home / "haproxy"
        self._host_names = HostNames(docker_host.settings, docker_host)
        self._hosts_checked = 0.0
        self._names_written: dict[str, str] | None = None
        self._applied: dict[str, Desired] = {}  # what each HAProxy was told last, as far as this process knows
        self._poller: threading.Thread | None = None

    def reconcile(self, observed: Observed) -> list[Action]:
        self._start_poller()
        actions = []
        containers = observed.of_kind(KIND)
        known = {}
        for backend in backends.each("elbv2"):
            for load_balancer in backend.load_balancers.values():
                if load_balancer.type == "application":
                    known[container_key(load_balancer)] = load_balancer
            for group in backend.target_groups.values():
                self._follow_instances(group)
        for key, load_balancer in known.items():
            if key not in observed.busy:
                action = self._reconcile_one(key, load_balancer, containers.get(key), observed)
                if action:
                    actions.append(action)
        for key, container in containers.items():
            if key not in known:
                self._applied.pop(key, None)
                actions.append(Action(key, "remove", functools.partial(self._remove, key, container)))
        actions += self._reconcile_host_names(known, observed)
        return actions

    def _follow_instances(self, group: Any) -> None:
        """Targets whose instance is gone are deregistered, as on AWS; targets that have drained are forgotten."""
        gone = [
            target_id
            for target_id in group.targets
            if (instance := elbv2.instance_of(group, target_id)) is not None
            and instance.state in ("shutting-down", "terminated")
        ]
        if gone:
            group.deregister_terminated_instances(gone)
        elbv2.end_draining(group, time.time())

    def _reconcile_one(
        self, key: str, load_balancer: Any, container: Container | None, observed: Observed
    ) -> Action | None:
        if container is None or not container.running:
            self._applied.pop(key, None)
            if load_balancer.vpc_id not in observed.networks:
                return None
            return Action(key, "start HAProxy", functools.partial(self._start, key, load_balancer, container))
        desired = desired_state(load_balancer)
        if self._applied.get(key) == desired:
            return None
        return Action(key, "configure", functools.partial(self._configure, key, load_balancer, desired))

    def _reconcile_host_names(self, known: dict[str, Any], observed: Observed) -> list[Action]:
        wanted = {
            load_balancer.dns_name: load_balancer.interface.private_ip_address
            for load_balancer in known.values()
            if load_balancer.state == "active"
        }
        if HOSTS_KEY in observed.busy:
            return []
        now = time.monotonic()
        if wanted == self._names_written and now < self._hosts_checked + HOSTS_CHECK_INTERVAL:
            return []
        self._hosts_checked = now
        if self._host_names.read() == wanted:
            self._names_written = wanted
            return []
        return [Action(HOSTS_KEY, "write the load balancers' names", functools.partial(self._write_names, wanted))]

    # -- actions, outside the lock --------------------------------------------------------------------------------

    def _write_names(self, names: dict[str, str]) -> None:
        self._host_names.write(names)
        self._names_written = names

    def _start(self, key: str, load_balancer: Any, container: Container | None) -> None:
        directory = self._directory(key)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        with API_LOCK:
            desired = desired_state(load_balancer)
            # A new HAProxy knows nothing about its targets: they are checked first.
            for group in target_groups(load_balancer):
                for target_id in group.targets:
                    elbv2.record_health(group, target_id, elbv2.REGISTERING)
            request = {
                "image": HAPROXY.tag,
                "vpc_id": load_balancer.vpc_id,
                "ip_address": load_balancer.interface.private_ip_address,
                "aliases": [load_balancer.dns_name],
            }
        for name in (haproxy.CONFIG_FILE, LOADED_FILE):
            (directory / name).write_text(haproxy.render(desired.config))
        (directory / haproxy.STATE_FILE).write_text("")
        if container is None:
            uid = desired.config.socket_uid
            master = f"{haproxy.DIRECTORY}/{haproxy.MASTER_SOCKET},mode,600,uid,{uid}"
            container_id = self._docker.create_container(
                KIND,
                key,
                command=["haproxy", "-W", "-S", master, "-f", f"{haproxy.DIRECTORY}/{haproxy.CONFIG_FILE}"],
                binds=[f"{directory}:{haproxy.DIRECTORY}"],
                **request,
            )
        else:
            container_id = container.container_id
        self._docker.start(container_id)
        runtime = Runtime(directory)
        deadline = time.monotonic() + START_TIMEOUT
        while not runtime.answers():
            if time.monotonic() > deadline:
                raise HAProxyError(
                    f"HAProxy did not start; look: docker logs {self._docker.settings.resource_name(key)}"
                )
            time.sleep(0.05)
        self._configure(key, load_balancer, desired)

    def _configure(self, key: str, load_balancer: Any, desired: Desired) -> None:
        directory = self._directory(key)
        runtime = Runtime(directory)
        self._apply_config(directory, runtime, desired.config)
        self._apply_targets(runtime, desired)
        self._applied[key] = desired
        with API_LOCK:
            if load_balancer.state == "provisioning":
                load_balancer.state = "active"

    def _apply_config(self, directory: Path, runtime: Runtime, config: haproxy.LoadBalancer) -> None:
        """Reload when the configuration changed."""
        loaded = directory / LOADED_FILE
        wanted = haproxy.render(config)
        if loaded.exists() and loaded.read_text() == wanted:
            return
        groups = {name for group in config.groups for name in (group.name, group.open_name)}
        servers = {
            backend: [Server.from_name(name) for name in servers]
            for backend, servers in runtime.servers().items()
            if backend in groups
        }
        (directory / haproxy.CONFIG_FILE).write_text(haproxy.render(config, servers))
        runtime.save_state()
        runtime.reload()
        loaded.write_text(wanted)

    def _apply_targets(self, runtime: Runtime, desired: Desired) -> None:
        present = runtime.servers()
        states = runtime.admin_states()
        wanted = desired.backends
        for backend, servers in present.items():
            for name in servers.keys() - wanted.get(backend, set()):
                LOGGER.info("%s leaves %s", name, backend)
                runtime.remove(backend, name)
        for group, targets in desired.targets:
            for server, state in targets:
                admin_state = states.get((group.name, server.name))
                if admin_state is None:
                    if state == READY:
                        LOGGER.info("%s joins %s", server.name, group.name)
                        runtime.add(group, server)
                elif state == DRAIN and not admin_state & haproxy.ADMIN_DRAIN:
                    LOGGER.info("%s drains from %s", server.name, group.name)
                    runtime.drain(group.name, server.name)
                elif state == READY and admin_state:
                    runtime.put_in_service(group.name, server.name)
        for group, open_servers in desired.open_targets:
            for server in open_servers:
                if server.name not in present.get(group.open_name, {}):
                    LOGGER.warning(
                        "%s has no healthy target; %s gets requests though unhealthy", group.name, server.name
                    )
                    runtime.add_open(group, server)

    def _remove(self, key: str, container: Container) -> None:
        self._docker.remove_container(container.container_id)
        shutil.rmtree(self._directory(key), ignore_errors=True)

    def _directory(self, key: str) -> Path:
        return self._home / key.rpartition("-")[2]

    # -- measuring, in a thread of its own ------------------------------------------------------------------------

    def _start_poller(self) -> None:
        if self._poller is None:
            self._poller = threading.Thread(target=self._poll, name="target-health", daemon=True)
            self._poller.start()

    def _poll(self) -> None:
        while True:
            for key in list(self._applied):
                try:
                    self._measure(key)
                except HAProxyError as error:
                    LOGGER.warning("%s: %s", key, error)
                    self._applied.pop(key, None)
                except Exception:
                    LOGGER.exception("%s: its targets' health could not be read", key)
            time.sleep(POLL_INTERVAL)

    def _measure(self, key: str) -> None:
        desired = self._applied.get(key)
        if desired is None:
            return
        runtime = Runtime(self._directory(key))
        present = runtime.servers()
        if {name: set(servers) for name, servers in present.items()} != {
            name: servers for name, servers in drained_away(desired, present).items() if servers
        }:
            # HAProxy was restarted, or somebody changed it: say it all again.
            self._applied.pop(key, None)
            return
        promoted = []
        with API_LOCK:
            for group, targets in desired.targets:
                moto_group = find_group(group.name)
                if moto_group is None:
                    continue
                for server, state in targets:
                    status = present.get(group.name, {}).get(server.name)
                    if status is None or state != READY or server.target_id not in moto_group.targets:
                        continue
                    health = judge(status, elbv2.measured(moto_group).get(server.target_id), group.health_check)
                    if health == elbv2.HEALTHY and status.down:
                        promoted.append((group.name, server.name))
                    elbv2.record_health(moto_group, server.target_id, health)
        for backend, name in promoted:
            with contextlib.suppress(HAProxyError):
                runtime.declare_healthy(backend, name)


def drained_away(desired: Desired, present: dict[str, dict[str, ServerStatus]]) -> dict[str, set[str]]:
    """The servers that should be there. One that shall drain but is gone is as good."""
    wanted = desired.backends
    for group, targets in desired.targets:
        wanted[group.name] -= {
            server.name
            for server, state in targets
            if state == DRAIN and server.name not in present.get(group.name, {})
        }
    return wanted


def judge(status: ServerStatus, known: elbv2.TargetHealth | None, check: haproxy.HealthCheck) -> tuple[str, str, str]:
    """A target's health in AWS's words, from what HAProxy says and what was known before."""
    if status.up:
        return elbv2.HEALTHY
    failure = failure_reason(status)
    if known is None or known.state == "initial":
        if status.check.startswith(("L7OK", "L6OK", "L4OK")):
            # "After your target is registered, it must pass one health check to be considered healthy."
            return elbv2.HEALTHY
        # HAProxy does not count the failures of a server that is down already; the time that they take is known.
        patience = (check.unhealthy_threshold - 1) * check.interval + check.timeout
        if failure and known is not None and time.time() - known.since > patience:
            return failure
        return elbv2.CHECKING
    return failure or ("unhealthy", "Target.FailedHealthChecks", "Health checks failed")


def failure_reason(status: ServerStatus) -> tuple[str, str, str] | None:
    """Why the last check failed; None when it didn't or there was none yet."""
    if status.check == "L7STS":
        text = f"Health checks failed with these codes: [{status.check_code}]"
        return "unhealthy", "Target.ResponseCodeMismatch", text
    if status.check in ("L7TOUT", "L6TOUT", "L4TOUT"):
        return "unhealthy", "Target.Timeout", "Request timed out"
    if status.check in ("L7RSP", "L6RSP", "L4CON", "SOCKERR"):
        return "unhealthy", "Target.FailedHealthChecks", "Health checks failed"
    return None


# -- from moto's state to plain values, under the lock ------------------------------------------------------------


def container_key(load_balancer: Any) -> str:
    """Name and id of a load balancer, such as `web-1f2e3d4c5b6a7980`."""
    return "-".join(load_balancer.arn.split("/")[-2:])


def group_name(group: Any) -> str:
    return ".".join(group.arn.split("/")[-2:])


def find_group(name: str) -> Any | None:
    for backend in backends.each("elbv2"):
        for group in backend.target_groups.values():
            if group_name(group) == name:
                return group
    return None


def target_groups(load_balancer: Any) -> list[Any]:
    """The target groups that a load balancer's listeners forward to."""
    found = {}
    for listener in load_balancer.listeners.values():
        for rule in listener.rules.values():
            for action in rule.actions:
                for arn in elbv2.forwarded_to(action):
                    group = elbv2.find_target_group(arn)
                    if group is not None:
                        found[arn] = group
    return [found[arn] for arn in sorted(found)]


def desired_state(load_balancer: Any) -> Desired:
    """What a load balancer's HAProxy shall do."""
    groups = target_groups(load_balancer)
    described = {group.arn: describe_group(group) for group in groups}
    config = haproxy.LoadBalancer(
        listeners=tuple(
            describe_listener(listener)
            for listener in sorted(load_balancer.listeners.values(), key=lambda listener: int(listener.port))
            if is_supported(listener)
        ),
        groups=tuple(described.values()),
        idle_timeout=int(load_balancer.attrs.get("idle_timeout.timeout_seconds", 60)),
        socket_uid=os.getuid(),
    )
    targets = []
    open_targets = []
    for group in groups:
        servers = group_servers(group)
        targets.append((described[group.arn], tuple(servers.values())))
        health = {target_id: elbv2.health_of(group, target_id).state for target_id in servers}
        unhealthy = tuple(servers[target_id][0] for target_id, state in health.items() if state == "unhealthy")
        if unhealthy and "healthy" not in health.values():
            # "If a target group contains only unhealthy registered targets, the load balancer routes requests to all
            # those targets, regardless of their health status." (ELB user guide, target group health checks)
            open_targets.append((described[group.arn], unhealthy))
    return Desired(config, tuple(targets), tuple(open_targets))


def group_servers(group: Any) -> dict[str, tuple[Server, str]]:
    """Target id -> (server, ready or drain), of the targets that HAProxy shall know."""
    servers = {}
    for target_id, target in group.targets.items():
        address = target_address(group, target_id)
        if address and not elbv2.unused_because(group, target_id):
            servers[target_id] = (Server(target_id, address, int(target["Port"])), READY)
    for target_id, target in elbv2.draining(group).items():
        address = target_address(group, target_id)
        if address:
            servers[target_id] = (Server(target_id, address, int(target["Port"])), DRAIN)
    return servers


def target_address(group: Any, target_id: str) -> str | None:
    if not target_id.startswith("i-"):
        return target_id
    instance = elbv2.instance_of(group, target_id)
    return instance.private_ip if instance is not None else None


def describe_group(group: Any) -> haproxy.TargetGroup:
    port = group.health_check_port
    return haproxy.TargetGroup(
        name=group_name(group),
        health_check=haproxy.HealthCheck(
            path=group.health_check_path or "/",
            matcher=group.matcher.get("HttpCode", "200"),
            interval=int(group.health_check_interval_seconds),
            timeout=int(group.health_check_timeout_seconds),
            healthy_threshold=int(group.healthy_threshold_count),
            unhealthy_threshold=int(group.unhealthy_threshold_count),
            port=None if port in (None, "traffic-port") else int(port),
        ),
        slow_start=int(group.attributes.get("slow_start.duration_seconds", 0)),
        tls=group.protocol == "HTTPS",
    )


def is_supported(listener: Any) -> bool:
    """HTTP only: an HTTPS listener needs a certificate's private key, which the API never gives away."""
    return bool(listener.protocol == "HTTP")


def describe_listener(listener: Any) -> haproxy.Listener:
    rules = sorted(listener.rules.values(), key=lambda rule: (rule.is_default, rule_priority(rule)))
    described = (describe_rule(rule) for rule in rules)
    return haproxy.Listener(int(listener.port), tuple(rule for rule in described if rule is not None))


def rule_priority(rule: Any) -> int:
    return 0 if rule.is_default else int(rule.priority)


def describe_rule(rule: Any) -> haproxy.Rule | None:
    """A rule; None when it asks for something that is not supported here."""
    conditions = []
    for condition in rule.conditions:
        described = describe_condition(condition)
        if described is None:
            return None
        conditions.append(described)
    action = describe_action(rule.actions)
    return haproxy.Rule(action, tuple(conditions)) if action else None


def describe_condition(condition: dict[str, Any]) -> haproxy.Condition | None:
    fields = {
        "path-pattern": ("path", "PathPatternConfig"),
        "host-header": ("host", "HostHeaderConfig"),
        "http-request-method": ("method", "HttpRequestMethodConfig"),
        "source-ip": ("source", "SourceIpConfig"),
    }
    if condition.get("Field") not in fields:
        return None
    field, config = fields[condition["Field"]]
    return haproxy.Condition(field, tuple(condition.get(config, {}).get("Values") or condition.get("Values", [])))


def describe_action(actions: list[Any]) -> haproxy.Action | None:
    """The action that answers: the last one. (What may come before it, authentication, is not supported here.)"""
    action = sorted(actions, key=lambda action: int(action.data.get("Order") or 1))[-1]
    kind = action.data.get("Type")
    if kind == "forward":
        weights = elbv2.forwarded_to(action)
        names = {arn: group_name(group) for arn in weights if (group := elbv2.find_target_group(arn)) is not None}
        return haproxy.Forward(tuple((names[arn], weight) for arn, weight in weights.items() if arn in names))
    if kind == "fixed-response":
        config = action.data["FixedResponseConfig"]
        return haproxy.FixedResponse(
            int(config["StatusCode"]), config.get("ContentType") or "text/plain", config.get("MessageBody") or ""
        )
    if kind == "redirect":
        config = action.data["RedirectConfig"]
        given = {
            name.lower(): config[name] for name in ("Protocol", "Host", "Port", "Path", "Query") if config.get(name)
        }
        return haproxy.Redirect(301 if config["StatusCode"] == "HTTP_301" else 302, **given)
    return None
