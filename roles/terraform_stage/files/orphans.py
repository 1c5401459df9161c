"""What a stage of Terraform made and never wrote into its state, because Terraform was killed: found, and removed.

    find    prints [{"stage": S, "resources": ["aws_subnet subnet-1", ...]}, ...]
    remove  prints {"removed": ["aws_subnet subnet-1", ...], "adopt": {address: id}}

Exit code 1: something could not be removed, and standard error says what and why.

A resource is a stage's when it has the stage's tags, as terraform/<stage>/versions.tf gives them to everything
(`Project`, `Environment`, `Stage`); it is an orphan when the stage's state in the bucket does not know it.

With --unattended nobody has agreed. Then nothing is removed that is older than the lock that the killed Terraform left
behind, nor a network that something uses: that a state knows nothing of them means that the state was lost. And a
database whose subnets' group and parameters are known is not removed but waited for, to be imported: on AWS it takes
minutes to make one.

Region, credentials and endpoint come from the environment, as for all of AWS's tools.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

# Seconds that something may take to go away: a database is the slowest. Then it is said what is still there.
PATIENCE = {"aws_db_instance": 1800}
USUAL_PATIENCE = 600
SKEW = timedelta(minutes=1)  # of this machine's clock, which the lock has its time from; and AWS cuts some to seconds
ADDRESS_OF_DATABASE = "aws_db_instance.this"


@dataclass(frozen=True)
class Orphan:
    """A resource that no state knows: its type in Terraform, what it is called, how to remove it, if it has gone."""

    type: str
    id: str
    remove: Callable[[], object]
    has_gone: Callable[[], bool] = lambda: True
    made: datetime | None = None  # where it is known

    def __str__(self) -> str:
        return f"{self.type} {self.id}"


class State:
    """What a stage's state knows: ids, names and ARNs by Terraform's type."""

    def __init__(self, text: str | None) -> None:
        self._known: dict[str, set[str]] = defaultdict(set)
        self.routes: set[tuple[str, str]] = set()  # route table and destination
        for resource in json.loads(text)["resources"] if text else []:
            for instance in resource["instances"] if resource["mode"] == "managed" else []:
                attributes = instance.get("attributes") or {}
                values = (attributes.get(key) for key in ("id", "arn", "name", "identifier"))
                self._known[resource["type"]].update(filter(None, values))
                if resource["type"] == "aws_route":
                    self.routes.add((attributes["route_table_id"], attributes["destination_cidr_block"]))

    def knows(self, type_: str, *names: str) -> bool:
        """Whether a resource with any of these ids, names or ARNs is in it."""
        return not self._known[type_].isdisjoint(names)


class Stage:
    """What there is of one stage."""

    def __init__(self, client: Callable[[str], Any], stage: str, arguments: argparse.Namespace) -> None:
        self.client = client  # of one of AWS's services
        self.stage = stage
        self.name: str = arguments.name
        # Each with the values that it may have: an earlier version of the project may have called the stage otherwise.
        self.tags: dict[str, set[str]] = {key: {value} for key, value in json.loads(arguments.tags).items()}
        self.tags["Stage"] = {stage, json.loads(arguments.former).get(stage, stage)}
        self.final_snapshot: str = getattr(arguments, "final_snapshot", "")
        self._bucket: str = arguments.bucket
        self.state = State(self._object(f"{stage}/terraform.tfstate"))

    def _object(self, key: str) -> str | None:
        """What is in an object of the bucket, if it is there."""
        s3 = self.client("s3")
        try:
            text: str = s3.get_object(Bucket=self._bucket, Key=key)["Body"].read().decode()
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "NoSuchBucket"):
                return None
            raise
        return text

    @property
    def locked_since(self) -> datetime | None:
        """When the lock was taken that the killed Terraform left behind."""
        lock = self._object(f"{self.stage}/terraform.tfstate.tflock")
        return datetime.fromisoformat(json.loads(lock)["Created"]) if lock else None

    @property
    def tag_filters(self) -> list[dict[str, Any]]:
        """EC2's filters for the stage's tags."""
        return [{"Name": f"tag:{key}", "Values": sorted(values)} for key, values in self.tags.items()]

    def has_tags(self, tags: list[dict[str, str]]) -> bool:
        """Whether these are tags of a resource of this stage."""
        found = {tag["Key"]: tag["Value"] for tag in tags}
        return all(found.get(key) in values for key, values in self.tags.items())

    def orphans(self) -> Iterator[Orphan]:
        """In an order in which they can be removed."""
        for find in FINDERS:
            for orphan in find(self):
                if not self.state.knows(orphan.type, orphan.id):
                    yield orphan


def absent(describe: Callable[[], dict[str, Any]], key: str, *codes: str) -> Callable[[], bool]:
    """Whether an operation describes nothing: it answers without any, or with one of these errors."""

    def look() -> bool:
        try:
            return not describe()[key]
        except ClientError as error:
            if error.response["Error"]["Code"] in codes:
                return True
            raise

    return look


# -- VPC: addresses, network -------------------------------------------------------------------------------------------


def described(stage: Stage, operation: str, key: str) -> Iterator[dict[str, Any]]:
    """What an operation of EC2 describes that has the stage's tags."""
    ec2 = stage.client("ec2")
    filters = {"Filter" if operation == "describe_nat_gateways" else "Filters": stage.tag_filters}
    # Some operations answer with all there is at once.
    pages = (
        ec2.get_paginator(operation).paginate(**filters)
        if ec2.can_paginate(operation)
        else [getattr(ec2, operation)(**filters)]
    )
    for page in pages:
        yield from page[key]


