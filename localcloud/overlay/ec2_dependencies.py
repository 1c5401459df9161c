"""EC2: what is in use, and what goes with something else, can't be deleted; refused in AWS's words.

moto deletes nearly everything. The checks stand before the API's operations, not in moto's backends, which delete
parts of what they delete: a VPC's default security group goes with the VPC.
Codes: https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Callable, Iterator
from typing import Any

from moto.core.exceptions import ServiceException
from moto.ec2.exceptions import (
    DependencyViolationError,
    EC2ClientError,
    InvalidParameterValue,
    LastEniDetachError,
    MissingParameterError,
    OperationNotPermitted,
)
from moto.ec2.models.dhcp_options import DHCPOptionsSetBackend
from moto.ec2.models.managed_prefixes import ManagedPrefixListBackend
from moto.ec2.models.nat_gateways import NatGatewayBackend
from moto.ec2.models.subnets import SubnetBackend
from moto.ec2.models.vpcs import VPCBackend
from moto.ec2.responses import EC2Response

from localcloud import backends
from localcloud.overlay.interfaces import delete_interface, elastic_address

LAST_RULE = 32766  # of a network ACL; those behind it are AWS's own


class Request(dict[str, Any]):
    """A request's parameters."""

    def __missing__(self, name: str) -> Any:
        raise MissingParameterError(name[0].lower() + name[1:])


# Raises what AWS answers to a request, if it refuses it.
Check = Callable[[Any, Request], None]


def install() -> None:
    """Change moto's EC2 classes."""
    for operation, check in CHECKS.items():
        setattr(EC2Response, operation, _checked(getattr(EC2Response, operation), check))
    _install_subnets()
    _install_vpcs()
    _install_nat_gateways()
    _install_prefix_lists()


def _checked(original: Any, check: Check) -> Any:
    @functools.wraps(original)
    def respond(self: Any) -> Any:
        check(self.ec2_backend, Request(self._get_params()))
        return original(self)

    return respond


def _has_dependencies(kind: str, id_: str) -> DependencyViolationError:
    return DependencyViolationError(f"The {kind} '{id_}' has dependencies and cannot be deleted.")


def _incorrect_state(message: str) -> EC2ClientError:
    return EC2ClientError("IncorrectState", message)


def living_instances(backend: Any) -> Iterator[Any]:
    """Those that hold their subnet and their security groups: all but the terminated ones."""
    return (instance for instance in backend.all_instances() if instance.state != "terminated")


def _load_balancers(backend: Any) -> list[Any]:
    return list(backends.backend("elbv2", backend.account_id, backend.region_name).load_balancers.values())


# -- network ----------------------------------------------------------------------------------------------------------


def _delete_vpc(backend: Any, request: Request) -> None:
    """ "You must detach or delete all gateways and resources that are associated with the VPC" (DeleteVpc)."""
    vpc_id = backend.get_vpc(request["VpcId"]).id
    inside = (
        *(subnet for subnets in backend.subnets.values() for subnet in subnets.values()),
        *backend.enis.values(),
        *backend.egress_only_internet_gateways.values(),
        *backend.carrier_gateways.values(),
        *(acl for acl in backend.network_acls.values() if not acl.default),
        *(table for table in backend.route_tables.values() if table.main_association_id is None),
        *(group for groups in backend.groups.values() for group in groups.values() if not group.is_default),
        *(endpoint for endpoint in backend.vpc_end_points.values() if endpoint.state != "deleted"),
    )
    attached = any(
        gateway.vpc is not None and gateway.vpc.id == vpc_id for gateway in backend.internet_gateways.values()
    )
    if attached or any(resource.vpc_id == vpc_id for resource in inside) or _vpn_gateways_of(backend, vpc_id):
        raise _has_dependencies("vpc", vpc_id)


def _vpn_gateways_of(backend: Any, vpc_id: str) -> bool:
    return any(
        vpc_id in gateway.attachments and gateway.attachments[vpc_id].state == "attached"
        for gateway in backend.vpn_gateways.values()
    )


def _delete_subnet(backend: Any, request: Request) -> None:
    subnet_id = backend.get_subnet(request["SubnetId"]).id
    if (
        any(interface.subnet.id == subnet_id for interface in backend.enis.values())
        or any(instance.subnet_id == subnet_id for instance in living_instances(backend))
        # On AWS a load balancer has an interface in each of its subnets.
        or any(subnet.id == subnet_id for balancer in _load_balancers(backend) for subnet in balancer.subnets)
    ):
        raise _has_dependencies("subnet", subnet_id)


