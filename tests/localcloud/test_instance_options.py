"""What is said of an instance when it is launched is what DescribeInstances and DescribeVolumes say."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from instant_cloud import instant_cloud
from running_cloud import Cloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with instant_cloud(tmp_path_factory.mktemp("options")) as cloud:
        cloud.client("ec2").create_placement_group(GroupName="together", Strategy="partition", PartitionCount=2)
        yield cloud


@pytest.fixture(scope="module")
def image(cloud: Cloud) -> dict[str, Any]:
    images = cloud.client("ec2").describe_images(
        Owners=["amazon"], Filters=[{"Name": "architecture", "Values": ["x86_64"]}]
    )
    found: dict[str, Any] = images["Images"][0]
    return found


def launch(cloud: Cloud, image: dict[str, Any] | None = None, **options: Any) -> str:
    """Launch one instance, of a t3.micro unless there is a launch template; its id."""
    request: dict[str, Any] = {"MinCount": 1, "MaxCount": 1, "SubnetId": cloud.subnet_ids[1], **options}
    if image is not None:
        request = {"ImageId": image["ImageId"], "InstanceType": "t3.micro", **request}
    if "NetworkInterfaces" in request:
        del request["SubnetId"]
    return str(cloud.client("ec2").run_instances(**request)["Instances"][0]["InstanceId"])


def volumes(cloud: Cloud, instance_id: str) -> dict[str, dict[str, Any]]:
    """An instance's volumes, by device."""
    found = cloud.client("ec2").describe_volumes(Filters=[{"Name": "attachment.instance-id", "Values": [instance_id]}])[
        "Volumes"
    ]
    return {volume["Attachments"][0]["Device"]: volume for volume in found}


OPTIONS: list[tuple[str, dict[str, Any]]] = [
    ("CapacityReservationSpecification", {"CapacityReservationPreference": "none"}),
    ("CpuOptions", {"CoreCount": 1, "ThreadsPerCore": 1}),
    ("EnclaveOptions", {"Enabled": True}),
    ("HibernationOptions", {"Configured": True}),
    ("MaintenanceOptions", {"AutoRecovery": "disabled"}),
    ("NetworkPerformanceOptions", {"BandwidthWeighting": "vpc-1"}),
    ("PrivateDnsNameOptions", {"HostnameType": "resource-name", "EnableResourceNameDnsARecord": True}),
    ("Placement", {"GroupName": "together", "Tenancy": "dedicated", "PartitionNumber": 2}),
]


@pytest.mark.parametrize(("name", "value"), OPTIONS)
@pytest.mark.parametrize("by", ["request", "template"])
def test_option_is_reported(cloud: Cloud, image: dict[str, Any], name: str, value: dict[str, Any], by: str) -> None:
    ec2 = cloud.client("ec2")
    if by == "request":
        instance_id = launch(cloud, image, **{name: value})
    else:
        template = ec2.create_launch_template(
            LaunchTemplateName=f"option-{name}",
            LaunchTemplateData={"ImageId": image["ImageId"], "InstanceType": "t3.micro", name: value},
        )["LaunchTemplate"]["LaunchTemplateId"]
        instance_id = launch(cloud, LaunchTemplate={"LaunchTemplateId": template})
    reported = cloud.instance(instance_id)[name]
    assert {**reported, **value} == reported


def test_defaults_are_reported(cloud: Cloud, image: dict[str, Any]) -> None:
    instance = cloud.instance(launch(cloud, image))
    assert instance["CpuOptions"] == {"CoreCount": 1, "ThreadsPerCore": 2}
    assert instance["EnclaveOptions"] == {"Enabled": False}
    assert instance["HibernationOptions"] == {"Configured": False}
    assert instance["MaintenanceOptions"] == {"AutoRecovery": "default", "RebootMigration": "default"}
    assert instance["CapacityReservationSpecification"] == {"CapacityReservationPreference": "open"}
    assert instance["PrivateDnsNameOptions"] == {
        "HostnameType": "ip-name",
        "EnableResourceNameDnsARecord": False,
        "EnableResourceNameDnsAAAARecord": False,
    }
    assert instance["Placement"]["Tenancy"] == "default"