def removed_by(delete: str, type_: str, describe: str, key: str, name: str) -> Callable[[Stage], Iterator[Orphan]]:
    """The finder of a type of EC2 that one operation removes, by the same member that describes it: an id, mostly."""

    def find(stage: Stage) -> Iterator[Orphan]:
        operation = getattr(stage.client("ec2"), delete)
        for row in described(stage, describe, key):
            yield Orphan(type_, row[name], functools.partial(operation, **{name: row[name]}))

    return find


def instances(stage: Stage) -> Iterator[Orphan]:
    ec2 = stage.client("ec2")
    for reservation in described(stage, "describe_instances", "Reservations"):
        for instance in reservation["Instances"]:
            id_ = instance["InstanceId"]
            if instance["State"]["Name"] == "terminated":
                continue
            states = ["pending", "running", "shutting-down", "stopping", "stopped"]
            alive = {"InstanceIds": [id_], "Filters": [{"Name": "instance-state-name", "Values": states}]}
            yield Orphan(
                "aws_instance",
                id_,
                functools.partial(ec2.terminate_instances, InstanceIds=[id_]),
                absent(functools.partial(ec2.describe_instances, **alive), "Reservations"),
                instance["LaunchTime"],
            )


def nat_gateways(stage: Stage) -> Iterator[Orphan]:
    ec2 = stage.client("ec2")
    for gateway in described(stage, "describe_nat_gateways", "NatGateways"):
        id_ = gateway["NatGatewayId"]
        # moto doesn't know this filter.
        if gateway["State"] != "deleted" and stage.has_tags(gateway["Tags"]):
            states = ["pending", "available", "deleting", "failed"]
            alive = {"NatGatewayIds": [id_], "Filter": [{"Name": "state", "Values": states}]}
            yield Orphan(
                "aws_nat_gateway",
                id_,
                functools.partial(ec2.delete_nat_gateway, NatGatewayId=id_),
                absent(functools.partial(ec2.describe_nat_gateways, **alive), "NatGateways", "NatGatewayNotFound"),
            )


def routes(stage: Stage) -> Iterator[Orphan]:
    """Of known tables; with an unknown one, its routes go."""
    ec2 = stage.client("ec2")
    for table in described(stage, "describe_route_tables", "RouteTables"):
        id_ = table["RouteTableId"]
        for route in table["Routes"] if stage.state.knows("aws_route_table", id_) else []:
            destination = route.get("DestinationCidrBlock", "")
            # An endpoint's route has no such destination, and goes with it.
            if route.get("GatewayId") != "local" and destination and (id_, destination) not in stage.state.routes:
                request = {"RouteTableId": id_, "DestinationCidrBlock": destination}
                yield Orphan("aws_route", f"{id_} {destination}", functools.partial(ec2.delete_route, **request))


def route_table_associations(stage: Stage) -> Iterator[Orphan]:
    ec2 = stage.client("ec2")
    for table in described(stage, "describe_route_tables", "RouteTables"):
        for association in table["Associations"]:
            id_ = association["RouteTableAssociationId"]
            if not association["Main"]:
                yield Orphan(
                    "aws_route_table_association",
                    id_,
                    functools.partial(ec2.disassociate_route_table, AssociationId=id_),
                )


