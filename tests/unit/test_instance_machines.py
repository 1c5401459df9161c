"""What becomes of an instance when its machine can't be started, does not boot or does not answer: without Docker."""

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
from localcloud.docker_host import Container
from localcloud.overlay.ec2 import set_state
from localcloud.reconcilers.instance_status import BOOT_TIMEOUT, InstanceStatus
from localcloud.reconcilers.instances import START_ATTEMPTS, Instances


@pytest.fixture
def world() -> Iterator[World]:
    with new_world() as world:
        yield world


def launch(world: World) -> Any:
    """moto's instance, pending."""
    launched = world.client("ec2").run_instances(
        LaunchTemplate={"LaunchTemplateId": world.template_id}, MinCount=1, MaxCount=1
    )
    instance_id = launched["Instances"][0]["InstanceId"]
    return backends.backend("ec2", ACCOUNT, REGION).get_instance(instance_id)


def refusal(message: str) -> docker.errors.APIError:
    return docker.errors.APIError("500 Server Error", requests.Response(), explanation=message)


class Machines:
    """The reconciler of the instances with a Docker that can be told to fail."""

    def __init__(self, home: Path) -> None:
        self.docker = Mock()
        self.docker.settings.console_directory = home / "consoles"
        self.docker.console.return_value = b""
        self.reconciler = Instances(self.docker, Mock())

    def run_pass(self, instance: Any, **containers: Container) -> None:
        """One pass of the controller; errors of its actions are raised."""
        observed = Observed({"instance": containers}, {instance.vpc_id: "network"})
        for action in self.reconciler.reconcile(observed):
            action.run()


def test_launch_that_finds_the_disk_full_ends_as_terminated(world: World, tmp_path: Path, caplog: Any) -> None:
    instance, machines = launch(world), Machines(tmp_path)
    subnet = instance.nics[0].subnet
    full = "write /var/lib/docker/overlay2/x: no space left on device"
    machines.docker.create_container.side_effect = refusal(full)
    machines.run_pass(instance)
    assert (instance.state, instance.state_reason.code) == ("terminated", "Server.InternalError")
    assert full in caplog.text
    assert full.encode() in machines.reconciler.console(instance.id)
    assert instance.private_ip not in subnet._subnet_ips  # it can be given again
    machines.docker.create_container.side_effect = None
    other = launch(world)
    machines.run_pass(other)
    assert other.state == "running"


def test_stopped_instance_that_finds_the_disk_full_stays_stopped_with_its_disk(world: World, tmp_path: Path) -> None:
    instance, machines = launch(world), Machines(tmp_path)
    set_state(instance, "running")
    world.client("ec2").stop_instances(InstanceIds=[instance.id])
    set_state(instance, "stopped")
    world.client("ec2").start_instances(InstanceIds=[instance.id])
    machines.docker.put_files.side_effect = refusal("no space left on device")
    machines.run_pass(instance, **{instance.id: Container("c", "instance", instance.id, "exited", "image", 0)})
    assert (instance.state, instance.state_reason.code) == ("stopped", "Server.InternalError")
    machines.docker.remove_container.assert_not_called()


def test_stopped_instance_whose_machine_is_gone_is_not_replaced_by_another(world: World, tmp_path: Path) -> None:
    instance, machines = launch(world), Machines(tmp_path)
    set_state(instance, "running")
    set_state(instance, "stopped")
    machines.run_pass(instance)
    assert (instance.state, instance.state_reason.code) == ("terminated", "Server.InternalError")
    machines.docker.create_container.assert_not_called()


def test_launch_is_tried_again_for_what_may_pass_but_not_for_ever(world: World, tmp_path: Path) -> None:
    instance, machines = launch(world), Machines(tmp_path)
    machines.docker.start.side_effect = refusal("Address already in use")
    for _ in range(START_ATTEMPTS - 1):
        with pytest.raises(docker.errors.APIError):
            machines.run_pass(instance)
        assert instance.state == "pending"
    machines.run_pass(instance)
    assert instance.state == "terminated"


def test_reboot_whose_start_fails_is_not_taken_for_a_machine_that_shut_itself_down(
    world: World, tmp_path: Path
) -> None:
    instance, machines = launch(world), Machines(tmp_path)
    set_state(instance, "running")

    def container(status: str) -> dict[str, Container]:
        return {instance.id: Container("c", "instance", instance.id, status, "image", 0)}

    world.client("ec2").reboot_instances(InstanceIds=[instance.id])
    machines.docker.start.side_effect = refusal("Address already in use")
    with pytest.raises(docker.errors.APIError):
        machines.run_pass(instance, **container("running"))
    machines.docker.start.side_effect = None
    machines.docker.start.reset_mock()
    machines.run_pass(instance, **container("exited"))
    machines.docker.start.assert_called_once()
    assert instance.state == "running"


