"""EC2: whoever asks for what isn't there by its id, or tags it, is told so.

moto answers with what it finds, or with nothing, and takes tags for ids that are only well formed.

Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError, InvalidID
from moto.ec2.responses import EC2Response
from moto.ec2.responses.key_pairs import KeyPairs
from moto.ec2.utils import get_prefix

NUMBER = re.compile(r"[0-9a-f-]+")  # what follows an id's prefix: hexadecimal, for some a UUID


@dataclass(frozen=True)
class Kind:
    """A kind of resource: the ids that a backend knows, and what AWS says of another."""

    known: Callable[[Any], Collection[str]]
    code: str
    message: str  # with {} for the id


def _keys(attribute: str) -> Callable[[Any], Collection[str]]:
    """The ids of a backend's dictionary."""
    return lambda backend: getattr(backend, attribute).keys()


def _nested(attribute: str) -> Callable[[Any], Collection[str]]:
    """The ids of a backend's dictionary of dictionaries: by VPC or zone."""
    return lambda backend: {id_ for inside in getattr(backend, attribute).values() for id_ in inside}


def _rules(backend: Any) -> Collection[str]:
    groups = (group for groups in backend.groups.values() for group in groups.values())
    return {rule.id for group in groups for rule in (*group.ingress_rules, *group.egress_rules)}