def vpc_endpoints(stage: Stage) -> Iterator[Orphan]:
    ec2 = stage.client("ec2")

    def alive() -> set[str]:
        """A deleted one is described for a while."""
        found = described(stage, "describe_vpc_endpoints", "VpcEndpoints")
        return {endpoint["VpcEndpointId"] for endpoint in found if endpoint["State"].lower() != "deleted"}

    for id_ in alive():
        remove = functools.partial(ec2.delete_vpc_endpoints, VpcEndpointIds=[id_])
        yield Orphan("aws_vpc_endpoint", id_, remove, lambda id_=id_: id_ not in alive())


def internet_gateways(stage: Stage) -> Iterator[Orphan]:
    ec2 = stage.client("ec2")
    for gateway in described(stage, "describe_internet_gateways", "InternetGateways"):
        id_ = gateway["InternetGatewayId"]

        def remove(id_: str = id_, attachments: Any = gateway["Attachments"]) -> None:
            for attachment in attachments:
                ec2.detach_internet_gateway(InternetGatewayId=id_, VpcId=attachment["VpcId"])
            ec2.delete_internet_gateway(InternetGatewayId=id_)

        yield Orphan("aws_internet_gateway", id_, remove)


def security_group_rules(stage: Stage) -> Iterator[Orphan]:
    ec2 = stage.client("ec2")
    for rule in described(stage, "describe_security_group_rules", "SecurityGroupRules"):
        revoke = ec2.revoke_security_group_egress if rule["IsEgress"] else ec2.revoke_security_group_ingress
        request = {"GroupId": rule["GroupId"], "SecurityGroupRuleIds": [rule["SecurityGroupRuleId"]]}
        direction = "egress" if rule["IsEgress"] else "ingress"
        yield Orphan(
            f"aws_vpc_security_group_{direction}_rule",
            rule["SecurityGroupRuleId"],
            functools.partial(revoke, **request),
        )


def security_groups(stage: Stage) -> Iterator[Orphan]:
    ec2 = stage.client("ec2")
    for group in described(stage, "describe_security_groups", "SecurityGroups"):
        id_ = group["GroupId"]
        if group["GroupName"] != "default":  # goes with its VPC
            yield Orphan("aws_security_group", id_, functools.partial(ec2.delete_security_group, GroupId=id_))


# -- uploads: bucket, role and instance profile ------------------------------------------------------------------------


def buckets(stage: Stage) -> Iterator[Orphan]:
    """With what is in them."""
    s3 = stage.client("s3")
    for bucket in s3.list_buckets()["Buckets"]:
        name = bucket["Name"]
        if name.startswith(f"{stage.name[:28]}-uploads-") and stage.has_tags(bucket_tags(s3, name)):

            def remove(name: str = name) -> None:
                for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
                    if keys := [{"Key": one["Key"]} for one in page.get("Contents", [])]:
                        s3.delete_objects(Bucket=name, Delete={"Objects": keys, "Quiet": True})
                s3.delete_bucket(Bucket=name)

            yield Orphan("aws_s3_bucket", name, remove, made=bucket["CreationDate"])


def bucket_tags(s3: Any, name: str) -> list[dict[str, str]]:
    try:
        tags: list[dict[str, str]] = s3.get_bucket_tagging(Bucket=name)["TagSet"]
    except ClientError as error:
        if error.response["Error"]["Code"] in ("NoSuchTagSet", "NoSuchBucket"):
            return []
        raise
    return tags


def roles(stage: Stage) -> Iterator[Orphan]:
    """Who may not look at them has made none: Terraform reads what it makes. Most deployers need no rights in IAM."""
    iam = stage.client("iam")
    name = f"{stage.name}-app-{iam_region(stage)}"
    none = ("NoSuchEntity", "AccessDenied")
    for profile in found_by_name(iam.get_instance_profile, "InstanceProfile", *none, InstanceProfileName=name):
        if stage.has_tags(profile.get("Tags", [])):

            def remove_profile(profile: dict[str, Any] = profile) -> None:
                for role in profile["Roles"]:
                    iam.remove_role_from_instance_profile(InstanceProfileName=name, RoleName=role["RoleName"])
                iam.delete_instance_profile(InstanceProfileName=name)

            yield Orphan("aws_iam_instance_profile", name, remove_profile, made=profile["CreateDate"])
    for role in found_by_name(iam.get_role, "Role", *none, RoleName=name):
        if stage.has_tags(role.get("Tags", [])):

            def remove_role() -> None:
                for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
                    iam.delete_role_policy(RoleName=name, PolicyName=policy)
                iam.delete_role(RoleName=name)

            yield Orphan("aws_iam_role", name, remove_role, made=role["CreateDate"])