def _disassociate_vpc_cidr_block(backend: Any, request: Request) -> None:
    for vpc in backend.vpcs.values():
        association = vpc._cidr_block_association_set.get(request["AssociationId"])
        if association is None or ":" in association["cidr_block"]:
            continue
        block = ipaddress.ip_network(association["cidr_block"])
        for subnet in backend.describe_subnets(filters={"vpc-id": [vpc.id]}):
            if association["cidr_block"] != vpc.cidr_block and subnet.cidr.subnet_of(block):
                raise DependencyViolationError(
                    f"The vpc CIDR block with association ID {request['AssociationId']} has dependencies and cannot be "
                    "disassociated."
                )


def _delete_internet_gateway(backend: Any, request: Request) -> None:
    gateway = backend.get_internet_gateway(request["InternetGatewayId"])
    if gateway.vpc is not None:
        raise _has_dependencies("internetGateway", gateway.id)


def _detach_internet_gateway(backend: Any, request: Request) -> None:
    vpc_id = request["VpcId"]
    gateway = backend.get_internet_gateway(request["InternetGatewayId"])
    if gateway.vpc is None or gateway.vpc.id != vpc_id:
        return
    if any(interface.public_ip and interface.vpc_id == vpc_id for interface in backend.enis.values()) or any(
        balancer.vpc_id == vpc_id and balancer.scheme == "internet-facing" for balancer in _load_balancers(backend)
    ):
        raise DependencyViolationError(
            f"Network {vpc_id} has some mapped public address(es). Please unmap those public address(es) before "
            "detaching the gateway."
        )


def _delete_vpn_gateway(backend: Any, request: Request) -> None:
    gateway = backend.get_vpn_gateway(request["VpnGatewayId"])
    if any(attachment.state == "attached" for attachment in gateway.attachments.values()) or any(
        connection.vpn_gateway_id == gateway.id and connection.state != "deleted"
        for connection in backend.vpn_connections.values()
    ):
        raise _incorrect_state(f"The vpnGateway ID '{gateway.id}' is in use.")


def _delete_customer_gateway(backend: Any, request: Request) -> None:
    gateway = backend.get_customer_gateway(request["CustomerGatewayId"])
    if any(
        connection.customer_gateway_id == gateway.id and connection.state != "deleted"
        for connection in backend.vpn_connections.values()
    ):
        raise _incorrect_state("The customer gateway is in use.")


def _delete_transit_gateway(backend: Any, request: Request) -> None:
    gateway_id = request["TransitGatewayId"]
    attached = [
        attachment.id
        for attachment in backend.transit_gateway_attachments.values()
        if attachment.transit_gateway_id == gateway_id and attachment.state != "deleted"
    ]
    if attached:
        raise _incorrect_state(f"{gateway_id} has non-deleted Transit Gateway Attachments: {', '.join(attached)}.")


def _delete_route_table(backend: Any, request: Request) -> None:
    table = backend.get_route_table(request["RouteTableId"])
    if table.main_association_id is not None:
        raise _has_dependencies("routeTable", table.id)


def _disassociate_route_table(backend: Any, request: Request) -> None:
    association_id = request["AssociationId"]
    if any(table.main_association_id == association_id for table in backend.route_tables.values()):
        raise InvalidParameterValue(f"cannot disassociate the main route table association {association_id}")


def _delete_route(backend: Any, request: Request) -> None:
    table = backend.get_route_table(request["RouteTableId"])
    destination = request.get("DestinationCidrBlock") or request.get("DestinationIpv6CidrBlock")
    for route in table.routes:
        if route.local and destination in (route.destination_cidr_block, route.destination_ipv6_cidr_block):
            raise InvalidParameterValue(f"cannot remove local route {destination} in route table {table.id}")


def _delete_network_acl(backend: Any, request: Request) -> None:
    acl = backend.get_network_acl(request["NetworkAclId"])
    if acl.default:
        raise InvalidParameterValue(f"cannot delete default network ACL {acl.id}")
    if acl.associations:
        raise _has_dependencies("networkAcl", acl.id)


def _delete_network_acl_entry(backend: Any, request: Request) -> None:
    acl = backend.get_network_acl(request["NetworkAclId"])
    number, egress = int(request["RuleNumber"]), request["Egress"]
    if not 1 <= number <= LAST_RULE:
        raise InvalidParameterValue(
            f"Value ({number}) for parameter ruleNumber is invalid. Rulenumber must be in range 1..{LAST_RULE}"
        )
    if not any(entry.egress == egress and int(entry.rule_number) == number for entry in acl.entries):
        direction = "egress" if egress else "ingress"
        raise EC2ClientError("InvalidNetworkAclEntry.NotFound", f"no {direction} entry with number {number}")


