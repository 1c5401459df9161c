"""HTTPS and its certificates, and that no change, failure or restart loses more than it must."""

from __future__ import annotations

import contextlib
import itertools
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from balancing import Balancer, Load, SelfSigned, answer, forward
from botocore.exceptions import ClientError
from cryptography import x509
from running_cloud import Cloud, container_log, docker
from waiting import wait_until

MODERN = "ELBSecurityPolicy-TLS13-1-2-2021-06"


@pytest.fixture(scope="module")
def certificates(cloud: Cloud) -> dict[str, str]:
    """Names that certificates are for -> their ARNs in ACM."""
    return {name: import_certificate(cloud, SelfSigned.for_names(name)) for name in ("www.example", "*.other.example")}


def import_certificate(cloud: Cloud, own: SelfSigned, **options: Any) -> str:
    answer = cloud.client("acm").import_certificate(Certificate=own.certificate, PrivateKey=own.key, **options)
    return str(answer["CertificateArn"])


@pytest.fixture(scope="module")
def balancer(cloud: Cloud, web_servers: list[str], certificates: dict[str, str]) -> Iterator[Balancer]:
    """A load balancer with an HTTPS listener whose second certificate is for *.other.example."""
    balancer = Balancer(cloud, "changes")
    group = balancer.create_group("changes", *web_servers)
    balancer.listen(80, forward(group))
    secure = balancer.listen(
        443,
        forward(group),
        Protocol="HTTPS",
        SslPolicy=MODERN,
        Certificates=[{"CertificateArn": certificates["www.example"]}],
    )
    balancer.elbv2.add_listener_certificates(
        ListenerArn=secure, Certificates=[{"CertificateArn": certificates["*.other.example"]}]
    )
    balancer.wait_for("healthy", group)
    wait_until(lambda: balancer.dns_name in Path("/etc/hosts").read_text(), 20)
    yield balancer
    balancer.delete()


def listeners(balancer: Balancer) -> dict[int, str]:
    """Port -> ARN."""
    found = balancer.elbv2.describe_listeners(LoadBalancerArn=balancer.arn)["Listeners"]
    return {listener["Port"]: listener["ListenerArn"] for listener in found}


def handshake(balancer: Balancer, name: str | None = None, **limits: Any) -> tuple[str, str | None, str | None]:
    """(common name of the certificate, TLS version, protocol that was agreed on); ssl.SSLError when refused."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    context.set_ciphers("ALL:@SECLEVEL=0")
    for limit, version in limits.items():
        setattr(context, limit, version)
    with (
        socket.create_connection((balancer.address_now, 443), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        certificate = x509.load_der_x509_certificate(secure.getpeercert(binary_form=True) or b"")
        common_name = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value
        return str(common_name), secure.version(), secure.selected_alpn_protocol()


# -- HTTPS ----------------------------------------------------------------------------------------------------------


def test_certificate_is_chosen_by_name(balancer: Balancer) -> None:
    wait_until(lambda: handshake(balancer, "a.other.example")[0] == "*.other.example", 20)
    assert handshake(balancer, "www.example") == ("www.example", "TLSv1.3", "h2")
    assert handshake(balancer, "unknown.example")[0] == "www.example"
    assert handshake(balancer)[0] == "www.example"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_less_than_tls_1_2_is_refused(balancer: Balancer) -> None:
    version = ssl.TLSVersion
    assert handshake(balancer, maximum_version=version.TLSv1_2)[1] == "TLSv1.2"
    for old in (version.TLSv1_1, version.TLSv1):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            handshake(balancer, minimum_version=version.TLSv1, maximum_version=old)
    secure = listeners(balancer)[443]
    balancer.elbv2.modify_listener(ListenerArn=secure, SslPolicy="ELBSecurityPolicy-TLS13-1-3-2021-06")

    def refused() -> bool:
        try:
            handshake(balancer, maximum_version=version.TLSv1_2)
        except (ssl.SSLError, ConnectionError):
            return True
        return False

    wait_until(refused, 20)
    assert handshake(balancer)[1] == "TLSv1.3"
    balancer.elbv2.modify_listener(ListenerArn=secure, SslPolicy=MODERN)
    wait_until(lambda: not refused(), 20)
    listed = balancer.elbv2.describe_listener_certificates(ListenerArn=secure)["Certificates"]
    assert [certificate["IsDefault"] for certificate in listed] == [True, False]


def test_target_learns_that_the_request_came_over_https(
    cloud: Cloud, balancer: Balancer, web_servers: list[str]
) -> None:
    """Also over HTTP/2, asked for by a client in the VPC by the load balancer's own name."""
    command = ["curl", "--silent", "--insecure", "--http2", "--write-out", " %{http_version}"]
    said = docker("exec", cloud.container(web_servers[0]), *command, f"https://{balancer.dns_name}/headers")
    assert '"x-forwarded-proto": "https"' in said
    assert '"x-forwarded-port": "443"' in said
    assert f'"host": "{balancer.dns_name}"' in said
    assert said.endswith(" 2")


