"""S3 as an instance reaches it: by a way out, with its role's keys, and what the role's policies allow."""

from __future__ import annotations

import ipaddress
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.utils import InstanceMetadataFetcher
from running_cloud import REGION, Cloud
from ssh_login import KEY_NAME, Login
from waiting import wait_until

NAME = "s3-tests"
S3 = f"s3.{REGION}.amazonaws.com"
BUCKET, OTHER_BUCKET = "of-the-instances", "of-others"
PATH_STYLE = Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})


@dataclass
class Place:
    """A subnet without a way out, and an instance with a role that may use one bucket."""

    cloud: Cloud
    instance_id: str
    route_table_id: str
    s3: Any  # a client that signs as the instance would, through a tunnel that ends there
    endpoints: list[str] = field(default_factory=list)

    def reaches_s3(self) -> bool:
        return refused_by_s3(self.cloud, self.instance_id)

    def make_endpoint(self) -> str:
        endpoint = self.cloud.client("ec2").create_vpc_endpoint(
            VpcId=self.cloud.vpc_id, ServiceName=f"com.amazonaws.{REGION}.s3", RouteTableIds=[self.route_table_id]
        )["VpcEndpoint"]["VpcEndpointId"]
        self.endpoints.append(endpoint)
        return str(endpoint)


def refused_by_s3(cloud: Cloud, instance_id: str) -> bool:
    """Whether S3 answers an instance, which it does with a refusal as the request is not signed."""
    command = ["curl", "--silent", "--max-time", "2", f"http://{S3}/{BUCKET}/anything"]
    arguments = ["docker", "exec", cloud.container(instance_id), *command]
    answer = subprocess.run(arguments, check=False, text=True, stdout=subprocess.PIPE).stdout
    return "<Code>AccessDenied</Code>" in answer


@pytest.fixture(scope="module")
def profile(cloud: Cloud) -> Iterator[str]:
    iam = cloud.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"}
    allowed = {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:PutObject"],
        "Resource": f"arn:aws:s3:::{BUCKET}/uploads/*",
    }
    policy = {"Version": "2012-10-17", "Statement": [allowed]}
    iam.create_role(RoleName=NAME, AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trust]}))
    iam.put_role_policy(RoleName=NAME, PolicyName="uploads", PolicyDocument=json.dumps(policy))
    iam.create_instance_profile(InstanceProfileName=NAME)
    iam.add_role_to_instance_profile(InstanceProfileName=NAME, RoleName=NAME)
    for bucket in (BUCKET, OTHER_BUCKET):
        cloud.client("s3").create_bucket(Bucket=bucket)
    yield NAME
    for bucket in (BUCKET, OTHER_BUCKET):
        for found in cloud.client("s3").list_objects_v2(Bucket=bucket).get("Contents", []):
            cloud.client("s3").delete_object(Bucket=bucket, Key=found["Key"])
        cloud.client("s3").delete_bucket(Bucket=bucket)
    iam.remove_role_from_instance_profile(InstanceProfileName=NAME, RoleName=NAME)
    iam.delete_instance_profile(InstanceProfileName=NAME)
    iam.delete_role_policy(RoleName=NAME, PolicyName="uploads")
    iam.delete_role(RoleName=NAME)


@pytest.fixture(scope="module")
def place(cloud: Cloud, login: Login, profile: str) -> Iterator[Place]:
    ec2 = cloud.client("ec2")
    part = list(ipaddress.ip_network(cloud.cidr).subnets(new_prefix=24))[20]
    subnet = ec2.create_subnet(VpcId=cloud.vpc_id, CidrBlock=str(part))["Subnet"]["SubnetId"]
    table = ec2.create_route_table(VpcId=cloud.vpc_id)["RouteTable"]["RouteTableId"]
    ec2.associate_route_table(RouteTableId=table, SubnetId=subnet)
    instance_id = cloud.run_instance(KeyName=KEY_NAME, SubnetId=subnet, IamInstanceProfile={"Name": profile})
    address = cloud.instance(instance_id)["PrivateIpAddress"]
    login.wait(address, "cloud-init status --wait")
    with (
        login.tunnel(address, "169.254.169.254:80") as metadata,
        login.tunnel(address, f"{S3}:80") as tunnel,
    ):
        keys = InstanceMetadataFetcher(base_url=f"http://{metadata}").retrieve_iam_role_credentials()
        s3 = boto3.client(
            "s3",
            endpoint_url=f"http://{tunnel}",
            region_name=REGION,
            aws_access_key_id=keys["access_key"],
            aws_secret_access_key=keys["secret_key"],
            aws_session_token=keys["token"],
            config=PATH_STYLE,
        )
        yield Place(cloud, instance_id, table, s3)
    cloud.terminate(instance_id)


