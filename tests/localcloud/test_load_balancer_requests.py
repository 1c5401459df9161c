"""What an application load balancer does with a request: rules, actions, headers, cookies, errors, access log."""

from __future__ import annotations

import gzip
import re
import shlex
import socket
import threading
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from typing import Any

import pytest
import requests
from balancing import Balancer, answer, forward, weighted
from running_cloud import Cloud, docker
from waiting import wait_until

PORT = 80


@pytest.fixture(scope="module")
def balancer(cloud: Cloud, web_servers: list[str]) -> Iterator[Balancer]:
    """A load balancer with the group `both` behind port 80."""
    balancer = Balancer(cloud, "requests", Scheme="internal")
    both = balancer.create_group("both", *web_servers)
    balancer.listen(PORT, forward(both))
    balancer.wait_for("healthy", both)
    wait_until(lambda: balancer.state == "active", 20)
    yield balancer
    balancer.delete()


@pytest.fixture
def both(balancer: Balancer) -> str:
    return balancer.groups[0]


@pytest.fixture
def listener(balancer: Balancer) -> Iterator[tuple[int, str]]:
    """A listener of the test's own, which says `default`: (port, ARN)."""
    arn = balancer.listen(8000, answer("default"))
    yield 8000, arn
    balancer.elbv2.delete_listener(ListenerArn=arn)
    wait_until(lambda: not balancer.accepts(8000), 20)


# -- rules ----------------------------------------------------------------------------------------------------------


def test_each_kind_of_condition_is_looked_at(balancer: Balancer, listener: tuple[int, str]) -> None:
    port, arn = listener
    path = {"Field": "path-pattern", "PathPatternConfig": {"Values": ["/img/*", "/?.css"]}}
    host = {"Field": "host-header", "HostHeaderConfig": {"Values": ["*.example.com"]}}
    header = {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-Kind", "Values": ["*mobile*", "a.b"]}}
    query = {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "1*"}, {"Value": "beta"}]}}
    method = {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["PUT", "PURGE"]}}
    elsewhere = {"Field": "source-ip", "SourceIpConfig": {"Values": ["203.0.113.0/24"]}}
    here = {"Field": "source-ip", "SourceIpConfig": {"Values": ["203.0.113.0/24", "10.0.0.0/8"]}}
    balancer.add_rule(arn, 1, answer("path and host"), path, host)
    balancer.add_rule(arn, 2, answer("path"), path)
    balancer.add_rule(arn, 3, answer("header"), header)
    balancer.add_rule(arn, 4, answer("query"), query)
    balancer.add_rule(arn, 5, answer("method"), method)
    balancer.add_rule(arn, 6, answer("elsewhere"), elsewhere)
    balancer.add_rule(arn, 7, answer("here"), here, {"Field": "path-pattern", "Values": ["/here"]})

    def said(path: str = "/", **options: Any) -> str:
        return str(balancer.get(path, port, **options).text)

    balancer.wait_for_answer(lambda got: got.text == "here", "/here", port)
    assert said("/img/a/b.png", headers={"Host": "WWW.example.com"}) == "path and host"
    assert said("/img/a/b.png") == "path"
    assert said("/a.css") == "path"
    assert said("/ab.css") == "default"
    assert said("/IMG/x") == "default"
    assert said(headers={"X-Kind": "a MOBILE one"}) == "header"
    assert said(headers={"X-Kind": "a.b"}) == "header"
    assert said(headers={"X-Kind": "acb"}) == "default"
    assert said("/?a=b&v=12") == "query"
    assert said("/?V=1") == "query"
    assert said("/?v=2") == "default"
    assert said("/?any=beta") == "query"
    assert said(method="PURGE") == "method"
    assert said(method="OPTIONS") == "default"


def test_priorities_decide_and_may_change_places(balancer: Balancer, listener: tuple[int, str]) -> None:
    port, arn = listener
    everything = {"Field": "path-pattern", "Values": ["/*"]}
    first = balancer.add_rule(arn, 20, answer("first"), everything)
    second = balancer.add_rule(arn, 10, answer("second"), everything)
    balancer.wait_for_answer(lambda got: got.text == "second", "/", port)
    balancer.elbv2.set_rule_priorities(
        RulePriorities=[{"RuleArn": first, "Priority": 10}, {"RuleArn": second, "Priority": 20}]
    )
    balancer.wait_for_answer(lambda got: got.text == "first", "/", port)
    rules = balancer.elbv2.describe_rules(ListenerArn=arn)["Rules"]
    assert [(rule["RuleArn"], rule["Priority"]) for rule in rules[:2]] == [(first, "10"), (second, "20")]
    assert rules[2]["Priority"] == "default"


