"""What a killed Terraform made and did not write down, against moto: all of it is removed, and nothing else."""

from __future__ import annotations

import itertools
import json
import sys
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.client import BaseClient
from botocore.exceptions import ClientError
from moto_server import moto_server
from programs import AWS, as_module

PROGRAM = Path(__file__).resolve().parents[2] / "roles/terraform_stage/files/orphans.py"
NAME = "web2py-local"
BUCKET = "states"
TAGS = {"Project": "web2py", "Environment": "local", "ManagedBy": "ansible"}


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto_server() as endpoint:
        yield endpoint


@pytest.fixture
def orphans(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The program as a module, with an empty account."""
    urllib.request.urlopen(f"{endpoint}/moto-api/reset", data=b"").close()
    for name, value in {**AWS, "AWS_ENDPOINT_URL": endpoint}.items():
        monkeypatch.setenv(name, value)
    module = as_module(PROGRAM, monkeypatch)
    boto3.client("s3").create_bucket(Bucket=BUCKET)
    return module


@pytest.fixture
def run(orphans: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the program; its answer."""

    def answer(command: str, stages: str, *arguments: str) -> Any:
        options = [f"--stages={stages}", f"--name={NAME}", f"--tags={json.dumps(TAGS)}", f"--bucket={BUCKET}"]
        monkeypatch.setattr(sys, "argv", ["orphans.py", command, *options, *arguments])
        code = orphans.main()
        printed = capsys.readouterr()
        assert code == 0, printed.err
        return json.loads(printed.out)

    return answer


def tags(stage: str, environment: str = "local") -> list[dict[str, str]]:
    mine = {**TAGS, "Environment": environment, "Stage": stage, "Name": NAME}
    return [{"Key": key, "Value": value} for key, value in mine.items()]


def tagged(type_: str, stage: str, environment: str = "local") -> dict[str, Any]:
    return {"TagSpecifications": [{"ResourceType": type_, "Tags": tags(stage, environment)}]}


def make_network(environment: str = "local") -> dict[str, str]:
    """As terraform/network does; ids by Terraform's type."""
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", **tagged("vpc", "network", environment))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", **tagged("subnet", "network", environment))
    subnet_id = subnet["Subnet"]["SubnetId"]
    gateway = ec2.create_internet_gateway(**tagged("internet-gateway", "network", environment))
    gateway_id = gateway["InternetGateway"]["InternetGatewayId"]
    ec2.attach_internet_gateway(InternetGatewayId=gateway_id, VpcId=vpc)
    table = ec2.create_route_table(VpcId=vpc, **tagged("route-table", "network", environment))
    table_id = table["RouteTable"]["RouteTableId"]
    ec2.create_route(RouteTableId=table_id, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway_id)
    association = ec2.associate_route_table(RouteTableId=table_id, SubnetId=subnet_id)["AssociationId"]
    address = ec2.allocate_address(Domain="vpc", **tagged("elastic-ip", "network", environment))["AllocationId"]
    nat = ec2.create_nat_gateway(
        SubnetId=subnet_id, AllocationId=address, **tagged("natgateway", "network", environment)
    )
    group = make_group(vpc, "network", environment)
    endpoint = ec2.create_vpc_endpoint(
        VpcId=vpc,
        VpcEndpointType="Gateway",
        ServiceName="com.amazonaws.us-east-1.s3",
        RouteTableIds=[table_id],
        **tagged("vpc-endpoint", "network", environment),
    )
    return {
        "aws_vpc": vpc,
        "aws_subnet": subnet_id,
        "aws_internet_gateway": gateway_id,
        "aws_route_table": table_id,
        "aws_route_table_association": association,
        "aws_eip": address,
        "aws_nat_gateway": nat["NatGateway"]["NatGatewayId"],
        "aws_security_group": group,
        "aws_vpc_endpoint": endpoint["VpcEndpoint"]["VpcEndpointId"],
        **make_uploads(environment),
    }