def test_resource_name_is_the_instances_name(cloud: Cloud, image: dict[str, Any]) -> None:
    instance_id = launch(cloud, image, PrivateDnsNameOptions={"HostnameType": "resource-name"})
    assert cloud.instance(instance_id)["PrivateDnsName"] == f"{instance_id}.ec2.internal"


def test_options_change(cloud: Cloud, image: dict[str, Any]) -> None:
    ec2 = cloud.client("ec2")
    instance_id = launch(cloud, image)
    answer = ec2.modify_instance_maintenance_options(InstanceId=instance_id, AutoRecovery="disabled")
    assert answer["AutoRecovery"] == "disabled"
    ec2.modify_private_dns_name_options(InstanceId=instance_id, EnableResourceNameDnsARecord=True)
    ec2.modify_instance_capacity_reservation_attributes(
        InstanceId=instance_id, CapacityReservationSpecification={"CapacityReservationPreference": "none"}
    )
    with pytest.raises(ClientError, match="IncorrectInstanceState"):
        ec2.modify_instance_cpu_options(InstanceId=instance_id, CoreCount=1, ThreadsPerCore=1)
    ec2.stop_instances(InstanceIds=[instance_id])
    ec2.modify_instance_cpu_options(InstanceId=instance_id, CoreCount=1, ThreadsPerCore=1)
    ec2.modify_instance_placement(InstanceId=instance_id, Tenancy="dedicated")
    ec2.modify_instance_placement(InstanceId=instance_id, GroupName="together", PartitionNumber=2)
    placement = cloud.instance(instance_id)["Placement"]
    assert (placement["GroupName"], placement["PartitionNumber"]) == ("together", 2)
    ec2.modify_instance_placement(InstanceId=instance_id, GroupName="")
    assert not cloud.instance(instance_id)["Placement"].get("GroupName")
    instance = cloud.instance(instance_id)
    assert instance["MaintenanceOptions"] == {"AutoRecovery": "disabled", "RebootMigration": "default"}
    assert instance["PrivateDnsNameOptions"]["EnableResourceNameDnsARecord"] is True
    assert instance["PrivateDnsNameOptions"]["HostnameType"] == "ip-name"
    assert instance["CapacityReservationSpecification"] == {"CapacityReservationPreference": "none"}
    assert instance["CpuOptions"] == {"CoreCount": 1, "ThreadsPerCore": 1}
    assert instance["Placement"]["Tenancy"] == "dedicated"


@pytest.mark.parametrize(
    ("instance_type", "given", "reported"),
    [
        ("t2.micro", None, ["standard"]),
        ("t3.micro", None, ["unlimited"]),
        ("t3.micro", "standard", ["standard"]),
        ("m5.large", None, []),
    ],
)
def test_credits(
    cloud: Cloud, image: dict[str, Any], instance_type: str, given: str | None, reported: list[str]
) -> None:
    ec2 = cloud.client("ec2")
    options = {"CreditSpecification": {"CpuCredits": given}} if given else {}
    instance_id = launch(cloud, image, InstanceType=instance_type, **options)

    def cpu_credits() -> list[str]:
        answer = ec2.describe_instance_credit_specifications(InstanceIds=[instance_id])
        return [specification["CpuCredits"] for specification in answer["InstanceCreditSpecifications"]]

    assert cpu_credits() == reported
    if reported:
        ec2.modify_instance_credit_specification(
            InstanceCreditSpecifications=[{"InstanceId": instance_id, "CpuCredits": "standard"}]
        )
        assert cpu_credits() == ["standard"]