def test_http_is_redirected_to_https(balancer: Balancer) -> None:
    redirect = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}
    balancer.listen(8080, redirect)
    got = balancer.wait_for_answer(lambda got: got.status_code == 301, "/headers?a=b", 8080)
    assert got.headers["Location"] == f"https://{balancer.dns_name}:443/headers?a=b"
    assert requests.get(got.headers["Location"], verify=False, timeout=10).json()["x-forwarded-proto"] == "https"
    balancer.elbv2.delete_listener(ListenerArn=listeners(balancer)[8080])


def test_imported_again_certificate_takes_effect(
    cloud: Cloud, balancer: Balancer, certificates: dict[str, str]
) -> None:
    arn = certificates["www.example"]
    import_certificate(cloud, SelfSigned.for_names("renewed.example", "www.example"), CertificateArn=arn)
    wait_until(lambda: handshake(balancer)[0] == "renewed.example", 20)


def test_certificate_in_use_can_not_be_deleted(cloud: Cloud, balancer: Balancer, certificates: dict[str, str]) -> None:
    acm = cloud.client("acm")
    for arn in certificates.values():
        with pytest.raises(acm.exceptions.ResourceInUseException):
            acm.delete_certificate(CertificateArn=arn)
        assert acm.describe_certificate(CertificateArn=arn)["Certificate"]["InUseBy"] == [balancer.arn]


def test_private_keys_are_for_their_owner_only(cloud: Cloud, balancer: Balancer) -> None:
    directory = cloud.home / "haproxy" / balancer.arn.rpartition("/")[2]
    files = wait_until(lambda: len(found := list(directory.glob("certificate-*.pem"))) == 2 and found, 20)
    for path in files:
        assert path.stat().st_mode & 0o777 == 0o600
    key = next(line for line in files[0].read_text().partition("PRIVATE KEY")[2].splitlines() if len(line) > 40)
    assert key not in cloud.log
    assert key not in container_log(balancer.container)
    for name in ("haproxy.cfg", "loaded.cfg"):
        assert key not in (directory / name).read_text()


# -- what is broken stays alone -------------------------------------------------------------------------------------


def test_broken_listener_does_not_stop_the_others(cloud: Cloud, balancer: Balancer) -> None:
    """A private key that is another certificate's: HAProxy refuses it."""
    own, other = SelfSigned.for_names("broken.example"), SelfSigned.for_names("broken.example")
    broken = import_certificate(cloud, SelfSigned(own.certificate, other.key))
    arn = balancer.elbv2.create_listener(
        LoadBalancerArn=balancer.arn,
        Protocol="HTTPS",
        Port=8443,
        Certificates=[{"CertificateArn": broken}],
        DefaultActions=[answer("never seen")],
    )["Listeners"][0]["ListenerArn"]
    balancer.listen(8081, answer("after it"))
    assert balancer.wait_for_answer(lambda got: got.text == "after it", "/", 8081).status_code == 200
    assert not balancer.accepts(8443)
    wait_until(lambda: "listener 8443 is left out" in cloud.log, 10)
    assert balancer.get().status_code == 200
    balancer.elbv2.delete_listener(ListenerArn=arn)
    balancer.elbv2.delete_listener(ListenerArn=listeners(balancer)[8081])


