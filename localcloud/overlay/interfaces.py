"""Network interfaces of AWS's own machines (load balancers, databases): how they get an address in a subnet."""

from __future__ import annotations

from typing import Any


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