def test_template_says_what_the_request_does_not(cloud: Cloud, image: dict[str, Any]) -> None:
    ec2 = cloud.client("ec2")
    template = ec2.create_launch_template(
        LaunchTemplateName="whole",
        LaunchTemplateData={
            "ImageId": image["ImageId"],
            "InstanceType": "t3.small",
            "EbsOptimized": True,
            "Monitoring": {"Enabled": True},
            "DisableApiStop": True,
            "InstanceInitiatedShutdownBehavior": "terminate",
            "UserData": base64.b64encode(b"#!/bin/sh\n").decode(),
            "TagSpecifications": [
                {
                    "ResourceType": "volume",
                    "Tags": [{"Key": "Of", "Value": "template"}, {"Key": "Kept", "Value": "yes"}],
                },
                {"ResourceType": "network-interface", "Tags": [{"Key": "Of", "Value": "template"}]},
            ],
        },
    )["LaunchTemplate"]["LaunchTemplateId"]
    instance_id = launch(
        cloud,
        LaunchTemplate={"LaunchTemplateId": template},
        EbsOptimized=False,
        TagSpecifications=[{"ResourceType": "volume", "Tags": [{"Key": "Of", "Value": "request"}]}],
    )
    instance = cloud.instance(instance_id)
    assert instance["InstanceType"] == "t3.small"
    assert instance["EbsOptimized"] is False
    assert instance["Monitoring"]["State"] == "enabled"

    def attribute(name: str) -> Any:
        answer = ec2.describe_instance_attribute(InstanceId=instance_id, Attribute=name)
        return answer[name[0].upper() + name[1:]]["Value"]

    assert attribute("disableApiStop") is True
    assert attribute("instanceInitiatedShutdownBehavior") == "terminate"
    assert base64.b64decode(attribute("userData")) == b"#!/bin/sh\n"
    (volume,) = volumes(cloud, instance_id).values()
    assert {tag["Key"]: tag["Value"] for tag in volume["Tags"]} == {"Of": "request", "Kept": "yes"}
    interface = ec2.describe_network_interfaces(
        NetworkInterfaceIds=[instance["NetworkInterfaces"][0]["NetworkInterfaceId"]]
    )["NetworkInterfaces"][0]
    assert interface["TagSet"] == [{"Key": "Of", "Value": "template"}]


# -- volumes --------------------------------------------------------------------------------------------------------


def test_root_volume_is_the_images(cloud: Cloud, image: dict[str, Any]) -> None:
    (mapping,) = image["BlockDeviceMappings"]
    instance_id = launch(cloud, image)
    assert cloud.instance(instance_id)["RootDeviceName"] == image["RootDeviceName"] == mapping["DeviceName"]
    ((device, volume),) = volumes(cloud, instance_id).items()
    assert device == image["RootDeviceName"]
    assert volume["Size"] == mapping["Ebs"]["VolumeSize"] == 8
    assert volume["SnapshotId"] == mapping["Ebs"]["SnapshotId"]
    assert (volume["VolumeType"], volume["Iops"], volume["Throughput"]) == ("gp3", 3000, 125)
    assert volume["Attachments"][0]["DeleteOnTermination"] is True


def test_mapping_changes_what_it_names(cloud: Cloud, image: dict[str, Any]) -> None:
    instance_id = launch(
        cloud,
        image,
        BlockDeviceMappings=[
            {"DeviceName": image["RootDeviceName"], "Ebs": {"VolumeType": "gp3", "Throughput": 200, "Iops": 4000}},
            {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 100, "VolumeType": "gp2"}},
        ],
    )
    found = volumes(cloud, instance_id)
    root, data = found[image["RootDeviceName"]], found["/dev/sdf"]
    assert (root["Size"], root["Iops"], root["Throughput"]) == (8, 4000, 200)
    assert root["Attachments"][0]["DeleteOnTermination"] is True
    assert (data["Size"], data["Iops"]) == (100, 300)
    assert "Throughput" not in data
    assert data["Attachments"][0]["DeleteOnTermination"] is False


