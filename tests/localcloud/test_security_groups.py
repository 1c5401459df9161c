"""Security groups: what no rule allows does not come through, and a changed rule holds at once."""

from __future__ import annotations

import itertools
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from network_probe import SSH, reaches, start_echo, this_machine_reaches, wait_for_listener
from running_cloud import Cloud, docker
from waiting import wait_until

ANYWHERE = [{"CidrIp": "0.0.0.0/0"}]


def tcp(port: int, to_port: int | None = None, **source: Any) -> list[dict[str, Any]]:
    """Permissions for a TCP port or range: `cidr` or `group`."""
    permission: dict[str, Any] = {"IpProtocol": "tcp", "FromPort": port, "ToPort": to_port or port}
    if "group" in source:
        permission["UserIdGroupPairs"] = [{"GroupId": source["group"]}]
    elif "prefix_list" in source:
        permission["PrefixListIds"] = [{"PrefixListId": source["prefix_list"]}]
    else:
        permission["IpRanges"] = [{"CidrIp": source["cidr"]}]
    return [permission]


class Groups:
    """Makes security groups, which let everything out and nothing in, and changes their rules."""

    def __init__(self, cloud: Cloud) -> None:
        self.ec2 = cloud.client("ec2")
        self.vpc_id = cloud.vpc_id
        self._numbers = itertools.count()

    def create(self) -> str:
        name = f"rules-{next(self._numbers)}"
        return str(self.ec2.create_security_group(GroupName=name, Description=name, VpcId=self.vpc_id)["GroupId"])

    def allow(self, group_id: str, permissions: list[dict[str, Any]]) -> None:
        self.ec2.authorize_security_group_ingress(GroupId=group_id, IpPermissions=permissions)

    def revoke(self, group_id: str, permissions: list[dict[str, Any]]) -> None:
        self.ec2.revoke_security_group_ingress(GroupId=group_id, IpPermissions=permissions)


@pytest.fixture(scope="module")
def groups(cloud: Cloud) -> Groups:
    return Groups(cloud)


@pytest.fixture(scope="module")
def launch(cloud: Cloud) -> Iterator[Callable[..., str]]:
    """Launches an instance with these groups; its SSH server runs."""
    launched = []

    def launch(*group_ids: str, **options: Any) -> str:
        instance_id = cloud.run_instance(SecurityGroupIds=list(group_ids), **options)
        launched.append(instance_id)
        wait_for_listener(cloud, instance_id)
        return instance_id

    yield launch
    cloud.terminate(*launched)


def address(cloud: Cloud, instance_id: str) -> str:
    return str(cloud.instance(instance_id)["PrivateIpAddress"])


class Pair:
    """A server and a client, each with a group of its own."""

    def __init__(self, cloud: Cloud, groups: Groups, launch: Callable[..., str]) -> None:
        self.cloud = cloud
        self.server_group, self.client_group = groups.create(), groups.create()
        self.server, self.client = launch(self.server_group), launch(self.client_group, subnet=1)
        self.server_address, self.client_address = address(cloud, self.server), address(cloud, self.client)

    def connects(self, port: int = SSH) -> bool:
        return reaches(self.cloud, self.client, self.server_address, port)


@pytest.fixture(scope="module")
def pair(cloud: Cloud, groups: Groups, launch: Callable[..., str]) -> Pair:
    return Pair(cloud, groups, launch)


@pytest.mark.essential
def test_nothing_comes_in_without_a_rule(pair: Pair) -> None:
    assert not pair.connects()
    assert not this_machine_reaches(pair.server_address)


@pytest.mark.essential
def test_rule_by_address_holds_at_once(pair: Pair, groups: Groups) -> None:
    permission = tcp(SSH, cidr=f"{pair.client_address}/32")
    groups.allow(pair.server_group, permission)
    wait_until(pair.connects, what="the client is let in")
    assert not this_machine_reaches(pair.server_address)
    groups.revoke(pair.server_group, permission)
    wait_until(lambda: not pair.connects(), what="the client is kept out again")


def test_rule_is_about_its_ports_only(cloud: Cloud, pair: Pair, groups: Groups) -> None:
    for port in (8079, 8080):
        start_echo(cloud, pair.server, port)
    permission = tcp(8080, 8090, cidr="0.0.0.0/0")
    groups.allow(pair.server_group, permission)
    wait_until(lambda: pair.connects(8080), what="8080 is open")
    assert not pair.connects(8079)
    groups.revoke(pair.server_group, permission)


