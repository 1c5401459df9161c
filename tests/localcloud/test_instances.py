"""EC2 instances and images: what the API says is running is a machine that can be logged into."""

from __future__ import annotations

import contextlib
import gzip
import socket
import subprocess
from collections.abc import Iterator
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from typing import Any

import pytest
from running_cloud import Cloud, docker
from ssh_login import Login
from waiting import wait_until

MARK = "/var/tmp/user-data-ran"


@pytest.fixture
def instance(cloud: Cloud, login: Login) -> Iterator[dict[str, Any]]:
    """A running instance whose user data left a mark."""
    user_data = f"#!/bin/sh\necho ran >> {MARK}\n"
    instance_id = cloud.run_instance(KeyName="tests", user_data=user_data)
    yield cloud.instance(instance_id)
    cloud.terminate(instance_id)


def state(cloud: Cloud, instance_id: str) -> str:
    return str(cloud.instance(instance_id)["State"]["Name"])


def wait_for_user_data(login: Login, address: str, mark: str = "ran") -> None:
    wait_until(lambda: login.run(address, f"cat {MARK} 2>/dev/null || true") == mark, what="user data has run")


@pytest.mark.essential
def test_instance_is_a_machine_with_its_key_host_name_and_user_data(
    cloud: Cloud, login: Login, instance: dict[str, Any]
) -> None:
    address = instance["PrivateIpAddress"]
    assert login.wait(address, "hostname --fqdn") == instance["PrivateDnsName"]
    wait_for_user_data(login, address)
    assert login.wait(address, "sudo id --user") == "0"
    assert login.wait(address, "systemctl is-system-running --wait") == "running"
    ec2, instance_ids = cloud.client("ec2"), [instance["InstanceId"]]
    ec2.get_waiter("instance_status_ok").wait(InstanceIds=instance_ids, WaiterConfig={"Delay": 1, "MaxAttempts": 60})
    console = ec2.get_console_output(InstanceId=instance["InstanceId"], Latest=True)["Output"]
    assert "cloud-init" in console
    assert len(console) <= 64 * 1024


def test_instance_hangs_and_wakes(cloud: Cloud, login: Login, instance: dict[str, Any]) -> None:
    """Connections are accepted, and nobody answers; for the cloud it runs."""
    address, name = instance["PrivateIpAddress"], instance["InstanceId"]
    wait_for_user_data(login, address)

    def greeting() -> bytes:
        with socket.create_connection((address, 22), timeout=10) as connection:
            connection.settimeout(1)
            with contextlib.suppress(TimeoutError):
                return connection.recv(100)
        return b""

    assert greeting().startswith(b"SSH-2.0")
    cloud.localcloud("hang", name)
    assert greeting() == b""
    cloud.wait_for_passes()
    assert state(cloud, name) == "running"
    cloud.localcloud("wake", name)
    wait_until(lambda: greeting().startswith(b"SSH-2.0"), what="it answers again")


def test_instance_that_is_not_there_does_not_hang(cloud: Cloud) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        cloud.localcloud("hang", "i-0123456789abcdef0")


def test_user_data_of_each_kind_is_understood(cloud: Cloud, login: Login) -> None:
    script, config = (
        f"#!/bin/sh\necho script >> {MARK}\n",
        f"#cloud-config\nruncmd: [[sh, -c, echo config >> {MARK}]]\n",
    )
    parts = MIMEMultipart()
    parts.attach(MIMEText(config, "cloud-config"))
    parts.attach(MIMEText(script, "x-shellscript"))
    kinds = {"config": config, "script": gzip.compress(script.encode()), "config script": parts.as_string()}
    launched = {
        marks: cloud.client("ec2").run_instances(
            ImageId=cloud.base_ami_id,
            MinCount=1,
            MaxCount=1,
            SubnetId=cloud.subnet_ids[2],
            SecurityGroupIds=[cloud.security_group_id],
            KeyName="tests",
            UserData=user_data,
        )["Instances"][0]
        for marks, user_data in kinds.items()
    }
    try:
        for marks, machine in launched.items():

            def marked(machine: dict[str, Any] = machine) -> set[str]:
                return set((login.run(machine["PrivateIpAddress"], f"cat {MARK} 2>/dev/null || true") or "").split())

            wait_until(lambda seen=marked, marks=marks: seen() == set(marks.split()), what=f"{marks} ran")
    finally:
        cloud.terminate(*(machine["InstanceId"] for machine in launched.values()))