def test_iops_of_a_volume_that_becomes_another_type(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    volume = ec2.create_volume(Size=80, AvailabilityZone="us-east-1a", VolumeType="gp3", Iops=5000)["VolumeId"]
    ec2.modify_volume(VolumeId=volume, VolumeType="io2")
    (found,) = ec2.describe_volumes(VolumeIds=[volume])["Volumes"]
    assert (found["VolumeType"], found["Iops"]) == ("io2", 3000)


def test_mapping_over_a_templates_mapping(cloud: Cloud, image: dict[str, Any]) -> None:
    device = image["RootDeviceName"]
    template = cloud.client("ec2").create_launch_template(
        LaunchTemplateName="volumes",
        LaunchTemplateData={
            "ImageId": image["ImageId"],
            "InstanceType": "t3.micro",
            "BlockDeviceMappings": [
                {"DeviceName": device, "Ebs": {"VolumeSize": 20, "Throughput": 300}},
                {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 1}},
            ],
        },
    )["LaunchTemplate"]["LaunchTemplateId"]
    instance_id = launch(
        cloud,
        LaunchTemplate={"LaunchTemplateId": template},
        BlockDeviceMappings=[
            {"DeviceName": device, "Ebs": {"VolumeSize": 30}},
            {"DeviceName": "/dev/sdg", "NoDevice": ""},
        ],
    )
    found = volumes(cloud, instance_id)
    assert set(found) == {device}
    assert (found[device]["Size"], found[device]["Throughput"]) == (30, 300)


@pytest.mark.parametrize(
    ("device", "ebs", "code"),
    [
        (None, {"VolumeSize": 7}, "InvalidBlockDeviceMapping"),
        ("/dev/sdf", {"VolumeType": "gp3"}, "MissingParameter"),
    ],
)
def test_impossible_volume_is_refused(
    cloud: Cloud, image: dict[str, Any], device: str | None, ebs: dict[str, Any], code: str
) -> None:
    mapping = {"DeviceName": device or image["RootDeviceName"], "Ebs": ebs}
    before = cloud.client("ec2").describe_instances()["Reservations"]
    with pytest.raises(ClientError) as refused:
        launch(cloud, image, BlockDeviceMappings=[mapping])
    assert refused.value.response["Error"]["Code"] == code
    assert len(cloud.client("ec2").describe_instances()["Reservations"]) == len(before)