# By the prefix of their ids; some are asked for by other names.
KINDS = {
    "acl": Kind(_keys("network_acls"), "InvalidNetworkAclID.NotFound", "The network acl ID '{}' does not exist"),
    "ami": Kind(_keys("amis"), "InvalidAMIID.NotFound", "The image id '[{}]' does not exist"),
    "cagw": Kind(
        _keys("carrier_gateways"), "InvalidCarrierGatewayID.NotFound", "The carrier gateway ID '{}' does not exist"
    ),
    "cgw": Kind(
        _keys("customer_gateways"), "InvalidCustomerGatewayID.NotFound", "The customerGateway ID '{}' does not exist"
    ),
    "dopt": Kind(_keys("dhcp_options_sets"), "InvalidDhcpOptionID.NotFound", "The dhcpOption ID '{}' does not exist"),
    "eigw": Kind(
        _keys("egress_only_internet_gateways"), "InvalidGatewayID.NotFound", "The eigw ID '{}' does not exist"
    ),
    "eipalloc": Kind(
        lambda backend: {address.allocation_id for address in backend.addresses},
        "InvalidAllocationID.NotFound",
        "The allocation ID '{}' does not exist",
    ),
    "eni": Kind(_keys("enis"), "InvalidNetworkInterfaceID.NotFound", "The networkInterface ID '{}' does not exist"),
    "fl": Kind(_keys("flow_logs"), "InvalidFlowLogId.NotFound", "The flow log id '{}' does not exist"),
    "fleet": Kind(_keys("fleets"), "InvalidFleetId.NotFound", "The fleet ID '{}' does not exist"),
    "h": Kind(_keys("hosts"), "Client.InvalidHostID.NotFound", "The specified host IDs do not exist: {}"),
    "i": Kind(
        lambda backend: {instance.id for instance in backend.all_instances()},
        "InvalidInstanceID.NotFound",
        "The instance ID '{}' does not exist",
    ),
    "igw": Kind(
        _keys("internet_gateways"), "InvalidInternetGatewayID.NotFound", "The internetGateway ID '{}' does not exist"
    ),
    "iip-assoc": Kind(
        lambda backend: {known.association_id for known in backend.iam_instance_profile_associations.values()},
        "InvalidAssociationID.NotFound",
        "An invalid association-id of '{}' was given",
    ),
    "key": Kind(
        lambda backend: {pair.id for pair in backend.key_pairs.values()},
        "InvalidKeyPair.NotFound",
        "The key pair ID '{}' does not exist",
    ),
    "lt": Kind(
        _keys("launch_templates"),
        "InvalidLaunchTemplateId.NotFound",
        "The specified launch template, with template ID {}, does not exist.",
    ),
    "nat": Kind(_keys("nat_gateways"), "NatGatewayNotFound", "NatGateway {} was not found"),
    "pcx": Kind(
        _keys("vpc_pcxs"), "InvalidVpcPeeringConnectionID.NotFound", "The vpcPeeringConnection ID '{}' does not exist"
    ),
    "pl": Kind(_keys("managed_prefix_lists"), "InvalidPrefixListID.NotFound", "The prefix list ID '{}' does not exist"),
    "rtb": Kind(_keys("route_tables"), "InvalidRouteTableID.NotFound", "The routeTable ID '{}' does not exist"),
    "sfr": Kind(
        _keys("spot_fleet_requests"),
        "InvalidSpotFleetRequestId.NotFound",
        "The spot fleet request ID '{}' does not exist",
    ),
    "sg": Kind(_nested("groups"), "InvalidGroup.NotFound", "The security group '{}' does not exist"),
    "sgr": Kind(_rules, "InvalidSecurityGroupRuleId.NotFound", "The security group rule ID '{}' does not exist"),
    "sir": Kind(
        _keys("spot_instance_requests"),
        "InvalidSpotInstanceRequestID.NotFound",
        "The spot instance request ID '{}' does not exist",
    ),
    "snap": Kind(_keys("snapshots"), "InvalidSnapshot.NotFound", "The snapshot '{}' does not exist."),
    "subnet": Kind(_nested("subnets"), "InvalidSubnetID.NotFound", "The subnet ID '{}' does not exist"),
    "tgw": Kind(
        _keys("transit_gateways"),
        "InvalidTransitGatewayID.NotFound",
        "Transit Gateway {} was deleted or does not exist.",
    ),
    "tgw-attach": Kind(
        _keys("transit_gateway_attachments"),
        "InvalidTransitGatewayAttachmentID.NotFound",
        "Transit Gateway Attachment {} was deleted or does not exist.",
    ),
    "tgw-rtb": Kind(
        _keys("transit_gateways_route_tables"),
        "InvalidRouteTableID.NotFound",
        "Transit Gateway Route Table {} was deleted or does not exist.",
    ),
    "traf-mir-fil": Kind(
        _keys("traffic_mirror_filters"),
        "InvalidTrafficMirrorFilterId.NotFound",
        "The traffic mirror filter '{}' does not exist",
    ),
    "tms": Kind(
        _keys("traffic_mirror_sessions"),
        "InvalidTrafficMirrorSessionId.NotFound",
        "The traffic mirror session '{}' does not exist",
    ),
    "traf-mir-tar": Kind(
        _keys("traffic_mirror_targets"),
        "InvalidTrafficMirrorTargetId.NotFound",
        "The traffic mirror target '{}' does not exist",
    ),
    "vgw": Kind(_keys("vpn_gateways"), "InvalidVpnGatewayID.NotFound", "The vpnGateway ID '{}' does not exist"),
    "vol": Kind(_keys("volumes"), "InvalidVolume.NotFound", "The volume '{}' does not exist."),
    "vpc": Kind(_keys("vpcs"), "InvalidVpcID.NotFound", "The vpc ID '{}' does not exist"),
    "vpce": Kind(_keys("vpc_end_points"), "InvalidVpcEndpointId.NotFound", "The Vpc Endpoint Id '{}' does not exist"),
    "vpn": Kind(
        _keys("vpn_connections"), "InvalidVpnConnectionID.NotFound", "The vpnConnection ID '{}' does not exist"
    ),
    "group name": Kind(
        lambda backend: {group.name for groups in backend.groups.values() for group in groups.values()},
        "InvalidGroup.NotFound",
        "The security group '{}' does not exist",
    ),
    "key name": Kind(_keys("key_pairs"), "InvalidKeyPair.NotFound", "The key pair '{}' does not exist"),
    "public address": Kind(
        lambda backend: {address.public_ip for address in backend.addresses},
        "InvalidAddress.NotFound",
        "Address '{}' not found.",
    ),
    "region": Kind(
        lambda backend: {region.name for region in backend.describe_regions()},
        "InvalidParameterValue",
        "Invalid region name: [{}]",
    ),
    "template name": Kind(
        _keys("launch_template_name_to_ids"),
        "InvalidLaunchTemplateName.NotFoundException",
        "The specified launch template, with template name {}, does not exist.",
    ),
    "zone": Kind(
        lambda backend: {zone.name for zone in backend.describe_availability_zones()},
        "InvalidParameterValue",
        "Invalid availability zone: [{}]",
    ),
    "zone id": Kind(
        lambda backend: {zone.zone_id for zone in backend.describe_availability_zones()},
        "InvalidParameterValue",
        "Invalid availability zone-id: [{}]",
    ),
}

