"""`make management`: what its README says, typed at its shell. What can't be downloaded everywhere is provided."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from project_copy import PROJECT_ROOT, Project
from stack import assert_nothing_is_left, docker

from localcloud.base_images import EXTRA_CA_CERTIFICATES

# As far as the network, in which a machine boots that can be logged in to. The chapters after it need nothing else of
# the container, and are what the other tests run.
TYPED = """
set -eux
for chapter in local_cloud state network; do ansible-playbook playbooks/$chapter.yml {variables}; done
python machine.py
ansible-playbook teardown.yml {variables}
"""
MACHINE = """
import socket, time, boto3
ec2 = boto3.client("ec2", "us-east-1", endpoint_url="http://127.0.0.1:{port}",
                   aws_access_key_id="test", aws_secret_access_key="test")
(vpc,) = ec2.describe_vpcs(Filters=[dict(Name="tag:Project", Values=["web2py"])])["Vpcs"]
in_vpc = [dict(Name="vpc-id", Values=[vpc["VpcId"]])]
subnet = ec2.describe_subnets(Filters=in_vpc)["Subnets"][0]["SubnetId"]
group = ec2.create_security_group(GroupName="login", Description="login", VpcId=vpc["VpcId"])["GroupId"]
ec2.authorize_security_group_ingress(GroupId=group, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp=vpc["CidrBlock"])
image = ec2.describe_images(Owners=["136693071363"])["Images"][0]["ImageId"]
(instance,) = ec2.run_instances(ImageId=image, SubnetId=subnet, SecurityGroupIds=[group], InstanceType="t3.micro",
                                MinCount=1, MaxCount=1)["Instances"]
for second in range(120):
    try:
        print("greeted with", socket.create_connection((instance["PrivateIpAddress"], 22), 5).recv(8))
        break
    except OSError:
        time.sleep(1)
ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
ec2.get_waiter("instance_terminated").wait(InstanceIds=[instance["InstanceId"]], WaiterConfig=dict(Delay=1))
ec2.delete_security_group(GroupId=group)
"""


@pytest.fixture
def provided(project: Project) -> None:
    """In management/provided/ what `make` has found its way to, whatever way that was on this machine."""
    directory = project.root / "management/provided"
    directory.mkdir()
    for certificate in EXTRA_CA_CERTIFICATES.glob("*.crt"):
        shutil.copy(certificate, directory)
    shutil.copytree(PROJECT_ROOT / ".collections", directory / "collections")
    terraform = shutil.which("terraform")
    assert terraform
    shutil.copy(terraform, directory / "terraform")


@pytest.fixture
def options(project: Project) -> Iterator[str]:
    """Options for `docker run`: where the copy's links lead to, and the user's mirrors for Terraform and git."""
    directories = {str(PROJECT_ROOT / ".cache")}
    label = f"project={project.root}"
    words = [f"--label {label}"]
    terraform = Path(os.environ.get("TF_CLI_CONFIG_FILE", Path.home() / ".terraformrc"))
    for file, name, mirror in (
        (terraform, ".terraformrc", r'path *= *"(/.+)"'),
        (Path.home() / ".gitconfig", ".gitconfig", r'\[url "(/.+)"\]'),
    ):
        if file.exists():
            words.append(f"--volume {file}:/root/{name}:ro")
            directories |= set(re.findall(mirror, file.read_text()))
    # A mirror may be a directory of links: registry, namespace, provider, version, platform.
    for link in [link for directory in directories for link in Path(directory).glob("*/*/*/*/*") if link.is_symlink()]:
        directories.add(str(link.resolve()))
    words += [f"--volume {directory}:{directory}" for directory in sorted(directories)]
    yield " ".join(words)
    for container in docker("ps", "--all", "--quiet", "--filter", f"label={label}").split():
        docker("rm", "--force", container)


def test_local_cloud_is_deployed_and_removed_from_inside(project: Project, provided: None, options: str) -> None:
    variables = f"-e localcloud_port={project.port} -e vpc_cidr={project.cidr}"
    (project.root / "typed.sh").write_text(TYPED.format(variables=variables))
    (project.root / "machine.py").write_text(MACHINE.format(port=project.port))
    # A shell with a terminal, as a user has it.
    done = subprocess.run(
        ["script", "--quiet", "--return", "--command", f"make management ARGS='{options}'", "/dev/null"],
        cwd=project.root, env=os.environ | {"SHELL": "/bin/bash"}, input="bash typed.sh < /dev/null; exit $?\n",
        text=True, check=False, capture_output=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert "greeted with b'SSH-2.0-'" in done.stdout, done.stdout[-4000:]
    assert_nothing_is_left(project)
