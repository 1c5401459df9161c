"""The services that a VPC endpoint can be made for (DescribeVpcEndpointServices), which moto needs CloudFormation for.

moto asks the services that it has; where the packages of one are not installed it is described as most services are. It
gives each a new id in each process, and mixes the filters up.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable
from typing import Any

from moto import backends
from moto.ec2.exceptions import InvalidFilter
from moto.ec2.models import vpcs
from moto.ec2.models.vpcs import VPCBackend

from localcloud.backends import without_lock
from localcloud.overlay.filters import matches

# Filter -> the values of a service that it is compared with.
FILTERS: dict[str, Callable[[Any], list[str]]] = {
    "owner": lambda service: [service["Owner"]],
    "service-name": lambda service: [service["ServiceName"]],
    "service-region": lambda service: [service["ServiceRegion"]],
    "service-type": lambda service: [kind["ServiceType"] for kind in service["ServiceType"]],
    "supported-ip-address-types": lambda service: service["SupportedIpAddressTypes"],
    "tag-key": lambda service: [tag["Key"] for tag in service["Tags"]],
}


def install() -> None:
    """Change moto's list of services."""
    collect = VPCBackend._collect_default_endpoint_services

    def collect_what_is_here(account_id: str, region: str) -> list[dict[str, Any]]:
        with without_lock():
            _leave_out_missing_services()
        services: list[dict[str, Any]] = collect(account_id, region)
        for service in services:
            kinds = [kind["ServiceType"] for kind in service["ServiceType"]]
            digest = hashlib.sha256(f"{region} {service['ServiceName']} {kinds}".encode()).hexdigest()
            service |= {
                "ServiceId": f"vpce-svc-0{digest[:16]}",
                "ServiceRegion": region,
                "SupportedIpAddressTypes": ["ipv4"],
            }
        return services

    def filter_services(
        names: list[str], filters: list[dict[str, Any]], services: list[dict[str, Any]]
    ) -> list[dict[str, Any]]:
        for wanted in filters:
            if wanted["Name"] not in FILTERS and not wanted["Name"].startswith("tag:"):
                raise InvalidFilter(wanted["Name"])
        return [
            service
            for service in services
            if (not names or service["ServiceName"] in names)
            and all(matches(_values(service, wanted["Name"]), wanted.get("Values", [])) for wanted in filters)
        ]

    backend: Any = VPCBackend
    backend._collect_default_endpoint_services = staticmethod(collect_what_is_here)
    backend._filter_endpoint_services = staticmethod(filter_services)


def _values(service: dict[str, Any], name: str) -> list[str]:
    if name.startswith("tag:"):
        return [tag["Value"] for tag in service["Tags"] if tag["Key"] == name.removeprefix("tag:")]
    return FILTERS[name](service)


@functools.cache
def _leave_out_missing_services() -> None:
    """Have moto ask only those services that can be imported, which takes seconds the first time."""
    for service in list(vpcs.IMPLEMENTED_ENDPOINT_SERVICES):
        try:
            backends.get_backend(service)  # type: ignore[call-overload]
        except ModuleNotFoundError:
            vpcs.IMPLEMENTED_ENDPOINT_SERVICES.remove(service)
            vpcs.COVERED_ENDPOINT_SERVICES.remove(service)
