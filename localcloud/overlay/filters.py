"""EC2's filters: values with wildcards, any of which may match; and none that is taken without having an effect.

moto compares some values as they are, takes [ for a wildcard, wants all of a list's values, and in some operations
overlooks the filters that it does not know, or all of them.
Source: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2 import utils
from moto.ec2.exceptions import FilterNotImplementedError
from moto.ec2.models import tags
from moto.ec2.responses import EC2Response

# Of the operations whose filters moto overlooks: the filter -> the attribute of what is described. A path may lead to
# nothing, such as the scheduled events of an instance; then nothing matches.
FILTERS: dict[str, dict[str, str]] = {
    "describe_availability_zones": {
        "region-name": "region_name",
        "state": "state",
        "zone-id": "zone_id",
        "zone-name": "name",
        "zone-type": "zone_type",
    },
    "describe_carrier_gateways": {
        "carrier-gateway-id": "id",
        "owner-id": "owner_id",
        "state": "state",
        "vpc-id": "vpc_id",
    },
    "describe_customer_gateways": {
        "bgp-asn": "bgp_asn",
        "customer-gateway-id": "id",
        "ip-address": "ip_address",
        "state": "state",
        "type": "type",
    },
    "describe_egress_only_internet_gateways": {},
    "describe_instance_credit_specifications": {"instance-id": "InstanceId"},
    "describe_instance_status": {
        "availability-zone": "availability_zone",
        "event.code": "events.code",
        "event.description": "events.description",
        "event.instance-event-id": "events.id",
        "event.not-after": "events.not_after",
        "event.not-before": "events.not_before",
        "event.not-before-deadline": "events.not_before_deadline",
        "instance-state-code": "state_code",
        "instance-state-name": "state",
        "instance-status.reachability": "instance_status.Details.Status",
        "instance-status.status": "instance_status.Status",
        "system-status.reachability": "system_status.Details.Status",
        "system-status.status": "system_status.Status",
    },
    "describe_managed_prefix_lists": {
        "owner-id": "owner_id",
        "prefix-list-id": "id",
        "prefix-list-name": "prefix_list_name",
    },
    "describe_nat_gateways": {
        "nat-gateway-id": "id",
        "state": "state",
        "subnet-id": "subnet_id",
        "vpc-id": "vpc_id",
    },
    "describe_prefix_lists": {"prefix-list-id": "id", "prefix-list-name": "prefix_list_name"},
    "describe_regions": {"endpoint": "endpoint", "opt-in-status": "opt_in_status", "region-name": "name"},
    "describe_tags": {"key": "key", "resource-id": "resource_id", "resource-type": "resource_type", "value": "value"},
    "describe_transit_gateway_route_tables": {
        "default-association-route-table": "default_association_route_table",
        "default-propagation-route-table": "default_propagation_route_table",
        "state": "state",
        "transit-gateway-id": "transit_gateway_id",
        "transit-gateway-route-table-id": "id",
    },
    "describe_transit_gateways": {
        "options.amazon-side-asn": "options.AmazonSideAsn",
        "options.default-route-table-association": "options.DefaultRouteTableAssociation",
        "options.default-route-table-propagation": "options.DefaultRouteTablePropagation",
        "options.dns-support": "options.DnsSupport",
        "owner-id": "owner_id",
        "state": "state",
        "transit-gateway-id": "id",
    },
    "describe_vpc_peering_connections": {
        "accepter-vpc-info.cidr-block": "peer_vpc.cidr_block",
        "accepter-vpc-info.owner-id": "peer_vpc.owner_id",
        "accepter-vpc-info.vpc-id": "peer_vpc.id",
        "requester-vpc-info.cidr-block": "vpc.cidr_block",
        "requester-vpc-info.owner-id": "vpc.owner_id",
        "requester-vpc-info.vpc-id": "vpc.id",
        "status-code": "_status.code",
        "status-message": "_status.message",
        "vpc-peering-connection-id": "id",
    },
}


def install() -> None:
    """Change what moto's EC2 filters with."""
    helpers: Any = utils
    models: Any = tags
    for module in (helpers, models):
        module.simple_aws_filter_to_re = expression
    helpers.instance_value_in_filter_values = matches
    helpers.is_filter_matching = lambda obj, name, wanted: matches(obj.get_filter_value(name), wanted)
    helpers.passes_igw_filter_dict = _gateway_passes
    for operation, attributes in FILTERS.items():
        setattr(EC2Response, operation, _filtered(getattr(EC2Response, operation), operation, attributes))