@pytest.fixture
def endpoint(place: Place) -> Iterator[str]:
    """A gateway endpoint for S3 in the subnet's route table."""
    made = place.make_endpoint()
    wait_until(place.reaches_s3, what="S3 is within reach")
    yield made
    place.cloud.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[made])
    wait_until(lambda: not place.reaches_s3(), what="S3 is out of reach without the endpoint")


def refusal(call: Any, **request: Any) -> str:
    with pytest.raises(ClientError) as refused:
        call(**request)
    return str(refused.value.response["Error"]["Code"])


@pytest.mark.essential
def test_private_subnet_reaches_s3_by_a_gateway_endpoint_only(place: Place) -> None:
    assert not place.reaches_s3()
    made = place.make_endpoint()
    wait_until(place.reaches_s3, what="S3 is within reach")
    place.cloud.client("ec2").delete_vpc_endpoints(VpcEndpointIds=[made])
    wait_until(lambda: not place.reaches_s3(), what="S3 is out of reach without the endpoint")


def test_role_may_do_what_its_policy_says(place: Place, endpoint: str) -> None:
    content = os.urandom(300_000)
    place.s3.put_object(Bucket=BUCKET, Key="uploads/ü.bin", Body=content)
    assert place.s3.get_object(Bucket=BUCKET, Key="uploads/ü.bin", Range="bytes=5-9")["Body"].read() == content[5:10]
    assert place.s3.head_object(Bucket=BUCKET, Key="uploads/ü.bin")["ContentLength"] == len(content)
    # As everybody on this machine sees it.
    assert place.cloud.client("s3").get_object(Bucket=BUCKET, Key="uploads/ü.bin")["Body"].read() == content
    assert refusal(place.s3.put_object, Bucket=BUCKET, Key="elsewhere", Body=b"x") == "AccessDenied"
    assert refusal(place.s3.delete_object, Bucket=BUCKET, Key="uploads/ü.bin") == "AccessDenied"
    assert refusal(place.s3.put_object, Bucket=OTHER_BUCKET, Key="uploads/x", Body=b"x") == "AccessDenied"
    assert refusal(place.s3.list_buckets) == "AccessDenied"


def test_signature_has_to_be_right(place: Place, endpoint: str) -> None:
    keys = place.s3._request_signer._credentials  # of the same role
    for secret, token, code in (
        ("another", keys.token, "SignatureDoesNotMatch"),
        (keys.secret_key, "another", "InvalidToken"),
    ):
        forger = boto3.client(
            "s3",
            endpoint_url=place.s3.meta.endpoint_url,
            region_name=REGION,
            aws_access_key_id=keys.access_key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=PATH_STYLE,
        )
        assert refusal(forger.put_object, Bucket=BUCKET, Key="uploads/x", Body=b"x") == code


def test_security_group_decides_as_well(place: Place, endpoint: str) -> None:
    ec2 = place.cloud.client("ec2")
    group = ec2.create_security_group(GroupName=NAME, Description="no way out", VpcId=place.cloud.vpc_id)["GroupId"]
    before = [one["GroupId"] for one in place.cloud.instance(place.instance_id)["SecurityGroups"]]
    everything = [{"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=everything)
    ec2.modify_instance_attribute(InstanceId=place.instance_id, Groups=[group])
    wait_until(lambda: not place.reaches_s3(), what="a group without egress lets nothing out")
    lists = ec2.describe_prefix_lists(Filters=[{"Name": "prefix-list-name", "Values": [f"com.amazonaws.{REGION}.s3"]}])
    to_s3 = [{"PrefixListId": lists["PrefixLists"][0]["PrefixListId"]}]
    rule = [{"IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, "PrefixListIds": to_s3}]
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=rule)
    wait_until(place.reaches_s3, what="the prefix list of S3 does")
    ec2.modify_instance_attribute(InstanceId=place.instance_id, Groups=before)
    ec2.delete_security_group(GroupId=group)


def test_no_other_service_answers_there(place: Place, endpoint: str) -> None:
    """Whatever a request is signed for: the rest of the API asks nobody for a key."""
    ec2 = boto3.client(
        "ec2",
        endpoint_url=place.s3.meta.endpoint_url,
        region_name=REGION,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}),
    )
    with pytest.raises(ClientError) as refused:
        ec2.describe_instances()
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 403