def make_uploads(environment: str = "local") -> dict[str, str]:
    """As terraform/network does for uploads in S3; some of them are there."""
    s3, iam = boto3.client("s3"), boto3.client("iam")
    name = NAME if environment == "local" else f"web2py-{environment}"
    bucket, role = f"{name}-uploads-2026", f"{name}-app-us-east-1"
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_tagging(Bucket=bucket, Tagging={"TagSet": tags("network", environment)})
    for number in range(3):
        s3.put_object(Bucket=bucket, Key=f"welcome/{number}", Body=b"an upload")
    policy = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}}
    iam.create_role(RoleName=role, AssumeRolePolicyDocument="{}", Tags=tags("network", environment))
    iam.put_role_policy(RoleName=role, PolicyName="uploads", PolicyDocument=json.dumps(policy))
    iam.create_instance_profile(InstanceProfileName=role, Tags=tags("network", environment))
    iam.add_role_to_instance_profile(InstanceProfileName=role, RoleName=role)
    return {"aws_s3_bucket": bucket, "aws_iam_role": role, "aws_iam_instance_profile": role}


def make_group(vpc: str, stage: str, environment: str = "local") -> str:
    """A security group with a rule."""
    ec2 = boto3.client("ec2")
    name = f"{NAME}-{stage}-{environment}"
    options = tagged("security-group", stage, environment)
    group = ec2.create_security_group(GroupName=name, Description=name, VpcId=vpc, **options)["GroupId"]
    ec2.authorize_security_group_ingress(
        GroupId=group,
        IpPermissions=[{"IpProtocol": "tcp", "FromPort": 80, "ToPort": 80, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}],
        **tagged("security-group-rule", stage, environment),
    )
    return group


def make_database(subnets: list[str], group: str) -> None:
    """As terraform/database does."""
    rds, ssm = boto3.client("rds"), boto3.client("ssm")
    named = {"DBSubnetGroupName": NAME, "DBSubnetGroupDescription": NAME}
    rds.create_db_subnet_group(**named, SubnetIds=subnets, Tags=tags("database"))
    parameters = {"DBParameterGroupName": f"{NAME}-1", "DBParameterGroupFamily": "postgres17", "Description": NAME}
    rds.create_db_parameter_group(**parameters, Tags=tags("database"))
    rds.create_db_instance(
        DBInstanceIdentifier=NAME,
        DBInstanceClass="db.t4g.micro",
        Engine="postgres",
        AllocatedStorage=20,
        MasterUsername="dbadmin",
        MasterUserPassword="a-password-1",
        DBSubnetGroupName=NAME,
        VpcSecurityGroupIds=[group],
        Tags=tags("database"),
    )
    ssm.put_parameter(Name=f"/{NAME}/database/app_password", Value="x", Type="SecureString", Tags=tags("database"))


def make_fleet(vpc: str, subnets: list[str], group: str) -> None:
    """As terraform/fleet does."""
    ec2, elbv2, autoscaling = boto3.client("ec2"), boto3.client("elbv2"), boto3.client("autoscaling")
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    data = {"ImageId": image, "InstanceType": "t3.micro"}
    options = tagged("launch-template", "fleet")
    template = ec2.create_launch_template(LaunchTemplateName=NAME, LaunchTemplateData=data, **options)
    balancer = elbv2.create_load_balancer(Name=NAME, Subnets=subnets, SecurityGroups=[group], Tags=tags("fleet"))
    targets = elbv2.create_target_group(Name=NAME, VpcId=vpc, Protocol="HTTP", Port=80, Tags=tags("fleet"))
    target_group = targets["TargetGroups"][0]["TargetGroupArn"]
    elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancers"][0]["LoadBalancerArn"],
        Protocol="HTTP",
        Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": target_group}],
        Tags=tags("fleet"),
    )
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName=NAME,
        MinSize=1,
        MaxSize=1,
        LaunchTemplate={"LaunchTemplateId": template["LaunchTemplate"]["LaunchTemplateId"]},
        VPCZoneIdentifier=",".join(subnets),
        TargetGroupARNs=[target_group],
        Tags=[{**tag, "PropagateAtLaunch": tag["Key"] != "Stage"} for tag in tags("fleet")],
    )
    boto3.client("cloudwatch").put_metric_alarm(
        AlarmName=f"{NAME}-cpu-high",
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Statistic="Average",
        Period=60,
        EvaluationPeriods=1,
        Threshold=40,
        ComparisonOperator="GreaterThanOrEqualToThreshold",
        Tags=tags("fleet"),
    )