# Operation, its parameter with ids, and their kind. DescribeEgressOnlyInternetGateways answers with nothing on AWS
# too; DescribeImages and DescribeInstances know in moto what was there before, or say it of several at once.
BY_ID = (
    ("delete_launch_template", "LaunchTemplateId", "lt"),
    ("delete_launch_template", "LaunchTemplateName", "template name"),
    ("delete_nat_gateway", "NatGatewayId", "nat"),
    ("delete_snapshot", "SnapshotId", "snap"),
    ("delete_transit_gateway", "TransitGatewayId", "tgw"),
    ("delete_transit_gateway_route_table", "TransitGatewayRouteTableId", "tgw-rtb"),
    ("delete_transit_gateway_vpc_attachment", "TransitGatewayAttachmentId", "tgw-attach"),
    ("delete_vpc_peering_connection", "VpcPeeringConnectionId", "pcx"),
    ("delete_managed_prefix_list", "PrefixListId", "pl"),
    ("describe_addresses", "AllocationIds", "eipalloc"),
    ("describe_addresses", "PublicIps", "public address"),
    ("describe_addresses_attribute", "AllocationIds", "eipalloc"),
    ("describe_availability_zones", "ZoneIds", "zone id"),
    ("describe_availability_zones", "ZoneNames", "zone"),
    ("describe_carrier_gateways", "CarrierGatewayIds", "cagw"),
    ("describe_customer_gateways", "CustomerGatewayIds", "cgw"),
    ("describe_dhcp_options", "DhcpOptionsIds", "dopt"),
    ("describe_fleets", "FleetIds", "fleet"),
    ("describe_flow_logs", "FlowLogIds", "fl"),
    ("describe_hosts", "HostIds", "h"),
    ("describe_iam_instance_profile_associations", "AssociationIds", "iip-assoc"),
    ("describe_internet_gateways", "InternetGatewayIds", "igw"),
    ("describe_key_pairs", "KeyPairIds", "key"),
    ("describe_key_pairs", "KeyNames", "key name"),
    ("describe_launch_templates", "LaunchTemplateIds", "lt"),
    ("describe_managed_prefix_lists", "PrefixListIds", "pl"),
    ("describe_nat_gateways", "NatGatewayIds", "nat"),
    ("describe_network_acls", "NetworkAclIds", "acl"),
    ("describe_network_interfaces", "NetworkInterfaceIds", "eni"),
    ("describe_prefix_lists", "PrefixListIds", "pl"),
    ("describe_regions", "RegionNames", "region"),
    ("describe_route_tables", "RouteTableIds", "rtb"),
    ("describe_security_group_rules", "SecurityGroupRuleIds", "sgr"),
    ("describe_security_groups", "GroupIds", "sg"),
    ("describe_security_groups", "GroupNames", "group name"),
    ("describe_snapshots", "SnapshotIds", "snap"),
    ("describe_spot_fleet_requests", "SpotFleetRequestIds", "sfr"),
    ("describe_spot_instance_requests", "SpotInstanceRequestIds", "sir"),
    ("describe_subnets", "SubnetIds", "subnet"),
    ("describe_traffic_mirror_filters", "TrafficMirrorFilterIds", "traf-mir-fil"),
    ("describe_traffic_mirror_sessions", "TrafficMirrorSessionIds", "tms"),
    ("describe_traffic_mirror_targets", "TrafficMirrorTargetIds", "traf-mir-tar"),
    ("describe_transit_gateway_attachments", "TransitGatewayAttachmentIds", "tgw-attach"),
    ("describe_transit_gateway_peering_attachments", "TransitGatewayAttachmentIds", "tgw-attach"),
    ("describe_transit_gateway_route_tables", "TransitGatewayRouteTableIds", "tgw-rtb"),
    ("describe_transit_gateway_vpc_attachments", "TransitGatewayAttachmentIds", "tgw-attach"),
    ("describe_transit_gateways", "TransitGatewayIds", "tgw"),
    ("describe_volumes", "VolumeIds", "vol"),
    ("describe_volumes_modifications", "VolumeIds", "vol"),
    ("describe_vpc_classic_link", "VpcIds", "vpc"),
    ("describe_vpc_classic_link_dns_support", "VpcIds", "vpc"),
    ("describe_vpc_endpoints", "VpcEndpointIds", "vpce"),
    ("describe_vpc_peering_connections", "VpcPeeringConnectionIds", "pcx"),
    ("describe_vpcs", "VpcIds", "vpc"),
    ("describe_vpn_connections", "VpnConnectionIds", "vpn"),
    ("describe_vpn_gateways", "VpnGatewayIds", "vgw"),
)


