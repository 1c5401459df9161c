"""The configuration of HAProxy, and how its measurements become AWS's words."""

from __future__ import annotations

import dataclasses
import time

import pytest

from localcloud import haproxy
from localcloud.haproxy import (
    Condition,
    FixedResponse,
    Forward,
    HealthCheck,
    Listener,
    LoadBalancer,
    Redirect,
    Rule,
    Server,
    ServerStatus,
    TargetGroup,
    quote,
    render,
)
from localcloud.overlay import elbv2
from localcloud.overlay.elbv2 import TargetHealth
from localcloud.reconcilers.load_balancers import Desired, drained_away, judge

GROUP = TargetGroup("web.1", HealthCheck("/health", "200-299,404", 5, 2, 3, 2), slow_start=30)
SERVER = Server("i-0abc", "10.0.1.4", 80)


def lines(balancer: LoadBalancer, **servers: list[Server]) -> list[str]:
    return [line.strip() for line in render(balancer, servers).splitlines()]


def with_rules(*rules: Rule) -> LoadBalancer:
    return LoadBalancer((Listener(80, rules),), (GROUP,))


def test_server_name_holds_its_address() -> None:
    assert SERVER.name == "i-0abc_10.0.1.4:80"
    assert Server.from_name(SERVER.name) == SERVER


def test_target_group_becomes_a_checked_backend() -> None:
    found = lines(with_rules(Rule(Forward((("web.1", 1),)))))
    assert "backend web.1" in found
    assert "http-check expect status 200-299,404" in found
    assert "timeout check 2s" in found
    assert (
        haproxy.server_options(GROUP, SERVER) == "10.0.1.4:80 check inter 5s downinter 1s rise 3 fall 2 slowstart 30s"
    )


def test_health_check_may_have_a_port_of_its_own() -> None:
    group = TargetGroup("web.1", HealthCheck(port=8080), tls=True)
    assert haproxy.server_options(group, SERVER) == (
        "10.0.1.4:80 ssl verify none check inter 30s downinter 1s rise 5 fall 2 check-ssl port 8080"
    )


@pytest.mark.parametrize(
    "changed",
    [
        HealthCheck("/health", "200", 6, 2, 3, 2),
        HealthCheck("/health", "200", 5, 2, 4, 2),
        HealthCheck("/health", "200", 5, 2, 3, 3),
        HealthCheck("/health", "200", 5, 3, 3, 2),
        HealthCheck("/other", "200", 5, 2, 3, 2),
    ],
)
def test_changed_health_check_is_a_changed_configuration(changed: HealthCheck) -> None:
    before = TargetGroup("web.1", HealthCheck("/health", "200", 5, 2, 3, 2))
    assert render(LoadBalancer(groups=(before,))) != render(LoadBalancer(groups=(TargetGroup("web.1", changed),)))


def test_servers_that_live_through_a_reload_are_in_the_file() -> None:
    text = render(with_rules(Rule(Forward((("web.1", 1),)))), {"web.1": [SERVER], "web.1.open": [SERVER]})
    assert f"server {SERVER.name} 10.0.1.4:80 check inter 5s" in text
    assert text.endswith(f"backend web.1.open\n    balance roundrobin\n    server {SERVER.name} 10.0.1.4:80\n")


def test_single_rule_needs_no_decision() -> None:
    found = lines(with_rules(Rule(Forward((("web.1", 1),)))))
    assert "use_backend web.1" in found
    assert not [line for line in found if "txn.rule" in line]


def test_first_matching_rule_decides() -> None:
    found = lines(
        with_rules(
            Rule(FixedResponse(404, "text/plain", "no"), (Condition("path", ("/a/*", "/b?")),)),
            Rule(Forward((("web.1", 1),))),
        )
    )
    undecided = "!{ var(txn.rule) -m found }"
    assert rf'http-request set-var(txn.rule) int(0) if {undecided} {{ path -m reg "^/a/.*\x24" "^/b.\x24" }}' in found
    assert f"http-request set-var(txn.rule) int(1) if {undecided}" in found
    assert 'http-request return status 404 content-type "text/plain" string "no" if { var(txn.rule) -m int 0 }' in found
    assert "use_backend web.1 if { var(txn.rule) -m int 1 }" in found


def test_weights_become_chances() -> None:
    found = lines(with_rules(Rule(Forward((("web.1", 3), ("web.2", 1))))))
    assert "http-request set-var(txn.pick) rand(4)" in found
    assert "use_backend web.1 if { var(txn.pick) -m int lt 3 }" in found
    assert "use_backend web.2 if { var(txn.pick) -m int lt 4 }" in found


def test_redirect_keeps_what_it_is_not_told_to_change() -> None:
    found = lines(with_rules(Rule(Redirect(301, protocol="HTTPS", port="443"))))
    location = "https://%[req.hdr(host),field(1,:)]:443/%[path,regsub(^/,)]?%[query]"
    assert f'http-request redirect code 301 location "{location}"' in found


def test_quoted_text_can_not_end_its_line() -> None:
    assert quote('a "b"\n$HOME \\ é') == r'"a \x22b\x22\x0a\x24HOME \x5c \xc3\xa9"'


def status(state: str, check: str = "L7OK", code: str = "200") -> ServerStatus:
    return ServerStatus("web.1", SERVER.name, state, check, code, 0)


@pytest.mark.parametrize(
    ("measured", "known", "expected"),
    [
        (status("UP"), None, elbv2.HEALTHY),
        (status("UP 1/2", "L7STS", "500"), TargetHealth("healthy"), elbv2.HEALTHY),
        (status("DOWN", "INI", ""), TargetHealth(*elbv2.REGISTERING, since=0), elbv2.CHECKING),
        (status("DOWN 1/3"), TargetHealth(*elbv2.CHECKING), elbv2.HEALTHY),
        (status("DOWN", "L4CON", ""), TargetHealth(*elbv2.CHECKING, since=0), elbv2.CHECKING),
        (
            status("DOWN", "L4CON", ""),
            TargetHealth(*elbv2.CHECKING, since=60),
            ("unhealthy", "Target.FailedHealthChecks", "Health checks failed"),
        ),
        (
            status("DOWN", "L7STS", "503"),
            TargetHealth("healthy"),
            ("unhealthy", "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]"),
        ),
        (
            status("DOWN", "L7TOUT", ""),
            TargetHealth("unhealthy"),
            ("unhealthy", "Target.Timeout", "Request timed out"),
        ),
    ],
)
def test_health_in_the_words_of_aws(
    measured: ServerStatus, known: TargetHealth | None, expected: tuple[str, str, str]
) -> None:
    """`since` of the parameters is an age in seconds: they are made long before the test runs."""
    if known is not None:
        known = dataclasses.replace(known, since=time.time() - known.since)
    assert judge(measured, known, GROUP.health_check) == expected


def test_recovering_target_stays_unhealthy_until_haproxy_trusts_it() -> None:
    assert judge(status("DOWN 1/3"), TargetHealth("unhealthy"), GROUP.health_check)[0] == "unhealthy"


def test_drained_server_that_is_gone_is_not_missed() -> None:
    other = Server("i-0def", "10.0.1.5", 80)
    desired = Desired(LoadBalancer(), ((GROUP, ((SERVER, "drain"), (other, "ready"))),), ())
    present = {"web.1": {other.name: status("UP")}}
    assert drained_away(desired, present) == {"web.1": {other.name}}