@pytest.mark.essential
def test_stopped_instance_keeps_its_disk_and_address(cloud: Cloud, login: Login, instance: dict[str, Any]) -> None:
    ec2, instance_id, address = cloud.client("ec2"), instance["InstanceId"], instance["PrivateIpAddress"]
    wait_for_user_data(login, address)
    login.wait(address, "echo kept | sudo tee /var/lib/mark")
    ec2.stop_instances(InstanceIds=[instance_id])
    assert state(cloud, instance_id) in ("stopping", "stopped")
    wait_until(lambda: state(cloud, instance_id) == "stopped", what="stopped")
    assert login.run(address, "true") is None
    ec2.start_instances(InstanceIds=[instance_id])
    wait_until(lambda: state(cloud, instance_id) == "running", what="running")
    assert login.wait(address, "cat /var/lib/mark") == "kept"
    assert state(cloud, instance_id) == "running"
    login.wait(address, "cloud-init status --wait || true")
    assert login.wait(address, f"cat {MARK}") == "ran"  # once per instance, not again on each boot


def test_reboot_starts_the_machine_anew(cloud: Cloud, login: Login, instance: dict[str, Any]) -> None:
    address = instance["PrivateIpAddress"]
    login.wait(address, "echo volatile | sudo tee /run/mark")  # /run is in memory
    cloud.client("ec2").reboot_instances(InstanceIds=[instance["InstanceId"]])
    wait_until(lambda: login.run(address, "cat /run/mark 2>/dev/null || true") == "", what="/run is empty again")
    assert state(cloud, instance["InstanceId"]) == "running"


def test_machine_that_shuts_itself_down_is_stopped(cloud: Cloud, login: Login, instance: dict[str, Any]) -> None:
    instance_id = instance["InstanceId"]
    # cloud-init restarts the SSH server, and its jobs could take the place of the shutdown.
    login.wait(instance["PrivateIpAddress"], "cloud-init status --wait || true")
    login.run(instance["PrivateIpAddress"], "sudo systemctl poweroff --no-block")
    # systemd gives each service 90 s to stop.
    wait_until(lambda: state(cloud, instance_id) == "stopped", timeout=180, what="stopped")
    assert cloud.instance(instance_id)["StateReason"]["Code"] == "Client.InstanceInitiatedShutdown"


def test_machine_removed_behind_its_back_is_terminated_with_the_reason(cloud: Cloud, instance: dict[str, Any]) -> None:
    instance_id = instance["InstanceId"]
    docker("rm", "--force", cloud.container(instance_id))
    wait_until(lambda: state(cloud, instance_id) == "terminated", what="terminated")
    assert cloud.instance(instance_id)["StateReason"]["Code"] == "Server.InternalError"


def test_terminated_instance_leaves_no_machine(cloud: Cloud, instance: dict[str, Any]) -> None:
    instance_id = instance["InstanceId"]
    cloud.terminate(instance_id)
    with pytest.raises(cloud.client("ec2").exceptions.ClientError, match="is not in a state from which"):
        cloud.client("ec2").start_instances(InstanceIds=[instance_id])
    cloud.client("ec2").get_waiter("instance_terminated").wait(
        InstanceIds=[instance_id], WaiterConfig={"Delay": 1, "MaxAttempts": 60}
    )
    assert "systemd" in cloud.client("ec2").get_console_output(InstanceId=instance_id)["Output"]
    assert instance_id not in docker("ps", "--all", "--format", "{{.Names}}")


