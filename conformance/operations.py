"""Which operations the local cloud has, wholly or in part: makes localcloud/operations.md.

Each operation is asked for with the least that its model wants, then once more for each thing that it may be told. What
is refused in the local cloud's name is not there; any other answer, also an error as AWS gives it, is one.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError
from botocore.model import OperationModel

from conformance import servers
from loadtest import figures

PAGE = Path(__file__).parents[1] / "localcloud/operations.md"
COMMAND = "python -m conformance.operations"
SERVICES = ("autoscaling", "cloudwatch", "ec2", "elbv2", "iam", "logs", "rds", "secretsmanager", "ssm", "sts")
# botocore sends them to a host of their own.
ELSEWHERE = {"GetLogObject", "StartLiveTail"}
# They come last: they take away what others are asked about.
ENDS = re.compile("Delete|Terminate|Deregister|Detach|Disassociate|Release|Remove|Exit|Stop|Disable|Cancel|Schedule")
# What an operation makes, which must not be there yet.
NEW = {
    "CreateAutoScalingGroup": "AutoScalingGroupName",
    "CreateDBInstance": "DBInstanceIdentifier",
    "CreateLoadBalancer": "Name",
    "CreateTargetGroup": "Name",
}
# Values that AWS knows, and that the models don't enumerate.
VALUES = {
    "Engine": ("postgres", "mysql", "aurora-postgresql"),
    "PolicyType": ("SimpleScaling", "StepScaling", "TargetTrackingScaling", "PredictiveScaling"),
}
MOST_VALUES = 12  # of an enumeration, that are tried
OURS = "the local cloud "
MISSING = re.compile(r"the local cloud does not have the operation ", re.IGNORECASE)
LACKS = re.compile(r"the local cloud does not have (the operation|this of) ", re.IGNORECASE)
# What it says of a request that makes no sense, which says nothing of one that does.
NONSENSE = ("the local cloud can't do this ", "the filter 'x' ")
IDENTIFIER = re.compile(r"\b(arn:\S+|[a-z]+-[0-9a-f]{8,17})\b")

Client = Callable[[str], Any]


@dataclass
class Operations:
    """Of one service, by name; `partly` and `refused` with what is said, `hiccups` are answers with a 500."""

    there: list[str] = field(default_factory=list)
    partly: dict[str, set[str]] = field(default_factory=dict)
    refused: dict[str, set[str]] = field(default_factory=dict)
    hiccups: dict[str, Any] = field(default_factory=dict)


# -- asking -------------------------------------------------------------------------------------------------------


def client_at(endpoint: str) -> Client:
    """Clients that ask once, and send whatever they are given."""
    return lambda service: boto3.client(
        service,  # type: ignore[call-overload]
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )


def make_world(client: Client) -> dict[str, Any]:
    """Make some of what operations are about. The value of each parameter that names it."""
    ec2, elbv2, autoscaling, rds = (client(name) for name in ("ec2", "elbv2", "autoscaling", "rds"))
    vpc = ec2.describe_vpcs()["Vpcs"][0]["VpcId"]
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    instance = ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.micro")["Instances"][0]
    ec2.create_launch_template(
        LaunchTemplateName="world", LaunchTemplateData={"ImageId": image, "InstanceType": "t3.micro"}
    )
    group = elbv2.create_target_group(Name="world", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]
    balancer = elbv2.create_load_balancer(Name="world", Subnets=subnets[:2])["LoadBalancers"][0]
    actions = [{"Type": "forward", "TargetGroupArn": group["TargetGroupArn"]}]
    listener = elbv2.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=actions
    )["Listeners"][0]
    autoscaling.create_auto_scaling_group(
        AutoScalingGroupName="world", MinSize=0, MaxSize=2, VPCZoneIdentifier=subnets[0],
        LaunchTemplate={"LaunchTemplateName": "world"},
    )  # fmt: skip
    database = {"Engine": "postgres", "DBInstanceClass": "db.t3.micro", "AllocatedStorage": 20}
    login = {"MasterUsername": "master", "MasterUserPassword": "eight-letters"}
    rds.create_db_instance(DBInstanceIdentifier="world", **database, **login)
    return {
        "VpcId": vpc,
        "SubnetId": subnets[0],
        "Subnets": subnets[:2],
        "VPCZoneIdentifier": subnets[0],
        "ImageId": image,
        "InstanceType": "t3.micro",
        "InstanceId": instance["InstanceId"],
        "InstanceIds": [instance["InstanceId"]],
        "NetworkInterfaceId": instance["NetworkInterfaces"][0]["NetworkInterfaceId"],
        "VolumeId": ec2.describe_volumes()["Volumes"][0]["VolumeId"],
        "GroupId": instance["SecurityGroups"][0]["GroupId"],
        "LaunchTemplate": {"LaunchTemplateName": "world", "Version": "1"},
        "TargetGroupArn": group["TargetGroupArn"],
        "LoadBalancerArn": balancer["LoadBalancerArn"],
        "ListenerArn": listener["ListenerArn"],
        "DefaultActions": actions,
        "Actions": actions,
        "AutoScalingGroupName": "world",
        "TrafficSources": [{"Identifier": group["TargetGroupArn"], "Type": "elbv2"}],
        "MinSize": 0,
        "MaxSize": 1,
        "DBInstanceIdentifier": "world",
        "SourceDBInstanceIdentifier": "world",
        **database,
        **login,
    }


def ask(client: Client, service: str, world: Mapping[str, Any]) -> Operations:
    """Ask a service for each operation that AWS has."""
    found, asked = Operations(), client(service)
    methods = {name: method for method, name in asked.meta.method_to_api_mapping.items() if name not in ELSEWHERE}
    for name in sorted(methods, key=lambda name: (bool(ENDS.match(name)), name)):
        refusals: set[str] = set()
        answered = False
        for request in requests(asked.meta.service_model.operation_model(name), world):
            try:
                getattr(asked, methods[name])(**request)
            except ClientError as error:
                if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                    found.hiccups[name] = request, error.response["Error"]
                refused = list(refusal(error.response["Error"].get("Message") or ""))
                refusals |= set(refused)
                answered = answered or not refused
            except Exception:  # the client's own, of what it can't send or read
                pass
            else:
                answered = True
            if any(MISSING.match(text) for text in refusals):
                break
        if refusals and not answered:
            found.refused[name] = refusals
        elif refusals:
            found.partly[name] = refusals
        else:
            found.there.append(name)
    return found


def requests(operation: OperationModel, world: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The least that an operation can be told, and that with each thing more, one at a time."""
    shape: Any = operation.input_shape
    if shape is None:
        yield {}
        return
    basis = least(shape, world)
    basis |= {name: world[name] for name in shape.members if name in world}
    for number, request in enumerate(with_more(shape, basis, world)):
        if operation.name in NEW:
            request[NEW[operation.name]] = f"new-{number}"
        yield request


