"""Keep the user's AWS profile away from the local cloud: see DOCUMENTATION."""

from __future__ import annotations

import os
from typing import Any

from ansible.plugins.lookup import LookupBase

DOCUMENTATION = """
name: no_aws_profile
short_description: An empty profile name, and none in this process's environment
description:
  - Lookups and the inventory plugin run inside Ansible, where a play's C(environment) doesn't reach.
    There, botocore refuses to start when C(AWS_PROFILE) names a profile that doesn't exist, even if it is given keys.
  - This lookup takes the variable out of the environment of the process that is about to use botocore, and returns an
    empty string for the C(profile) option. inventory/local/group_vars/all.yml uses it.
"""


class LookupModule(LookupBase):
    """See DOCUMENTATION."""

    def run(self, terms: list[Any], variables: dict[str, Any] | None = None, **kwargs: Any) -> list[str]:  # noqa: ARG002
        """Forget the profile; the answer is one empty string."""
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
            os.environ.pop(name, None)
        return [""]
