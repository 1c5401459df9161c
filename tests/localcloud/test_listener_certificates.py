"""The certificates of a listener: its default one, and a list of others, in which the default one may be, too."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

Client = Callable[[str], Any]


@pytest.fixture
def load_balancer(client: Client) -> Callable[..., str]:
    """Make a load balancer of a type; its ARN."""

    def create(kind: str) -> str:
        ec2 = client("ec2")
        subnets = ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
        answer = client("elbv2").create_load_balancer(
            Name=kind, Type=kind, Subnets=[subnet["SubnetId"] for subnet in subnets[:2]]
        )
        return str(answer["LoadBalancers"][0]["LoadBalancerArn"])

    return create


def test_default_certificate_may_be_in_the_list(client: Client, load_balancer: Callable[..., str]) -> None:
    elbv2, acm = client("elbv2"), client("acm")
    one, two = (acm.request_certificate(DomainName=f"{name}.example")["CertificateArn"] for name in ("one", "two"))
    (listener,) = elbv2.create_listener(
        LoadBalancerArn=load_balancer("application"),
        Protocol="HTTPS",
        Port=443,
        Certificates=[{"CertificateArn": one}],
        DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}],
    )["Listeners"]
    arn = listener["ListenerArn"]

    def listed() -> list[tuple[str, bool]]:
        answer = elbv2.describe_listener_certificates(ListenerArn=arn)["Certificates"]
        return [(certificate["CertificateArn"], certificate["IsDefault"]) for certificate in answer]

    with pytest.raises(ClientError, match="OperationNotPermitted"):
        elbv2.remove_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": one}])
    for _ in range(2):
        elbv2.add_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": two}])
        elbv2.add_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": one}])
    assert listed() == [(one, True), (two, False), (one, False)]
    elbv2.modify_listener(ListenerArn=arn, Certificates=[{"CertificateArn": two}])
    assert listed() == [(two, True), (two, False), (one, False)]
    elbv2.remove_listener_certificates(ListenerArn=arn, Certificates=[{"CertificateArn": two}])
    assert listed() == [(two, True), (one, False)]


def test_what_is_refused_and_how(client: Client, load_balancer: Callable[..., str]) -> None:
    elbv2 = client("elbv2")
    with pytest.raises(ClientError, match="ListenerNotFound"):
        elbv2.add_listener_certificates(ListenerArn="none", Certificates=[{"CertificateArn": "none"}])
    with pytest.raises(ClientError, match="Listener protocol 'HTTPS' must be one of"):
        elbv2.create_listener(
            LoadBalancerArn=load_balancer("network"),
            Protocol="HTTPS",
            Port=443,
            DefaultActions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "200"}}],
        )