# -- changes --------------------------------------------------------------------------------------------------------


def test_no_request_is_lost_while_everything_changes(
    cloud: Cloud, balancer: Balancer, certificates: dict[str, str], web_servers: list[str]
) -> None:
    """Requests over HTTP and HTTPS, on kept and on new connections, for 12 s of changes without a pause."""
    elbv2, group = balancer.elbv2, balancer.groups[0]
    found = listeners(balancer)
    schemes = itertools.cycle([f"http://{balancer.dns_name}/", f"https://{balancer.dns_name}/"])

    def send(session: requests.Session) -> int:
        return session.get(next(schemes), timeout=20, verify=False).status_code

    with Load(send, threads=6, pause=0.025) as load:
        end = time.monotonic() + 12
        for turn in itertools.count():
            if turn >= 4 and time.monotonic() > end:
                break
            rule = balancer.add_rule(
                found[80], 5, answer(f"{turn}"), {"Field": "path-pattern", "Values": [f"/never-{turn}"]}
            )
            leaving = web_servers[turn % 2]
            balancer.deregister(group, leaving)
            elbv2.modify_target_group(TargetGroupArn=group, HealthCheckIntervalSeconds=5 + turn % 2)
            balancer.set_attributes(idle_timeout__timeout_seconds=str(60 + turn % 2))
            import_certificate(cloud, SelfSigned.for_names("www.example"), CertificateArn=certificates["www.example"])
            elbv2.set_rule_priorities(RulePriorities=[{"RuleArn": rule, "Priority": 6}])
            elbv2.modify_listener(
                ListenerArn=found[443], SslPolicy=(MODERN, "ELBSecurityPolicy-TLS13-1-2-Res-2021-06")[turn % 2]
            )
            balancer.register(group, leaving)
            balancer.wait_for("healthy", group, leaving)
            elbv2.modify_target_group_attributes(
                TargetGroupArn=group,
                Attributes=[
                    {
                        "Key": "load_balancing.algorithm.type",
                        "Value": ("least_outstanding_requests", "round_robin")[turn % 2],
                    }
                ],
            )
            elbv2.delete_rule(RuleArn=rule)
    print(turn, load.outcomes)
    assert set(load.outcomes) == {200}
    assert load.outcomes[200] > 100


def test_comes_back_with_its_address_and_name(cloud: Cloud, balancer: Balancer) -> None:
    """The API's process is killed, the container removed behind its back."""
    before = balancer.elbv2.describe_load_balancers(LoadBalancerArns=[balancer.arn])["LoadBalancers"][0]
    address = balancer.address
    cloud.kill()
    assert balancer.get().status_code == 200
    docker("rm", "--force", balancer.container)
    cloud.up()
    assert balancer.wait_for_answer(lambda got: got.status_code == 200).text.startswith("ip-")
    wait_until(lambda: handshake(balancer, "a.other.example")[0] == "*.other.example", 20)
    docker("rm", "--force", balancer.container)
    balancer.wait_for("healthy", balancer.groups[0])
    assert balancer.wait_for_answer(lambda got: got.status_code == 200).text.startswith("ip-")
    assert balancer.address == address
    after = balancer.elbv2.describe_load_balancers(LoadBalancerArns=[balancer.arn])["LoadBalancers"][0]
    assert after == before
    assert f"{address} {balancer.dns_name}" in " ".join(Path("/etc/hosts").read_text().split())