def with_more(shape: Any, basis: dict[str, Any], world: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield dict(basis)
    for name, member in shape.members.items():
        if name in VALUES:
            yield from ({**basis, name: value} for value in VALUES[name])
        elif name not in basis and name != "DryRun":
            yield from ({**basis, name: value} for value in values(member, world))


def values(shape: Any, world: Mapping[str, Any]) -> Iterator[Any]:
    """What is tried of an option: each of an enumeration, or the least, and that with each of its own options."""
    if getattr(shape, "enum", None):
        yield from list(shape.enum)[:MOST_VALUES]
        return
    basis = least(shape, world)
    yield basis
    inner = shape.member if shape.type_name == "list" else shape
    if inner.type_name == "structure":
        for name, member in inner.members.items():
            more = {**least(inner, world), name: world.get(name, least(member, world))}
            yield [more] if shape.type_name == "list" else more


def least(shape: Any, world: Mapping[str, Any]) -> Any:
    """The least that a shape allows."""
    if shape is None:
        return {}
    match shape.type_name:
        case "structure":
            return {name: world.get(name, least(shape.members[name], world)) for name in shape.required_members}
        case "list":
            return [least(shape.member, world)]
        case "map":
            return {"key": least(shape.value, world)}
        case "boolean":
            return True
        case "integer" | "long" | "float" | "double":
            return max(1, shape.metadata.get("min", 1))
        case "timestamp":
            return 0
        case "blob":
            return b"x"
    return shape.enum[0] if shape.enum else "x" * max(1, shape.metadata.get("min", 1))


def refusal(message: str) -> Iterator[str]:
    """What is refused in the local cloud's name, if it is, without the ids of this run."""
    if OURS in message.lower() and not any(words in message.lower() for words in NONSENSE):
        yield IDENTIFIER.sub("...", message).rstrip(".")


# -- the page -----------------------------------------------------------------------------------------------------


def page(found: Mapping[str, Operations]) -> str:
    """All of them."""
    lines = [line for service, operations in found.items() for line in section(service, operations)]
    return figures.replaced(PAGE.read_text(), COMMAND, [*table(found), "", *lines[:-1]])


def table(found: Mapping[str, Operations]) -> Iterator[str]:
    yield "| service | operations | there | partly | refused |"
    yield "|---|---|---|---|---|"
    for service, operations in found.items():
        counts = [len(part) for part in (operations.there, operations.partly, operations.refused)]
        yield f"| [{service}](#{service}) | {sum(counts)} | {' | '.join(map(str, counts))} |"


def section(service: str, operations: Operations) -> Iterator[str]:
    yield from (f"## {service}", "")
    with_reason = {name: said for name, said in operations.refused.items() if not any(map(LACKS.match, said))}
    for title, found in (("Partly there, with what is refused", operations.partly), ("Refused, and why", with_reason)):
        if found:
            yield from (f"{title}:", "")
            yield from (f"- `{name}`: {'; '.join(sorted(said))}" for name, said in sorted(found.items()))
            yield ""
    for title, names in (("There", operations.there), ("Refused", set(operations.refused) - set(with_reason))):
        if names:
            yield from (f"{title}: {', '.join(sorted(names))}.", "")


def main() -> None:
    """Ask for everything, and write the page."""
    found = {}
    for service in SERVICES:
        print(f"{service} ...", flush=True)
        # Each begins with the same things, whatever was done to them for the one before.
        with tempfile.TemporaryDirectory() as work, servers.server("localcloud", Path(work) / "log") as endpoint:
            client = client_at(endpoint)
            found[service] = ask(client, service, make_world(client))
    PAGE.write_text(page(found))
    hiccups = {service: operations.hiccups for service, operations in found.items() if operations.hiccups}
    if hiccups:
        sys.exit(f"answered with 500: {hiccups}")


if __name__ == "__main__":
    main()
