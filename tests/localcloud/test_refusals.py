"""Whatever is asked for, no answer is one that clients take for a hiccup and ask again for minutes."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from running_cloud import Cloud

from conformance import operations, servers


@dataclass
class World:
    """An API with something of everything, and the values of parameters that name it."""

    client: operations.Client
    parameters: dict[str, Any]


@contextlib.contextmanager
def new_world(directory: Path) -> Iterator[World]:
    with servers.server("localcloud", directory / "log") as endpoint:
        client = operations.client_at(endpoint)
        yield World(client, operations.make_world(client))


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with new_world(tmp_path_factory.mktemp("world")) as world:
        yield world


@pytest.mark.parametrize("service", operations.SERVICES)
def test_no_operation_answers_with_a_hiccup_and_the_page_has_all(service: str, tmp_path: Path) -> None:
    with new_world(tmp_path) as world:
        found = operations.ask(world.client, service, world.parameters)
    assert found.hiccups == {}
    section = "\n".join(operations.section(service, found))
    assert section in operations.PAGE.read_text(), f"type: {operations.COMMAND}"
    assert all(row in operations.PAGE.read_text() for row in operations.table({service: found}))


@pytest.mark.essential
@pytest.mark.parametrize(
    ("service", "operation", "arguments", "code", "text"),
    [
        ("rds", "describe_db_proxy_endpoints", {}, "InvalidAction", "operation DescribeDBProxyEndpoints"),
        ("cloudwatch", "list_metric_streams", {}, "InvalidAction", "operation ListMetricStreams"),
        ("ssm", "list_associations", {}, "InvalidAction", "operation ListAssociations"),
        (
            "rds", "modify_db_instance", {"DBInstanceIdentifier": "world", "NewDBInstanceIdentifier": "other"},
            "InvalidParameterCombination", "renames no database",
        ),
        (
            "rds", "modify_db_instance", {"DBInstanceIdentifier": "world", "DBSubnetGroupName": "other"},
            "InvalidParameterCombination", "moves no database",
        ),
        ("rds", "delete_db_proxy", {"DBProxyName": "none"}, "InvalidParameterValue", "DeleteDBProxy"),
    ],
)  # fmt: skip
def test_what_is_missing_is_named(
    world: World, service: str, operation: str, arguments: dict[str, Any], code: str, text: str
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(world.client(service), operation)(**arguments)
    error = refused.value.response["Error"]
    assert error["Code"] == code
    assert "The local cloud" in error["Message"]
    assert text in error["Message"]
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.essential
def test_a_missing_filter_is_named(client: Callable[[str], Any]) -> None:
    ec2 = client("ec2")
    # moto looks at a filter only where there is something to be filtered.
    image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
    ec2.run_instances(ImageId=image, MinCount=1, MaxCount=1, InstanceType="t3.micro")
    with pytest.raises(ClientError, match="network-interface.ipv6-native") as refused:
        ec2.describe_instances(Filters=[{"Name": "network-interface.ipv6-native", "Values": ["true"]}])
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("service", "operation", "arguments"),
    [
        ("autoscaling", "describe_scaling_activities", {}),
        ("autoscaling", "describe_instance_refreshes", {"AutoScalingGroupName": "world"}),
        ("cloudwatch", "describe_alarms", {}),
        ("cloudwatch", "describe_alarm_history", {}),
        ("ec2", "describe_launch_templates", {}),
        ("ec2", "describe_launch_template_versions", {"LaunchTemplateName": "world"}),
    ],
)
def test_a_token_that_no_page_had_is_refused(
    world: World, service: str, operation: str, arguments: dict[str, Any]
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(world.client(service), operation)(**arguments, NextToken="x")
    assert refused.value.response["Error"]["Code"] == "InvalidNextToken"


@pytest.mark.parametrize(
    ("service", "operation", "named", "arguments", "missing"),
    [
        ("ec2", "describe_instance_status", [], {"Filters": [{"Values": ["x"]}]}, "Name"),
        (
            "ec2",
            "run_instances",
            ["ImageId"],
            {"MinCount": 1, "MaxCount": 1, "BlockDeviceMappings": [{"VirtualName": "x"}]},
            "DeviceName",
        ),
        ("elbv2", "modify_listener", ["ListenerArn"], {"Certificates": [{"IsDefault": True}]}, "CertificateArn"),
    ],
)
def test_a_missing_part_of_a_parameter_is_named(
    world: World, service: str, operation: str, named: list[str], arguments: dict[str, Any], missing: str
) -> None:
    request = {**arguments, **{name: world.parameters[name] for name in named}}
    with pytest.raises(ClientError, match=f"The request must contain the parameter {missing}") as refused:
        getattr(world.client(service), operation)(**request)
    assert refused.value.response["Error"]["Code"] == "MissingParameter"
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@pytest.mark.essential
@pytest.mark.parametrize(
    ("service", "operation"),
    [
        ("cloudformation", "describe_stacks"),  # a package of moto's for it is not installed
        ("apigateway", "get_rest_apis"),
        ("glue", "get_databases"),
        ("gamelift", "list_fleets"),  # moto has none
        ("ssm-incidents", "list_replication_sets"),
    ],
)
def test_a_missing_service_is_named(client: Callable[[str], Any], service: str, operation: str) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(client(service), operation)()
    assert refused.value.response["Error"]["Code"] == "InvalidAction"
    assert f"The local cloud does not have the service {service}" in refused.value.response["Error"]["Message"]
    assert refused.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


def test_what_was_asked_for_in_vain_is_said(cloud: Cloud) -> None:
    with pytest.raises(ClientError):
        cloud.client("ssm").list_associations()
    assert "ssm: the local cloud does not have the operation ListAssociations" in cloud.log
    in_vain = cloud.localcloud("status").stdout.partition("Asked for in vain:")[2]
    assert re.search(r"ssm +does not have the operation ListAssociations +\d+", in_vain), in_vain
