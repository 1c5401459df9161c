"""What a load balancer's HAProxy shall do, as plain values, from moto's state. All of this runs under the API lock.

What can't be done (a certificate that is gone, an action that there is no machine for) is left out with a reason, so
that one broken listener, rule or target never stops the others.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from moto.acm.models import AWS_ROOT_CA
from moto.elbv2.ssl_policies import SSL_POLICIES

from localcloud import backends, haproxy
from localcloud.haproxy import Server
from localcloud.overlay import elbv2

READY, DRAIN = "ready", "drain"
T = TypeVar("T")


class UnsupportedError(ValueError):
    """Something that the API was told and that can't be done here, or not any more."""


@dataclass(frozen=True)
class Desired:
    """What a HAProxy shall do. `targets`: (target group, ((server, ready or drain), …)), …;
    `open_targets`: for each group whose targets are all unhealthy, these targets. `problems`: what is left
    out, and why.
    """

    config: haproxy.LoadBalancer
    targets: tuple[tuple[haproxy.TargetGroup, tuple[tuple[Server, str], ...]], ...]
    open_targets: tuple[tuple[haproxy.TargetGroup, tuple[Server, ...]], ...]
    problems: tuple[str, ...] = ()

    @property
    def backends(self) -> dict[str, set[str]]:
        """Backend name -> server names."""
        found = {group.name: {server.name for server, _state in servers} for group, servers in self.targets}
        found |= {group.open_name: {server.name for server in servers} for group, servers in self.open_targets}
        return found


class Problems(list[str]):
    """What is left out, and why."""

    def attempt(self, what: str, describe: Callable[[], T]) -> list[T]:
        """What `describe` returns; nothing, and a problem more, when it can't be described."""
        try:
            return [describe()]
        except Exception as error:
            # Whatever is wrong with this one, the others go on.
            reason = str(error) if isinstance(error, UnsupportedError) else f"{type(error).__name__}: {error}"
            self.append(f"{what} is left out: {reason}")
            return []


def desired_state(load_balancer: Any) -> Desired:
    """What a load balancer's HAProxy shall do."""
    problems = Problems()
    groups = []
    described = {}
    for group in target_groups(load_balancer):
        for found in problems.attempt(f"target group {group.name}", functools.partial(describe_group, group)):
            groups.append(group)
            described[group.arn] = found
    listeners = sorted(load_balancer.listeners.values(), key=lambda listener: int(listener.port))
    attributes = elbv2.attributes_of(load_balancer)
    config = haproxy.LoadBalancer(
        listeners=tuple(
            found
            for listener in listeners
            for found in problems.attempt(
                f"listener {listener.port}", functools.partial(describe_listener, listener, problems)
            )
        ),
        groups=tuple(described.values()),
        idle_timeout=int(attributes["idle_timeout.timeout_seconds"]),
        client_keep_alive=int(attributes["client_keep_alive.seconds"]),
        http2=attributes["routing.http2.enabled"] == "true",
        drop_invalid_headers=attributes["routing.http.drop_invalid_header_fields.enabled"] == "true",
        forwarded_for=attributes["routing.http.xff_header_processing.mode"],
        forwarded_client_port=attributes["routing.http.xff_client_port.enabled"] == "true",
        tls_headers=attributes["routing.http.x_amzn_tls_version_and_cipher_suite.enabled"] == "true",
        access_log=attributes["access_logs.s3.enabled"] == "true",
        socket_uid=os.getuid(),
    )
    targets = []
    open_targets = []
    for group in groups:
        servers = group_servers(group, problems)
        targets.append((described[group.arn], tuple(servers.values())))
        health = {target_id: elbv2.health_of(group, target_id).state for target_id in servers}
        unhealthy = tuple(servers[target_id][0] for target_id, state in health.items() if state == "unhealthy")
        if unhealthy and "healthy" not in health.values():
            # "If a target group contains only unhealthy registered targets, the load balancer routes requests to all
            # those targets, regardless of their health status." (ELB user guide, target group health checks)
            open_targets.append((described[group.arn], unhealthy))
    return Desired(config, tuple(targets), tuple(open_targets), tuple(problems))


# -- target groups ------------------------------------------------------------------------------------------------


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


def describe_group(group: Any) -> haproxy.TargetGroup:
    if group.target_type not in ("instance", "ip"):
        raise UnsupportedError(f"targets of type {group.target_type} are not supported here")
    if group.protocol not in ("HTTP", "HTTPS"):
        raise UnsupportedError(f"protocol {group.protocol} is not an application load balancer's")
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
            tls=group.health_check_protocol == "HTTPS",
        ),
        slow_start=int(group.attributes.get("slow_start.duration_seconds", 0)),
        tls=group.protocol == "HTTPS",
        algorithm=group.attributes.get("load_balancing.algorithm.type", "round_robin"),
        stickiness=describe_stickiness(group.attributes),
    )


def describe_stickiness(attributes: dict[str, Any]) -> haproxy.Stickiness | None:
    if attributes.get("stickiness.enabled") != "true":
        return None
    if attributes.get("stickiness.type") == "app_cookie":
        duration = int(attributes.get("stickiness.app_cookie.duration_seconds", 86400))
        return haproxy.Stickiness(duration, attributes["stickiness.app_cookie.cookie_name"])
    return haproxy.Stickiness(int(attributes.get("stickiness.lb_cookie.duration_seconds", 86400)))


def group_servers(group: Any, problems: Problems) -> dict[str, tuple[Server, str]]:
    """Target id -> (server, ready or drain), of the targets that HAProxy shall know."""
    servers = {}
    for targets, state in ((group.targets, READY), (elbv2.draining(group), DRAIN)):
        for target_id, target in targets.items():
            if state == READY and elbv2.unused_because(group, target_id):
                continue
            for server in problems.attempt(
                f"target {target_id} of {group.name}", functools.partial(describe_target, group, target_id, target)
            ):
                servers[target_id] = (server, state)
    return servers


