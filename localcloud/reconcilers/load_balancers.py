"""Application load balancers: a HAProxy each, told what moto was told, asked what it measured."""

from __future__ import annotations

import functools
import logging
import shutil
import threading
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

from localcloud import backends, haproxy
from localcloud.access_logs import AccessLogs
from localcloud.backends import API_LOCK
from localcloud.base_images import HAPROXY
from localcloud.controller import Action, Observed
from localcloud.docker_host import Container, DockerHost
from localcloud.haproxy import Server
from localcloud.haproxy_runtime import ADMIN_MAINTENANCE, ConfigurationRefusedError, HAProxyError, Runtime, ServerStatus
from localcloud.host_names import HostNames
from localcloud.load_balancer_config import (
    DRAIN,
    READY,
    Desired,
    desired_state,
    find_group,
    group_name,
    target_groups,
)
from localcloud.overlay import elbv2
from localcloud.reconcilers import networks

LOGGER = logging.getLogger(__name__)
KIND = "load-balancer"
HOSTS_KEY = "host-names"
POLL_INTERVAL = 1.0  # seconds between two looks at the health that HAProxy measured
START_TIMEOUT = 15  # seconds for a new HAProxy to answer
HOSTS_CHECK_INTERVAL = 10.0  # seconds between two looks at whether /etc/hosts still says what it should
# The configuration that HAProxy runs with, without its servers: what a new one is compared with.
LOADED_FILE = "loaded.cfg"
ADDRESS_FILE = "address"  # the address that the container was made with
# HAProxy's output, which is the access log on its way, before Docker drops the oldest of it.
OUTPUT_LIMIT = {"type": "json-file", "config": {"max-size": "10m", "max-file": "2"}}


