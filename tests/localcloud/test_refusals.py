"""Whatever is asked for, no answer is one that clients take for a hiccup and ask again for minutes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError
from botocore.model import Shape

SERVICES = ("autoscaling", "cloudwatch", "ec2", "elbv2", "iam", "logs", "rds", "secretsmanager", "ssm", "sts")
# botocore sends them to a host of their own.
ELSEWHERE = {"GetLogObject", "StartLiveTail"}


def least(shape: Shape | None) -> Any:
    """The least that a shape allows."""
    if shape is None:
        return {}
    match shape.type_name:
        case "structure":
            return {name: least(shape.members[name]) for name in shape.required_members}
        case "list":
            return [least(shape.member)]
        case "map":
            return {"key": least(shape.value)}
        case "boolean":
            return True
        case "integer" | "long" | "float" | "double":
            return max(1, shape.metadata.get("min", 1))
        case "timestamp":
            return 0
        case "blob":
            return b"x"
    return shape.enum[0] if shape.enum else "x" * max(1, shape.metadata.get("min", 1))


@pytest.mark.parametrize("service", SERVICES)
def test_no_operation_answers_with_a_hiccup(client: Callable[[str], Any], service: str) -> None:
    asked = client(service)
    hiccups = {}
    for method, operation in asked.meta.method_to_api_mapping.items():
        if operation in ELSEWHERE:
            continue
        try:
            getattr(asked, method)(**least(asked.meta.service_model.operation_model(operation).input_shape))
        except ClientError as error:  # anything else is no answer of the service's
            if error.response["ResponseMetadata"]["HTTPStatusCode"] >= 500:
                hiccups[operation] = error.response["Error"]
    assert hiccups == {}


@pytest.mark.essential
@pytest.mark.parametrize(
    ("service", "operation", "arguments", "code", "text"),
    [
        ("rds", "describe_db_proxy_endpoints", {}, "InvalidAction", "operation DescribeDBProxyEndpoints"),
        ("cloudwatch", "list_metric_streams", {}, "InvalidAction", "operation ListMetricStreams"),
        ("ssm", "list_associations", {}, "InvalidAction", "operation ListAssociations"),
        ("rds", "delete_db_proxy", {"DBProxyName": "none"}, "InvalidParameterValue", "DeleteDBProxy"),
    ],
)
def test_what_is_missing_is_named(
    client: Callable[[str], Any], service: str, operation: str, arguments: dict[str, Any], code: str, text: str
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(client(service), operation)(**arguments)
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
