"""Instance metadata: what an instance learns about itself at 169.254.169.254."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from autoscaling_group import Group
from botocore.utils import InstanceMetadataFetcher
from running_cloud import REGION, Cloud
from ssh_login import KEY_NAME, Login
from terraform_stack import terraform_stack
from waiting import wait_until

STACKS = Path(__file__).parent / "stacks"
TOKEN, TTL = "X-aws-ec2-metadata-token", "X-aws-ec2-metadata-token-ttl-seconds"
# What the first boot's user data learns, before anybody could have prepared the machine.
USER_DATA = f"""#!/bin/sh
token=$(curl --silent --request PUT --header '{TTL}: 60' http://169.254.169.254/latest/api/token)
curl --silent --fail --header "{TOKEN}: $token" http://169.254.169.254/latest/meta-data/instance-id > /var/tmp/own-id
"""


@dataclass
class Metadata:
    """The service as one instance sees it: requests go through a tunnel that ends in the instance."""

    address: str

    def request(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        """(status, body). In the names of headers an underscore stands for a dash."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        request = urllib.request.Request(f"http://{self.address}{path}", method=method, headers=named)
        try:
            with urllib.request.urlopen(request, timeout=15) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def token(self, ttl: int = 21600) -> str:
        status, token = self.request("/latest/api/token", "PUT", **{TTL: str(ttl)})
        assert status == 200
        return token

    def get(self, path: str) -> str | None:
        """What `meta-data/<path>` says; None when there is nothing."""
        status, body = self.request(f"/latest/meta-data/{path}", **{TOKEN: self.token()})
        assert status in (200, 404)
        return body if status == 200 else None


@dataclass
class Machine:
    instance_id: str
    cloud: Cloud
    metadata: Metadata

    @property
    def description(self) -> dict[str, Any]:
        return self.cloud.instance(self.instance_id)

    def set_options(self, **options: Any) -> None:
        self.cloud.client("ec2").modify_instance_metadata_options(InstanceId=self.instance_id, **options)


@pytest.fixture(scope="module")
def role(cloud: Cloud) -> Iterator[str]:
    """A role in an instance profile, both of this name."""
    name, iam = "metadata-tests", cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    iam.create_instance_profile(InstanceProfileName=name)
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    yield name
    iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=name)
    iam.delete_instance_profile(InstanceProfileName=name)
    iam.delete_role(RoleName=name)


