"""Addresses in subnets, and the network interfaces of AWS's own machines (load balancers, databases).

moto keeps its place among a subnet's addresses in a cache of the process: after a restart it would give out the
network's own first addresses. And it gives out first what was released last, which here is the address of a machine
that is still shutting down.
"""

from __future__ import annotations

import functools
import ipaddress
import itertools
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.elastic_network_interfaces import NetworkInterface, NetworkInterfaceBackend
from moto.ec2.models.subnets import Subnet

RESERVED_ADDRESSES = 4  # the network's own, the router's, and two more at the start of each subnet, as on AWS


def next_address(subnet: Any) -> str:
    """The free address of a subnet that was not in use for the longest time.

    Raises EC2's InsufficientFreeAddressesInSubnet when there is none.
    """
    first = int(subnet.cidr.network_address) + RESERVED_ADDRESSES
    last = int(subnet.cidr.broadcast_address) - 1
    begin = subnet.__dict__.get("next_address", first)
    for number in itertools.chain(range(begin, last + 1), range(first, begin)):
        address = ipaddress.ip_address(number)
        if str(address) not in subnet._subnet_ips and address not in subnet._reserved_ips:
            subnet.next_address = number + 1
            return str(address)
    raise no_free_address(subnet)


def no_free_address(subnet: Any) -> EC2ClientError:
    return EC2ClientError(
        "InsufficientFreeAddressesInSubnet",
        f"There are not enough free addresses in subnet '{subnet.id}' to satisfy the requested number of instances.",
    )


def free_addresses(subnet: Any) -> int:
    """How many addresses of a subnet can be given out. AWS keeps five: four at the start and the last one."""
    usable = int(subnet.cidr.num_addresses) - RESERVED_ADDRESSES - 1
    return usable - len(subnet._subnet_ips) - len(subnet._reserved_ips)


def metadata_address(vpc_cidr: str) -> str:
    """The address of a VPC that AWS reserves "for future use"; here the metadata service's container has it."""
    return str(ipaddress.ip_network(vpc_cidr).network_address + 3)


def mac_address(address: str) -> str:
    """A network interface's MAC address. It follows from the IP address, as Docker's own do: when an address is given
    again, what its neighbours remember is still right."""
    return "02:42:" + ":".join(f"{byte:02x}" for byte in ipaddress.ip_address(address).packed)


def elastic_address(interface: Any) -> Any | None:
    return next((address for address in interface.ec2_backend.addresses if address.eni is interface), None)


def install() -> None:
    """Change moto's subnets and network interfaces."""
    create, delete = NetworkInterface.__init__, NetworkInterfaceBackend.delete_network_interface
    start, stop = NetworkInterface.start, NetworkInterface.stop

    def get_available_subnet_ip(self: Subnet, instance: Any) -> str:
        address = next_address(self)
        self._unused_ips.discard(address)
        self._subnet_ips[address] = instance
        return address

    def request_ip(self: Subnet, ip: str, instance: Any) -> None:
        """Take an address that the client chose; moto answers with an internal error when it can't be had."""
        address = ipaddress.ip_address(ip)
        place = int(address) - int(self.cidr.network_address)
        if address not in self.cidr:
            raise EC2ClientError(
                "InvalidParameterValue", f"Address {ip} does not fall within the subnet's address range"
            )
        if not RESERVED_ADDRESSES <= place < self.cidr.num_addresses - 1:
            raise EC2ClientError("InvalidParameterValue", f"Address {ip} is in subnet's reserved address range")
        if ip in self._subnet_ips:
            raise EC2ClientError("InvalidIPAddress.InUse", f"Address {ip} is in use.")
        self._unused_ips.discard(ip)
        self._subnet_ips[ip] = instance

    @functools.wraps(create)
    def create_in_subnet(
        self: NetworkInterface, ec2_backend: Any, subnet: Any, private_ip_address: Any, *args: Any, **kwargs: Any
    ) -> None:
        """moto gives an interface that is made by itself any address, and does not see that it is taken."""
        subnet = ec2_backend.get_subnet(subnet) if isinstance(subnet, str) else subnet
        addresses = kwargs.get("private_ip_addresses") or (args[0] if args else None)
        if not private_ip_address and not addresses:
            private_ip_address = subnet.get_available_subnet_ip(self)
        create(self, ec2_backend, subnet, private_ip_address, *args, **kwargs)
        if self.private_ip_address:
            subnet._subnet_ips.setdefault(self.private_ip_address, self)
            self.mac_address = mac_address(self.private_ip_address)

    @functools.wraps(delete)
    def delete_network_interface(self: NetworkInterfaceBackend, eni_id: str) -> None:
        interface = self.enis.get(eni_id)
        delete(self, eni_id)
        if interface is not None:
            interface.subnet.del_subnet_ip(interface.private_ip_address)

    def switch_off(self: NetworkInterface) -> None:
        """The public address goes back to AWS when the instance stops, an Elastic IP address stays."""
        if elastic_address(self) is None:
            stop(self)

    def switch_on(self: NetworkInterface) -> None:
        if elastic_address(self) is None:
            start(self)

    NetworkInterface.stop = switch_off  # type: ignore[method-assign]
    NetworkInterface.start = switch_on  # type: ignore[method-assign]
    Subnet.get_available_subnet_ip = get_available_subnet_ip  # type: ignore[method-assign]
    Subnet.request_ip = request_ip  # type: ignore[method-assign]
    NetworkInterface.__init__ = create_in_subnet  # type: ignore[method-assign]
    NetworkInterfaceBackend.delete_network_interface = delete_network_interface  # type: ignore[method-assign]


def create_interface(subnet: Any, description: str, group_ids: list[str]) -> Any:
    """A network interface with an address of its own in moto's `subnet`, which no instance will be given."""
    address = subnet.get_available_subnet_ip(description)
    interface = subnet.ec2_backend.create_network_interface(
        subnet, address, group_ids=group_ids, description=description
    )
    interface.requester_managed = True  # AWS's own: it can't be deleted while what it belongs to exists
    interface.status = "in-use"
    return interface


def delete_interface(interface: Any) -> None:
    """Remove the interface and give its address back. Done twice, the second time does nothing."""
    backend = interface.subnet.ec2_backend
    if backend.enis.pop(interface.id, None) is not None:
        interface.subnet.del_subnet_ip(interface.private_ip_address)