class LoadBalancers:
    """Runs a HAProxy per load balancer, keeps its targets and writes their health back."""

    def __init__(self, docker_host: DockerHost) -> None:
        self._docker = docker_host
        self._home = docker_host.settings.home / "haproxy"
        self._host_names = HostNames(docker_host.settings, docker_host)
        self._hosts_checked = 0.0
        self._names_written: dict[str, str] | None = None
        self._access_logs = AccessLogs(docker_host)
        self._applied: dict[str, Desired] = {}  # what each HAProxy was told last, as far as this process knows
        self._problems: dict[str, set[str]] = {}  # what was said already about what is left out
        # A HAProxy is either configured or measured: what is declared healthy must be in the state that a reload saves.
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)
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
                self._forget(key)
                actions.append(Action(key, "remove", functools.partial(self._remove, key, container)))
        actions += self._reconcile_host_names(known, observed)
        return actions

    def _follow_instances(self, group: Any) -> None:
        """Targets whose instance is gone are deregistered, as on AWS; targets that have drained are forgotten, unless
        HAProxy has yet to be told that they drain: whoever waits for a drained target then ends it."""
        gone = [
            target_id
            for target_id in group.targets
            if (instance := elbv2.instance_of(group, target_id)) is not None
            and instance.state in ("shutting-down", "terminated")
        ]
        if gone:
            group.deregister_terminated_instances(gone)
        load_balancer = elbv2.load_balancer_of(group)
        if load_balancer is None or load_balancer.type != "application":
            elbv2.end_draining(group, time.time())
        elif (applied := self._applied.get(container_key(load_balancer))) is not None:
            elbv2.end_draining(group, time.time(), serving=in_service(applied, group_name(group)))

    def _reconcile_one(
        self, key: str, load_balancer: Any, container: Container | None, observed: Observed
    ) -> Action | None:
        moved = self._address(key) not in (None, load_balancer.interface.private_ip_address)
        if container is None or not container.running or moved:
            self._forget(key)
            if load_balancer.vpc_id not in observed.networks:
                reason = networks.unavailable.get(load_balancer.vpc_id)
                if reason is not None and load_balancer.state == "provisioning":
                    LOGGER.error("%s: %s", key, reason)
                    load_balancer.state, load_balancer.state_reason = "failed", reason
                return None
            stopped = None if moved else container
            return Action(key, "start HAProxy", functools.partial(self._start, key, load_balancer, stopped))
        desired = desired_state(load_balancer)
        self._say_problems(key, desired.problems)
        self._access_logs.follow(key, load_balancer, container.container_id if desired.config.access_log else None)
        if self._applied.get(key) == desired:
            return None
        return Action(key, "configure", functools.partial(self._configure, key, load_balancer, desired))

    def _forget(self, key: str) -> None:
        self._applied.pop(key, None)
        self._access_logs.end(key)

    def _say_problems(self, key: str, problems: tuple[str, ...]) -> None:
        for problem in set(problems) - self._problems.get(key, set()):
            LOGGER.error("%s: %s", key, problem)
        self._problems[key] = set(problems)

    def _address(self, key: str) -> str | None:
        try:
            return (self._directory(key) / ADDRESS_FILE).read_text()
        except FileNotFoundError:
            return None

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
        # It starts with nothing to do: what it refuses is then seen in the answer to a reload, which leaves it running.
        empty = haproxy.LoadBalancer(socket_uid=desired.config.socket_uid)
        for name in (haproxy.CONFIG_FILE, LOADED_FILE):
            (directory / name).write_text(haproxy.render(empty))
        (directory / haproxy.STATE_FILE).write_text("")
        (directory / ADDRESS_FILE).write_text(request["ip_address"])
        if container is None:
            uid = desired.config.socket_uid
            master = f"{haproxy.DIRECTORY}/{haproxy.MASTER_SOCKET},mode,600,uid,{uid}"
            container_id = self._docker.create_container(
                KIND,
                key,
                command=["haproxy", "-W", "-S", master, "-f", f"{haproxy.DIRECTORY}/{haproxy.CONFIG_FILE}"],
                binds=[f"{directory}:{haproxy.DIRECTORY}"],
                log_config=OUTPUT_LIMIT,
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
        with self._locks[key]:
            self._apply_config(directory, runtime, desired.config)
            self._apply_targets(runtime, desired)
            self._applied[key] = desired
        with API_LOCK:
            if load_balancer.state in ("provisioning", "failed"):
                load_balancer.state, load_balancer.state_reason = "active", None

    def _apply_config(self, directory: Path, runtime: Runtime, config: haproxy.LoadBalancer) -> None:
        """Reload when the configuration changed. What HAProxy refuses of it is left out and said in the log."""
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
        write_certificates(directory, config)
        while True:
            text = haproxy.render(config, servers)
            (directory / haproxy.CONFIG_FILE).write_text(text)
            runtime.save_state()
            try:
                runtime.reload()
                break
            except ConfigurationRefusedError as refusal:
                LOGGER.error("%s", refusal)
                config = without_refused(config, text, refusal)
        loaded.write_text(wanted)
        remove_certificates(directory, config)

    def _apply_targets(self, runtime: Runtime, desired: Desired) -> None:
        present = runtime.servers()
        states = runtime.admin_states()
        wanted = desired.backends
        for group, targets in desired.targets:
            # "Newly registered targets enter slow start mode only when there is at least one healthy target that is not
            # in slow start mode." (ELB user guide, slow start mode)
            slow = any(status.up and not status.starting for status in present.get(group.name, {}).values())
            for server, state in targets:
                admin_state = states.get((group.name, server.name))
                if admin_state is None:
                    if state == READY:
                        LOGGER.info("%s joins %s", server.name, group.name)
                        runtime.add(group, server, slow)
                elif state == DRAIN and not admin_state & ADMIN_MAINTENANCE:
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
        # Last, because it waits for connections to end and may fail: that must not keep another target from draining.
        for backend, servers in present.items():
            for name in servers.keys() - wanted.get(backend, set()):
                LOGGER.info("%s leaves %s", name, backend)
                runtime.remove(backend, name)

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
                    with self._locks[key]:
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
        judged = []
        with API_LOCK:
            for group, targets in desired.targets:
                moto_group = find_group(group.name)
                if moto_group is None:
                    continue
                for server, state in targets:
                    status = present.get(group.name, {}).get(server.name)
                    if status is not None and state == READY:
                        known = elbv2.measured(moto_group).get(server.target_id)
                        judged.append((moto_group, server, status, judge(status, known, group.health_check)))
        for _group, server, status, health in judged:
            if health == elbv2.HEALTHY and status.down:
                # Before anybody is told: who hears that a target is healthy may take the others away.
                runtime.declare_healthy(status.backend, server.name)
        with API_LOCK:
            for moto_group, server, _status, health in judged:
                if server.target_id in moto_group.targets:
                    elbv2.record_health(moto_group, server.target_id, health)


def write_certificates(directory: Path, config: haproxy.LoadBalancer) -> None:
    """The listeners' certificates with their private keys, which nobody but their owner may read."""
    for certificate in certificates_of(config):
        path = directory / certificate.file_name
        path.touch(mode=0o600)
        path.write_bytes(certificate.pem)


def remove_certificates(directory: Path, config: haproxy.LoadBalancer) -> None:
    """Remove what no listener uses any more."""
    used = {certificate.file_name for certificate in certificates_of(config)}
    for path in directory.glob("certificate-*.pem"):
        if path.name not in used:
            path.unlink()


def certificates_of(config: haproxy.LoadBalancer) -> list[haproxy.Certificate]:
    return [certificate for listener in config.listeners if listener.tls for certificate in listener.tls.certificates]


def without_refused(
    config: haproxy.LoadBalancer, text: str, refusal: ConfigurationRefusedError
) -> haproxy.LoadBalancer:
    """The configuration without the rules and listeners whose lines were refused. Raises `refusal` when none was."""
    owners = {owner for number in refusal.lines if (owner := haproxy.owner_of(text, number)) is not None}
    if not owners:
        raise refusal
    listeners = []
    for listener in config.listeners:
        if (listener.port, None) in owners:
            LOGGER.error("listener %s is left out: HAProxy refuses it", listener.port)
            continue
        refused = {rule.priority for rule in listener.rules if (listener.port, rule.priority) in owners}
        for priority in refused:
            LOGGER.error("rule %s of listener %s is left out: HAProxy refuses it", priority or "default", listener.port)
        rules = tuple(rule for rule in listener.rules if rule.priority not in refused)
        listeners.append(replace(listener, rules=rules))
    left = replace(config, listeners=tuple(listeners))
    if left == config:
        raise refusal
    return left


def in_service(desired: Desired, name: str) -> set[str]:
    """Ids of the targets of a group that get requests."""
    return {
        server.target_id
        for group, targets in desired.targets
        for server, state in targets
        if group.name == name and state == READY
    }


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
    if status.check.startswith(("L7OK", "L6OK", "L4OK")) and (known is None or known.state in ("initial", "healthy")):
        # "After your target is registered, it must pass one health check to be considered healthy."
        return elbv2.HEALTHY
    if known is None or known.state == "initial":
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


def container_key(load_balancer: Any) -> str:
    """Name and id of a load balancer, such as `web-1f2e3d4c5b6a7980`."""
    return "-".join(load_balancer.arn.split("/")[-2:])