def test_odd_characters_are_taken_literally(balancer: Balancer, listener: tuple[int, str]) -> None:
    """Nothing in a rule can break the configuration that all other rules are in."""
    port, arn = listener
    body = "50 % \"off\" 'now' $HOME \\ %[src] #{host}\n\té"
    balancer.add_rule(arn, 1, answer(body, 218), {"Field": "path-pattern", "Values": ["/a.b+$~'&@:x"]})
    got = balancer.wait_for_answer(lambda got: got.status_code == 218, "/a.b+$~'&@:x", port)
    assert got.content.decode() == body
    name = "X-!#$&'*+.^_`|~"
    header = {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": name, "Values": ["(a|b)[", 'q"{ } -m']}}
    balancer.add_rule(arn, 2, answer("odd"), header)
    balancer.wait_for_answer(lambda got: got.text == "odd", "/", port, {name: "(a|b)["})
    assert balancer.get("/", port, {name: "a"}).text == "default"


# -- actions --------------------------------------------------------------------------------------------------------


def test_fixed_response_is_as_it_was_told(balancer: Balancer, listener: tuple[int, str]) -> None:
    port, arn = listener
    action = answer('{"ok": true}', 503, "application/json")
    balancer.add_rule(arn, 1, action, {"Field": "path-pattern", "Values": ["/json"]})
    got = balancer.wait_for_answer(lambda got: got.status_code == 503, "/json", port)
    assert (got.json(), got.headers["Content-Type"]) == ({"ok": True}, "application/json")
    assert got.headers["Server"] == "awselb/2.0"
    assert "Date" in got.headers


def test_redirect_fills_in_the_request(balancer: Balancer, listener: tuple[int, str]) -> None:
    port, arn = listener
    https = {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}
    moved = {
        "Host": "new.#{host}", "Path": "/v2/#{path}", "Query": "from=#{port}&#{query}", "StatusCode": "HTTP_302",
    }  # fmt: skip
    balancer.add_rule(
        arn, 1, {"Type": "redirect", "RedirectConfig": moved}, {"Field": "path-pattern", "Values": ["/old/*"]}
    )
    balancer.elbv2.modify_listener(ListenerArn=arn, DefaultActions=[{"Type": "redirect", "RedirectConfig": https}])
    host = {"Host": "www.example.com"}
    got = balancer.wait_for_answer(lambda got: got.status_code == 301, "/a/b?x=1&y=%20", port, host)
    assert got.headers["Location"] == "https://www.example.com:443/a/b?x=1&y=%20"
    assert "<h1>301 Moved Permanently</h1>" in got.text
    assert balancer.get("/", port, host).headers["Location"] == "https://www.example.com:443/"
    got = balancer.get("/old/page?q=1", port, host)
    assert got.status_code == 302
    assert got.headers["Location"] == f"http://new.www.example.com:{port}/v2/old/page?from={port}&q=1"


def test_weights_share_out_and_group_stickiness_holds(
    cloud: Cloud, balancer: Balancer, listener: tuple[int, str], web_servers: list[str]
) -> None:
    port, arn = listener
    groups = [balancer.create_group(f"weighted-{n}", web_servers[n]) for n in (0, 1)]
    action = weighted({groups[0]: 9, groups[1]: 1}, sticky=60)
    balancer.elbv2.modify_listener(ListenerArn=arn, DefaultActions=[action])
    for group in groups:
        balancer.wait_for("healthy", group)
    balancer.wait_for_answer(lambda got: got.status_code == 200 and got.text != "default", "/", port)
    names = [host_name(cloud, instance_id) for instance_id in web_servers]
    found = balancer.bodies(200, "/", port)
    assert set(found) == set(names)
    # 180 are expected. Chance alone makes it all 200, or fewer than 131, once in a thousand million runs.
    assert 130 < found[names[0]] < 200

    got = balancer.get("/", port)
    cookies = set_cookies(got)
    assert set(cookies) == {"AWSALBTG", "AWSALBTGCORS"}
    assert cookies["AWSALBTGCORS"]["samesite"] == "None"
    token = {"Cookie": f"AWSALBTG={cookies['AWSALBTG'].value}"}
    assert set(balancer.bodies(40, "/", port, token)) == {got.text}


def host_name(cloud: Cloud, instance_id: str) -> str:
    return "ip-" + cloud.instance(instance_id)["PrivateIpAddress"].replace(".", "-")


def set_cookies(got: Any) -> Any:
    """The cookies of an answer: name -> morsel."""
    cookies = SimpleCookie()
    for line in got.raw.headers.getlist("Set-Cookie"):
        cookies.load(line)
    return cookies


# -- algorithms and cookies -----------------------------------------------------------------------------------------


def test_least_outstanding_requests_avoids_the_busy_target(balancer: Balancer, both: str) -> None:
    """Round robin gives every other request to the busy one."""

    def counts() -> set[int]:
        slow = [threading.Thread(target=balancer.get, args=["/slow-3"]) for _ in range(1)]
        for thread in slow:
            thread.start()
        time.sleep(0.5)
        found = balancer.bodies(10)
        for thread in slow:
            thread.join()
        return set(found.values())

    wait_until(lambda: counts() == {5}, 30)
    name = "load_balancing.algorithm.type"
    balancer.elbv2.modify_target_group_attributes(
        TargetGroupArn=both, Attributes=[{"Key": name, "Value": "least_outstanding_requests"}]
    )
    wait_until(lambda: counts() == {10}, 30)
    balancer.elbv2.modify_target_group_attributes(
        TargetGroupArn=both, Attributes=[{"Key": name, "Value": "round_robin"}]
    )
    wait_until(lambda: counts() == {5}, 30)


def test_sticky_cookie_of_the_load_balancer(
    balancer: Balancer, listener: tuple[int, str], web_servers: list[str]
) -> None:
    port, arn = listener
    sticky = {
        "stickiness__enabled": "true",
        "stickiness__type": "lb_cookie",
        "stickiness__lb_cookie__duration_seconds": "60",
    }
    group = balancer.create_group("sticky", *web_servers, attributes=sticky)
    balancer.elbv2.modify_listener(ListenerArn=arn, DefaultActions=[forward(group)])
    balancer.wait_for("healthy", group)
    got = balancer.wait_for_answer(lambda got: "AWSALB" in set_cookies(got), "/", port)
    cookies = set_cookies(got)
    assert set(cookies) == {"AWSALB", "AWSALBCORS"}
    assert cookies["AWSALB"]["expires"]
    assert cookies["AWSALBCORS"].value == cookies["AWSALB"].value
    token = {"Cookie": f"AWSALB={cookies['AWSALB'].value}"}
    assert set(balancer.bodies(10, "/", port, token)) == {got.text}
    assert len(balancer.bodies(10, "/", port)) == 2

    # A target that leaves gets no more requests, whatever the cookie says.
    leaving = next(id_ for id_ in web_servers if host_name(balancer.cloud, id_) == got.text)
    balancer.deregister(group, leaving)
    assert balancer.health(group)[leaving]["State"] == "draining"
    moved = balancer.wait_for_answer(lambda answered: answered.text != got.text, "/", port, token)
    assert moved.status_code == 200
    assert set_cookies(moved)["AWSALB"].value != cookies["AWSALB"].value


def test_sticky_cookie_of_the_application(
    balancer: Balancer, listener: tuple[int, str], web_servers: list[str]
) -> None:
    port, arn = listener
    sticky = {
        "stickiness__enabled": "true",
        "stickiness__type": "app_cookie",
        "stickiness__app_cookie__cookie_name": "SESSION",
    }
    group = balancer.create_group("sticky-app", *web_servers, attributes=sticky)
    balancer.elbv2.modify_listener(ListenerArn=arn, DefaultActions=[forward(group)])
    balancer.wait_for("healthy", group)
    got = balancer.wait_for_answer(lambda got: "AWSALBAPP-0" in set_cookies(got), "/login", port)
    assert not set_cookies(balancer.get("/", port))
    token = f"AWSALBAPP-0={set_cookies(got)['AWSALBAPP-0'].value}"
    assert set(balancer.bodies(8, "/", port, {"Cookie": f"{token}; SESSION=1"})) == {got.text}
    assert len(balancer.bodies(8, "/", port, {"Cookie": token})) == 2


# -- headers --------------------------------------------------------------------------------------------------------


def test_headers_are_handled_as_the_attributes_say(balancer: Balancer) -> None:
    def headers(**sent: str) -> dict[str, str]:
        found: dict[str, str] = balancer.get(
            "/headers", headers={n.replace("_", "-"): v for n, v in sent.items()}
        ).json()
        return found

    mode = "routing__http__xff_header_processing__mode"
    found = headers(Host="www.example.com", X_Forwarded_For="203.0.113.9", X_Forwarded_Proto="gopher")
    assert found["host"] == "www.example.com"
    assert re.fullmatch(r"203\.0\.113\.9, [0-9.]+", found["x-forwarded-for"])
    assert (found["x-forwarded-proto"], found["x-forwarded-port"]) == ("http", "80")
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24}", found["x-amzn-trace-id"])
    assert "x_y" in balancer.get("/headers", headers={"X_Y": "1"}).json()

    balancer.set_attributes(**{mode: "preserve", "routing__http__drop_invalid_header_fields__enabled": "true"})
    wait_until(lambda: headers(X_Forwarded_For="203.0.113.9")["x-forwarded-for"] == "203.0.113.9", 20)
    assert "x-forwarded-for" not in headers()
    assert "x_y" not in balancer.get("/headers", headers={"X_Y": "1"}).json()
    balancer.set_attributes(**{mode: "remove"})
    wait_until(lambda: "x-forwarded-for" not in headers(X_Forwarded_For="203.0.113.9"), 20)
    balancer.set_attributes(**{mode: "append", "routing__http__xff_client_port__enabled": "true"})
    wait_until(lambda: re.fullmatch(r"[0-9.]+:\d+", headers().get("x-forwarded-for", "")), 20)


# -- errors ---------------------------------------------------------------------------------------------------------


def page(title: str) -> str:
    return (
        f"<html>\r\n<head><title>{title}</title></head>\r\n<body>\r\n<center><h1>{title}</h1></center>\r\n"
        "</body>\r\n</html>\r\n"
    )


def assert_own_page(got: Any, status: int, title: str) -> None:
    assert (got.status_code, got.reason) == (status, title)
    assert got.text == page(f"{status} {title}")
    assert (got.headers["Server"], got.headers["Content-Type"]) == ("awselb/2.0", "text/html")


def test_target_that_breaks_the_connection_is_a_502(balancer: Balancer) -> None:
    assert_own_page(balancer.get("/close"), 502, "Bad Gateway")
    assert_own_page(balancer.get("/garbage"), 502, "Bad Gateway")


def test_what_a_target_says_itself_is_left_alone(balancer: Balancer) -> None:
    for status in (502, 503, 504):
        got = balancer.get(f"/status-{status}")
        assert got.status_code == status
        assert got.headers["Server"].startswith("BaseHTTP")
        assert got.text.startswith("ip-")


def test_target_that_refuses_is_a_502_and_nobody_there_a_504(
    balancer: Balancer, listener: tuple[int, str], web_servers: list[str]
) -> None:
    """Both fail their checks; a load balancer with nothing better sends requests to them all the same."""
    port, arn = listener
    refusing = balancer.create_group("refusing", web_servers[0], Port=81)
    absent = balancer.create_group("absent", TargetType="ip")
    free = balancer.address_now.rsplit(".", 1)[0] + ".250"
    balancer.register(absent, free)
    empty = balancer.create_group("empty")
    for priority, group, path in ((1, refusing, "/refusing"), (2, absent, "/absent"), (3, empty, "/empty")):
        balancer.add_rule(arn, priority, forward(group), {"Field": "path-pattern", "Values": [path]})
    assert_own_page(
        balancer.wait_for_answer(lambda got: got.status_code == 503, "/empty", port),
        503,
        "Service Temporarily Unavailable",
    )
    balancer.wait_for("unhealthy", refusing, web_servers[0])
    assert balancer.health(refusing)[web_servers[0]] == {
        "State": "unhealthy", "Reason": "Target.FailedHealthChecks", "Description": "Health checks failed",
    }  # fmt: skip
    assert_own_page(balancer.wait_for_answer(lambda got: got.status_code == 502, "/refusing", port), 502, "Bad Gateway")
    balancer.wait_for("unhealthy", absent, free)
    assert_own_page(
        balancer.wait_for_answer(lambda got: got.status_code == 504, "/absent", port), 504, "Gateway Time-out"
    )


def test_target_that_says_nothing_is_a_504_after_the_idle_timeout(balancer: Balancer) -> None:
    balancer.set_attributes(idle_timeout__timeout_seconds="2")
    try:
        assert_own_page(
            balancer.wait_for_answer(lambda got: got.status_code == 504, "/slow-5"), 504, "Gateway Time-out"
        )
        assert balancer.get("/slow-1").status_code == 200
    finally:
        balancer.set_attributes(idle_timeout__timeout_seconds="60")
        balancer.wait_for_answer(lambda got: got.status_code == 200, "/slow-3")


def test_target_is_let_go_when_its_client_goes_away(cloud: Cloud, balancer: Balancer, web_servers: list[str]) -> None:
    def at_work() -> int:
        connections = ("ss", "-Htn", "state", "established", "sport = :80")
        return sum(len(docker("exec", cloud.container(target), *connections).splitlines()) for target in web_servers)

    with socket.create_connection((balancer.address, PORT), 10) as client:
        client.sendall(b"GET /slow-45 HTTP/1.1\r\nHost: balancer\r\n\r\n")
        wait_until(lambda: at_work() == 1, 10, what="a target works for the client")
    wait_until(lambda: at_work() == 0, 10, what="nothing works for the client")


def test_client_errors_have_their_own_pages(balancer: Balancer) -> None:
    import socket

    def raw(request: bytes) -> bytes:
        with socket.create_connection((balancer.address_now, PORT), timeout=10) as connection:
            connection.sendall(request)
            found = b""
            while part := connection.recv(65536):
                found += part
        return found

    bad = raw(b"GET /a b c HTTP/1.1\r\nHost: x\r\n\r\n")
    assert bad.startswith(b"HTTP/1.1 400 ")
    assert balancer.get(method="TRACE").status_code == 405
    forwarded = ", ".join(["203.0.113.1"] * 31)
    assert balancer.get(headers={"X-Forwarded-For": forwarded}).status_code == 463


# -- health checks --------------------------------------------------------------------------------------------------


def test_health_check_settings_are_followed(
    cloud: Cloud, balancer: Balancer, listener: tuple[int, str], web_servers: list[str]
) -> None:
    """Path, port, protocol and matcher; what hangs is a timeout; what is stopped or reserved is unused."""
    port, arn = listener
    wanted = {
        "healthy": {"HealthCheckProtocol": "HTTPS", "HealthCheckPort": "443"},
        "matched": {"HealthCheckPath": "/status-302", "Matcher": {"HttpCode": "200,302"}},
        "mismatched": {"HealthCheckPath": "/status-404", "Matcher": {"HttpCode": "200"}},
        "hanging": {"HealthCheckPath": "/slow-20"},
        "encrypted": {"Protocol": "HTTPS", "Port": 443},
    }
    groups = {
        name: balancer.create_group(f"check-{name}", web_servers[0], **options)  # type: ignore[arg-type]
        for name, options in wanted.items()
    }
    groups["reserved"] = balancer.create_group("check-reserved", TargetType="ip")
    balancer.register(groups["reserved"], balancer.address_now)
    unused = balancer.health(groups["healthy"])[web_servers[0]]
    assert unused == {
        "State": "unused",
        "Reason": "Target.NotInUse",
        "Description": "Target group is not configured to receive traffic from the load balancer",
    }
    balancer.elbv2.modify_listener(ListenerArn=arn, DefaultActions=[forward(*groups.values())])
    assert balancer.health(groups["healthy"])[web_servers[0]]["State"] in ("initial", "healthy")
    for name in ("healthy", "matched", "encrypted"):
        balancer.wait_for("healthy", groups[name])
    for name in ("mismatched", "hanging"):
        balancer.wait_for("unhealthy", groups[name])
    assert balancer.health(groups["mismatched"])[web_servers[0]] == {
        "State": "unhealthy",
        "Reason": "Target.ResponseCodeMismatch",
        "Description": "Health checks failed with these codes: [404]",
    }
    assert balancer.health(groups["hanging"])[web_servers[0]] == {
        "State": "unhealthy", "Reason": "Target.Timeout", "Description": "Request timed out",
    }  # fmt: skip
    assert balancer.health(groups["reserved"])[balancer.address_now]["Reason"] == "Target.IpUnusable"
    balancer.elbv2.modify_listener(ListenerArn=arn, DefaultActions=[forward(groups["encrypted"])])
    got = balancer.wait_for_answer(lambda got: got.text == host_name(cloud, web_servers[0]), "/", port)
    assert got.status_code == 200


# -- slow start and draining ----------------------------------------------------------------------------------------


def test_new_target_starts_slowly(balancer: Balancer, listener: tuple[int, str], web_servers: list[str]) -> None:
    port, arn = listener
    old, new = web_servers
    slow = {"slow_start__duration_seconds": "30"}
    group = balancer.create_group("slow-start", old, attributes=slow)
    balancer.elbv2.modify_listener(ListenerArn=arn, DefaultActions=[forward(group)])
    balancer.wait_for("healthy", group)
    balancer.wait_for_answer(lambda got: got.text.startswith("ip-"), "/", port)
    balancer.register(group, new)
    balancer.wait_for("healthy", group, new)
    found = balancer.bodies(40, "/", port)
    assert found[host_name(balancer.cloud, new)] < 15, found


def test_what_outlasts_the_delay_is_cut_off(balancer: Balancer, both: str, web_servers: list[str]) -> None:
    leaving, _staying = web_servers
    found: list[Any] = []

    def ask() -> None:
        try:
            found.append(balancer.get("/slow-12").status_code)
        except requests.ConnectionError:
            found.append("closed")

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(1)
    balancer.deregister(both, leaving)
    assert balancer.health(both)[leaving] == {
        "State": "draining",
        "Reason": "Target.DeregistrationInProgress",
        "Description": "Target deregistration is in progress",
    }
    wait_until(lambda: leaving not in balancer.health(both), 20)
    wait_until(lambda: found == ["closed"], 5)
    for thread in threads:
        thread.join()
    assert found == ["closed", 200]
    balancer.register(both, leaving)
    balancer.wait_for("healthy", both)


# -- access log -----------------------------------------------------------------------------------------------------


def test_access_log_is_delivered(cloud: Cloud, balancer: Balancer, both: str) -> None:
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="access-logs")
    with pytest.raises(
        balancer.elbv2.exceptions.InvalidConfigurationRequestException, match="Access Denied for bucket"
    ):
        balancer.set_attributes(access_logs__s3__enabled="true", access_logs__s3__bucket="no-such-bucket")
    balancer.set_attributes(
        access_logs__s3__enabled="true", access_logs__s3__bucket="access-logs", access_logs__s3__prefix="web"
    )

    def lines() -> dict[str, list[str]]:
        """URL -> fields."""
        found = {}
        for row in s3.list_objects_v2(Bucket="access-logs").get("Contents", []):
            if row["Key"].endswith(".log.gz"):
                text = gzip.decompress(s3.get_object(Bucket="access-logs", Key=row["Key"])["Body"].read()).decode()
                for line in text.splitlines():
                    fields = shlex.split(line)
                    found[fields[12].split()[1]] = fields
        return found

    url = f"http://{balancer.dns_name}:80"
    wait_until(lambda: balancer.get("/before") and f"{url}/before" in lines(), 40, interval=1)
    trace = "Root=1-67891233-abcdef012345678912345678"
    headers = {"User-Agent": 'a "browser"', "X-Amzn-Trace-Id": trace}
    assert balancer.get("/slow-1?q=1", headers=headers).status_code == 200
    assert balancer.get("/close").status_code == 502
    # The API's process is killed: what came meanwhile is delivered once it is back.
    cloud.kill()
    assert balancer.get("/meanwhile").status_code == 200
    cloud.up()
    found = wait_until(lambda: (log := lines()) and f"{url}/meanwhile" in log and log, 40, interval=1)

    fields = found[f"{url}/slow-1?q=1"]
    assert fields[0] == "http"
    assert fields[2] == balancer.arn.split(":loadbalancer/")[1]
    assert fields[4].endswith(":80")
    assert float(fields[5]) >= 0
    assert float(fields[6]) >= 1
    assert fields[8:10] == ["200", "200"]
    assert min(int(fields[10]), int(fields[11])) > 20
    assert fields[12] == f"GET {url}/slow-1?q=1 HTTP/1.1"
    assert fields[13] == r"a \x22browser\x22"
    assert fields[14:16] == ["-", "-"]
    assert fields[16] == both
    assert trace in fields[17]
    assert fields[20] == "0"
    assert fields[22] == "forward"
    assert fields[25:27] == [fields[4], "200"]
    failed = found[f"{url}/close"]
    assert failed[8:10] == ["502", "-"]
    keys = [row["Key"] for row in s3.list_objects_v2(Bucket="access-logs")["Contents"]]
    pattern = (
        r"web/AWSLogs/\d{12}/elasticloadbalancing/us-east-1/\d{4}/\d\d/\d\d/"
        r"\d{12}_elasticloadbalancing_us-east-1_app\.requests\.\w+_\d{8}T\d{4}Z_[\d.]+_\w+\.log\.gz"
    )
    assert any(re.fullmatch(pattern, key) for key in keys)
    assert any(key.endswith("/ELBAccessLogTestFile") for key in keys)
    balancer.set_attributes(access_logs__s3__enabled="false")
