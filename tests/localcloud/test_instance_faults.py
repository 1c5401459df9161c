"""EC2 with bad input: what AWS refuses is refused, and one broken instance never stops the others."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from autoscaling_group import Group
from botocore.exceptions import ClientError
from running_cloud import Cloud, docker
from waiting import wait_until

USABLE = 11  # addresses of a /28: 16 without the five that AWS keeps


def code_and_message(call: Callable[..., Any], **request: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        call(**request)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.fixture(scope="module")
def small_subnet(cloud: Cloud) -> Iterator[str]:
    """A subnet of 16 addresses."""
    ec2, network = cloud.client("ec2"), cloud.cidr.split(".")
    cidr = f"{network[0]}.{network[1]}.200.0/28"
    subnet = ec2.create_subnet(VpcId=cloud.vpc_id, CidrBlock=cidr, AvailabilityZone="us-east-1a")["Subnet"]
    yield subnet["SubnetId"]
    wait_until(lambda: not instances_in(cloud, subnet["SubnetId"]), what="all its instances are terminated")
    ec2.delete_subnet(SubnetId=subnet["SubnetId"])


@pytest.fixture(scope="module")
def make_image(cloud: Cloud) -> Iterator[Callable[[str], str]]:
    """Makes an AMI of a machine that was changed by lines of a Dockerfile; gives its id."""
    ec2, images = cloud.client("ec2"), []
    source = cloud.run_instance()

    def make(dockerfile: str) -> str:
        name = f"faulty-{len(images)}"
        image_id: str = ec2.create_image(InstanceId=source, Name=name, NoReboot=True)["ImageId"]
        images.append(image_id)
        wait_until(
            lambda: ec2.describe_images(ImageIds=[image_id], Owners=["self"])["Images"][0]["State"] == "available",
            what=f"{image_id} is available",
        )
        tag = f"localcloud-{cloud.port}/ami:{image_id}"
        build = ["docker", "build", "--quiet", "--tag", tag, "-"]
        subprocess.run(build, input=f"FROM {tag}\n{dockerfile}\n", text=True, check=True, capture_output=True)
        return image_id

    yield make
    for image_id in images:
        ec2.deregister_image(ImageId=image_id)
    cloud.terminate(source)


@pytest.fixture(scope="module")
def idle_image(make_image: Callable[[str], str]) -> str:
    """An AMI whose machines start and do nothing, for tests that need many."""
    return make_image('CMD ["sleep", "infinity"]\nSTOPSIGNAL SIGKILL')


def instances_in(cloud: Cloud, subnet_id: str) -> list[dict[str, Any]]:
    filters = [
        {"Name": "subnet-id", "Values": [subnet_id]},
        {"Name": "instance-state-name", "Values": ["pending", "running", "stopping", "stopped", "shutting-down"]},
    ]
    reservations = cloud.client("ec2").describe_instances(Filters=filters)["Reservations"]
    return [instance for reservation in reservations for instance in reservation["Instances"]]


def test_full_subnet_takes_no_instance_and_says_so(cloud: Cloud, small_subnet: str) -> None:
    ec2 = cloud.client("ec2")

    def free() -> int:
        return int(ec2.describe_subnets(SubnetIds=[small_subnet])["Subnets"][0]["AvailableIpAddressCount"])

    launch = {"ImageId": cloud.base_ami_id, "InstanceType": "t3.micro", "SubnetId": small_subnet}
    expected = (
        "InsufficientFreeAddressesInSubnet",
        f"There are not enough free addresses in subnet '{small_subnet}' to satisfy the requested number of instances.",
    )
    assert free() == USABLE
    assert code_and_message(ec2.run_instances, **launch, MinCount=USABLE + 1, MaxCount=USABLE + 1) == expected
    assert instances_in(cloud, small_subnet) == []
    interfaces = [ec2.create_network_interface(SubnetId=small_subnet)["NetworkInterface"] for _ in range(USABLE)]
    try:
        assert len({interface["PrivateIpAddress"] for interface in interfaces}) == USABLE
        assert free() == 0
        assert code_and_message(ec2.run_instances, **launch, MinCount=1, MaxCount=1) == expected
        check_group_says_so(cloud, small_subnet, expected[1])
    finally:
        for interface in interfaces:
            ec2.delete_network_interface(NetworkInterfaceId=interface["NetworkInterfaceId"])
    assert free() == USABLE


def check_group_says_so(cloud: Cloud, subnet_id: str, message: str) -> None:
    template_id = cloud.client("ec2").create_launch_template(
        LaunchTemplateName="full-subnet",
        LaunchTemplateData={"ImageId": cloud.base_ami_id, "InstanceType": "t3.micro"},
    )["LaunchTemplate"]["LaunchTemplateId"]
    group = Group(cloud, "full-subnet", template_id)
    group.create(MinSize=1, VPCZoneIdentifier=subnet_id)
    try:
        activity = wait_until(lambda: next(iter(group.activities()), None), what="an activity")
        assert activity["StatusCode"] == "Failed"
        assert activity["StatusMessage"] == f"{message} Launching EC2 instance failed."
    finally:
        group.delete()
        cloud.client("ec2").delete_launch_template(LaunchTemplateId=template_id)


def test_address_that_cant_be_had_is_refused(cloud: Cloud, small_subnet: str) -> None:
    ec2, prefix = cloud.client("ec2"), ".".join(cloud.cidr.split(".")[:2])
    launch = {"ImageId": cloud.base_ami_id, "SubnetId": small_subnet, "MinCount": 1, "MaxCount": 1}
    taken = ec2.create_network_interface(SubnetId=small_subnet)["NetworkInterface"]
    address = taken["PrivateIpAddress"]
    expected = ("InvalidIPAddress.InUse", f"Address {address} is in use.")
    assert code_and_message(ec2.run_instances, **launch, PrivateIpAddress=address) == expected
    ec2.delete_network_interface(NetworkInterfaceId=taken["NetworkInterfaceId"])
    for reserved_or_outside in (f"{prefix}.200.3", f"{prefix}.200.15", f"{prefix}.201.4"):
        code, _message = code_and_message(ec2.run_instances, **launch, PrivateIpAddress=reserved_or_outside)
        assert code == "InvalidParameterValue"
    assert instances_in(cloud, small_subnet) == []


def test_launch_into_a_vpc_whose_addresses_another_one_has_says_so(cloud: Cloud) -> None:
    here = cloud.run_instance()
    ec2 = cloud.client("ec2")
    vpc = ec2.create_vpc(CidrBlock=cloud.cidr)["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=cloud.cidr.replace("/16", "/24"))["Subnet"]["SubnetId"]
    launch = {"ImageId": cloud.base_ami_id, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    instance_id = ec2.run_instances(SubnetId=subnet, **launch)["Instances"][0]["InstanceId"]
    wait_until(lambda: cloud.instance(instance_id)["State"]["Name"] == "terminated", what="the launch ends")
    reason = cloud.instance(instance_id)["StateReason"]["Message"]
    assert f"VPC {vpc} ({cloud.cidr}) can't have its addresses" in reason
    assert f"VPC {cloud.vpc_id} ({cloud.cidr}) has them" in reason
    assert cloud.instance(here)["State"]["Name"] == "running"
    cloud.terminate(here)
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_vpc(VpcId=vpc)


def test_image_without_an_init_ends_as_terminated_and_the_console_says_why(
    cloud: Cloud, make_image: Callable[[str], str]
) -> None:
    ec2, image_id = cloud.client("ec2"), make_image("RUN rm --force /sbin/init /usr/sbin/init")
    launched = ec2.run_instances(
        ImageId=image_id, InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=cloud.subnet_ids[0]
    )
    instance_id = launched["Instances"][0]["InstanceId"]
    wait_until(lambda: cloud.instance(instance_id)["State"]["Name"] == "terminated", what="terminated")
    assert cloud.instance(instance_id)["StateReason"]["Code"] == "Server.InternalError"
    assert "/sbin/init" in ec2.get_console_output(InstanceId=instance_id)["Output"]
    assert f"{instance_id}: it can't be started from {image_id}" in cloud.log
    assert instance_id not in docker("ps", "--all", "--format", "{{.Names}}")


def test_image_whose_init_ends_at_once_stops(cloud: Cloud, make_image: Callable[[str], str]) -> None:
    image_id = make_image('CMD ["sh", "-c", "echo Kernel panic; exit 1"]')
    ec2 = cloud.client("ec2")
    launched = ec2.run_instances(
        ImageId=image_id, InstanceType="t3.micro", MinCount=1, MaxCount=1, SubnetId=cloud.subnet_ids[0]
    )
    instance_id = launched["Instances"][0]["InstanceId"]
    wait_until(lambda: cloud.instance(instance_id)["State"]["Name"] == "stopped", what="stopped")
    assert "Kernel panic" in ec2.get_console_output(InstanceId=instance_id)["Output"]
    cloud.terminate(instance_id)


def test_protected_instance_is_neither_stopped_nor_terminated(cloud: Cloud, idle_image: str) -> None:
    ec2 = cloud.client("ec2")
    instance_id = cloud.run_instance(ImageId=idle_image, DisableApiTermination=True, DisableApiStop=True)
    other = cloud.run_instance(ImageId=idle_image)
    for call, attribute, word in (
        (ec2.stop_instances, "disableApiStop", "stopped"),
        (ec2.terminate_instances, "disableApiTermination", "terminated"),
    ):
        message = (
            f"The instance '{instance_id}' may not be {word}. "
            f"Modify its '{attribute}' instance attribute and try again."
        )
        assert code_and_message(call, InstanceIds=[other, instance_id]) == ("OperationNotPermitted", message)
    assert [cloud.instance(each)["State"]["Name"] for each in (instance_id, other)] == ["running", "running"]
    ec2.modify_instance_attribute(InstanceId=instance_id, DisableApiTermination={"Value": False})
    ec2.terminate_instances(InstanceIds=[instance_id, other])


def test_clients_at_once_share_no_address_and_lose_no_instance(
    cloud: Cloud, small_subnet: str, idle_image: str
) -> None:
    ec2, clients = cloud.client("ec2"), 5

    def use(_client: int) -> tuple[str, str]:
        """Launch two, keep the first."""
        launched = ec2.run_instances(ImageId=idle_image, MinCount=2, MaxCount=2, SubnetId=small_subnet)["Instances"]
        ids = [instance["InstanceId"] for instance in launched]
        ec2.terminate_instances(InstanceIds=ids[1:])
        return ids[0], ids[1]

    with ThreadPoolExecutor(max_workers=clients) as pool:
        pairs = list(pool.map(use, range(clients)))
    kept, ended = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    wait_until(lambda: all(cloud.instance(each)["State"]["Name"] == "running" for each in kept), what="all kept run")
    wait_until(
        lambda: all(cloud.instance(each)["State"]["Name"] == "terminated" for each in ended), what="all others end"
    )
    assert len({cloud.instance(each)["PrivateIpAddress"] for each in kept}) == clients
    names = docker("ps", "--format", "{{.Names}}")
    assert all(cloud.container(each) in names for each in kept)
    assert not any(each in names for each in ended)
    cloud.terminate(*kept)
    wait_until(lambda: not instances_in(cloud, small_subnet), what="all gone")
    subnet = ec2.describe_subnets(SubnetIds=[small_subnet])["Subnets"][0]
    assert subnet["AvailableIpAddressCount"] == USABLE
