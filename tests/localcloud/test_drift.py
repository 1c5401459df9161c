"""A second `terraform plan` is empty for what a stack has beside its machines; those have tests of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from botocore.exceptions import ClientError
from running_cloud import Cloud
from terraform_stack import terraform_stack

STACKS = Path(__file__).parent / "stacks"


def test_second_plan_is_empty(cloud: Cloud, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "drift", "-f", str(key)], check=True)
    variables = {
        "vpc_id": cloud.vpc_id,
        "subnet_ids": cloud.subnet_ids,
        "ami_id": cloud.base_ami_id,
        "public_key": key.with_suffix(".pub").read_text().strip(),
    }
    with terraform_stack(cloud, tmp_path, (STACKS / "services.tf").read_text(), variables) as stack:
        stack.apply()
        stack.assert_no_drift()


def test_volume_that_would_not_be_there_is_not_attached(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    instance_id = cloud.run_instance()
    volume_id = ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    with pytest.raises(ClientError, match="UnsupportedOperation"):
        ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/xvdf")
    assert ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]["State"] == "available"
    ec2.delete_volume(VolumeId=volume_id)
    cloud.terminate(instance_id)