def describe_target(group: Any, target_id: str, target: dict[str, Any]) -> Server:
    if not target_id.startswith("i-"):
        return Server(target_id, target_id, int(target["Port"]))
    instance = elbv2.instance_of(group, target_id)
    if instance is None or not instance.private_ip:
        raise UnsupportedError("there is no such instance, or it has no address")
    return Server(target_id, instance.private_ip, int(target["Port"]))


# -- listeners ----------------------------------------------------------------------------------------------------


def describe_listener(listener: Any, problems: Problems) -> haproxy.Listener:
    tls = describe_tls(listener, problems) if listener.protocol == "HTTPS" else None
    rules = sorted(listener.rules.values(), key=lambda rule: (rule.is_default, rule_priority(rule)))
    return haproxy.Listener(
        int(listener.port),
        tuple(
            found
            for rule in rules
            for found in problems.attempt(
                f"rule {rule.priority} of listener {listener.port}", functools.partial(describe_rule, rule)
            )
        ),
        tls,
    )


def describe_tls(listener: Any, problems: Problems) -> haproxy.Tls:
    policy = SSL_POLICIES.get(listener.ssl_policy)
    if policy is None:
        raise UnsupportedError(f"there is no security policy {listener.ssl_policy}")
    default, *others = listener.certificates or [None]
    certificates = [describe_certificate(default)]
    for arn in others:
        certificates += problems.attempt(
            f"certificate {arn} of listener {listener.port}", functools.partial(describe_certificate, arn)
        )
    return haproxy.Tls(tuple(dict.fromkeys(certificates)), tuple(policy["ssl_protocols"]), tuple(policy["ciphers"]))


def describe_certificate(arn: str | None) -> haproxy.Certificate:
    """A certificate of ACM or IAM with its private key. Raises UnsupportedError when it is gone."""
    if arn is None:
        raise UnsupportedError("it has no certificate")
    for backend in backends.each("acm"):
        bundle = backend._certificates.get(arn)
        if bundle is not None:
            chain = bundle.chain.replace(AWS_ROOT_CA, b"")  # moto adds it to each answer
            return haproxy.Certificate(b"\n".join(part.strip() for part in (bundle.cert, chain, bundle.key)) + b"\n")
    for iam in backends.each("iam"):
        found = iam.get_certificate_by_arn(arn)
        if found is not None:
            parts = (found.cert_body, found.cert_chain or "", found.private_key)
            return haproxy.Certificate("\n".join(part.strip() for part in parts).encode() + b"\n")
    raise UnsupportedError(f"certificate {arn} is gone")


def rule_priority(rule: Any) -> int:
    return 0 if rule.is_default else int(rule.priority)


def describe_rule(rule: Any) -> haproxy.Rule:
    conditions = tuple(describe_condition(condition) for condition in rule.conditions)
    return haproxy.Rule(describe_action(rule.actions), conditions, rule_priority(rule))


def describe_condition(condition: dict[str, Any]) -> haproxy.Condition:
    kinds = {
        "path-pattern": ("path", "PathPatternConfig"),
        "host-header": ("host", "HostHeaderConfig"),
        "http-header": ("header", "HttpHeaderConfig"),
        "http-request-method": ("method", "HttpRequestMethodConfig"),
        "query-string": ("query", "QueryStringConfig"),
        "source-ip": ("source", "SourceIpConfig"),
    }
    if condition.get("Field") not in kinds:
        raise UnsupportedError(f"conditions of type {condition.get('Field')} are not supported here")
    field, key = kinds[condition["Field"]]
    config = condition.get(key) or {}
    values = config.get("Values") or condition.get("Values") or []
    if not values:
        raise UnsupportedError(f"its {condition['Field']} condition has no values")
    if field == "query":
        return haproxy.Condition(field, pairs=tuple((pair.get("Key") or None, pair["Value"]) for pair in values))
    return haproxy.Condition(field, tuple(values), config.get("HttpHeaderName", ""))


def describe_action(actions: list[Any]) -> haproxy.Action:
    """The action that answers: the last one."""
    ordered = sorted(actions, key=lambda action: int(action.data.get("Order") or 1))
    unsupported = [action.data["Type"] for action in ordered if action.data["Type"].startswith("authenticate-")]
    if unsupported:
        raise UnsupportedError(f"actions of type {unsupported[0]} are not supported here")
    data = ordered[-1].data
    if data["Type"] == "fixed-response":
        config = data["FixedResponseConfig"]
        return haproxy.FixedResponse(
            int(config["StatusCode"]), config.get("ContentType") or "text/plain", config.get("MessageBody") or ""
        )
    if data["Type"] == "redirect":
        config = data["RedirectConfig"]
        given = {name.lower(): config[name] for name in ("Protocol", "Host", "Port", "Path", "Query") if name in config}
        return haproxy.Redirect(301 if config["StatusCode"] == "HTTP_301" else 302, **given)
    weights = elbv2.forwarded_to(ordered[-1])
    names = {arn: group_name(group) for arn in weights if (group := elbv2.find_target_group(arn)) is not None}
    stickiness = (data.get("ForwardConfig") or {}).get("TargetGroupStickinessConfig") or {}
    return haproxy.Forward(
        tuple((names[arn], weight) for arn, weight in weights.items() if arn in names),
        int(stickiness.get("DurationSeconds") or 3600) if str(stickiness.get("Enabled")).lower() == "true" else None,
    )
