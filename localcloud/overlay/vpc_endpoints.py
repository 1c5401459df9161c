"""Gateway endpoints: one that names no type is one, and its routes follow its route tables whenever these change."""

from __future__ import annotations

from typing import Any

from moto.ec2.models.vpcs import VPCBackend

GATEWAY = "Gateway"


def install() -> None:
    create, modify, delete = (
        VPCBackend.create_vpc_endpoint,
        VPCBackend.modify_vpc_endpoint,
        VPCBackend.delete_vpc_endpoints,
    )

    def create_with_type(self: Any, *arguments: Any, **named: Any) -> Any:
        named["endpoint_type"] = named.get("endpoint_type") or GATEWAY
        return create(self, *arguments, **named)

    def modify_with_routes(self: Any, vpc_id: str, *arguments: Any, **named: Any) -> None:
        endpoint = self.describe_vpc_endpoints(vpc_end_point_ids=[vpc_id])[0]
        before = set(endpoint.route_table_ids or [])
        modify(self, vpc_id, *arguments, **named)
        after, prefix_list_id = set(endpoint.route_table_ids or []), endpoint.destination_prefix_list_id
        if prefix_list_id:
            for table in after - before:
                self.create_route(table, None, gateway_id=endpoint.id, destination_prefix_list_id=prefix_list_id)
            for table in before - after:
                self.delete_route(table, prefix_list_id)

    def delete_once(self: Any, vpce_ids: list[str] | None = None) -> None:
        known = [self.vpc_end_points[id_] for id_ in vpce_ids or [] if id_ in self.vpc_end_points]
        delete(self, [endpoint.id for endpoint in known if endpoint.state != "deleted"])

    VPCBackend.create_vpc_endpoint = create_with_type  # type: ignore[method-assign]
    VPCBackend.modify_vpc_endpoint = modify_with_routes  # type: ignore[method-assign]
    VPCBackend.delete_vpc_endpoints = delete_once  # type: ignore[method-assign]
