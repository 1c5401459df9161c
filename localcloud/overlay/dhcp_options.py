"""DHCP options: tags that are given when they are made, which moto drops."""

from __future__ import annotations

import functools
from typing import Any, cast

from moto.core.responses import ActionResult
from moto.ec2.responses.dhcp_options import DHCPOptions


def install() -> None:
    """Change moto's answer."""
    create = DHCPOptions.create_dhcp_options

    @functools.wraps(create)
    def create_with_tags(self: DHCPOptions) -> ActionResult:
        tags = self._parse_tag_specification().get("dhcp-options", {})
        answer: Any = create(self)
        answer.result["DhcpOptions"].add_tags(tags)
        return cast(ActionResult, answer)

    DHCPOptions.create_dhcp_options = create_with_tags  # type: ignore[method-assign]
