"""Elastic Load Balancing v2: health that was measured, targets that drain, load balancers that take time to come up.

moto calls every target healthy. Here a target's health is what HAProxy measured: the reconciler of the load balancers
writes it with `record_health`, `DescribeTargetHealth` and `target_health` read it.
States, reasons and their texts: AWS's API reference, type TargetHealth.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from moto.elbv2.models import ELBv2Backend, FakeHealthStatus, FakeListener, FakeLoadBalancer, FakeTargetGroup
from moto.elbv2.responses import ELBV2Response, transform_certificates
from moto.moto_api._internal import mock_random

from localcloud import backends
from localcloud.backends import API_LOCK
from localcloud.config import DNS_SUFFIX
from localcloud.overlay import elbv2_refusals
from localcloud.overlay.interfaces import create_interface, delete_interface


@dataclass(frozen=True)
class TargetHealth:
    """Health of a target, in the words of DescribeTargetHealth.

    `state` is one of initial, healthy, unhealthy, draining, unused; `reason` such as `Target.Timeout`, empty when
    healthy. `since` (seconds since the epoch) is when the target came into this state.
    """

    state: str
    reason: str = ""
    description: str = ""
    since: float = 0.0


REGISTERING = ("initial", "Elb.RegistrationInProgress", "Target registration is in progress")
CHECKING = ("initial", "Elb.InitialHealthChecking", "Initial health checks in progress")
HEALTHY = ("healthy", "", "")
DRAINING = ("draining", "Target.DeregistrationInProgress", "Target deregistration is in progress")
NOT_REGISTERED = ("unused", "Target.NotRegistered", "Target is not registered to the target group")
NOT_IN_USE = (
    "unused",
    "Target.NotInUse",
    "Target group is not configured to receive traffic from the load balancer",
)
ZONE_NOT_ENABLED = (
    "unused",
    "Target.NotInUse",
    "Target is in an Availability Zone that is not enabled for the load balancer",
)
ADDRESS_RESERVED = ("unused", "Target.IpUnusable", "Target IP address is reserved for use by a load balancer")

# What an application load balancer has when nobody said otherwise.
LOAD_BALANCER_ATTRIBUTES = {
    "access_logs.s3.enabled": "false",
    "access_logs.s3.bucket": "",
    "access_logs.s3.prefix": "",
    "client_keep_alive.seconds": "3600",
    "connection_logs.s3.enabled": "false",
    "connection_logs.s3.bucket": "",
    "connection_logs.s3.prefix": "",
    "deletion_protection.enabled": "false",
    "idle_timeout.timeout_seconds": "60",
    "ipv6.deny_all_igw_traffic": "false",
    "load_balancing.cross_zone.enabled": "true",
    "routing.http.desync_mitigation_mode": "defensive",
    "routing.http.drop_invalid_header_fields.enabled": "false",
    "routing.http.preserve_host_header.enabled": "false",
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": "false",
    "routing.http.xff_client_port.enabled": "false",
    "routing.http.xff_header_processing.mode": "append",
    "routing.http2.enabled": "true",
    "waf.fail_open.enabled": "false",
    "zonal_shift.config.enabled": "false",
}
TARGET_GROUP_ATTRIBUTES = {
    "load_balancing.algorithm.anomaly_mitigation": "off",
    "stickiness.app_cookie.cookie_name": "",
    "stickiness.app_cookie.duration_seconds": "86400",
    "stickiness.lb_cookie.duration_seconds": "86400",
    "target_group_health.dns_failover.minimum_healthy_targets.count": "1",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": "off",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": "1",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": "off",
}


# -- what the rest of the local cloud asks ------------------------------------------------------------------------


def target_health(target_group_arn: str) -> dict[str, TargetHealth]:
    """Health of a target group's targets, registered and draining: target id (instance id) -> health.

    Empty when there is no such target group. A target that finished draining (its deregistration delay is over) is not
    in it. Takes the API lock.
    """
    with API_LOCK:
        group = find_target_group(target_group_arn)
        if group is None:
            return {}
        return {target_id: health_of(group, target_id) for target_id in [*group.targets, *draining(group)]}


def find_target_group(target_group_arn: str) -> Any | None:
    """moto's target group, or None. Under the API lock."""
    for backend in backends.each("elbv2"):
        if target_group_arn in backend.target_groups:
            return backend.target_groups[target_group_arn]
    return None