def _delete_dhcp_options(backend: Any, request: Request) -> None:
    id_ = request["DhcpOptionsId"]
    if any(vpc.dhcp_options is not None and vpc.dhcp_options.id == id_ for vpc in backend.vpcs.values()):
        raise _has_dependencies("dhcpOptions", id_)


# -- interfaces, addresses, groups, volumes ---------------------------------------------------------------------------


def _delete_security_group(backend: Any, request: Request) -> None:
    name = request.get("GroupId") or request.get("GroupName") or ""
    group = backend.get_security_group_by_name_or_id(name)
    if group is None:
        return
    if group.is_default:
        raise EC2ClientError(
            "CannotDelete", f'the specified group: "{group.id}" name: "{group.name}" cannot be deleted by a user'
        )
    # moto takes an instance's interface away when it is asked to terminate, AWS when that has happened.
    if any(group in instance.security_groups for instance in living_instances(backend)):
        raise DependencyViolationError(f"resource {group.id} has a dependent object")


def _delete_network_interface(backend: Any, request: Request) -> None:
    interface = backend.get_network_interface(request["NetworkInterfaceId"])
    if interface.status == "in-use":
        raise InvalidParameterValue(f"Network interface '{interface.id}' is currently in use.")


def _detach_network_interface(backend: Any, request: Request) -> None:
    for interface in backend.enis.values():
        if interface.attachment_id == request["AttachmentId"] and interface.device_index == 0:
            raise LastEniDetachError


def _belongs_to_aws(address: Any) -> bool:
    """Whether an address is a NAT gateway's, and so is managed with it."""
    return bool(address.eni is not None and address.eni.requester_managed)


def _address(backend: Any, request: Request, parameter: str, attribute: str) -> Any | None:
    """The Elastic IP address that a request names; None when there is none, which moto then says."""
    for address in backend.addresses:
        if address.public_ip == request.get("PublicIp") or getattr(address, attribute) == request.get(parameter, ""):
            return address
    return None


def _release_address(backend: Any, request: Request) -> None:
    address = _address(backend, request, "AllocationId", "allocation_id")
    if address is None:
        return
    if not request.get("AllocationId") and address.allocation_id:
        raise InvalidParameterValue("You must specify an allocation id when releasing a VPC elastic IP address")
    _check_permission(address)
    # "Releasing an Elastic IP address automatically disassociates it" in a default VPC only (ReleaseAddress).
    if address.eni is not None and not backend.get_vpc(address.eni.vpc_id).is_default:
        raise EC2ClientError("InvalidIPAddress.InUse", f"Address {address.public_ip} is in use.")


def _disassociate_address(backend: Any, request: Request) -> None:
    address = _address(backend, request, "AssociationId", "association_id")
    if address is not None:
        _check_permission(address)


def _check_permission(address: Any) -> None:
    if _belongs_to_aws(address):
        raise EC2ClientError("AuthFailure", "You do not have permission to access the specified resource.")


def _detach_volume(backend: Any, request: Request) -> None:
    volume = backend.get_volume(request["VolumeId"])
    if volume.attachment is None:
        raise _incorrect_state(f"Volume '{volume.id}' is in the 'available' state.")
    instance = volume.attachment.instance
    if request.get("InstanceId", instance.id) == instance.id:  # its root volume, there are no others
        if instance.state != "stopped":
            raise OperationNotPermitted(f"Unable to detach root volume '{volume.id}' from instance '{instance.id}'")
        raise EC2ClientError("UnsupportedOperation", "The local cloud detaches no root volume.")


CHECKS: dict[str, Check] = {
    "delete_customer_gateway": _delete_customer_gateway,
    "delete_dhcp_options": _delete_dhcp_options,
    "delete_internet_gateway": _delete_internet_gateway,
    "delete_network_acl": _delete_network_acl,
    "delete_network_acl_entry": _delete_network_acl_entry,
    "delete_network_interface": _delete_network_interface,
    "delete_route": _delete_route,
    "delete_route_table": _delete_route_table,
    "delete_security_group": _delete_security_group,
    "delete_subnet": _delete_subnet,
    "delete_transit_gateway": _delete_transit_gateway,
    "delete_vpc": _delete_vpc,
    "delete_vpn_gateway": _delete_vpn_gateway,
    "detach_internet_gateway": _detach_internet_gateway,
    "detach_network_interface": _detach_network_interface,
    "detach_volume": _detach_volume,
    "disassociate_address": _disassociate_address,
    "disassociate_route_table": _disassociate_route_table,
    "disassociate_vpc_cidr_block": _disassociate_vpc_cidr_block,
    "release_address": _release_address,
}