def iam_region(stage: Stage) -> str:
    """The region that the role's name has: IAM has none itself."""
    region: str = stage.client("ec2").meta.region_name
    return region


# -- database ----------------------------------------------------------------------------------------------------------


def databases(stage: Stage) -> Iterator[Orphan]:
    rds = stage.client("rds")
    named = {"DBInstanceIdentifier": stage.name}
    last = {"FinalDBSnapshotIdentifier": stage.final_snapshot} if stage.final_snapshot else {"SkipFinalSnapshot": True}

    def remove() -> None:
        wait_until_settled(rds, stage.name)
        rds.delete_db_instance(**named, **last)

    for row in found_by_name(rds.describe_db_instances, "DBInstances", "DBInstanceNotFound", **named):
        if stage.has_tags(row["TagList"]) and not stage.state.knows("aws_db_instance", row["DbiResourceId"]):
            has_gone = absent(
                functools.partial(rds.describe_db_instances, **named), "DBInstances", "DBInstanceNotFound"
            )
            # While it is being made, there is no time.
            yield Orphan("aws_db_instance", stage.name, remove, has_gone, row.get("InstanceCreateTime"))


def wait_until_settled(rds: Any, name: str) -> str:
    """The database's status, when it is none of those that pass: while it is made, it can't be removed."""
    deadline = time.monotonic() + PATIENCE["aws_db_instance"]
    while True:
        status: str = rds.describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]["DBInstanceStatus"]
        if not status.endswith("ing") and status != "configuring-enhanced-monitoring":
            return status
        if time.monotonic() > deadline:
            raise TimeoutError(f"database {name} is still {status} after {PATIENCE['aws_db_instance']} s")
        time.sleep(2)


def database_groups(stage: Stage) -> Iterator[Orphan]:
    rds = stage.client("rds")
    named = {"DBSubnetGroupName": stage.name}
    for group in found_by_name(rds.describe_db_subnet_groups, "DBSubnetGroups", "DBSubnetGroupNotFoundFault", **named):
        if stage.has_tags(rds.list_tags_for_resource(ResourceName=group["DBSubnetGroupArn"])["TagList"]):
            yield Orphan("aws_db_subnet_group", stage.name, functools.partial(rds.delete_db_subnet_group, **named))
    for page in rds.get_paginator("describe_db_parameter_groups").paginate():
        for group in page["DBParameterGroups"]:
            name = group["DBParameterGroupName"]
            if name.startswith(f"{stage.name}-") and stage.has_tags(
                rds.list_tags_for_resource(ResourceName=group["DBParameterGroupArn"])["TagList"]
            ):
                request = {"DBParameterGroupName": name}
                yield Orphan(
                    "aws_db_parameter_group",
                    name,
                    functools.partial(rds.delete_db_parameter_group, **request),
                )


def parameters(stage: Stage) -> Iterator[Orphan]:
    ssm = stage.client("ssm")
    below = [{"Key": "Path", "Option": "Recursive", "Values": [f"/{stage.name}"]}]
    for page in ssm.get_paginator("describe_parameters").paginate(ParameterFilters=below):
        for parameter in page["Parameters"]:
            name = parameter["Name"]
            tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId=name)["TagList"]
            if stage.has_tags(tags):
                yield Orphan("aws_ssm_parameter", name, functools.partial(ssm.delete_parameter, Name=name))


# -- load balancer and fleet -------------------------------------------------------------------------------------------


def autoscaling_groups(stage: Stage) -> Iterator[Orphan]:
    autoscaling = stage.client("autoscaling")
    named = {"AutoScalingGroupNames": [stage.name]}
    for group in autoscaling.describe_auto_scaling_groups(**named)["AutoScalingGroups"]:
        if stage.has_tags(group["Tags"]):
            yield Orphan(
                "aws_autoscaling_group",
                stage.name,
                lambda: autoscaling.delete_auto_scaling_group(AutoScalingGroupName=stage.name, ForceDelete=True),
                absent(functools.partial(autoscaling.describe_auto_scaling_groups, **named), "AutoScalingGroups"),
                group["CreatedTime"],
            )


def launch_templates(stage: Stage) -> Iterator[Orphan]:
    ec2 = stage.client("ec2")
    for template in described(stage, "describe_launch_templates", "LaunchTemplates"):
        id_ = template["LaunchTemplateId"]
        yield Orphan("aws_launch_template", id_, functools.partial(ec2.delete_launch_template, LaunchTemplateId=id_))