def health_of(group: Any, target_id: str) -> TargetHealth:
    """Health of one target. What follows from the API's own state comes first, then what was measured."""
    if target_id in draining(group):
        return TargetHealth(*DRAINING, since=draining(group)[target_id]["Since"])
    target = group.targets.get(target_id)
    if target is None:
        return TargetHealth(*NOT_REGISTERED)
    reason = unused_because(group, target_id)
    if reason:
        return TargetHealth(*reason)
    return measured(group).get(target_id) or TargetHealth(*REGISTERING)


def unused_because(group: Any, target_id: str) -> tuple[str, str, str] | None:
    """Why a registered target gets no requests whatever its health; None when it may get some."""
    load_balancer = load_balancer_of(group)
    if load_balancer is None:
        return NOT_IN_USE
    instance = instance_of(group, target_id)
    if instance is not None:
        if instance.state in ("stopping", "stopped", "shutting-down", "terminated"):
            state = "stopped" if instance.state in ("stopping", "stopped") else "terminated"
            return "unused", "Target.InvalidState", f"Target is in the {state} state"
        zone = group.ec2_backend.get_subnet(instance.subnet_id).availability_zone if instance.subnet_id else None
        if zone and zone not in {subnet.availability_zone for subnet in load_balancer.subnets}:
            return ZONE_NOT_ENABLED
    elif target_id in load_balancer_addresses():
        return ADDRESS_RESERVED
    return None


def load_balancer_addresses() -> set[str]:
    """The addresses of the load balancers themselves."""
    return {
        load_balancer.interface.private_ip_address
        for backend in backends.each("elbv2")
        for load_balancer in backend.load_balancers.values()
    }


def attributes_of(load_balancer: Any) -> dict[str, str]:
    """A load balancer's attributes with AWS's defaults."""
    defaults = LOAD_BALANCER_ATTRIBUTES if load_balancer.type == "application" else {}
    return {**defaults, **load_balancer.attrs}


def instance_of(group: Any, target_id: str) -> Any | None:
    """The EC2 instance of a target, None for a target that is an address."""
    return group.ec2_backend.get_instance_by_id(target_id) if target_id.startswith("i-") else None


def load_balancer_of(group: Any) -> Any | None:
    """The load balancer one of whose listeners or rules forwards to a target group."""
    for load_balancer in backends.backend("elbv2", group.account_id, group.region_name).load_balancers.values():
        for listener in load_balancer.listeners.values():
            for rule in listener.rules.values():
                if any(group.arn in forwarded_to(action) for action in rule.actions):
                    return load_balancer
    return None


def forwarded_to(action: Any) -> dict[str, int]:
    """Target groups that an action forwards to, with their weights. Empty for an action of another type."""
    if action.data.get("Type") != "forward":
        return {}
    groups = action.data.get("ForwardConfig", {}).get("TargetGroups", [])
    if groups:
        return {group["TargetGroupArn"]: int(group.get("Weight", 1)) for group in groups}
    return {action.data["TargetGroupArn"]: 1}


def write_log(load_balancer: Any, name: str, content: bytes) -> None:
    """Put a log of the load balancer into its bucket, below AWSLogs and the account's number. Under the API lock."""
    attributes = attributes_of(load_balancer)
    account = load_balancer.arn.split(":")[4]
    prefix = attributes["access_logs.s3.prefix"]
    key = "/".join([*([prefix] if prefix else []), "AWSLogs", account, name])
    backends.backend("s3", account, "aws").put_object(attributes["access_logs.s3.bucket"], key, content)


# -- what the reconciler writes -----------------------------------------------------------------------------------


def measured(group: Any) -> dict[str, TargetHealth]:
    """What was measured: target id -> health."""
    found: dict[str, TargetHealth] = group.__dict__.setdefault("measured_health", {})
    return found


def draining(group: Any) -> dict[str, dict[str, Any]]:
    """Targets that finish what they began: target id -> {Id, Port, Since (seconds since the epoch)}."""
    found: dict[str, dict[str, Any]] = group.__dict__.setdefault("draining_targets", {})
    return found


def record_health(group: Any, target_id: str, health: tuple[str, str, str]) -> None:
    """Write what was measured, unless it is what is known already. Under the API lock."""
    known = measured(group).get(target_id)
    if known is None or (known.state, known.reason, known.description) != health:
        since = known.since if known and known.state == health[0] else time.time()
        measured(group)[target_id] = TargetHealth(*health, since=since)


