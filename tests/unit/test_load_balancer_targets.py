"""What a load balancer's HAProxy is told of its targets: whoever drains stops getting requests, whatever else fails."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from localcloud.haproxy import LoadBalancer, Server, TargetGroup
from localcloud.haproxy_runtime import HAProxyError, ServerStatus
from localcloud.load_balancer_config import DRAIN, READY, Desired
from localcloud.overlay import elbv2
from localcloud.reconcilers.load_balancers import LoadBalancers, in_service

GROUP = TargetGroup("web.1f2e")
GONE, LEAVING, NEW = (Server(f"i-{number}", f"10.0.0.{number}", 80) for number in (1, 2, 3))


class BusyHAProxy:
    """Knows two servers, and does not let go of one that is to be removed."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def servers(self) -> dict[str, dict[str, ServerStatus]]:
        names = (GONE.name, LEAVING.name)
        return {GROUP.name: {name: ServerStatus(GROUP.name, name, "UP", "L7OK", "200", 0) for name in names}}

    def admin_states(self) -> dict[tuple[str, str], int]:
        return {(GROUP.name, GONE.name): 0, (GROUP.name, LEAVING.name): 0}

    def drain(self, _backend: str, name: str) -> None:
        self.told.append(("drain", name))

    def add(self, _group: TargetGroup, server: Server, _slow_start: bool) -> None:
        self.told.append(("add", server.name))

    def remove(self, _backend: str, name: str) -> None:
        self.told.append(("remove", name))
        raise HAProxyError("Server still has connections attached to it, cannot remove it.")


def desired(*targets: tuple[Server, str]) -> Desired:
    return Desired(LoadBalancer(), ((GROUP, targets),), ())


def test_server_that_can_not_be_removed_keeps_no_other_from_draining() -> None:
    haproxy: Any = BusyHAProxy()
    reconciler: Any = LoadBalancers.__new__(LoadBalancers)
    with pytest.raises(HAProxyError):
        reconciler._apply_targets(haproxy, desired((LEAVING, DRAIN), (NEW, READY)))
    assert haproxy.told == [("drain", LEAVING.name), ("add", NEW.name), ("remove", GONE.name)]


def test_only_who_is_ready_gets_requests() -> None:
    applied = desired((LEAVING, DRAIN), (NEW, READY))
    assert in_service(applied, GROUP.name) == {NEW.target_id}
    assert in_service(applied, "another group") == set()


def test_drain_does_not_end_before_the_load_balancer_has_heard_of_it() -> None:
    group = SimpleNamespace(attributes={"deregistration_delay.timeout_seconds": "30"})
    elbv2.draining(group).update({target: {"Id": target, "Since": 100.0} for target in ("i-1", "i-2")})
    elbv2.end_draining(group, now=129.0, serving=())
    assert elbv2.draining(group).keys() == {"i-1", "i-2"}
    elbv2.end_draining(group, now=131.0, serving={"i-2"})
    assert elbv2.draining(group).keys() == {"i-2"}
    elbv2.end_draining(group, now=131.0, serving=())
    assert elbv2.draining(group) == {}
