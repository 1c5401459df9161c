"""IAM: AWS's own managed policies are there, such as `arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore`.

moto brings them and leaves them out unless told otherwise. They are 4 MB in 1,600 policies, which the saved state, that
is written after each change, would be slowed down by: it holds those that are attached to something, and the others
come from moto again.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Callable
from typing import Any

from moto.core.config import default_user_config
from moto.core.responses import ActionResult
from moto.iam.exceptions import IAMException
from moto.iam.models import AWSManagedPolicy, IAMBackend, ManagedPolicy
from moto.iam.responses import IamResponse


def install() -> None:
    """Switch AWS's managed policies on, and refuse changes to them."""
    default_user_config["iam"] = {"load_aws_managed_policies": True}
    published: dict[tuple[str, str], list[ManagedPolicy]] = {}
    init, attach = IAMBackend._init_aws_policies, ManagedPolicy.attach_to

    @functools.wraps(init)
    def init_aws_policies(self: IAMBackend) -> list[ManagedPolicy]:
        """Those of before, which nothing can have changed: to read them takes a tenth of a second and 40 MB."""
        key = (self.account_id, self.partition)
        if key not in published:
            published[key] = init(self)
            for policy in published[key]:
                policy.id = policy_id(policy.arn)
        for policy in published[key]:
            policy.attachment_count = 0  # whatever it was before a reset, or in another state
        return list(published[key])

    @functools.wraps(attach)
    def attach_once(self: ManagedPolicy, target: Any) -> None:
        """What is attached already stays as it is; moto counts it again, and the count never gets back to zero."""
        if self.arn not in target.managed_policies:
            attach(self, target)

    IAMBackend._init_aws_policies = init_aws_policies  # type: ignore[method-assign]
    ManagedPolicy.attach_to = attach_once  # type: ignore[method-assign,assignment]
    IamResponse.update_role = update_role  # type: ignore[method-assign]
    backend: Any = IAMBackend
    for method in (
        "create_policy_version",
        "delete_policy",
        "delete_policy_version",
        "set_default_policy_version",
        "tag_policy",
        "untag_policy",
    ):
        setattr(backend, method, _refusing_aws_policies(getattr(backend, method)))


def update_role(self: IamResponse) -> ActionResult:
    """UpdateRole; what the request leaves out stays as it is, where moto empties it."""
    role = self.backend.get_role(self._get_param("RoleName"))
    role.description = self._get_param("Description", role.description)
    role.max_session_duration = self._get_param("MaxSessionDuration", role.max_session_duration)
    return ActionResult({})


def policy_id(arn: str) -> str:
    """The id of a policy of AWS's, the same in each process; moto makes a new one each time."""
    return "ANPA" + base64.b32encode(hashlib.sha256(arn.encode()).digest()).decode()[:17]


def _refusing_aws_policies(change: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(change)
    def change_own_policy(self: IAMBackend, policy_arn: str, *args: Any, **kwargs: Any) -> Any:
        if isinstance(self.managed_policies.get(policy_arn), AWSManagedPolicy):
            raise IAMException("AccessDenied", "Policy is outside your own account.")
        return change(self, policy_arn, *args, **kwargs)

    return change_own_policy


def without_unattached_aws_policies(state: dict[str, Any]) -> dict[str, Any]:
    """An IAM backend's attributes, less the policies of AWS's that nothing has."""
    kept = {
        arn: policy
        for arn, policy in state["managed_policies"].items()
        if not isinstance(policy, AWSManagedPolicy) or policy.attachment_count
    }
    return {**state, "managed_policies": kept, "aws_managed_policies": []}


def add_aws_policies(backend: IAMBackend) -> None:
    """Give a backend that was loaded the policies of AWS's that were left out when it was saved."""
    aws_policies = {policy.arn: policy for policy in backend._init_aws_policies()}
    backend.managed_policies = {**aws_policies, **backend.managed_policies}
    backend.aws_managed_policies = [
        policy for policy in backend.managed_policies.values() if isinstance(policy, AWSManagedPolicy)
    ]
