"""The saved state: what moto holds comes back as it was."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parents[2]
# Each script runs in a process of its own: moto's state is one per process.
FILL = """
import sys, pathlib, boto3
from moto import mock_aws
from localcloud.persistence import StateStore
kw = dict(region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t")
with mock_aws():
    ssm = boto3.client("ssm", **kw)
    ssm.put_parameter(Name="/a/secret", Value="s3cret", Type="SecureString", Tags=[{"Key": "k", "Value": "v"}])
    kms = boto3.client("kms", **kw)
    kms.create_key()
    for spec in ("RSA_2048", "ECC_NIST_P256"):
        kms.create_key(KeySpec=spec, KeyUsage="SIGN_VERIFY")
    ec2 = boto3.client("ec2", **kw)
    vpc = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.9.1.0/24")["Subnet"]["SubnetId"]
    boto3.client("acm", **kw).request_certificate(DomainName="www.example")
    boto3.client("s3", **kw).create_bucket(Bucket="state")
    boto3.client("s3", **kw).put_object(Bucket="state", Key="k", Body=b"content")
    for name in ("large", "gone"):
        boto3.client("s3", **kw).put_object(Bucket="state", Key=name, Body=bytes(5_000_000), Metadata={"kept": "yes"})
    store = StateStore(pathlib.Path(sys.argv[1]))
    assert store.save() is True
    assert store.save() is False, "unchanged: not written again"
    boto3.client("s3", **kw).delete_object(Bucket="state", Key="gone")
    assert store.save() is True
    boto3.client("s3", **kw).put_object(Bucket="state", Key="large", Body=bytes(5_000_001), Metadata={"kept": "yes"})
    assert store.save() is True
"""
CHECK = """
import sys, pathlib, boto3
from moto import mock_aws
from localcloud.persistence import StateStore
kw = dict(region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t")
with mock_aws():
    assert StateStore(pathlib.Path(sys.argv[1])).load() is True
    (certificate,) = boto3.client("acm", **kw).list_certificates()["CertificateSummaryList"]
    assert certificate["DomainName"] == "www.example"
    ssm = boto3.client("ssm", **kw)
    assert ssm.get_parameter(Name="/a/secret", WithDecryption=True)["Parameter"]["Value"] == "s3cret"
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/a/secret")["TagList"]
    assert tags == [{"Key": "k", "Value": "v"}]
    ssm.put_parameter(Name="/a/second", Value="x", Type="String", Tags=[{"Key": "k", "Value": "v"}])
    kms = boto3.client("kms", **kw)
    for key in kms.list_keys()["Keys"]:
        spec = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]["KeySpec"]
        if spec == "RSA_2048":
            kms.sign(KeyId=key["KeyId"], Message=b"m", SigningAlgorithm="RSASSA_PSS_SHA_256")
    vpcs = boto3.client("ec2", **kw).describe_vpcs(Filters=[{"Name": "cidr", "Values": ["10.9.0.0/16"]}])["Vpcs"]
    assert len(vpcs) == 1
    assert boto3.client("s3", **kw).get_object(Bucket="state", Key="k")["Body"].read() == b"content"
    large = boto3.client("s3", **kw).get_object(Bucket="state", Key="large")
    assert large["Body"].read() == bytes(5_000_001)
    assert large["Metadata"] == {"kept": "yes"}
"""
LOAD = """
import sys, pathlib
from localcloud.persistence import StateStore
StateStore(pathlib.Path(sys.argv[1])).load()
"""


def run(script: str, path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script, str(path)], cwd=PROJECT_ROOT, text=True, capture_output=True, check=False
    )


def test_state_survives_the_process(tmp_path: Path) -> None:
    path = tmp_path / "state.pickle"
    filled = run(FILL, path)
    assert filled.returncode == 0, filled.stderr
    assert path.stat().st_mode & 0o777 == 0o600
    # Large objects are not written again with every change, and don't stay when they are gone.
    assert path.stat().st_size < 2_000_000
    (content,) = (tmp_path / "s3-contents").iterdir()
    assert content.stat().st_size == 5_000_001
    assert content.stat().st_mode & 0o777 == 0o600
    checked = run(CHECK, path)
    assert checked.returncode == 0, checked.stderr


AWS_POLICIES = """
import sys, pathlib, boto3
from moto import mock_aws
from localcloud import overlay
overlay.install()
from localcloud.persistence import StateStore
ARN = "arn:aws:iam::aws:policy/"
with mock_aws(config={"iam": {"load_aws_managed_policies": True}}):
    iam = boto3.client("iam", region_name="us-east-1", aws_access_key_id="t", aws_secret_access_key="t")
    store = StateStore(pathlib.Path(sys.argv[1]))
    if not store.load():
        iam.create_role(RoleName="host", AssumeRolePolicyDocument="{}")
        iam.attach_role_policy(RoleName="host", PolicyArn=ARN + "AmazonSSMManagedInstanceCore")
        store.save()
    (attached,) = iam.list_attached_role_policies(RoleName="host")["AttachedPolicies"]
    policies = [policy for page in iam.get_paginator("list_policies").paginate() for policy in page["Policies"]]
    print([attached, sorted((policy["Arn"], policy["PolicyId"], policy["AttachmentCount"]) for policy in policies)])
"""


def test_the_policies_of_aws_are_not_in_the_state_and_there_again(tmp_path: Path) -> None:
    path = tmp_path / "state.pickle"
    before = run(AWS_POLICIES, path)
    assert before.returncode == 0, before.stderr
    assert path.read_bytes().count(b"arn:aws:iam::aws:policy/") < 10
    after = run(AWS_POLICIES, path)
    assert after.stdout == before.stdout != ""


@pytest.mark.parametrize("content", [b"", b"half a file", b"\x80\x05N."])
def test_damaged_state_is_an_error_that_says_what_to_type(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "state.pickle"
    path.write_bytes(content)
    loaded = run(LOAD, path)
    assert loaded.returncode != 0
    assert "StateError" in loaded.stderr
    assert "python -m localcloud down" in loaded.stderr


def test_state_of_another_moto_is_an_error_that_says_what_to_type(tmp_path: Path) -> None:
    path = tmp_path / "state.pickle"
    path.write_bytes(pickle.dumps({"moto": "0.0.1", "services": {}}))
    loaded = run(LOAD, path)
    assert loaded.returncode != 0
    assert "written by moto 0.0.1" in loaded.stderr
    assert "python -m localcloud down" in loaded.stderr
