"""Managed prefix lists: what a change leaves out stays as it is, a description of an entry can be changed.

moto takes the name from a list that is changed otherwise. Entries are added to the newest version, whichever is named:
Terraform's provider names the one before when it changes a description, which takes it two requests.
"""

from __future__ import annotations

import functools
from typing import Any

from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models.managed_prefixes import ManagedPrefixList, ManagedPrefixListBackend


def install() -> None:
    """Change moto's class."""
    modify = ManagedPrefixListBackend.modify_managed_prefix_list

    @functools.wraps(modify)
    def modify_named(
        self: Any,
        add_entry: list[dict[str, str]],
        remove_entry: list[dict[str, str]],
        prefix_list_id: str,
        current_version: int | None = None,  # noqa: ARG001 -- moto names it
        prefix_list_name: str | None = None,
    ) -> ManagedPrefixList:
        changed: ManagedPrefixList | None = self.managed_prefix_lists.get(prefix_list_id)
        if changed is None:
            raise EC2ClientError(
                "InvalidPrefixListID.NotFound", f"The prefix list ID '{prefix_list_id}' does not exist"
            )
        # An entry that is there gets the description that is given now.
        replaced = [{"Cidr": entry["Cidr"]} for entry in add_entry]
        name = prefix_list_name or changed.prefix_list_name
        return modify(self, add_entry, [*remove_entry, *replaced], prefix_list_id, None, name)

    ManagedPrefixListBackend.modify_managed_prefix_list = modify_named  # type: ignore[method-assign,assignment]
