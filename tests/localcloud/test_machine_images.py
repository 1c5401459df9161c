"""What an instance is launched from: an image that exists, named by its id or by a public parameter."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

DEBIAN = "/aws/service/debian/release/13/latest/amd64"
AMAZON_LINUX = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
UBUNTU = "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id"
NONE = "ami-00000000000000000"
LAUNCH = {"InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
Client = Callable[[str], Any]


@pytest.fixture(scope="module")
def base_image(client: Client) -> str:
    (image,) = client("ec2").describe_images(Owners=["136693071363"])["Images"]
    return str(image["ImageId"])


@pytest.fixture
def template(client: Client) -> Iterator[Callable[[str], str]]:
    """Make a launch template of an image; its name."""
    ec2 = client("ec2")

    def make(image: str) -> str:
        ec2.create_launch_template(LaunchTemplateName="t", LaunchTemplateData={"ImageId": image})
        return "t"

    yield make
    ec2.delete_launch_template(LaunchTemplateName="t")


def refusal(request: Callable[..., Any], **arguments: Any) -> tuple[str, str]:
    with pytest.raises(ClientError) as refused:
        request(**arguments)
    error = refused.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.essential
@pytest.mark.parametrize("name", [DEBIAN, "/aws/service/debian/release/13/latest/arm64"])
def test_debians_parameter_names_the_base_image(client: Client, base_image: str, name: str) -> None:
    ssm = client("ssm")
    assert ssm.get_parameter(Name=name)["Parameter"]["Value"] == base_image
    assert ssm.get_parameters(Names=[name])["Parameters"][0]["Value"] == base_image


def test_debians_parameters_are_found_by_their_path(client: Client) -> None:
    ssm = client("ssm")
    found = ssm.get_parameters_by_path(Path="/aws/service/debian/release/13/latest")["Parameters"]
    assert [parameter["Name"].rpartition("/")[2] for parameter in found] == ["amd64", "arm64"]
    assert ssm.get_parameters_by_path(Path="/aws/service/debian/release")["Parameters"] == []
    found = ssm.get_parameters_by_path(Path="/aws/service/debian/release", Recursive=True)["Parameters"]
    assert len(found) == 2


@pytest.mark.essential
@pytest.mark.parametrize("name", [AMAZON_LINUX, UBUNTU, "/aws/service/debian/release/12/latest/amd64"])
def test_a_parameter_of_an_image_that_is_not_here_is_refused(client: Client, name: str) -> None:
    ssm = client("ssm")
    for code, message in (
        refusal(ssm.get_parameter, Name=name),
        refusal(ssm.get_parameters, Names=[DEBIAN, name]),
        refusal(ssm.get_parameters_by_path, Path=name.rpartition("/")[0]),
    ):
        assert code == "InvalidParameterValue"
        assert "The local cloud" in message
        assert DEBIAN in message


def test_other_parameters_of_aws_are_as_they_were(client: Client) -> None:
    ssm = client("ssm")
    name = "/aws/service/global-infrastructure/regions/us-east-1"
    assert ssm.get_parameter(Name=name)["Parameter"]["Value"] == "us-east-1"
    assert refusal(ssm.get_parameter, Name="/mine")[0] == "ParameterNotFound"


@pytest.mark.essential
def test_an_image_is_launched_by_its_parameter(client: Client, base_image: str, template: Callable[[str], str]) -> None:
    ec2 = client("ec2")
    (instance,) = ec2.run_instances(ImageId=f"resolve:ssm:{DEBIAN}", **LAUNCH)["Instances"]
    assert instance["ImageId"] == base_image
    name = template(f"resolve:ssm:{DEBIAN}")
    (instance,) = ec2.run_instances(LaunchTemplate={"LaunchTemplateName": name}, **LAUNCH)["Instances"]
    assert instance["ImageId"] == base_image
    code, message = refusal(ec2.run_instances, ImageId="resolve:ssm:/mine", **LAUNCH)
    assert (code, "/mine" in message) == ("InvalidParameterValue", True)


@pytest.mark.essential
def test_an_image_that_does_not_exist_is_refused(
    client: Client, base_image: str, template: Callable[[str], str]
) -> None:
    ec2, autoscaling = client("ec2"), client("autoscaling")
    not_found = "InvalidAMIID.NotFound", f"The image id '[{NONE}]' does not exist"
    assert refusal(ec2.run_instances, ImageId=NONE, **LAUNCH) == not_found
    name = template(NONE)
    assert refusal(ec2.run_instances, LaunchTemplate={"LaunchTemplateName": name}, **LAUNCH) == not_found
    assert refusal(
        autoscaling.create_auto_scaling_group,
        AutoScalingGroupName="g",
        LaunchTemplate={"LaunchTemplateName": name},
        MinSize=0,
        MaxSize=1,
        AvailabilityZones=["us-east-1a"],
    ) == ("ValidationError", f"You must use a valid fully-formed launch template. {not_found[1]}")
    assert refusal(
        autoscaling.create_launch_configuration, LaunchConfigurationName="c", ImageId=NONE, InstanceType="t3.micro"
    ) == ("ValidationError", not_found[1])
    assert refusal(ec2.run_instances, **LAUNCH)[0] == "MissingParameter"
    assert refusal(ec2.run_instances, ImageId="debian", **LAUNCH)[0] == "InvalidAMIID.Malformed"


def test_an_image_that_is_not_ready_or_gone_is_refused(client: Client, base_image: str) -> None:
    ec2 = client("ec2")
    (instance,) = ec2.run_instances(ImageId=base_image, **LAUNCH)["Instances"]
    image = ec2.create_image(InstanceId=instance["InstanceId"], Name="pending")["ImageId"]
    assert refusal(ec2.run_instances, ImageId=image, **LAUNCH)[0] == "InvalidAMIID.Unavailable"
    ec2.deregister_image(ImageId=image)
    assert refusal(ec2.run_instances, ImageId=image, **LAUNCH)[0] == "InvalidAMIID.NotFound"