def test_launch_that_fails_at_its_volumes_leaves_nothing(cloud: Cloud, image: dict[str, Any]) -> None:
    ec2 = cloud.client("ec2")
    interface = ec2.create_network_interface(SubnetId=cloud.subnet_ids[1])["NetworkInterface"]["NetworkInterfaceId"]
    before = ec2.describe_volumes()["Volumes"]
    with pytest.raises(ClientError, match="InvalidParameterDependency"):
        launch(
            cloud,
            image,
            NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": interface}],
            BlockDeviceMappings=[{"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "VolumeType": "io1"}}],
        )
    assert ec2.describe_volumes()["Volumes"] == before
    found = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
    assert found["Status"] == "available"


def test_modified_volume(cloud: Cloud, image: dict[str, Any]) -> None:
    ec2 = cloud.client("ec2")
    volume_id = volumes(cloud, launch(cloud, image))[image["RootDeviceName"]]["VolumeId"]
    ec2.modify_volume(VolumeId=volume_id, VolumeType="gp2", Size=50)
    volume = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
    assert (volume["Size"], volume["VolumeType"], volume["Iops"]) == (50, "gp2", 150)
    assert "Throughput" not in volume
    ec2.modify_volume(VolumeId=volume_id, VolumeType="gp3", Throughput=500)
    volume = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]
    assert (volume["Iops"], volume["Throughput"]) == (3000, 500)


def test_image_has_the_size_of_the_disk_it_was_made_of(cloud: Cloud, image: dict[str, Any]) -> None:
    ec2 = cloud.client("ec2")
    instance_id = launch(
        cloud, image, BlockDeviceMappings=[{"DeviceName": image["RootDeviceName"], "Ebs": {"VolumeSize": 12}}]
    )
    made = ec2.create_image(InstanceId=instance_id, Name="sized")["ImageId"]
    (mapping,) = ec2.describe_images(ImageIds=[made])["Images"][0]["BlockDeviceMappings"]
    assert (mapping["DeviceName"], mapping["Ebs"]["VolumeSize"]) == (image["RootDeviceName"], 12)
    assert mapping["Ebs"]["DeleteOnTermination"] is True


# -- network interfaces ---------------------------------------------------------------------------------------------


def test_existing_interface_outlives_its_instance(cloud: Cloud, image: dict[str, Any]) -> None:
    ec2 = cloud.client("ec2")
    interface = ec2.create_network_interface(SubnetId=cloud.subnet_ids[1])["NetworkInterface"]["NetworkInterfaceId"]
    instance_id = launch(cloud, image, NetworkInterfaces=[{"DeviceIndex": 0, "NetworkInterfaceId": interface}])
    instance = cloud.instance(instance_id)
    assert instance["NetworkInterfaces"][0]["Attachment"]["DeleteOnTermination"] is False
    assert instance["Placement"]["AvailabilityZone"] == "us-east-1b"
    assert instance["SubnetId"] == cloud.subnet_ids[1]
    ec2.terminate_instances(InstanceIds=[instance_id])
    found = ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"][0]
    assert found["Status"] == "available"
    assert "Attachment" not in found
    ec2.delete_network_interface(NetworkInterfaceId=interface)


@pytest.mark.parametrize(("given", "reported"), [({}, True), ({"DeleteOnTermination": False}, False)])
def test_new_interface_goes_unless_it_shall_stay(
    cloud: Cloud, image: dict[str, Any], given: dict[str, bool], reported: bool
) -> None:
    interface = {"DeviceIndex": 0, "SubnetId": cloud.subnet_ids[1], **given}
    instance = cloud.instance(launch(cloud, image, NetworkInterfaces=[interface]))
    assert instance["NetworkInterfaces"][0]["Attachment"]["DeleteOnTermination"] is reported


# -- launches of Auto Scaling groups --------------------------------------------------------------------------------


@pytest.mark.parametrize("source", ["template", "configuration"])
def test_group_launches_with_the_images_size(cloud: Cloud, image: dict[str, Any], source: str) -> None:
    ec2, autoscaling = cloud.client("ec2"), cloud.client("autoscaling")
    large = ec2.create_image(
        InstanceId=launch(
            cloud, image, BlockDeviceMappings=[{"DeviceName": image["RootDeviceName"], "Ebs": {"VolumeSize": 12}}]
        ),
        Name=f"large-{source}",
    )["ImageId"]
    mapping = {"DeviceName": image["RootDeviceName"], "Ebs": {"VolumeType": "gp3", "Throughput": 200}}
    said = {"ImageId": large, "InstanceType": "t3.micro", "BlockDeviceMappings": [mapping]}
    if source == "template":
        tags = [{"ResourceType": "volume", "Tags": [{"Key": "a", "Value": "1"}]}]
        ec2.create_launch_template(
            LaunchTemplateName=f"group-{source}", LaunchTemplateData={**said, "TagSpecifications": tags}
        )
        start = {"LaunchTemplate": {"LaunchTemplateName": f"group-{source}"}}
    else:
        autoscaling.create_launch_configuration(LaunchConfigurationName=f"group-{source}", **said)
        start = {"LaunchConfigurationName": f"group-{source}"}
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=source, MinSize=1, MaxSize=1, VPCZoneIdentifier=cloud.subnet_ids[1], **start
    )
    (group,) = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[source])["AutoScalingGroups"]
    ((_device, volume),) = volumes(cloud, group["Instances"][0]["InstanceId"]).items()
    assert volume["Size"] == 12
    assert volume["Attachments"][0]["DeleteOnTermination"] is True
    if source == "template":
        assert volume["Throughput"] == 200
        assert volume["Tags"] == [{"Key": "a", "Value": "1"}]