def make_builders(subnet: str, group: str) -> None:
    """As terraform/hosts does."""
    ec2 = boto3.client("ec2")
    ec2.create_key_pair(KeyName=f"{NAME}-deployer", **tagged("key-pair", "hosts"))
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    options = {"ImageId": image, "SubnetId": subnet, "SecurityGroupIds": [group], "InstanceType": "t3.micro"}
    ec2.run_instances(**options, MinCount=1, MaxCount=1, **tagged("instance", "hosts"))


def write_state(stage: str, resources: dict[str, list[dict[str, Any]]]) -> None:
    """Attributes of resources, by their types."""
    rows = [
        {"mode": "managed", "type": type_, "name": "this", "instances": [{"attributes": one} for one in attributes]}
        for type_, attributes in resources.items()
    ]
    body = json.dumps({"version": 4, "resources": rows})
    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"{stage}/terraform.tfstate", Body=body)


def leave_lock(stage: str, created: str) -> None:
    """What a Terraform leaves behind that is killed while it applies."""
    body = json.dumps({"ID": "1", "Operation": "OperationTypeApply", "Who": "ann@here", "Created": created})
    boto3.client("s3").put_object(Bucket=BUCKET, Key=f"{stage}/terraform.tfstate.tflock", Body=body)


def types(found: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Terraform's types of what was found, by stages."""
    return {row["stage"]: [resource.split()[0] for resource in row["resources"]] for row in found}


def test_all_that_no_state_knows_is_removed(run: Callable[..., Any]) -> None:
    network = make_network()
    other = boto3.client("ec2").create_subnet(
        VpcId=network["aws_vpc"],
        CidrBlock="10.0.2.0/24",
        AvailabilityZone="us-east-1b",
        **tagged("subnet", "network"),
    )["Subnet"]["SubnetId"]
    subnets = [network["aws_subnet"], other]
    make_database(subnets, make_group(network["aws_vpc"], "database"))
    make_builders(subnets[0], make_group(network["aws_vpc"], "hosts"))
    make_fleet(network["aws_vpc"], subnets, make_group(network["aws_vpc"], "fleet"))

    found = types(run("find", "fleet,hosts,database,network"))
    assert found == {
        "fleet": [
            "aws_autoscaling_group",
            "aws_cloudwatch_metric_alarm",
            "aws_launch_template",
            "aws_lb_listener",
            "aws_lb",
            "aws_lb_target_group",
            "aws_vpc_security_group_ingress_rule",
            "aws_security_group",
        ],
        "hosts": ["aws_instance", "aws_key_pair", "aws_vpc_security_group_ingress_rule", "aws_security_group"],
        "database": [
            "aws_db_instance",
            "aws_db_subnet_group",
            "aws_db_parameter_group",
            "aws_ssm_parameter",
            "aws_vpc_security_group_ingress_rule",
            "aws_security_group",
        ],
        "network": [
            "aws_iam_instance_profile",
            "aws_iam_role",
            "aws_s3_bucket",
            "aws_vpc_endpoint",
            "aws_nat_gateway",
            "aws_eip",
            "aws_route_table_association",
            "aws_route_table",
            "aws_vpc_security_group_ingress_rule",
            "aws_security_group",
            "aws_subnet",
            "aws_subnet",
            "aws_internet_gateway",
            "aws_vpc",
        ],
    }
    removed = run("remove", "fleet,hosts,database,network")
    assert [line.split()[0] for line in removed["removed"]] == [*itertools.chain(*found.values())]
    assert run("find", "fleet,hosts,database,network") == []
    left = [{"Name": "tag:Project", "Values": ["web2py"]}]
    assert boto3.client("ec2").describe_vpcs(Filters=left)["Vpcs"] == []


def test_what_a_state_knows_and_what_is_anothers_stays(run: Callable[..., Any]) -> None:
    make_network("staging")
    network = make_network()
    known = {type_: [{"id": id_}] for type_, id_ in network.items() if type_ != "aws_subnet"}
    table = network["aws_route_table"]
    known["aws_route"] = [{"id": "r-1", "route_table_id": table, "destination_cidr_block": "0.0.0.0/0"}]
    ec2 = boto3.client("ec2")
    groups = [{"Name": "group-id", "Values": [network["aws_security_group"]]}]
    rules = ec2.describe_security_group_rules(Filters=groups)["SecurityGroupRules"]
    rule_ids = [{"id": rule["SecurityGroupRuleId"]} for rule in rules]
    known["aws_vpc_security_group_ingress_rule"] = rule_ids
    write_state("network", known)
    (row,) = run("find", "network")
    assert row["resources"] == [f"aws_subnet {network['aws_subnet']}"]

    # What has no tags of its own, of a parent that is known.
    known["aws_subnet"] = [{"id": network["aws_subnet"]}]
    known["aws_route"] = known["aws_route_table_association"] = []
    write_state("network", known)
    removed = run("remove", "network")["removed"]
    association = network["aws_route_table_association"]
    assert removed == [f"aws_route {table} 0.0.0.0/0", f"aws_route_table_association {association}"]
    assert run("remove", "network")["removed"] == []
    assert len(ec2.describe_vpcs(Filters=[{"Name": "tag:Project", "Values": ["web2py"]}])["Vpcs"]) == 2


def test_what_a_stage_made_under_its_former_name_is_found(run: Callable[..., Any]) -> None:
    vpc = boto3.client("ec2").create_vpc(CidrBlock="10.0.0.0/16", **tagged("vpc", "vpc"))["Vpc"]["VpcId"]
    cloudwatch = boto3.client("cloudwatch")
    alarm = {
        "AlarmName": f"{NAME}-high",
        "ComparisonOperator": "LessThanThreshold",
        "EvaluationPeriods": 1,
        "Period": 60,
    }
    cloudwatch.put_metric_alarm(
        **alarm, Namespace="AWS/EC2", MetricName="CPUUtilization", Statistic="Average", Threshold=1, Tags=tags("elb")
    )
    former = '--former={"network": "vpc", "fleet": "elb"}'
    assert run("find", "fleet,network") == []
    assert run("remove", "fleet,network", former)["removed"] == [
        f"aws_cloudwatch_metric_alarm {NAME}-high",
        f"aws_vpc {vpc}",
    ]


def test_who_may_not_look_at_roles_has_made_none(run: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    vpc = boto3.client("ec2").create_vpc(CidrBlock="10.0.0.0/16", **tagged("vpc", "network"))["Vpc"]["VpcId"]
    ask = BaseClient._make_api_call  # type: ignore[attr-defined]

    def allowed(client: Any, operation: str, parameters: Any) -> Any:
        if client.meta.service_model.service_name == "iam":
            raise ClientError({"Error": {"Code": "AccessDenied", "Message": "no policy allows it"}}, operation)
        return ask(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", allowed)
    assert run("remove", "network")["removed"] == [f"aws_vpc {vpc}"]


def test_a_database_is_adopted_when_the_state_knows_what_it_uses(run: Callable[..., Any]) -> None:
    network = make_network()
    group = make_group(network["aws_vpc"], "database")
    make_database([network["aws_subnet"]], group)
    known: dict[str, list[dict[str, Any]]] = {
        "aws_security_group": [{"id": group}],
        "aws_db_subnet_group": [{"id": NAME}],
        "aws_db_parameter_group": [{"id": f"{NAME}-1"}],
        "aws_ssm_parameter": [{"id": f"/{NAME}/database/app_password"}],
    }
    write_state("database", known)
    leave_lock("database", "2026-01-01T12:00:00.123456789Z")
    rds = boto3.client("rds")
    assert run("remove", "database", "--unattended")["adopt"] == {"aws_db_instance.this": NAME}
    assert len(rds.describe_db_instances()["DBInstances"]) == 1

    known["aws_db_instance"] = [{"id": rds.describe_db_instances()["DBInstances"][0]["DbiResourceId"]}]
    write_state("database", known)
    assert run("find", "database") == []

    # Without what it uses it can't stay.
    write_state("database", {"aws_security_group": [{"id": group}]})
    answer = run("remove", "database", "--unattended")
    assert answer["adopt"] == {}
    assert f"aws_db_instance {NAME}" in answer["removed"]
    assert rds.describe_db_instances()["DBInstances"] == []


@pytest.mark.parametrize("lock", ["2999-01-01T12:00:00Z", ""])
def test_what_is_older_than_the_lock_is_left_alone(
    orphans: Any,
    run: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    lock: str,
) -> None:
    """It was served from before the run began: its state was lost. Nobody has agreed that it is removed."""
    network = make_network()
    make_database([network["aws_subnet"]], make_group(network["aws_vpc"], "database"))
    make_builders(network["aws_subnet"], make_group(network["aws_vpc"], "hosts"))
    for stage in ("network", "hosts", "database"):
        if lock:
            leave_lock(stage, lock)
    before = run("find", "hosts,database,network")
    options = ["--stages=hosts,database,network", f"--name={NAME}", f"--tags={json.dumps(TAGS)}", f"--bucket={BUCKET}"]
    monkeypatch.setattr(sys, "argv", ["orphans.py", "remove", *options, "--unattended"])
    assert orphans.main() == 1
    said = capsys.readouterr().err
    assert said.count("its state may have been lost") == 3, said
    assert run("find", "hosts,database,network") == before


def test_what_keeps_something_from_being_removed_is_named(
    orphans: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ec2 = boto3.client("ec2")
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", **tagged("vpc", "network"))["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.1.0/24", **tagged("subnet", "network"))["Subnet"]["SubnetId"]
    somebody = ec2.create_network_interface(SubnetId=subnet, Description="somebody's")["NetworkInterface"]
    ask = BaseClient._make_api_call  # type: ignore[attr-defined]

    def in_use(client: Any, operation: str, parameters: Any) -> Any:
        if operation in ("DeleteSubnet", "DeleteVpc"):  # moto doesn't look
            raise ClientError({"Error": {"Code": "DependencyViolation", "Message": "it has dependencies"}}, operation)
        return ask(client, operation, parameters)

    monkeypatch.setattr(BaseClient, "_make_api_call", in_use)
    options = ["--stages=network", f"--name={NAME}", f"--tags={json.dumps(TAGS)}", f"--bucket={BUCKET}"]
    monkeypatch.setattr(sys, "argv", ["orphans.py", "remove", *options])
    assert orphans.main() == 1
    said = capsys.readouterr().err
    named = f"it has {somebody['NetworkInterfaceId']} in {subnet}, somebody's\n"
    assert f"aws_subnet {subnet}: An error occurred (DependencyViolation)" in said
    assert said.count(named) == 2, "of the subnet, and of the network"


def test_a_last_snapshot_is_taken_of_a_database(run: Callable[..., Any]) -> None:
    network = make_network()
    make_database([network["aws_subnet"]], make_group(network["aws_vpc"], "database"))
    run("remove", "database", "--final-snapshot=the-last-one")
    (snapshot,) = boto3.client("rds").describe_db_snapshots()["DBSnapshots"]
    assert snapshot["DBSnapshotIdentifier"] == "the-last-one"