def test_rule_by_prefix_list_follows_the_list(pair: Pair, groups: Groups) -> None:
    ec2 = groups.ec2
    list_id = ec2.create_managed_prefix_list(
        PrefixListName="clients", MaxEntries=5, AddressFamily="IPv4", Entries=[{"Cidr": "192.0.2.0/24"}]
    )["PrefixList"]["PrefixListId"]
    permission = tcp(SSH, prefix_list=list_id)
    groups.allow(pair.server_group, permission)
    entry = {"Cidr": f"{pair.client_address}/32"}
    ec2.modify_managed_prefix_list(PrefixListId=list_id, CurrentVersion=1, AddEntries=[entry], RemoveEntries=[])
    wait_until(pair.connects, what="the client is in the list")
    ec2.modify_managed_prefix_list(PrefixListId=list_id, CurrentVersion=2, RemoveEntries=[entry], AddEntries=[])
    wait_until(lambda: not pair.connects(), what="the client is in the list no more")
    groups.revoke(pair.server_group, permission)


def test_reference_to_a_group_is_about_its_members_of_now(
    cloud: Cloud, pair: Pair, groups: Groups, launch: Callable[..., str]
) -> None:
    ec2 = groups.ec2
    permission = tcp(SSH, group=pair.client_group)
    groups.allow(pair.server_group, permission)
    wait_until(pair.connects, what="the member is let in")
    newcomer = launch(pair.client_group)
    wait_until(lambda: reaches(cloud, newcomer, pair.server_address), what="a new member is let in")

    other = groups.create()
    ec2.modify_instance_attribute(InstanceId=newcomer, Groups=[other])
    assert [group["GroupId"] for group in cloud.instance(newcomer)["SecurityGroups"]] == [other]
    interface = cloud.instance(newcomer)["NetworkInterfaces"][0]
    assert [group["GroupId"] for group in interface["Groups"]] == [other]
    wait_until(lambda: not reaches(cloud, newcomer, pair.server_address), what="who left the group is kept out")
    assert pair.connects()

    ec2.modify_network_interface_attribute(
        NetworkInterfaceId=interface["NetworkInterfaceId"], Groups=[other, pair.client_group]
    )
    wait_until(lambda: reaches(cloud, newcomer, pair.server_address), what="who came back is let in")
    groups.revoke(pair.server_group, permission)


def test_members_of_one_group_do_not_reach_each_other_without_a_rule(
    cloud: Cloud, pair: Pair, groups: Groups, launch: Callable[..., str]
) -> None:
    second = launch(pair.client_group)
    assert not reaches(cloud, second, pair.client_address)
    groups.allow(pair.client_group, tcp(SSH, group=pair.client_group))
    wait_until(lambda: reaches(cloud, second, pair.client_address), what="the rule about itself holds")
    groups.revoke(pair.client_group, tcp(SSH, group=pair.client_group))


def test_default_group_lets_its_own_members_in(cloud: Cloud, launch: Callable[..., str]) -> None:
    request = {"ImageId": cloud.base_ami_id, "MinCount": 2, "MaxCount": 2, "SubnetId": cloud.subnet_ids[0]}
    instances = cloud.client("ec2").run_instances(**request)["Instances"]
    ids = [instance["InstanceId"] for instance in instances]
    wait_until(lambda: all(cloud.instance(id_)["State"]["Name"] == "running" for id_ in ids), what="both run")
    wait_for_listener(cloud, ids[1])
    second = address(cloud, ids[1])
    wait_until(lambda: reaches(cloud, ids[0], second), what="one member reaches the other")
    assert not this_machine_reaches(second)
    cloud.terminate(*ids)


def test_open_connection_goes_on_when_its_rule_is_revoked(cloud: Cloud, pair: Pair, groups: Groups) -> None:
    start_echo(cloud, pair.server, 7000)
    permission = tcp(7000, cidr="0.0.0.0/0")
    groups.allow(pair.server_group, permission)
    wait_until(lambda: this_machine_reaches(pair.server_address, 7000), what="the port is open")
    with socket.create_connection((pair.server_address, 7000), timeout=10) as connection:
        groups.revoke(pair.server_group, permission)
        wait_until(lambda: not this_machine_reaches(pair.server_address, 7000), what="the port is closed")
        connection.sendall(b"still there\n")
        assert connection.recv(100) == b"still there\n"