@pytest.mark.essential
def test_image_holds_what_was_on_the_disk(cloud: Cloud, login: Login, instance: dict[str, Any]) -> None:
    ec2 = cloud.client("ec2")
    wait_for_user_data(login, instance["PrivateIpAddress"])
    login.wait(instance["PrivateIpAddress"], "echo baked | sudo tee /var/lib/mark")
    tags = [
        {"ResourceType": "image", "Tags": [{"Key": "ContentHash", "Value": "abc"}]},
        {"ResourceType": "snapshot", "Tags": [{"Key": "Project", "Value": "tests"}]},
    ]
    image_id = ec2.create_image(InstanceId=instance["InstanceId"], Name="tests-image", TagSpecifications=tags)[
        "ImageId"
    ]

    def image() -> dict[str, Any]:
        found: dict[str, Any] = ec2.describe_images(ImageIds=[image_id], Owners=["self"])["Images"][0]
        return found

    assert image()["State"] == "pending"
    wait_until(lambda: image()["State"] == "available", what="available")
    assert image()["Tags"] == [{"Key": "ContentHash", "Value": "abc"}]
    snapshot_id = image()["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"]
    snapshot = ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]
    assert snapshot["Tags"] == [{"Key": "Project", "Value": "tests"}]

    launched = ec2.run_instances(
        ImageId=image_id,
        MinCount=1,
        MaxCount=1,
        SubnetId=cloud.subnet_ids[1],
        SecurityGroupIds=[cloud.security_group_id],
        KeyName="tests",
        UserData=f"#!/bin/sh\necho anew >> {MARK}\n",
    )["Instances"][0]
    assert launched["State"]["Name"] == "pending"
    assert login.wait(launched["PrivateIpAddress"], "cat /var/lib/mark") == "baked"
    wait_for_user_data(login, launched["PrivateIpAddress"], "ran\nanew")
    assert login.wait(launched["PrivateIpAddress"], "hostname --fqdn") == launched["PrivateDnsName"]
    cloud.terminate(launched["InstanceId"])

    ec2.deregister_image(ImageId=image_id)
    wait_until(lambda: image_id not in docker("images", "--format", "{{.Tag}}"), what="the image is gone")


def test_copied_image(cloud: Cloud, login: Login) -> None:
    ec2 = cloud.client("ec2")
    tags = [{"ResourceType": "image", "Tags": [{"Key": "Name", "Value": "copy"}]}]
    image_id = ec2.copy_image(
        SourceImageId=cloud.base_ami_id, SourceRegion="us-east-1", Name="tests-copy", TagSpecifications=tags
    )["ImageId"]

    def image() -> dict[str, Any]:
        found: dict[str, Any] = ec2.describe_images(ImageIds=[image_id], Owners=["self"])["Images"][0]
        return found

    wait_until(lambda: image()["State"] == "available", what="available")
    assert image()["Tags"] == [{"Key": "Name", "Value": "copy"}]
    launched = cloud.run_instance(ImageId=image_id, KeyName="tests")
    assert login.wait(cloud.instance(launched)["PrivateIpAddress"], "echo alive") == "alive"
    cloud.terminate(launched)
    ec2.deregister_image(ImageId=image_id)
    wait_until(lambda: image_id not in docker("images", "--format", "{{.Tag}}"), what="the image is gone")
    # What it was copied from is still there.
    cloud.terminate(cloud.run_instance())


def test_unknown_image_is_refused_as_on_aws(cloud: Cloud) -> None:
    ec2 = cloud.client("ec2")
    with pytest.raises(ec2.exceptions.ClientError) as refused:
        cloud.run_instance(ImageId="ami-00000000000000000")
    assert refused.value.response["Error"]["Code"] == "InvalidAMIID.NotFound"


@pytest.mark.essential
def test_killed_api_comes_back_with_the_same_instances(cloud: Cloud, login: Login, instance: dict[str, Any]) -> None:
    login.wait(instance["PrivateIpAddress"], "echo alive")
    container = docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", cloud.container(instance["InstanceId"]))
    cloud.kill()
    cloud.up()
    after = cloud.instance(instance["InstanceId"])
    assert after["State"]["Name"] == "running"
    assert after["PrivateIpAddress"] == instance["PrivateIpAddress"]
    assert (
        docker("inspect", "--format", "{{.Id}} {{.State.StartedAt}}", cloud.container(instance["InstanceId"]))
        == container
    )