@pytest.fixture(scope="module")
def machine(cloud: Cloud, login: Login, role: str) -> Iterator[Machine]:
    """An instance with a role and tags, in a subnet without a way out."""
    tags = [{"Key": "Name", "Value": "asks about itself"}]
    instance_id = cloud.run_instance(
        KeyName=KEY_NAME,
        user_data=USER_DATA,
        IamInstanceProfile={"Name": role},
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    address = cloud.instance(instance_id)["PrivateIpAddress"]
    login.wait(address, "cloud-init status --wait")  # which may start the SSH server anew
    with login.tunnel(address, "169.254.169.254:80") as local:
        yield Machine(instance_id, cloud, Metadata(local))
    cloud.terminate(instance_id)


def test_first_boot_learns_its_instance_id(login: Login, machine: Machine) -> None:
    address = machine.description["PrivateIpAddress"]
    learnt = wait_until(lambda: login.run(address, "cat /var/tmp/own-id 2>/dev/null || true"), what="user data has run")
    assert learnt == machine.instance_id


@pytest.mark.essential
def test_values_are_those_of_the_api(cloud: Cloud, login: Login, machine: Machine, role: str) -> None:
    described, get = machine.description, machine.metadata.get
    interface = described["NetworkInterfaces"][0]
    mac = f"network/interfaces/macs/{interface['MacAddress']}"
    same = {
        "ami-id": described["ImageId"],
        "hostname": described["PrivateDnsName"],
        "instance-id": machine.instance_id,
        "instance-type": described["InstanceType"],
        "local-hostname": described["PrivateDnsName"],
        "local-ipv4": described["PrivateIpAddress"],
        "mac": interface["MacAddress"],
        f"{mac}/interface-id": interface["NetworkInterfaceId"],
        f"{mac}/security-group-ids": cloud.security_group_id,
        f"{mac}/subnet-id": described["SubnetId"],
        f"{mac}/vpc-id": cloud.vpc_id,
        f"{mac}/vpc-ipv4-cidr-block": cloud.cidr,
        "placement/availability-zone": f"{REGION}a",
        "placement/region": REGION,
        "public-keys/0/openssh-key": f"{login.public_key}\n",
        "security-groups": "open",
        "services/domain": "amazonaws.com",
    }
    assert {path: get(path) for path in same} == same
    assert json.loads(get("iam/info") or "")["InstanceProfileArn"] == described["IamInstanceProfile"]["Arn"]
    hardware = login.wait(described["PrivateIpAddress"], "cat /sys/class/net/eth0/address")
    assert hardware == interface["MacAddress"]
    assert get("public-ipv4") is get("tags/instance/Name") is get("autoscaling/target-lifecycle-state") is None


def test_directories_are_listed_as_on_aws(machine: Machine, role: str) -> None:
    metadata = machine.metadata
    assert metadata.request("/")[1].splitlines()[-1] == "latest"
    assert metadata.request("/latest/") == (200, "dynamic\nmeta-data\nuser-data")
    names = (metadata.get("") or "").splitlines()
    assert {"ami-id", "hostname", "iam/", "network/", "placement/", "public-keys/", "services/"} <= set(names)
    assert metadata.get("iam/") == "info\nsecurity-credentials/"
    assert metadata.get("iam/security-credentials/") == role
    assert metadata.get("public-keys/") == f"0={KEY_NAME}"
    assert metadata.get("network/interfaces/macs/") == f"{metadata.get('mac')}/"
    assert metadata.get("instance-id/") is metadata.get("no-such-thing") is None
    assert metadata.request("/2021-07-15/meta-data/instance-id") == (200, machine.instance_id)
    assert metadata.request("/1999-01-01/meta-data/instance-id")[0] == 404


def test_user_data_and_identity_document(machine: Machine) -> None:
    assert machine.metadata.request("/latest/user-data") == (200, USER_DATA)
    status, text = machine.metadata.request("/latest/dynamic/instance-identity/document")
    described, document = machine.description, json.loads(text)
    assert status == 200
    assert document.pop("pendingTime") == described["LaunchTime"].strftime("%Y-%m-%dT%H:%M:%SZ")
    assert {key: value for key, value in document.items() if value} == {
        "accountId": "123456789012",
        "architecture": "x86_64",
        "availabilityZone": f"{REGION}a",
        "imageId": described["ImageId"],
        "instanceId": machine.instance_id,
        "instanceType": described["InstanceType"],
        "privateIp": described["PrivateIpAddress"],
        "region": REGION,
        "version": "2017-09-30",
    }


def test_tokens_are_needed_once_they_are_required(machine: Machine) -> None:
    metadata, path = machine.metadata, "/latest/meta-data/instance-id"
    assert metadata.request(path) == (200, machine.instance_id)
    assert metadata.request(path, **{TOKEN: "bm90IGEgdG9rZW4="})[0] == 401
    machine.set_options(HttpTokens="required")
    assert metadata.request(path)[0] == 401
    assert metadata.request(path, **{TOKEN: metadata.token()}) == (200, machine.instance_id)
    machine.set_options(HttpPutResponseHopLimit=2)
    options = machine.description["MetadataOptions"]
    assert (options["HttpTokens"], options["HttpPutResponseHopLimit"]) == ("required", 2)
    machine.set_options(HttpTokens="optional")
    assert metadata.request(path)[0] == 200


def test_tokens_have_a_valid_time_and_come_through_no_proxy(machine: Machine) -> None:
    def put(**headers: str) -> int:
        return machine.metadata.request("/latest/api/token", "PUT", **headers)[0]

    assert [put(**{TTL: ttl}) for ttl in ("1", "21600")] == [200, 200]
    assert [put(**{TTL: ttl}) for ttl in ("0", "21601", "-1", "an hour")] == [400] * 4
    assert put() == 400
    assert put(**{TTL: "60", "X_Forwarded_For": "203.0.113.1"}) == 403
    short = machine.metadata.token(ttl=1)
    path = "/latest/meta-data/instance-id"
    wait_until(lambda: machine.metadata.request(path, **{TOKEN: short})[0] == 401, what="the token expires")


def test_endpoint_that_is_disabled_refuses_everything(machine: Machine) -> None:
    machine.set_options(HttpEndpoint="disabled")
    assert machine.metadata.request("/latest/meta-data/")[0] == 403
    assert machine.metadata.request("/latest/api/token", "PUT", **{TTL: "60"})[0] == 403
    machine.set_options(HttpEndpoint="enabled")
    assert machine.metadata.get("instance-id") == machine.instance_id


def test_tags_are_shown_when_enabled_and_change_at_once(cloud: Cloud, machine: Machine) -> None:
    machine.set_options(InstanceMetadataTags="enabled")
    assert machine.metadata.get("tags/instance/Name") == "asks about itself"
    cloud.client("ec2").create_tags(Resources=[machine.instance_id], Tags=[{"Key": "Role", "Value": "changed"}])
    assert machine.metadata.get("tags/instance/Role") == "changed"
    assert set((machine.metadata.get("tags/instance") or "").split("\n")) == {"Name", "Role"}


@pytest.mark.essential
def test_role_credentials_are_accepted_by_the_api(cloud: Cloud, machine: Machine, role: str) -> None:
    fetcher = InstanceMetadataFetcher(base_url=f"http://{machine.metadata.address}/")  # what boto3 uses itself
    found = fetcher.retrieve_iam_role_credentials()
    assert found["role_name"] == role
    session = boto3.Session(found["access_key"], found["secret_key"], found["token"], region_name=REGION)
    identity = session.client("sts", endpoint_url=cloud.endpoint).get_caller_identity()
    assert identity["Arn"] == f"arn:aws:sts::123456789012:assumed-role/{role}/{machine.instance_id}"
    again = fetcher.retrieve_iam_role_credentials()
    assert (again["access_key"], again["expiry_time"]) == (found["access_key"], found["expiry_time"])
    association = cloud.client("ec2").describe_iam_instance_profile_associations(
        Filters=[{"Name": "instance-id", "Values": [machine.instance_id]}]
    )["IamInstanceProfileAssociations"][0]
    cloud.client("ec2").disassociate_iam_instance_profile(AssociationId=association["AssociationId"])
    assert machine.metadata.get(f"iam/security-credentials/{role}") is None


def test_member_of_a_group_sees_itself_and_what_its_launch_template_says(
    cloud: Cloud, login: Login, machine: Machine
) -> None:
    options = {"HttpTokens": "required", "HttpPutResponseHopLimit": 3, "InstanceMetadataTags": "enabled"}
    template_id = cloud.client("ec2").create_launch_template(
        LaunchTemplateName="metadata-tests",
        LaunchTemplateData={
            "ImageId": cloud.base_ami_id,
            "InstanceType": "t3.micro",
            "KeyName": KEY_NAME,
            "SecurityGroupIds": [cloud.security_group_id],
            "MetadataOptions": options,
            "UserData": base64.b64encode(b"#cloud-config\n{}\n").decode(),
        },
    )["LaunchTemplate"]["LaunchTemplateId"]
    group = Group(cloud, "metadata-tests", template_id)
    group.create(MinSize=1)
    try:
        (member_id,) = group.wait(1)
        described = cloud.instance(member_id)
        assert options.items() <= described["MetadataOptions"].items()
        assert login.wait(described["PrivateIpAddress"], "hostname")
        with login.tunnel(described["PrivateIpAddress"], "169.254.169.254:80") as local:
            member = Metadata(local)
            assert member.request("/latest/meta-data/instance-id")[0] == 401
            assert member.request("/latest/meta-data/instance-id", **{TOKEN: machine.metadata.token()})[0] == 401
            assert member.get("instance-id") == member_id
            assert member.get("autoscaling/target-lifecycle-state") == "InService"
            assert member.get("tags/instance/Role") == "fleet"
            assert member.request("/latest/user-data", **{TOKEN: member.token()})[1] == "#cloud-config\n{}\n"
    finally:
        group.delete()
        cloud.client("ec2").delete_launch_template(LaunchTemplateId=template_id)


def test_answers_and_tokens_outlive_the_api_process(cloud: Cloud, machine: Machine) -> None:
    token = machine.metadata.token()
    cloud.kill()
    cloud.up()
    assert machine.metadata.request("/latest/meta-data/instance-id", **{TOKEN: token}) == (200, machine.instance_id)


def test_second_plan_of_instances_is_empty(cloud: Cloud, tmp_path: Path) -> None:
    variables = {
        "subnet_ids": cloud.subnet_ids,
        "security_group_id": cloud.security_group_id,
        "ami_id": cloud.base_ami_id,
    }
    with terraform_stack(cloud, tmp_path, (STACKS / "instances.tf").read_text(), variables) as stack:
        stack.apply()
        stack.assert_no_drift()
        launched = cloud.instance(stack.outputs()["instance_id"])
        assert launched["MetadataOptions"]["HttpTokens"] == "required"
        assert launched["IamInstanceProfile"]["Arn"].endswith("/drift-instance")
