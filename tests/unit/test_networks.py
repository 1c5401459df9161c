"""Which VPC gets a network, and what becomes of what is launched into one that can't have its addresses: no Docker."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import docker.errors
import pytest
import requests
from autoscaling_world import ACCOUNT, REGION, World, new_world

from localcloud import backends
from localcloud.controller import Observed
from localcloud.docker_host import Container, Network
from localcloud.reconcilers import networks
from localcloud.reconcilers.databases import Databases
from localcloud.reconcilers.instances import Instances
from localcloud.reconcilers.load_balancers import LoadBalancers
from localcloud.reconcilers.networks import Networks

PORT = 4999


@pytest.fixture
def world() -> Iterator[World]:
    with new_world() as world:
        yield world
    networks.unavailable.clear()


class Place:
    """The reconcilers with a Docker that makes every network but one of addresses that it gave already."""

    def __init__(self, world: World, home: Path) -> None:
        self.world, self.ec2 = world, world.client("ec2")
        self.docker = Mock()
        self.docker.settings.port, self.docker.settings.home = PORT, home
        self.docker.settings.console_directory = home / "consoles"
        self.docker.console.return_value = b""
        self.docker.remove_network.side_effect = self.remove_network
        self.docker.create_network.side_effect = self.create_network
        self.docker.network_over.side_effect = lambda _cidr: self.foreign
        self.docker.create_container.side_effect = self.create_container
        self.docker.remove_container.side_effect = lambda name: self.machines.pop(name, None)
        self.made: dict[str, str] = {}  # VPC -> Docker's id
        self.machines: dict[str, Container] = {}  # of instances, by their ids
        self.foreign: Network | None = None  # one that is not ours, over all addresses
        self.networks = Networks(self.docker)
        self.instances = Instances(self.docker, Mock())

    def create_network(self, vpc_id: str, _cidr: str, _gateway: str) -> None:
        if self.foreign:
            explanation = "invalid pool request: Pool overlaps with other one on this address space"
            raise docker.errors.APIError("403 Client Error", requests.Response(), explanation=explanation)
        self.made[vpc_id] = f"network of {vpc_id}"

    def create_container(self, kind: str, resource_id: str, *_rest: Any, **_request: Any) -> str:
        if kind == "instance":
            self.machines[resource_id] = Container(resource_id, kind, resource_id, "running", "image", 0)
        return resource_id

    def remove_network(self, network_id: str) -> None:
        self.made = {vpc: name for vpc, name in self.made.items() if name != network_id}

    def vpc(self, cidr: str = "10.7.0.0/16") -> tuple[str, str]:
        """A VPC of one subnet; the ids of both."""
        vpc: str = self.ec2.create_vpc(CidrBlock=cidr)["Vpc"]["VpcId"]
        subnet = self.ec2.create_subnet(VpcId=vpc, CidrBlock=cidr.replace("/16", "/24"), AvailabilityZone=f"{REGION}a")[
            "Subnet"
        ]["SubnetId"]
        return vpc, subnet

    def launch(self, subnet: str) -> Any:
        launched = self.ec2.run_instances(
            LaunchTemplate={"LaunchTemplateId": self.world.template_id}, SubnetId=subnet, MinCount=1, MaxCount=1
        )
        return backends.backend("ec2", ACCOUNT, REGION).get_instance(launched["Instances"][0]["InstanceId"])

    def run_passes(self, *more: Any) -> None:
        """Two passes: the second sees what the first one made."""
        for _ in range(2):
            observed = Observed({"instance": dict(self.machines)}, dict(self.made))
            for reconciler in (self.networks, self.instances, *more):
                for action in reconciler.reconcile(observed):
                    action.run()


@pytest.fixture
def place(world: World, tmp_path: Path) -> Place:
    return Place(world, tmp_path)


def test_a_vpc_with_nothing_in_it_needs_no_network(place: Place) -> None:
    vpc, subnet = place.vpc()
    place.run_passes()
    assert place.made == {}
    instance = place.launch(subnet)
    place.run_passes()
    assert list(place.made) == [vpc]
    assert instance.state == "running"


def test_of_two_vpcs_with_one_cidr_the_one_with_nothing_in_it_gives_way(place: Place) -> None:
    (first, first_subnet), (second, second_subnet) = place.vpc(), place.vpc()
    gone = place.launch(first_subnet)
    place.run_passes()
    place.ec2.terminate_instances(InstanceIds=[gone.id])
    place.run_passes()
    assert (gone.state, list(place.made)) == ("terminated", [first])
    instance = place.launch(second_subnet)
    place.run_passes()
    place.run_passes()
    assert list(place.made) == [second]
    assert instance.state == "running"


def test_a_launch_into_the_second_of_two_vpcs_in_use_ends_with_the_reason(place: Place) -> None:
    (first, first_subnet), (second, second_subnet) = place.vpc(), place.vpc("10.7.0.0/16")
    here = place.launch(first_subnet)
    place.run_passes()
    instance = place.launch(second_subnet)
    place.run_passes()
    assert here.state == "running"
    described = place.ec2.describe_instances(InstanceIds=[instance.id])["Reservations"][0]["Instances"][0]
    assert described["State"]["Name"] == "terminated"
    assert described["StateReason"]["Code"] == "Server.InternalError"
    for text in (described["StateReason"]["Message"], described["StateTransitionReason"]):
        assert f"VPC {second} (10.7.0.0/16)" in text
        assert f"VPC {first} (10.7.0.0/16) has them" in text
        assert "Use a VPC with another CIDR block, or end what is in that one" in text


def test_the_second_vpc_gets_its_network_when_the_first_is_gone(place: Place) -> None:
    (_, first_subnet), (second, second_subnet) = place.vpc(), place.vpc()
    first = place.launch(first_subnet)
    place.run_passes()
    place.launch(second_subnet)
    place.run_passes()
    place.ec2.terminate_instances(InstanceIds=[first.id])
    place.run_passes()
    instance = place.launch(second_subnet)
    place.run_passes()
    place.run_passes()
    assert (instance.state, list(place.made), networks.unavailable) == ("running", [second], {})


def test_a_launch_that_another_cloud_is_in_the_way_of_names_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    _vpc, subnet = place.vpc()
    labels = {"localcloud.port": "4566", "localcloud.id": "vpc-1"}
    place.foreign = Network("localcloud-4566-vpc-1", labels)
    instance = place.launch(subnet)
    place.run_passes()
    assert instance.state == "terminated"
    assert "VPC vpc-1 of the local cloud at port 4566 has them" in instance.state_reason.message
    assert "type: LOCALCLOUD_PORT=4566 python -m localcloud down" in instance.state_reason.message
    place.foreign = None
    later = time.monotonic() + networks.RETRY_INTERVAL + 1
    monkeypatch.setattr(networks.time, "monotonic", lambda: later)
    second = place.launch(subnet)
    place.run_passes()
    assert second.state == "running"


def test_a_network_of_our_own_that_is_being_removed_is_waited_for(place: Place) -> None:
    _vpc, subnet = place.vpc()
    place.foreign = Network("localcloud-4999-vpc-gone", {"localcloud.port": str(PORT)})
    instance = place.launch(subnet)
    with pytest.raises(docker.errors.APIError):
        place.run_passes()
    assert (instance.state, networks.unavailable) == ("pending", {})


def test_load_balancers_databases_and_groups_say_why(place: Place) -> None:
    (_, first_subnet), (second, second_subnet) = place.vpc(), place.vpc()
    place.launch(first_subnet)
    place.run_passes()
    other = place.ec2.create_subnet(VpcId=second, CidrBlock="10.7.1.0/24", AvailabilityZone=f"{REGION}b")["Subnet"]
    subnets = [second_subnet, other["SubnetId"]]
    elbv2, rds = place.world.client("elbv2"), place.world.client("rds")
    balancer = elbv2.create_load_balancer(Name="lb", Subnets=subnets)["LoadBalancers"][0]
    rds.create_db_subnet_group(DBSubnetGroupName="s", DBSubnetGroupDescription="s", SubnetIds=subnets)
    rds.create_db_instance(
        DBInstanceIdentifier="db",
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="dbadmin",
        MasterUserPassword="password-of-20-chars",
        DBSubnetGroupName="s",
    )
    place.world.create_group(DesiredCapacity=1, AvailabilityZones=[], VPCZoneIdentifier=second_subnet)
    place.world.reconcile()
    load_balancers = LoadBalancers(place.docker)
    load_balancers._start_poller = lambda: None  # type: ignore[method-assign]
    load_balancers._reconcile_host_names = lambda *_arguments: []  # type: ignore[method-assign]
    place.run_passes(load_balancers, Databases(place.docker))
    place.world.reconcile()
    reason = f"VPC {second} (10.7.0.0/16) can't have its addresses"
    state = elbv2.describe_load_balancers(LoadBalancerArns=[balancer["LoadBalancerArn"]])["LoadBalancers"][0]["State"]
    assert state["Code"] == "failed"
    assert reason in state["Reason"]
    assert rds.describe_db_instances()["DBInstances"][0]["DBInstanceStatus"] == "incompatible-network"
    assert reason in rds.describe_events(SourceIdentifier="db", SourceType="db-instance")["Events"][-1]["Message"]
    activity = place.world.autoscaling.describe_scaling_activities(AutoScalingGroupName="g")["Activities"][-1]
    assert activity["StatusCode"] == "Failed"
    assert reason in activity["StatusMessage"]