def test_interface_follows_security_groups_and_subnets(cloud: Cloud, balancer: Balancer) -> None:
    ec2 = cloud.client("ec2")

    def interface() -> dict[str, Any]:
        filters = [{"Name": "description", "Values": ["ELB " + balancer.arn.split(":loadbalancer/")[1]]}]
        (found,) = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return dict(found)

    other = ec2.create_security_group(GroupName="other", Description="other", VpcId=cloud.vpc_id)["GroupId"]
    balancer.elbv2.set_security_groups(LoadBalancerArn=balancer.arn, SecurityGroups=[cloud.security_group_id, other])
    assert {group["GroupId"] for group in interface()["Groups"]} == {cloud.security_group_id, other}
    balancer.elbv2.set_security_groups(LoadBalancerArn=balancer.arn, SecurityGroups=[cloud.security_group_id])
    assert {group["GroupId"] for group in interface()["Groups"]} == {cloud.security_group_id}

    balancer.elbv2.set_subnets(LoadBalancerArn=balancer.arn, Subnets=cloud.subnet_ids[1:])
    assert interface()["SubnetId"] == cloud.subnet_ids[1]
    balancer._address = interface()["PrivateIpAddress"]
    assert balancer.wait_for_answer(lambda got: got.status_code == 200).text.startswith("ip-")
    zones = balancer.elbv2.describe_load_balancers(LoadBalancerArns=[balancer.arn])["LoadBalancers"][0]
    assert {zone["SubnetId"] for zone in zones["AvailabilityZones"]} == set(cloud.subnet_ids[1:])
    # The target in the zone that was left is not used any more.
    reasons = {health.get("Reason") for health in balancer.health(balancer.groups[0]).values()}
    assert "Target.NotInUse" in reasons


# -- what AWS refuses -----------------------------------------------------------------------------------------------


def refusal(code: str) -> contextlib.AbstractContextManager[Any]:
    return pytest.raises(ClientError, match=rf"\({code}\)")


def test_bad_input_is_refused_as_aws_does(cloud: Cloud, balancer: Balancer) -> None:
    elbv2, group, found = balancer.elbv2, balancer.groups[0], listeners(balancer)
    secure = {"LoadBalancerArn": balancer.arn, "Protocol": "HTTPS", "Port": 9443, "DefaultActions": [answer("x")]}
    absent = "arn:aws:acm:us-east-1:123456789012:certificate/00000000-0000-0000-0000-000000000000"
    with refusal("CertificateNotFound"):
        elbv2.create_listener(**secure, Certificates=[{"CertificateArn": absent}])
    with refusal("ValidationError"):
        elbv2.create_listener(**secure)
    with refusal("CertificateNotFound"):
        elbv2.add_listener_certificates(ListenerArn=found[443], Certificates=[{"CertificateArn": absent}])
    with refusal("SSLPolicyNotFound"):
        elbv2.modify_listener(ListenerArn=found[443], SslPolicy="ELBSecurityPolicy-None")
    with refusal("DuplicateListener"):
        elbv2.create_listener(LoadBalancerArn=balancer.arn, Protocol="HTTP", Port=80, DefaultActions=[answer("x")])
    with refusal("DuplicateLoadBalancerName"):
        elbv2.create_load_balancer(Name=balancer.name, Subnets=cloud.subnet_ids[:2])
    with refusal("ValidationError"):
        elbv2.create_load_balancer(Name="one-zone", Subnets=cloud.subnet_ids[:1])
    with refusal("InvalidTarget"):
        elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": "i-00000000000000000"}])
    with refusal("ValidationError"):
        elbv2.register_targets(TargetGroupArn=group, Targets=[{"Id": "10.0.0.1"}])
    for condition in (
        {"Field": "path-pattern", "Values": ["/a b"]},
        {"Field": "host-header", "Values": ["(www.)?example"]},
        {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.300/8"]}},
        {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "a b", "Values": ["x"]}},
        {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET}"]}},
    ):
        with refusal("ValidationError"):
            balancer.add_rule(found[80], 9, answer("x"), condition)
    with refusal("ValidationError"):
        elbv2.modify_target_group(TargetGroupArn=group, Matcher={"HttpCode": "200x"})
    with refusal("ValidationError"):
        elbv2.modify_target_group(TargetGroupArn=group, HealthCheckTimeoutSeconds=30)
    with refusal("ValidationError"):
        balancer.set_attributes(idle_timeout__timeout_seconds="0")
    balancer.set_attributes(deletion_protection__enabled="true")
    with refusal("OperationNotPermitted"):
        elbv2.delete_load_balancer(LoadBalancerArn=balancer.arn)
    balancer.set_attributes(deletion_protection__enabled="false")