def test_egress_is_restricted_too(pair: Pair, groups: Groups) -> None:
    ec2, everything = groups.ec2, [{"IpProtocol": "-1", "IpRanges": ANYWHERE}]
    groups.allow(pair.server_group, tcp(SSH, cidr="0.0.0.0/0"))
    wait_until(pair.connects, what="the client is let in and out")
    ec2.revoke_security_group_egress(GroupId=pair.client_group, IpPermissions=everything)
    wait_until(lambda: not pair.connects(), what="nothing goes out")
    only_ssh = tcp(SSH, group=pair.server_group)
    ec2.authorize_security_group_egress(GroupId=pair.client_group, IpPermissions=only_ssh)
    wait_until(pair.connects, what="the group that the rule names is reached")
    assert this_machine_reaches(pair.server_address)
    ec2.revoke_security_group_egress(GroupId=pair.client_group, IpPermissions=only_ssh)
    ec2.authorize_security_group_egress(GroupId=pair.client_group, IpPermissions=everything)
    groups.revoke(pair.server_group, tcp(SSH, cidr="0.0.0.0/0"))


def test_root_of_an_instance_can_not_change_its_rules(cloud: Cloud, pair: Pair) -> None:
    wait_until(lambda: not pair.connects(), what="the client is kept out")
    docker("exec", cloud.container(pair.server), "nft", "flush", "ruleset")
    assert not pair.connects()


def test_malformed_rule_is_named_once_and_the_others_hold(cloud: Cloud, pair: Pair, groups: Groups) -> None:
    malformed, permission = tcp(5, 70000, cidr="0.0.0.0/0"), tcp(SSH, cidr="0.0.0.0/0")
    groups.allow(pair.server_group, malformed)
    groups.allow(pair.server_group, permission)
    wait_until(pair.connects, what="the other rule holds")
    groups.revoke(pair.server_group, permission)
    wait_until(lambda: not pair.connects(), what="the malformed rule lets nothing in")
    assert cloud.log.count("malformed") == 1
    groups.revoke(pair.server_group, malformed)


def test_group_in_use_can_not_be_deleted(cloud: Cloud, pair: Pair, groups: Groups) -> None:
    referred_to, referring = groups.create(), groups.create()
    groups.allow(referring, tcp(SSH, group=referred_to))
    for group_id in (pair.server_group, referred_to):
        with pytest.raises(ClientError, match="DependencyViolation"):
            groups.ec2.delete_security_group(GroupId=group_id)
    groups.ec2.delete_security_group(GroupId=referring)
    groups.ec2.delete_security_group(GroupId=referred_to)


def test_unknown_group_is_refused(pair: Pair, groups: Groups) -> None:
    with pytest.raises(ClientError, match="InvalidGroup.NotFound"):
        groups.ec2.modify_instance_attribute(InstanceId=pair.server, Groups=["sg-00000000000000000"])


@pytest.fixture(scope="module")
def open_to_the_client(pair: Pair, groups: Groups) -> Iterator[None]:
    permission = tcp(SSH, group=pair.client_group)
    groups.allow(pair.server_group, permission)
    wait_until(pair.connects, what="the client is let in")
    yield
    groups.revoke(pair.server_group, permission)


def assert_rules_hold(pair: Pair) -> None:
    wait_for_listener(pair.cloud, pair.server)
    wait_until(pair.connects, what="the client is let in")
    assert not this_machine_reaches(pair.server_address)


@pytest.mark.usefixtures("open_to_the_client")
def test_rules_survive_a_reboot(pair: Pair, groups: Groups) -> None:
    def started() -> str:
        return docker("inspect", "--format", "{{.State.Running}} {{.State.StartedAt}}", container)

    container = pair.cloud.container(pair.server)
    before = started()
    groups.ec2.reboot_instances(InstanceIds=[pair.server])
    wait_until(lambda: started().startswith("true") and started() != before, what="it was started again")
    assert_rules_hold(pair)


@pytest.mark.usefixtures("open_to_the_client")
def test_rules_survive_the_controller(pair: Pair) -> None:
    pair.cloud.kill()
    assert_rules_hold(pair)
    pair.cloud.up()
    assert_rules_hold(pair)


@pytest.mark.usefixtures("open_to_the_client")
@pytest.mark.parametrize("damage", ["remove the helper", "flush the rules"])
def test_rules_that_somebody_removed_come_back(pair: Pair, damage: str) -> None:
    helper, table = pair.cloud.container("packet-filter"), f"localcloud_{pair.cloud.port}"
    if damage == "flush the rules":
        docker("exec", helper, "nft", "delete", "table", "inet", table)
        assert this_machine_reaches(pair.server_address)
    else:
        docker("rm", "--force", helper)
    wait_until(lambda: not this_machine_reaches(pair.server_address), what="this machine is kept out again")
    wait_until(lambda: pair.cloud.container("packet-filter") in docker("ps"), what="the helper is back")
    assert_rules_hold(pair)


