"""A local cloud of the tests' own, beside the one that somebody may be using."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import signal
import subprocess
import sys
import urllib.request
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from programs import MEASURED
from waiting import wait_until

PROJECT_ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"


@dataclass
class Cloud:
    """A running local cloud with a VPC over three zones. `port` identifies its containers."""

    port: int
    home: Path
    cidr: str
    _clients: dict[str, Any] = field(default_factory=dict)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self, service: str) -> Any:
        """A boto3 client of this cloud. It does not retry, so an error is seen as it is."""
        if service not in self._clients:
            self._clients[service] = boto3.client(
                service,
                endpoint_url=self.endpoint,
                region_name=REGION,
                aws_access_key_id="test",
                aws_secret_access_key="test",
                config=Config(retries={"total_max_attempts": 1}, read_timeout=30),
            )
        return self._clients[service]

    # -- the process ------------------------------------------------------------------------------------------------

    @property
    def environment(self) -> dict[str, str]:
        """In which `python -m localcloud` is this cloud's."""
        return {
            **os.environ,
            **MEASURED,
            "LOCALCLOUD_PORT": str(self.port),
            "LOCALCLOUD_HOME": str(self.home),
            "AWS_PROFILE": "one-of-the-users-own",  # must not matter
        }

    def localcloud(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run `python -m localcloud …` for this cloud; CalledProcessError when it fails."""
        return subprocess.run(
            [sys.executable, "-m", "localcloud", *arguments],
            cwd=PROJECT_ROOT,
            env=self.environment,
            check=True,
            text=True,
            stdout=subprocess.PIPE,
        )

    def up(self) -> None:
        self.localcloud("up")

    def down(self) -> None:
        self.localcloud("down")

    def kill(self) -> None:
        """End the process without warning (`kill -9`); its containers go on."""
        pid = int((self.home / "pid").read_text().split()[0])
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not alive(pid), what="the end of the killed process")

    @property
    def logs(self) -> list[Path]:
        """What tests/conftest.py shows beside a failure."""
        return [self.home / "log"]

    @property
    def log(self) -> str:
        return (self.home / "log").read_text()

    def wait_for_passes(self, count: int = 2) -> None:
        """Return when the controller has looked at everything so many times again: what it would do, it has begun."""
        begin = self._passes()
        wait_until(lambda: self._passes() >= begin + count, what=f"{count} passes of the controller")

    def _passes(self) -> int:
        with urllib.request.urlopen(f"{self.endpoint}/localcloud/passes", timeout=30) as answer:
            return int(json.load(answer)["count"])

    # -- what every test stands on ----------------------------------------------------------------------------------

    @cached_property
    def vpc_id(self) -> str:
        vpc_id = self.client("ec2").create_vpc(CidrBlock=self.cidr)["Vpc"]["VpcId"]
        self.client("ec2").modify_vpc_attribute(VpcId=vpc_id, EnableDnsHostnames={"Value": True})
        return str(vpc_id)

    @cached_property
    def subnet_ids(self) -> list[str]:
        """Three subnets of the VPC, in the zones a, b and c."""
        parts = ipaddress.ip_network(self.cidr).subnets(new_prefix=24)
        return [
            self.client("ec2").create_subnet(
                VpcId=self.vpc_id, CidrBlock=str(next(parts)), AvailabilityZone=f"{REGION}{zone}"
            )["Subnet"]["SubnetId"]
            for zone in "abc"
        ]

    @cached_property
    def security_group_id(self) -> str:
        """A security group that lets everything in and out."""
        ec2 = self.client("ec2")
        group_id = ec2.create_security_group(GroupName="open", Description="open", VpcId=self.vpc_id)["GroupId"]
        ec2.authorize_security_group_ingress(
            GroupId=group_id, IpPermissions=[{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
        )
        return str(group_id)

    @cached_property
    def base_ami_id(self) -> str:
        images = self.client("ec2").describe_images(Owners=["136693071363"])["Images"]
        return str(images[0]["ImageId"])

    def run_instance(self, user_data: str = "", subnet: int = 0, **options: Any) -> str:
        """Launch an instance of the base AMI into a subnet (0 to 2), wait until it runs, return its id."""
        request = {
            "ImageId": self.base_ami_id,
            "InstanceType": "t3.micro",
            "MinCount": 1,
            "MaxCount": 1,
            "SubnetId": self.subnet_ids[subnet],
            "SecurityGroupIds": [self.security_group_id],
            "UserData": user_data,
            **options,
        }
        instance_id = self.client("ec2").run_instances(**request)["Instances"][0]["InstanceId"]
        wait_until(lambda: self.instance(instance_id)["State"]["Name"] == "running", what=f"{instance_id} runs")
        return str(instance_id)

    def instance(self, instance_id: str) -> dict[str, Any]:
        answer = self.client("ec2").describe_instances(InstanceIds=[instance_id])
        found: dict[str, Any] = answer["Reservations"][0]["Instances"][0]
        return found

    def terminate(self, *instance_ids: str) -> None:
        """Terminate instances; one that is gone already is no error."""
        with contextlib.suppress(self.client("ec2").exceptions.ClientError):
            self.client("ec2").terminate_instances(InstanceIds=list(instance_ids))

    def container(self, resource_id: str) -> str:
        """Name of the container that stands for a resource."""
        return f"localcloud-{self.port}-{resource_id}"


def alive(pid: int) -> bool:
    """Whether a process runs. One that has ended and waits for its parent does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def container_log(container: str) -> str:
    """What a container wrote, to either stream: PostgreSQL and HAProxy speak of trouble on the second."""
    return subprocess.run(
        ["docker", "logs", container], check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ).stdout


def docker(*arguments: str) -> str:
    """Run `docker …` and return its output; CalledProcessError when it fails."""
    return subprocess.run(["docker", *arguments], check=True, text=True, capture_output=True).stdout