# -- what goes with what is deleted -----------------------------------------------------------------------------------


def _install_subnets() -> None:
    delete = SubnetBackend.delete_subnet

    @functools.wraps(delete)
    def delete_with_associations(self: Any, subnet_id: str) -> Any:
        """moto leaves a subnet's associations, and what they are with can never be deleted."""
        subnet = delete(self, subnet_id)
        for table in self.route_tables.values():
            table._associations = {id_: other for id_, other in table._associations.items() if other != subnet_id}
        for acl in self.network_acls.values():
            acl._associations = {id_: a for id_, a in acl._associations.items() if a.subnet_id != subnet_id}
        return subnet

    SubnetBackend.delete_subnet = delete_with_associations  # type: ignore[method-assign]


def _install_vpcs() -> None:
    delete, associate = VPCBackend.delete_vpc, DHCPOptionsSetBackend.associate_dhcp_options

    @functools.wraps(delete)
    def delete_keeping_options(self: Any, vpc_id: str) -> Any:
        """With a VPC goes its default network ACL, and not its DHCP options, which may be another's too."""
        vpc = self.get_vpc(vpc_id)
        options, vpc.dhcp_options = vpc.dhcp_options, None
        try:
            delete(self, vpc_id)
        except ServiceException:
            vpc.dhcp_options = options
            raise
        if options is not None and options.vpc is vpc:
            options.vpc = None
        self.network_acls = {id_: acl for id_, acl in self.network_acls.items() if acl.vpc_id != vpc_id}
        return vpc

    @functools.wraps(associate)
    def associate_instead(self: Any, dhcp_options: Any, vpc: Any) -> None:
        if vpc.dhcp_options is not None and vpc.dhcp_options.vpc is vpc:
            vpc.dhcp_options.vpc = None
        associate(self, dhcp_options, vpc)

    VPCBackend.delete_vpc = delete_keeping_options  # type: ignore[method-assign]
    DHCPOptionsSetBackend.associate_dhcp_options = associate_instead  # type: ignore[method-assign]


def _install_nat_gateways() -> None:
    create, delete = NatGatewayBackend.create_nat_gateway, NatGatewayBackend.delete_nat_gateway

    @functools.wraps(create)
    def create_with_interface(self: Any, *args: Any, **kwargs: Any) -> Any:
        gateway = create(self, *args, **kwargs)
        gateway._eni.requester_managed, gateway._eni.status = True, "in-use"
        gateway._eni.interface_type = "nat_gateway"
        return gateway

    @functools.wraps(delete)
    def delete_with_interface(self: Any, nat_gateway_id: str) -> Any:
        gateway = delete(self, nat_gateway_id)
        if (address := elastic_address(gateway._eni)) is not None:
            address.instance = address.eni = address.association_id = None
        delete_interface(gateway._eni)
        return gateway

    NatGatewayBackend.create_nat_gateway = create_with_interface  # type: ignore[method-assign]
    NatGatewayBackend.delete_nat_gateway = delete_with_interface  # type: ignore[method-assign]


def _install_prefix_lists() -> None:
    delete = ManagedPrefixListBackend.delete_managed_prefix_list

    @functools.wraps(delete)
    def delete_unused(self: Any, prefix_list_id: str) -> Any:
        """AWS takes the request, and the deletion of a list in use then fails."""
        if _is_referenced(self, prefix_list_id):
            prefix_list = self.managed_prefix_lists[prefix_list_id]
            prefix_list.state, prefix_list.state_message = "delete-failed", "The prefix list is in use."
            return prefix_list
        return delete(self, prefix_list_id)

    ManagedPrefixListBackend.delete_managed_prefix_list = delete_unused  # type: ignore[method-assign]


def _is_referenced(backend: Any, prefix_list_id: str) -> bool:
    in_a_group = any(
        rule.prefix_list_id == prefix_list_id
        for group in backend.describe_security_groups()
        for rule in (*group.ingress_rules, *group.egress_rules)
    )
    return in_a_group or any(
        route.destination_prefix_list is not None and route.destination_prefix_list.id == prefix_list_id
        for table in backend.route_tables.values()
        for route in table.routes
    )