def expression(pattern: str) -> str:
    r"""A filter's value as a regular expression: * is any text, ? any character, after a \ both are themselves."""
    parts = re.findall(r"\\.|.", pattern, re.DOTALL)
    wildcards = {"*": ".*", "?": "."}
    return "(?s:" + "".join(wildcards.get(part) or re.escape(part[-1]) for part in parts) + r")\Z"


def matches(value: Any, wanted: Iterable[str | None] | str | None) -> bool:
    """Whether any of a resource's values matches any of a filter's; moto asks for None, too: no match."""
    texts = [wanted] if isinstance(wanted, str) else wanted or ()
    patterns = [re.compile(expression(text)) for text in texts if text is not None]
    return any(pattern.match(text) for text in _texts(value) for pattern in patterns)


def _texts(value: Any) -> list[str]:
    """A value, or several, as filters name them."""
    if value is None:
        return []
    if isinstance(value, bool):
        return [str(value).lower()]
    if isinstance(value, datetime):
        return [utils.format_timestamp(value)]
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [text for item in value for text in _texts(item)]
    return [str(value)]


def _gateway_passes(gateway: Any, wanted: Mapping[str, list[str]]) -> bool:
    """Whether an internet gateway passes."""
    for name, values in wanted.items():
        if utils.is_tag_filter(name):
            if not matches(_tag_values(gateway, name), values):
                return False
        elif name == "owner-id":
            if not matches(gateway.owner_id, values):
                return False
        elif name not in utils.filter_dict_igw_mapping:
            raise FilterNotImplementedError(name, "DescribeInternetGateways")
        elif not matches(_attribute(gateway, utils.filter_dict_igw_mapping[name]), values):
            return False
    return True


def _tag_values(resource: Any, name: str) -> list[str]:
    """What tag:<key>, tag-key and tag-value look at."""
    if isinstance(resource, dict):  # a tag itself, of DescribeTags
        found = {resource["key"]: resource["value"]}
    else:
        found = {tag["key"]: tag["value"] for tag in resource.get_tags()} if hasattr(resource, "get_tags") else {}
    if name == "tag-key":
        return list(found)
    if name == "tag-value":
        return list(found.values())
    key = name.removeprefix("tag:")
    return [found[key]] if key in found else []


def _attribute(resource: Any, path: str) -> Any:
    """What is at the end of a path of attributes and keys, of each item of a list on its way."""
    name, _, rest = path.partition(".")
    if isinstance(resource, list):
        return [_attribute(item, path) for item in resource]
    value = resource.get(name) if isinstance(resource, dict) else getattr(resource, name, None)
    return _attribute(value, rest) if rest else value


def _filtered(original: Any, operation: str, attributes: Mapping[str, str]) -> Any:
    @functools.wraps(original)
    def respond(self: Any) -> ActionResult:
        parameters = self.params
        given = parameters.get("Filters") or parameters.get("Filter") or []
        wanted = {each["Name"]: each.get("Values", []) for each in given}
        for name in wanted:
            if name not in attributes and not utils.is_tag_filter(name):
                raise FilterNotImplementedError(name, operation)
        self.params = {name: value for name, value in parameters.items() if name not in ("Filters", "Filter")}
        result = original(self).result
        key = next(name for name, value in result.items() if isinstance(value, list))
        for name, values in wanted.items():
            result[key] = [found for found in result[key] if matches(_looked_at(found, name, attributes), values)]
        return ActionResult(result)

    return respond


def _looked_at(resource: Any, name: str, attributes: Mapping[str, str]) -> Any:
    return _attribute(resource, attributes[name]) if name in attributes else _tag_values(resource, name)
