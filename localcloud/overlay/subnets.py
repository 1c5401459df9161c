"""What ModifySubnetAttribute is told and DescribeSubnets repeats. moto takes three of the attributes."""

from __future__ import annotations

from typing import Any

from moto.core.responses import EmptyResult
from moto.ec2.models.subnets import Subnet
from moto.ec2.responses.subnets import Subnets

# Of the request: of the subnet, in moto's spelling.
ATTRIBUTES = {
    "AssignIpv6AddressOnCreation": "assign_ipv6_address_on_creation",
    "EnableDns64": "enable_dns64",
    "MapCustomerOwnedIpOnLaunch": "map_customer_owned_ip_on_launch",
    "MapPublicIpOnLaunch": "map_public_ip_on_launch",
}
# Of the request: of the subnet's PrivateDnsNameOptionsOnLaunch.
NAME_OPTIONS = {
    "EnableResourceNameDnsAAAARecordOnLaunch": "EnableResourceNameDnsAAAARecord",
    "EnableResourceNameDnsARecordOnLaunch": "EnableResourceNameDnsARecord",
}


def install() -> None:
    """Change moto's subnets."""

    def modify_subnet_attribute(self: Subnets) -> EmptyResult:
        subnet = self.ec2_backend.get_subnet(self._get_param("SubnetId"))
        options = dict(subnet.private_dns_name_options_on_launch)
        for name, attribute in ATTRIBUTES.items():
            value = self._get_param(f"{name}.Value")
            if value is not None:
                setattr(subnet, attribute, value)
        for name, attribute in NAME_OPTIONS.items():
            value = self._get_param(f"{name}.Value")
            if value is not None:
                options[attribute] = value
        options["HostnameType"] = self._get_param("PrivateDnsHostnameTypeOnLaunch") or options["HostnameType"]
        subnet.private_dns_name_options_on_launch = options
        subnet.customer_owned_ipv4_pool = self._get_param("CustomerOwnedIpv4Pool") or subnet.customer_owned_ipv4_pool
        subnet.enable_lni_at_device_index = (
            self._get_int_param("EnableLniAtDeviceIndex") or subnet.enable_lni_at_device_index
        )
        if self._get_param("DisableLniAtDeviceIndex.Value"):
            subnet.enable_lni_at_device_index = None
        return EmptyResult()

    def ipv6_associations(self: Any) -> list[dict[str, Any]]:
        """moto puts the whole of a state, a dictionary, where its name belongs."""
        return [
            association
            for association in self.ipv6_cidr_block_associations.values()
            if association["ipv6CidrBlockState"]["State"] == "associated"
        ]

    subnet: Any = Subnet
    subnet.enable_dns64 = subnet.map_customer_owned_ip_on_launch = False
    subnet.customer_owned_ipv4_pool = subnet.enable_lni_at_device_index = None
    subnet.ipv6_cidr_block_association_set = property(ipv6_associations)
    Subnets.modify_subnet_attribute = modify_subnet_attribute  # type: ignore[method-assign]
