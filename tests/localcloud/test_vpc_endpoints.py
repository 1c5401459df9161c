"""Gateway endpoints: their type, and the routes that come and go with them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

S3 = "com.amazonaws.us-east-1.s3"


@pytest.fixture
def ec2(client: Callable[[str], Any]) -> Any:
    return client("ec2")


@pytest.fixture
def vpc(ec2: Any) -> str:
    return str(ec2.create_vpc(CidrBlock="10.7.0.0/16")["Vpc"]["VpcId"])


def tables_with_a_route(ec2: Any, endpoint: str) -> set[str]:
    """Route tables that lead to S3's addresses through this endpoint."""
    (s3,) = ec2.describe_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": [S3]}])["PrefixLists"]
    return {
        table["RouteTableId"]
        for table in ec2.describe_route_tables()["RouteTables"]
        for route in table["Routes"]
        if route.get("GatewayId") == endpoint and route["DestinationPrefixListId"] == s3["PrefixListId"]
    }


def test_endpoint_without_a_type_is_a_gateway(ec2: Any, vpc: str) -> None:
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3)["VpcEndpoint"]
    assert (made["VpcEndpointType"], made["State"]) == ("Gateway", "available")


def test_routes_follow_the_route_tables(ec2: Any, vpc: str) -> None:
    first, second = (ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"] for _ in range(2))
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, RouteTableIds=[first])["VpcEndpoint"]["VpcEndpointId"]
    assert tables_with_a_route(ec2, made) == {first}
    ec2.modify_vpc_endpoint(VpcEndpointId=made, AddRouteTableIds=[second], RemoveRouteTableIds=[first])
    assert tables_with_a_route(ec2, made) == {second}
    ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    assert tables_with_a_route(ec2, made) == set()


def test_endpoint_can_be_deleted_twice(ec2: Any, vpc: str) -> None:
    """Who was interrupted does it again."""
    table = ec2.create_route_table(VpcId=vpc)["RouteTable"]["RouteTableId"]
    made = ec2.create_vpc_endpoint(VpcId=vpc, ServiceName=S3, RouteTableIds=[table])["VpcEndpoint"]["VpcEndpointId"]
    for _ in range(2):
        ec2.delete_vpc_endpoints(VpcEndpointIds=[made])
    (described,) = ec2.describe_vpc_endpoints(VpcEndpointIds=[made])["VpcEndpoints"]
    assert described["State"] == "deleted"
