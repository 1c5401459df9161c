"""The services that a VPC endpoint can be made for, as Terraform's data source asks for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_client import api_without_machines
from botocore.exceptions import ClientError

S3 = "com.amazonaws.us-east-1.s3"


@pytest.fixture(scope="module")
def ec2() -> Iterator[Any]:
    with api_without_machines() as client:
        yield client("ec2")


def described(ec2: Any, *names: str, **filters: list[str]) -> list[dict[str, Any]]:
    wanted = [{"Name": name.replace("_", "-"), "Values": values} for name, values in filters.items()]
    services: list[dict[str, Any]] = ec2.describe_vpc_endpoint_services(ServiceNames=list(names), Filters=wanted)[
        "ServiceDetails"
    ]
    return services


@pytest.mark.essential
def test_s3_has_a_gateway_and_an_interface(ec2: Any) -> None:
    services = described(ec2, S3)
    assert [service["ServiceName"] for service in services] == [S3, S3]
    assert {service["ServiceType"][0]["ServiceType"] for service in services} == {"Gateway", "Interface"}
    assert len({service["ServiceId"] for service in services}) == 2
    (gateway,) = described(ec2, S3, service_type=["Gateway"])
    assert (gateway["ServiceRegion"], gateway["Owner"]) == ("us-east-1", "amazon")
    assert "us-east-1a" in gateway["AvailabilityZones"]


@pytest.mark.essential
@pytest.mark.parametrize("service", ["ssm", "cloudformation", "ec2messages", "logs", "secretsmanager", "ecr.api"])
def test_interfaces_are_there(ec2: Any, service: str) -> None:
    (found,) = described(ec2, f"com.amazonaws.us-east-1.{service}")
    assert found["ServiceType"] == [{"ServiceType": "Interface"}]


def test_services_are_looked_for(ec2: Any) -> None:
    names = {service["ServiceName"] for service in described(ec2, service_name=["*.us-east-1.ssm*"])}
    assert {"com.amazonaws.us-east-1.ssm", "com.amazonaws.us-east-1.ssmmessages"} <= names
    assert S3 not in names
    assert {service["ServiceName"] for service in described(ec2, service_type=["Gateway"])} == {
        S3,
        "com.amazonaws.us-east-1.dynamodb",
    }
    assert described(ec2, S3, tag_key=["x"]) == []


def test_what_is_not_there_is_refused(ec2: Any) -> None:
    for request, code in (
        ({"ServiceNames": ["com.amazonaws.us-east-1.nonsense"]}, "InvalidServiceName"),
        ({"Filters": [{"Name": "nonsense", "Values": ["x"]}]}, "InvalidFilter"),
    ):
        with pytest.raises(ClientError) as refused:
            ec2.describe_vpc_endpoint_services(**request)
        assert refused.value.response["Error"]["Code"] == code
