"""All filters that DescribeInstances has on AWS. moto knows 16 of them.

A filter compares what the operation says of an instance, so that is what it is compared with here: each filter names a
member of the answer.
"""

from __future__ import annotations

import functools
import html
import re
from typing import Any

import moto.ec2.models.instances
from botocore.model import Shape
from botocore.parsers import EC2QueryParser
from moto.core.serialize import EC2Serializer, XFormedAttributePicker
from moto.core.utils import get_service_model
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.responses.instances import InstanceResponse

from localcloud.overlay.filters import matches

# What the answer calls otherwise than the filter, the longest beginnings first.
MEMBERS = {
    "network-interface.addresses": "NetworkInterfaces.PrivateIpAddresses",
    "network-interface.attachment.instance-id": "InstanceId",
    "network-interface.attachment.instance-owner-id": "OwnerId",
    "network-interface.availability-zone": "Placement.AvailabilityZone",
    "network-interface.group-id": "NetworkInterfaces.Groups.GroupId",
    "network-interface.group-name": "NetworkInterfaces.Groups.GroupName",
    "network-interface.ipv6-address": "NetworkInterfaces.Ipv6Addresses.Ipv6Address",
    "network-interface.public-dns-name": "NetworkInterfaces.Association.PublicDnsName",
    "block-device-mapping.device-name": "BlockDeviceMappings.DeviceName",
    "block-device-mapping": "BlockDeviceMappings.Ebs",
    "network-interface": "NetworkInterfaces",
    "product-code.type": "ProductCodes.ProductCodeType",
    "product-code": "ProductCodes.ProductCodeId",
    "instance.group-id": "SecurityGroups.GroupId",
    "instance.group-name": "SecurityGroups.GroupName",
    "group-id": "SecurityGroups.GroupId",
    "group-name": "SecurityGroups.GroupName",
    "instance-state-code": "State.Code",
    "instance-state-name": "State.Name",
    "state-reason-code": "StateReason.Code",
    "state-reason-message": "StateReason.Message",
    "reason": "StateTransitionReason",
    "placement-group-name": "Placement.GroupName",
    "placement-partition-number": "Placement.PartitionNumber",
    "availability-zone-id": "Placement.AvailabilityZoneId",
    "availability-zone": "Placement.AvailabilityZone",
    "affinity": "Placement.Affinity",
    "host-id": "Placement.HostId",
    "tenancy": "Placement.Tenancy",
    "monitoring-state": "Monitoring.State",
    "private-dns-name-options.enable-resource-name-dns-aaaa-record": (
        "PrivateDnsNameOptions.EnableResourceNameDnsAAAARecord"
    ),
    "launch-index": "AmiLaunchIndex",
    "ip-address": "PublicIpAddress",
    "ipv6-address": "NetworkInterfaces.Ipv6Addresses.Ipv6Address",
    "dns-name": "PublicDnsName",
}
OF_RESERVATION = {"reservation-id": "ReservationId", "owner-id": "OwnerId", "requester-id": "RequesterId"}
OF_TAGS = ("tag:<key>", "tag-key", "tag-value")
UNDOCUMENTED = ("group-id", "group-name", "tag-value")  # once they were, and AWS still takes them


def install() -> None:
    """Change how moto filters instances."""
    instances: Any = moto.ec2.models.instances
    instances.filter_reservations = filter_reservations
    describe = InstanceResponse.describe_instances

    @functools.wraps(describe)
    def describe_checked(self: InstanceResponse) -> Any:
        for name in self._filters_from_querystring():
            check_filter(name)
        return describe(self)

    InstanceResponse.describe_instances = describe_checked  # type: ignore[method-assign]


def filter_reservations(reservations: list[Any], filters: dict[str, list[str]]) -> list[Any]:
    """The reservations (copies, whose instances are replaced) with those instances that pass all filters."""
    for reservation in reservations if filters else ():
        described = _described(reservation)
        reservation.instances = [
            instance
            for instance, description in zip(reservation.instances, described["Instances"], strict=True)
            if all(matches(_found(described, description, name), patterns) for name, patterns in filters.items())
        ]
    return [reservation for reservation in reservations if reservation.instances]


def check_filter(name: str) -> None:
    """InvalidParameterValue for a filter that AWS doesn't have, NotImplementedError for one that is not here."""
    kind = "tag:<key>" if name.startswith("tag:") else name
    if kind not in documented_filters():
        raise EC2ClientError("InvalidParameterValue", f"The filter '{name}' is invalid")
    if kind not in OF_TAGS and kind not in OF_RESERVATION and not _is_value(_instance_shape(), member(name).split(".")):
        raise NotImplementedError(f"the filter {name}")


@functools.cache
def documented_filters() -> frozenset[str]:
    """The filters that AWS has: its documentation, which comes with botocore, is the only list."""
    shape: Any = get_service_model("ec2").shape_for("DescribeInstancesRequest")
    text = html.unescape(shape.members["Filters"].documentation)
    return frozenset((*re.findall(r"<li> <p> <code>([^ ]+)</code>", text), *UNDOCUMENTED))


def member(name: str) -> str:
    """Where a filter's value is in the answer: `network-interface.subnet-id` -> `NetworkInterfaces.SubnetId`."""
    for beginning, path in MEMBERS.items():
        if name == beginning or name.startswith(f"{beginning}."):
            return path + _camel_case(name.removeprefix(beginning))
    return _camel_case(name)


def _camel_case(name: str) -> str:
    return ".".join("".join(word.capitalize() for word in part.split("-")) for part in name.split("."))


def _instance_shape() -> Shape:
    answer: Any = get_service_model("ec2").operation_model("DescribeInstances").output_shape
    shape: Shape = answer.members["Reservations"].member.members["Instances"].member
    return shape


def _is_value(shape: Any, path: list[str]) -> bool:
    """Whether a path through the members of a shape ends at a value."""
    shape = shape.member if shape.type_name == "list" else shape
    if shape.type_name != "structure":
        return not path
    return bool(path) and path[0] in shape.members and _is_value(shape.members[path[0]], path[1:])


def _described(reservation: Any) -> dict[str, Any]:
    """What DescribeInstances says of a reservation, times as text."""
    model = get_service_model("ec2").operation_model("DescribeInstances")
    serializer = EC2Serializer(
        operation_model=model,
        value_picker=XFormedAttributePicker(
            response_transformers=getattr(InstanceResponse, "RESPONSE_KEY_PATH_TO_TRANSFORMER", None)
        ),
    )
    answer = serializer.serialize({"Reservations": [reservation]})
    response = {"status_code": 200, "headers": {}, "body": str(answer["body"]).encode()}
    parsed = EC2QueryParser(timestamp_parser=str).parse(response, model.output_shape)
    described: dict[str, Any] = parsed["Reservations"][0]
    return described


def _found(reservation: dict[str, Any], instance: dict[str, Any], name: str) -> Any:
    """The values that a filter looks at."""
    if name in OF_RESERVATION:
        return reservation.get(OF_RESERVATION[name])
    if not name.startswith("tag"):
        return _at(instance, member(name).split("."))
    tags = {tag["Key"]: tag.get("Value", "") for tag in instance.get("Tags", [])}
    if name == "tag-key":
        return list(tags)
    return list(tags.values()) if name == "tag-value" else tags.get(name.removeprefix("tag:"))


def _at(described: Any, path: list[str]) -> Any:
    if isinstance(described, list):
        return [_at(item, path) for item in described]
    if not path:
        return described
    return _at(described.get(path[0]), path[1:]) if described else None