@pytest.mark.essential
def test_database_is_reached_from_its_group_only(cloud: Cloud, pair: Pair, groups: Groups) -> None:
    rds, ec2 = cloud.client("rds"), groups.ec2
    database_group, closed = groups.create(), groups.create()
    groups.allow(database_group, tcp(5432, group=pair.client_group))
    rds.create_db_subnet_group(
        DBSubnetGroupName="guarded", DBSubnetGroupDescription="two zones", SubnetIds=cloud.subnet_ids[1:]
    )
    rds.create_db_instance(
        DBInstanceIdentifier="guarded",
        Engine="postgres",
        DBInstanceClass="db.t4g.micro",
        AllocatedStorage=20,
        MasterUsername="dbadmin",
        MasterUserPassword="guarded-Password_1",
        DBSubnetGroupName="guarded",
        VpcSecurityGroupIds=[database_group],
    )

    def database() -> dict[str, Any]:
        found: dict[str, Any] = rds.describe_db_instances(DBInstanceIdentifier="guarded")["DBInstances"][0]
        return found

    def interface() -> dict[str, Any]:
        filters = [{"Name": "group-id", "Values": [database_group, closed]}]
        (found,) = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return dict(found)

    wait_until(lambda: database()["DBInstanceStatus"] == "available", 180, what="the database is there")
    host = database()["Endpoint"]["Address"]
    wait_until(lambda: reaches(cloud, pair.client, host, 5432), what="its group reaches it")
    assert not reaches(cloud, pair.server, host, 5432)
    assert not this_machine_reaches(interface()["PrivateIpAddress"], 5432)

    rds.modify_db_instance(DBInstanceIdentifier="guarded", VpcSecurityGroupIds=[closed], ApplyImmediately=True)
    wait_until(lambda: not reaches(cloud, pair.client, host, 5432), what="its new group lets nobody in")
    assert [group["GroupId"] for group in interface()["Groups"]] == [closed]
    rds.delete_db_instance(DBInstanceIdentifier="guarded", SkipFinalSnapshot=True)

    def ids() -> list[str]:
        return [row["DBInstanceIdentifier"] for row in rds.describe_db_instances()["DBInstances"]]

    wait_until(lambda: "guarded" not in ids(), what="the database is gone")
    rds.delete_db_subnet_group(DBSubnetGroupName="guarded")


def test_load_balancer_reaches_what_its_groups_allow(cloud: Cloud, pair: Pair, groups: Groups) -> None:
    """As in terraform/fleet: from everywhere to the load balancer, from there to the target only."""
    elbv2 = cloud.client("elbv2")
    balancer_group, closed = groups.create(), groups.create()
    groups.allow(balancer_group, tcp(80, cidr="0.0.0.0/0"))
    docker("exec", "--detach", cloud.container(pair.server), "python3", "-m", "http.server", "80")
    balancer = elbv2.create_load_balancer(Name="guarded", Subnets=cloud.subnet_ids, SecurityGroups=[balancer_group])
    arn = balancer["LoadBalancers"][0]["LoadBalancerArn"]
    target_group = elbv2.create_target_group(
        Name="guarded",
        Protocol="HTTP",
        Port=80,
        VpcId=cloud.vpc_id,
        HealthCheckIntervalSeconds=5,
        HealthCheckTimeoutSeconds=2,
        HealthyThresholdCount=2,
        UnhealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    forward = [{"Type": "forward", "TargetGroupArn": target_group}]
    elbv2.create_listener(LoadBalancerArn=arn, Protocol="HTTP", Port=80, DefaultActions=forward)
    elbv2.register_targets(TargetGroupArn=target_group, Targets=[{"Id": pair.server}])

    def health() -> str:
        answer = elbv2.describe_target_health(TargetGroupArn=target_group)["TargetHealthDescriptions"]
        return str(answer[0]["TargetHealth"]["State"])

    wait_until(lambda: health() == "unhealthy", what="its checks don't reach the target")
    groups.allow(pair.server_group, tcp(80, group=balancer_group))
    wait_until(lambda: health() == "healthy", what="its checks reach the target")
    name = balancer["LoadBalancers"][0]["DNSName"]
    assert this_machine_reaches(name, 80)
    assert not this_machine_reaches(pair.server_address, 80)

    elbv2.set_security_groups(LoadBalancerArn=arn, SecurityGroups=[closed])
    wait_until(lambda: not this_machine_reaches(name, 80), what="its new group lets nobody in")
    wait_until(lambda: health() == "unhealthy", what="its checks come from another group now")
    elbv2.delete_load_balancer(LoadBalancerArn=arn)
    groups.revoke(pair.server_group, tcp(80, group=balancer_group))
