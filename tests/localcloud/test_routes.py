"""Route tables: who reaches the world outside of the VPC, and who does not."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any

import pytest
from network_probe import outside_listener, reaches, wait_for_listener
from running_cloud import Cloud
from waiting import wait_until

WORLD = "0.0.0.0/0"


class Network:
    """Two more subnets of the VPC: a private one, and a public one with an internet gateway."""

    def __init__(self, cloud: Cloud) -> None:
        self.cloud, self.ec2 = cloud, cloud.client("ec2")
        parts = list(ipaddress.ip_network(cloud.cidr).subnets(new_prefix=24))
        self.private, self.public = (
            self.ec2.create_subnet(VpcId=cloud.vpc_id, CidrBlock=str(part))["Subnet"]["SubnetId"]
            for part in parts[10:12]
        )
        self.tables = {
            subnet: self.ec2.create_route_table(VpcId=cloud.vpc_id)["RouteTable"]["RouteTableId"]
            for subnet in (self.private, self.public)
        }
        self.associations = {
            subnet: self.ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)["AssociationId"]
            for subnet, table in self.tables.items()
        }
        self.gateway_id = self.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
        self.ec2.attach_internet_gateway(InternetGatewayId=self.gateway_id, VpcId=cloud.vpc_id)
        self.ec2.create_route(
            RouteTableId=self.tables[self.public], DestinationCidrBlock=WORLD, GatewayId=self.gateway_id
        )
        self.instances = {
            subnet: cloud.run_instance(
                SubnetId="", SecurityGroupIds=[], NetworkInterfaces=[self.interface(subnet, subnet == self.public)]
            )
            for subnet in (self.private, self.public)
        }
        for instance_id in self.instances.values():
            wait_for_listener(cloud, instance_id)

    def interface(self, subnet: str, public: bool) -> dict[str, Any]:
        groups = [self.cloud.security_group_id]
        return {"DeviceIndex": 0, "SubnetId": subnet, "AssociatePublicIpAddress": public, "Groups": groups}

    def address(self, subnet: str) -> str:
        return str(self.cloud.instance(self.instances[subnet])["PrivateIpAddress"])


@pytest.fixture(scope="module")
def network(cloud: Cloud) -> Iterator[Network]:
    network = Network(cloud)
    yield network
    cloud.terminate(*network.instances.values())


@pytest.fixture(scope="module")
def outside(cloud: Cloud) -> Iterator[tuple[str, int]]:
    with outside_listener(cloud) as place:
        yield place


def goes_out(network: Network, subnet: str, outside: tuple[str, int]) -> bool:
    return reaches(network.cloud, network.instances[subnet], *outside)


@pytest.mark.essential
def test_public_subnet_reaches_the_world_and_a_private_one_does_not(network: Network, outside: tuple[str, int]) -> None:
    wait_until(lambda: goes_out(network, network.public, outside), what="the public instance goes out")
    assert not goes_out(network, network.private, outside)
    # Inside of the VPC both reach each other.
    assert reaches(network.cloud, network.instances[network.private], network.address(network.public))
    assert reaches(network.cloud, network.instances[network.public], network.address(network.private))


def test_internet_gateway_is_of_no_use_without_a_public_address(network: Network, outside: tuple[str, int]) -> None:
    ec2, table = network.ec2, network.tables[network.private]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=WORLD, GatewayId=network.gateway_id)
    assert not goes_out(network, network.private, outside)
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    association = ec2.associate_address(InstanceId=network.instances[network.private], AllocationId=address)
    wait_until(lambda: goes_out(network, network.private, outside), what="with an elastic address it goes out")
    ec2.disassociate_address(AssociationId=association["AssociationId"])
    wait_until(lambda: not goes_out(network, network.private, outside), what="without one it does not")
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock=WORLD)


def test_deleted_route_leads_nowhere_at_once(network: Network, outside: tuple[str, int]) -> None:
    ec2, table = network.ec2, network.tables[network.public]
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock=WORLD)
    wait_until(lambda: not goes_out(network, network.public, outside), what="no route, no way out")
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=WORLD, GatewayId=network.gateway_id)
    wait_until(lambda: goes_out(network, network.public, outside), what="a route, a way out")


def test_replaced_association_holds_at_once(network: Network, outside: tuple[str, int]) -> None:
    ec2 = network.ec2
    association = ec2.replace_route_table_association(
        AssociationId=network.associations[network.public], RouteTableId=network.tables[network.private]
    )["NewAssociationId"]
    wait_until(lambda: not goes_out(network, network.public, outside), what="the private table has no way out")
    network.associations[network.public] = ec2.replace_route_table_association(
        AssociationId=association, RouteTableId=network.tables[network.public]
    )["NewAssociationId"]
    wait_until(lambda: goes_out(network, network.public, outside), what="the public table has one")


def test_more_specific_route_wins(network: Network, outside: tuple[str, int]) -> None:
    """A route to a gateway that is gone is a black hole."""
    ec2, table = network.ec2, network.tables[network.public]
    gone = ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=f"{outside[0]}/32", GatewayId=gone)
    wait_until(lambda: not goes_out(network, network.public, outside), what="the black hole swallows it")
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock=f"{outside[0]}/32")
    wait_until(lambda: goes_out(network, network.public, outside), what="the gateway takes it")


def test_nat_gateway_is_a_way_out(network: Network, outside: tuple[str, int]) -> None:
    ec2, table = network.ec2, network.tables[network.private]
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    nat = ec2.create_nat_gateway(SubnetId=network.public, AllocationId=address)["NatGateway"]["NatGatewayId"]
    ec2.create_route(RouteTableId=table, DestinationCidrBlock=WORLD, NatGatewayId=nat)
    wait_until(lambda: goes_out(network, network.private, outside), what="the private instance goes out")
    ec2.delete_nat_gateway(NatGatewayId=nat)
    wait_until(lambda: not goes_out(network, network.private, outside), what="a deleted NAT gateway leads nowhere")
    ec2.delete_route(RouteTableId=table, DestinationCidrBlock=WORLD)


def test_another_vpc_is_out_of_reach(cloud: Cloud, network: Network) -> None:
    ec2 = network.ec2
    cidr = f"198.18.{cloud.port % 256}.0/24"  # nobody's: for measurements
    vpc_id = ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
    subnet_id = ec2.create_subnet(VpcId=vpc_id, CidrBlock=cidr)["Subnet"]["SubnetId"]
    group_id = ec2.create_security_group(GroupName="other", Description="other", VpcId=vpc_id)["GroupId"]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": WORLD}]}]
    ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=everything)
    one, other = (cloud.run_instance(SubnetId=subnet_id, SecurityGroupIds=[group_id]) for _ in range(2))
    wait_for_listener(cloud, other)
    address = cloud.instance(other)["PrivateIpAddress"]
    wait_until(lambda: reaches(cloud, one, address), what="its neighbour reaches it")
    assert not reaches(cloud, network.instances[network.public], address)
    cloud.terminate(one, other)