def end_draining(group: Any, now: float, serving: Collection[str] = ()) -> None:
    """Forget targets whose deregistration delay is over, but for those that still get requests. Under the API lock."""
    delay = float(group.attributes["deregistration_delay.timeout_seconds"])
    for target_id, target in list(draining(group).items()):
        if now >= target["Since"] + delay and target_id not in serving:
            del draining(group)[target_id]


# -- moto's classes -----------------------------------------------------------------------------------------------


def install() -> None:
    """Change moto's ELBv2 classes."""
    _install_targets()
    _install_load_balancers()
    _install_listeners()
    _install_attributes()
    elbv2_refusals.install()


def _start_draining(group: Any, target_ids: set[str]) -> None:
    """A target that no load balancer knows has nothing to finish."""
    in_use = load_balancer_of(group) is not None
    for target_id in target_ids:
        target = group.deregistered_targets.pop(target_id, None) or group.terminated_targets.pop(target_id, None)
        if target and in_use:
            draining(group)[target_id] = {**target, "Since": time.time()}
        measured(group).pop(target_id, None)


def _install_targets() -> None:
    register, deregister = FakeTargetGroup.register, FakeTargetGroup.deregister
    deregister_terminated = FakeTargetGroup.deregister_terminated_instances

    @functools.wraps(register)
    def register_for_real(self: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
        before = dict(self.targets)
        register(self, targets)
        for target in targets:
            target_id = target["Id"]
            draining(self).pop(target_id, None)
            if self.targets[target_id] != before.get(target_id):
                record_health(self, target_id, REGISTERING)

    @functools.wraps(deregister)
    def deregister_draining(self: FakeTargetGroup, targets: list[dict[str, Any]]) -> None:
        deregister(self, targets)
        _start_draining(self, {target["Id"] for target in targets})

    @functools.wraps(deregister_terminated)
    def deregister_terminated_draining(self: FakeTargetGroup, instance_ids: list[str]) -> None:
        deregister_terminated(self, instance_ids)
        _start_draining(self, set(instance_ids))

    def describe_target_health(
        self: ELBv2Backend, target_group_arn: str, targets: list[dict[str, Any]]
    ) -> list[FakeHealthStatus]:
        group: Any = self.describe_target_groups(None, [target_group_arn], None)[0]  # type: ignore[index]
        known = {**draining(group), **group.targets}
        answer = []
        for target in targets or known.values():
            health = health_of(group, target["Id"])
            port = str(target.get("Port") or known.get(target["Id"], {}).get("Port") or group.port)
            check_port = port if group.health_check_port == "traffic-port" else str(group.health_check_port)
            answer.append(
                FakeHealthStatus(
                    target["Id"], port, check_port, health.state, health.reason or None, health.description or None
                )
            )
        return answer

    FakeTargetGroup.register = register_for_real  # type: ignore[method-assign]
    FakeTargetGroup.deregister = deregister_draining  # type: ignore[method-assign]
    FakeTargetGroup.deregister_terminated_instances = deregister_terminated_draining  # type: ignore[method-assign]
    ELBv2Backend.describe_target_health = describe_target_health  # type: ignore[method-assign]


def _install_load_balancers() -> None:
    create, delete = ELBv2Backend.create_load_balancer, ELBv2Backend.delete_load_balancer

    @functools.wraps(create)
    def create_provisioning(self: ELBv2Backend, name: str, *args: Any, **kwargs: Any) -> FakeLoadBalancer:
        load_balancer = create(self, name, *args, **kwargs)
        digits = mock_random.randint(10**9, 10**10 - 1)
        internal = "internal-" if load_balancer.scheme == "internal" else ""
        load_balancer.dns_name = f"{internal}{name}-{digits}.{self.region_name}.elb.{DNS_SUFFIX}"
        # On AWS there is a machine in each subnet; here one of them serves for all.
        load_balancer.interface = create_interface(  # type: ignore[attr-defined]
            load_balancer.subnets[0],
            "ELB " + load_balancer.arn.split(":loadbalancer/")[1],
            list(load_balancer.security_groups or []),
        )
        return load_balancer

    @functools.wraps(delete)
    def delete_with_interface(self: ELBv2Backend, arn: str) -> None:
        load_balancer: Any = self.load_balancers.get(arn)
        delete(self, arn)
        if load_balancer is not None:
            delete_interface(load_balancer.interface)

    set_security_groups, set_subnets = ELBv2Backend.set_security_groups, ELBv2Backend.set_subnets

    @functools.wraps(set_security_groups)
    def set_groups_of_interface(self: ELBv2Backend, arn: str, sec_groups: list[str]) -> None:
        set_security_groups(self, arn, sec_groups)
        interface = self.load_balancers[arn].interface  # type: ignore[attr-defined]
        self.ec2_backend.modify_network_interface_attribute(interface.id, sec_groups)

    @functools.wraps(set_subnets)
    def set_subnets_moving_interface(
        self: ELBv2Backend, arn: str, subnets: list[str], subnet_mappings: list[dict[str, Any]]
    ) -> Any:
        """The interface moves, to another address, when its subnet is no longer among the load balancer's."""
        zones = set_subnets(self, arn, subnets, subnet_mappings)
        load_balancer: Any = self.load_balancers[arn]
        if load_balancer.interface.subnet.id not in {subnet.id for subnet in load_balancer.subnets}:
            left = load_balancer.interface
            load_balancer.interface = create_interface(
                load_balancer.subnets[0], left.description, list(load_balancer.security_groups or [])
            )
            delete_interface(left)
        return zones

    def activate(self: FakeLoadBalancer) -> None:
        """moto makes a load balancer active when it is looked at; here it is when HAProxy answers."""

    ELBv2Backend.create_load_balancer = create_provisioning  # type: ignore[method-assign]
    ELBv2Backend.delete_load_balancer = delete_with_interface  # type: ignore[method-assign]

    def load_balancer_state(self: Any) -> dict[str, str | None]:
        return {"Code": self.state, "Reason": self.state_reason}

    balancer: Any = FakeLoadBalancer
    balancer.state_reason = None  # why it failed
    balancer.load_balancer_state = property(load_balancer_state)
    FakeLoadBalancer.activate = activate  # type: ignore[method-assign]
    ELBv2Backend.set_security_groups = set_groups_of_interface  # type: ignore[method-assign]
    ELBv2Backend.set_subnets = set_subnets_moving_interface  # type: ignore[method-assign]


def _install_listeners() -> None:
    """Rules in the order in which they are looked at; listeners with their default certificate only."""

    def rules(self: FakeListener) -> dict[Any, Any]:
        ordered = sorted(self._non_default_rules.items(), key=lambda item: int(item[1].priority))
        return dict(ordered) | dict(self._default_rule)

    FakeListener.rules = property(rules)  # type: ignore[assignment, method-assign]
    for answer in ("CreateListenerOutput", "DescribeListenersOutput", "ModifyListenerOutput"):
        path = f"{answer}.Listeners.Listener.Certificates"
        ELBV2Response.RESPONSE_KEY_PATH_TO_TRANSFORMER[path] = default_certificate


def default_certificate(certificates: list[str]) -> Any:
    return transform_certificates(certificates[:1])


def _install_attributes() -> None:
    """All attributes are there from the start, with AWS's defaults."""
    create_group = ELBv2Backend.create_target_group
    modify = ELBv2Backend.modify_load_balancer_attributes

    def describe(self: ELBv2Backend, arn: str) -> dict[str, Any]:
        return attributes_of(self.describe_load_balancers([arn], None)[0])

    @functools.wraps(modify)
    def modify_all(self: ELBv2Backend, arn: str, attrs: dict[str, Any]) -> dict[str, Any]:
        modify(self, arn, attrs)
        if attrs.get("access_logs.s3.enabled") == "true":
            write_log(self.load_balancers[arn], "ELBAccessLogTestFile", f"Enable AccessLog for ELB: {arn}".encode())
        return describe(self, arn)

    @functools.wraps(create_group)
    def create_with_attributes(self: ELBv2Backend, name: str, **kwargs: Any) -> FakeTargetGroup:
        group = create_group(self, name, **kwargs)
        if group.protocol in ("HTTP", "HTTPS"):
            for attribute, value in TARGET_GROUP_ATTRIBUTES.items():
                group.attributes.setdefault(attribute, value)
        return group

    ELBv2Backend.describe_load_balancer_attributes = describe  # type: ignore[method-assign]
    ELBv2Backend.modify_load_balancer_attributes = modify_all  # type: ignore[method-assign]
    ELBv2Backend.create_target_group = create_with_attributes  # type: ignore[method-assign]