def load_balancers(stage: Stage) -> Iterator[Orphan]:
    elbv2 = stage.client("elbv2")

    def is_ours(arn: str) -> bool:
        return stage.has_tags(elbv2.describe_tags(ResourceArns=[arn])["TagDescriptions"][0]["Tags"])

    missing = "LoadBalancerNotFound"
    for balancer in found_by_name(elbv2.describe_load_balancers, "LoadBalancers", missing, Names=[stage.name]):
        arn = balancer["LoadBalancerArn"]
        if not is_ours(arn):
            continue
        for listener in elbv2.describe_listeners(LoadBalancerArn=arn)["Listeners"]:
            request = {"ListenerArn": listener["ListenerArn"]}
            yield Orphan(
                "aws_lb_listener",
                listener["ListenerArn"],
                functools.partial(elbv2.delete_listener, **request),
            )
        yield Orphan(
            "aws_lb",
            arn,
            functools.partial(elbv2.delete_load_balancer, LoadBalancerArn=arn),
            # Its interfaces, which hold the subnets, go some time after it.
            lambda: not interfaces(stage, "description", f"ELB app/{stage.name}/*"),
            balancer["CreatedTime"],
        )
    missing = "TargetGroupNotFound"
    for group in found_by_name(elbv2.describe_target_groups, "TargetGroups", missing, Names=[stage.name]):
        arn = group["TargetGroupArn"]
        if is_ours(arn):
            yield Orphan("aws_lb_target_group", arn, functools.partial(elbv2.delete_target_group, TargetGroupArn=arn))


def interfaces(stage: Stage, name: str, value: str) -> list[Any]:
    """Network interfaces, by a filter of EC2's."""
    filters = [{"Name": name, "Values": [value]}]
    found: list[Any] = stage.client("ec2").describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    return found


def alarms(stage: Stage) -> Iterator[Orphan]:
    cloudwatch = stage.client("cloudwatch")
    for page in cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{stage.name}-"):
        for alarm in page["MetricAlarms"]:
            name = alarm["AlarmName"]
            if stage.has_tags(cloudwatch.list_tags_for_resource(ResourceARN=alarm["AlarmArn"])["Tags"]):
                yield Orphan(
                    "aws_cloudwatch_metric_alarm", name, functools.partial(cloudwatch.delete_alarms, AlarmNames=[name])
                )


def found_by_name(describe: Any, key: str, *missing: str, **named: Any) -> list[dict[str, Any]]:
    """What an operation describes that fails with one of `missing` where there is none of that name."""
    try:
        found = describe(**named)[key]
    except ClientError as error:
        if error.response["Error"]["Code"] in missing:
            return []
        raise
    return found if isinstance(found, list) else [found]


# In the order in which they can be removed: what is used by others after these. A stage has some of them only.
FINDERS: tuple[Callable[[Stage], Iterator[Orphan]], ...] = (
    autoscaling_groups,
    alarms,
    launch_templates,
    load_balancers,
    instances,
    removed_by("delete_key_pair", "aws_key_pair", "describe_key_pairs", "KeyPairs", "KeyName"),
    databases,
    database_groups,
    parameters,
    roles,
    buckets,
    vpc_endpoints,
    nat_gateways,
    removed_by("release_address", "aws_eip", "describe_addresses", "Addresses", "AllocationId"),
    routes,
    route_table_associations,
    removed_by("delete_route_table", "aws_route_table", "describe_route_tables", "RouteTables", "RouteTableId"),
    security_group_rules,
    security_groups,
    removed_by("delete_subnet", "aws_subnet", "describe_subnets", "Subnets", "SubnetId"),
    internet_gateways,
    removed_by("delete_vpc", "aws_vpc", "describe_vpcs", "Vpcs", "VpcId"),
)


# -- the command line --------------------------------------------------------------------------------------------------


def adoptable(orphans: list[Orphan]) -> Orphan | None:
    """The orphaned database, if nothing that it uses is an orphan, too."""
    if any(
        orphan.type.startswith(("aws_db_subnet", "aws_db_parameter", "aws_security", "aws_ssm")) for orphan in orphans
    ):
        return None
    return next((orphan for orphan in orphans if orphan.type == "aws_db_instance"), None)


