"""The configuration of HAProxy, and how its measurements become AWS's words."""

from __future__ import annotations

import dataclasses
import re
import time

import pytest

from localcloud import haproxy
from localcloud.haproxy import (
    Certificate,
    Condition,
    FixedResponse,
    Forward,
    HealthCheck,
    Listener,
    LoadBalancer,
    Redirect,
    Rule,
    Server,
    Stickiness,
    TargetGroup,
    Tls,
    quote,
    render,
)
from localcloud.haproxy_runtime import ConfigurationRefusedError, ServerStatus
from localcloud.load_balancer_config import Desired
from localcloud.overlay import elbv2
from localcloud.overlay.elbv2 import TargetHealth
from localcloud.reconcilers.load_balancers import drained_away, judge, without_refused

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
        haproxy.server_options(GROUP, SERVER)
        == "10.0.1.4:80 check inter 5s downinter 1s rise 3 fall 2 weight 100 slowstart 30s"
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
    assert text.endswith(f"    balance roundrobin\n    server {SERVER.name} 10.0.1.4:80\n")


def test_first_matching_rule_decides() -> None:
    found = lines(
        with_rules(
            Rule(FixedResponse(404, "text/plain", "no"), (Condition("path", ("/a/*", "/b?")),), 7),
            Rule(Forward((("web.1", 1),))),
        )
    )
    undecided = "!{ var(txn.rule) -m found }"
    assert rf'http-request set-var(txn.rule) int(7) if {undecided} {{ path -m reg "^/a/.*\x24" "^/b.\x24" }}' in found
    assert f"http-request set-var(txn.rule) int(0) if {undecided}" in found
    assert (
        'http-request return status 404 content-type "text/plain" string "no" hdr Server awselb/2.0'
        " if { var(txn.rule) -m int 7 }"
    ) in found
    assert 'http-request set-var(txn.group) str("web.1") if { var(txn.rule) -m int 0 }' in found


def test_weights_become_chances() -> None:
    found = lines(with_rules(Rule(Forward((("web.1", 3), ("web.2", 1))))))
    chosen = "{ var(txn.rule) -m int 0 }"
    assert f"http-request set-var(txn.pick) rand(4) if {chosen}" in found
    last = found.index(f'http-request set-var(txn.group) str("web.1") if {chosen} {{ var(txn.pick) -m int lt 3 }}')
    first = found.index(f'http-request set-var(txn.group) str("web.2") if {chosen} {{ var(txn.pick) -m int lt 4 }}')
    assert first < last


def test_groups_without_weight_get_nothing() -> None:
    found = lines(with_rules(Rule(Forward((("web.1", 0), ("web.2", 0))))))
    assert not [line for line in found if line.startswith("http-request set-var(txn.group) str(") and "rule" in line]


def test_redirect_keeps_what_it_is_not_told_to_change() -> None:
    found = lines(with_rules(Rule(Redirect(301, protocol="HTTPS", port="443"))))
    location = "https://%[req.hdr(host),field(1,:)]:443/%[path,regsub(^/,)]%[var(txn.query)]"
    assert f'http-request set-var-fmt(txn.location) "{location}" if {{ var(txn.rule) -m int 0 }}' in found


@pytest.mark.parametrize(
    ("pair", "query", "matches"),
    [
        (("version", "v1"), "version=v1", True),
        (("version", "v1"), "a=b&VERSION=V1&c", True),
        (("version", "v1"), "version=v10", False),
        (("version", "v1"), "subversion=v1", False),
        ((None, "*example*"), "x=an-example-here", True),
        ((None, "*example*"), "example", True),
        ((None, "exam?le"), "x=exam&le", False),
        (("a.c", r"\*"), "a.c=*", True),
        (("a.c", r"\*"), "abc=*", False),
        (("a.c", r"\*"), "a.c=x", False),
    ],
)
def test_query_is_searched_for_a_pair(pair: tuple[str | None, str], query: str, matches: bool) -> None:
    assert bool(re.search(haproxy._query_pattern(*pair), query, re.IGNORECASE)) == matches


def test_line_is_known_to_belong_to_its_rule() -> None:
    text = render(with_rules(Rule(FixedResponse(404), (Condition("path", ("/a",)),), 7), Rule(FixedResponse(503))))
    numbered = list(enumerate(text.splitlines(), start=1))
    owners = {line.strip(): haproxy.owner_of(text, number) for number, line in numbered}
    assert owners["bind :80"] == (80, None)
    assert [owners[line] for line in owners if "int(7)" in line] == [(80, 7)]
    assert [owners[line] for line in owners if "return status 503" in line] == [(80, 0)]
    assert owners["option httpchk"] is None
    assert owners["global"] is None


def test_refused_rule_is_left_out_and_the_others_stay() -> None:
    rules = (Rule(FixedResponse(404), (Condition("path", ("/a",)),), 7), Rule(FixedResponse(503)))
    balancer = with_rules(*rules)
    text = render(balancer)
    number = next(number for number, line in enumerate(text.splitlines(), start=1) if "int(7)" in line)
    refusal = ConfigurationRefusedError(f"[ALERT] parsing [/run/localcloud/haproxy.cfg:{number}] : no such thing")
    assert without_refused(balancer, text, refusal).listeners[0].rules == rules[1:]
    with pytest.raises(ConfigurationRefusedError):
        without_refused(balancer, text, ConfigurationRefusedError("[ALERT] out of memory"))


CERTIFICATE = Certificate(b"-----BEGIN CERTIFICATE----- a secret")


@pytest.mark.parametrize(
    ("protocols", "expected"),
    [
        (("TLSv1.3", "TLSv1.2"), "ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.3"),
        (("TLSv1.3",), "ssl-min-ver TLSv1.3 ssl-max-ver TLSv1.3"),
        (("TLSv1", "TLSv1.1", "TLSv1.2"), "ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.2"),
    ],
)
def test_no_policy_allows_less_than_tls_1_2(protocols: tuple[str, ...], expected: str) -> None:
    listener = Listener(443, (Rule(FixedResponse(404)),), Tls((CERTIFICATE,), protocols, ("TLS_A", "ECDHE-B")))
    text = render(LoadBalancer((listener,)))
    assert expected in text
    assert "alpn h2,http/1.1 ciphers ECDHE-B ciphersuites TLS_A" in text


def test_private_key_is_nowhere_but_in_its_file() -> None:
    listener = Listener(443, (Rule(FixedResponse(404)),), Tls((CERTIFICATE,)))
    balancer = LoadBalancer((listener,))
    assert "secret" not in render(balancer)
    assert "secret" not in repr(balancer)


def test_sticky_group_gives_its_servers_cookies() -> None:
    group = TargetGroup("web.1", stickiness=Stickiness(3600))
    assert " cookie " in haproxy.server_options(group, SERVER)
    assert SERVER.address not in haproxy.server_options(group, SERVER).partition(" cookie ")[2]
    found = lines(LoadBalancer(groups=(group,)))
    assert "cookie AWSALB rewrite" in found


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