def install() -> None:
    """Change moto's EC2 classes."""
    for operation, parameter, kind in BY_ID:
        setattr(EC2Response, operation, _checked(getattr(EC2Response, operation), parameter, KINDS[kind]))
    _install_tags()
    _install_key_pairs()


def _check(backend: Any, ids: Collection[str], kind: Kind) -> None:
    known = kind.known(backend) if ids else ()
    for id_ in ids:
        if id_ not in known:
            raise EC2ClientError(kind.code, kind.message.format(id_))


def _checked(original: Any, parameter: str, kind: Kind) -> Any:
    @functools.wraps(original)
    def respond(self: Any) -> Any:
        given = self._get_param(parameter) or []
        _check(self.ec2_backend, [given] if isinstance(given, str) else given, kind)
        return original(self)

    return respond


def _install_tags() -> None:
    create: Any = EC2Response.create_tags

    @functools.wraps(create)
    def create_tags(self: Any) -> Any:
        """moto looks for resources of some kinds only, and then not at what it finds."""
        for id_ in self._get_param("Resources", []):
            prefix = "iip-assoc" if id_.startswith("iip-assoc-") else get_prefix(id_)
            if prefix in KINDS:
                if not NUMBER.fullmatch(id_.removeprefix(f"{prefix}-")):
                    raise InvalidID(id_)
                _check(self.ec2_backend, [id_], KINDS[prefix])
        return create(self)

    EC2Response.create_tags = create_tags  # type: ignore[method-assign]


def _install_key_pairs() -> None:
    """A pair may be named by its id; moto overlooks that, and describes all or deletes none."""
    describe, delete = EC2Response.describe_key_pairs, KeyPairs.delete_key_pair

    @functools.wraps(describe)
    def describe_by_id(self: Any) -> Any:
        if ids := self._get_param("KeyPairIds", []):
            names = [name for name, pair in self.ec2_backend.key_pairs.items() if pair.id in ids]
            self.params = {**self.params, "KeyNames": names}
        return describe(self)

    @functools.wraps(delete)
    def delete_by_id(self: Any) -> ActionResult:
        for name, pair in self.ec2_backend.key_pairs.items():
            if pair.id == self._get_param("KeyPairId"):
                self.params = {**self.params, "KeyName": name}
        return delete(self)

    EC2Response.describe_key_pairs = describe_by_id  # type: ignore[method-assign]
    EC2Response.delete_key_pair = delete_by_id  # type: ignore[method-assign]