def test_public_address_changes_with_each_start_unless_it_is_elastic(world: World) -> None:
    ec2, instance = world.client("ec2"), launch(world)

    def restart() -> str | None:
        for call, state in ((ec2.stop_instances, "stopped"), (ec2.start_instances, "running")):
            call(InstanceIds=[instance.id])
            set_state(instance, state)
        found: str | None = instance.public_ip
        return found

    set_state(instance, "running")
    private, first = instance.private_ip, instance.public_ip
    second = restart()
    assert None not in (first, second)
    assert first != second
    elastic = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(AllocationId=elastic["AllocationId"], InstanceId=instance.id)
    assert restart() == elastic["PublicIp"]
    assert instance.private_ip == private
    ec2.terminate_instances(InstanceIds=[instance.id])
    assert not ec2.describe_addresses(AllocationIds=[elastic["AllocationId"]])["Addresses"][0]["InstanceId"]


def test_user_data_has_a_limit(world: World) -> None:
    ec2 = world.client("ec2")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    request = {"ImageId": image, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    ec2.run_instances(**request, UserData="#" * 16384)
    with pytest.raises(ec2.exceptions.ClientError, match="User data is limited to 16384 bytes"):
        ec2.run_instances(**request, UserData="#" * 16385)


def test_terminated_instance_is_forgotten_after_an_hour(world: World, tmp_path: Path) -> None:
    instance, machines = launch(world), Machines(tmp_path)
    set_state(instance, "terminated")
    backend = backends.backend("ec2", ACCOUNT, REGION)
    machines.reconciler.reconcile(Observed({}, {}))
    assert backend.get_instance_by_id(instance.id)
    instance.terminated_at = time.time() - 3601
    machines.reconciler.reconcile(Observed({}, {}))
    assert not backend.get_instance_by_id(instance.id)
    assert not backend.reservations


class Watched:
    """A running instance, its cgroups and this machine's ARP table, as files."""

    def __init__(self, instance: Any, home: Path) -> None:
        self.instance, self.cgroup, self.arp = instance, home / "systemd/docker/c", home / "arp"
        self.cgroup.mkdir(parents=True)
        self.checks = InstanceStatus(cgroup_root=home, arp_table=self.arp)

    def status(self, mac_known: bool | None) -> str:
        """The status after a pass that finds this in the ARP table (None: no entry)."""
        entry = f"{self.instance.private_ip} 0x1 {'0x2' if mac_known else '0x0'} 02:42:00:00:00:01 * br0\n"
        self.arp.write_text(
            "IP address HW type Flags HW address Mask Device\n" + (entry if mac_known is not None else "")
        )
        self.checks._next_check = 0
        container = Container("c", "instance", self.instance.id, "running", "image", 0)
        self.checks.reconcile(Observed({"instance": {self.instance.id: container}}, {}))
        return str(self.instance.instance_status["Status"])


@pytest.fixture
def watched(world: World, tmp_path: Path) -> Watched:
    instance = launch(world)
    set_state(instance, "running")
    return Watched(instance, tmp_path)


def test_status_is_initializing_until_the_machine_has_booted_and_answers(world: World, watched: Watched) -> None:
    assert watched.status(mac_known=None) == "initializing"
    assert watched.status(mac_known=True) == "initializing"
    (watched.cgroup / "system.slice/ssh.service").mkdir(parents=True)
    assert watched.status(mac_known=None) == "initializing"
    assert watched.status(mac_known=True) == "ok"


def test_machine_that_does_not_boot_is_impaired(world: World, watched: Watched, caplog: Any) -> None:
    watched.instance.booting_since -= BOOT_TIMEOUT + 1
    assert watched.status(mac_known=True) == "impaired"
    assert "get-console-output" in caplog.text
    found = world.client("ec2").describe_instance_status(InstanceIds=[watched.instance.id])["InstanceStatuses"][0]
    assert found["InstanceStatus"]["Details"][0]["Status"] == "failed"
    assert found["SystemStatus"]["Status"] == "ok"


def test_machine_that_no_longer_answers_is_impaired_until_it_does(world: World, watched: Watched) -> None:
    (watched.cgroup / "system.slice/ssh.service").mkdir(parents=True)
    assert watched.status(mac_known=True) == "ok"
    assert watched.status(mac_known=None) == "ok"  # the kernel forgot, and asks again
    assert watched.status(mac_known=False) == "impaired"
    assert watched.status(mac_known=True) == "ok"