def removed(orphan: Orphan) -> None:
    """Remove it and wait until it has gone. What has gone meanwhile is no error."""
    try:
        orphan.remove()
    except ClientError as error:
        if "NotFound" not in error.response["Error"]["Code"]:
            raise
    limit = PATIENCE.get(orphan.type, USUAL_PATIENCE)
    deadline = time.monotonic() + limit
    while not orphan.has_gone():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it is still there after {limit} s")
        time.sleep(1)


def users(stage: Stage, orphan: Orphan, error: Exception) -> Iterator[str]:
    """What keeps something from being removed, a line each: the error doesn't name it."""
    filter_ = {"aws_subnet": "subnet-id", "aws_security_group": "group-id", "aws_vpc": "vpc-id"}.get(orphan.type)
    if filter_ and "DependencyViolation" in str(error):
        try:
            found = interfaces(stage, filter_, orphan.id)
        except (BotoCoreError, ClientError):  # what was to be explained is said all the same
            return
        for interface in found:
            owner = interface.get("Attachment", {}).get("InstanceId", "nobody")
            name = interface["NetworkInterfaceId"]
            yield f"  it has {name} in {interface['SubnetId']}, {interface.get('Description') or f'of {owner}'}"


def doubts(stage: Stage, orphans: list[Orphan]) -> Iterator[str]:
    """Why these may not be what the killed Terraform made."""
    since = stage.locked_since
    if since is None:
        yield "there is no lock that a killed Terraform has left behind"
        return
    for orphan in orphans:
        if orphan.made is not None and orphan.made < since - SKEW:
            yield f"{orphan} is older than the lock that was left behind ({orphan.made:%F %T}, {since:%F %T})"
        if orphan.type == "aws_vpc":
            for interface in interfaces(stage, "vpc-id", orphan.id):
                if interface.get("InterfaceType") != "nat_gateway":
                    yield f"{orphan} is used by {interface['NetworkInterfaceId']}"


def stages(arguments: argparse.Namespace) -> Iterator[Stage]:
    """The stages that are asked for, with what their states know."""
    client = functools.cache(boto3.session.Session().client)  # to make one takes a while
    for stage in arguments.stages.split(","):
        yield Stage(client, stage, arguments)


def find(arguments: argparse.Namespace) -> int:
    """Print what there is, stage by stage."""
    found = [{"stage": stage.stage, "resources": list(map(str, stage.orphans()))} for stage in stages(arguments)]
    print(json.dumps([row for row in found if row["resources"]]))
    return 0


def remove(arguments: argparse.Namespace) -> int:
    """Remove what there is, and print it."""
    done: list[str] = []
    adopt: dict[str, str] = {}
    failed = 0
    for stage in stages(arguments):
        orphans = list(stage.orphans())
        if arguments.unattended and orphans and (why := list(doubts(stage, orphans))):
            print(
                f"stage {stage.stage} is left as it is, its state may have been lost: {'; '.join(why)}", file=sys.stderr
            )
            failed = 1
            continue
        database = adoptable(orphans) if arguments.unattended else None
        for orphan in orphans:
            try:
                if orphan is database and wait_until_settled(stage.client("rds"), stage.name) == "available":
                    adopt[ADDRESS_OF_DATABASE] = orphan.id
                    continue
                removed(orphan)
                done.append(str(orphan))
            except (BotoCoreError, ClientError, TimeoutError) as error:
                print("\n".join([f"{orphan}: {error}", *users(stage, orphan, error)]), file=sys.stderr)
                failed = 1
    print(json.dumps({"removed": done, "adopt": adopt}))
    return failed


def main() -> int:
    """Say on standard error what went wrong."""
    parser = argparse.ArgumentParser(description="What Terraform made and its state does not know.")
    commands = parser.add_subparsers(required=True)
    for name, action in (("find", find), ("remove", remove)):
        command = commands.add_parser(name)
        command.set_defaults(action=action)
        command.add_argument("--stages", required=True, help="names of stages, with commas between, the newest first")
        command.add_argument("--name", required=True, help="what the resources are called: the stages' variable name")
        command.add_argument("--tags", required=True, help="the stages' variable tags, as JSON")
        command.add_argument("--bucket", required=True, help="where the states are")
        command.add_argument("--former", default="{}", help="former names of stages, as JSON")
        if name == "remove":
            command.add_argument("--unattended", action="store_true", help="only what the killed Terraform made")
            command.add_argument("--final-snapshot", default="", help="of a database")
    arguments = parser.parse_args()
    try:
        return int(arguments.action(arguments))
    except (BotoCoreError, ClientError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
