"""What AWS looks at in a request of any operation, before the operation itself; moto doesn't.

EC2: with DryRun nothing is done. CloudWatch, Elastic Load Balancing, Auto Scaling, RDS: a value that is not one of the
enumeration's in the service's model is refused, in the words that these services share. EC2's enumerations are left to
its operations: new instance types come faster than models of them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import Any

from botocore.model import ListShape, OperationNotFoundError, Shape, StringShape, StructureShape
from moto.core.responses import BaseResponse
from moto.core.utils import get_service_model
from moto.ec2.exceptions import DryRunClientError

from localcloud.overlay.refusals import serialized_error

CHECKED = ("autoscaling", "cloudwatch", "elbv2", "rds")
# Operations that answer in words of their own.
ELSEWHERE = {("GetMetricStatistics", "statistics")}


def install() -> None:
    """Wrap the one method through which moto's services answer."""
    answer = BaseResponse.call_action

    @functools.wraps(answer)
    def call_action(self: BaseResponse) -> Any:
        service = self.service_name
        if service == "ec2" and self._get_bool_param("DryRun", False):
            return serialized_error(self, DryRunClientError.code, DryRunClientError.message, 412)
        if service in CHECKED and (wrong := list(_wrong_values(self))):
            errors = "1 validation error" if len(wrong) == 1 else f"{len(wrong)} validation errors"
            return serialized_error(self, "ValidationError", f"{errors} detected: {'; '.join(wrong)}", 400)
        return answer(self)

    BaseResponse.call_action = call_action  # type: ignore[method-assign]


def _wrong_values(response: BaseResponse) -> Iterator[str]:
    """What is wrong with the values of a request's enumerations."""
    operation = response._get_action()
    try:
        shape = get_service_model(response.boto3_service_name).operation_model(operation).input_shape
    except OperationNotFoundError:
        return
    if shape is not None:
        for path, problem in violations(response._get_params(), shape):
            if (operation, path) not in ELSEWHERE:
                yield problem


def violations(value: Any, shape: Shape, path: str = "") -> Iterator[tuple[str, str]]:
    """Where in a parameter a value is none of its enumeration's, and that in AWS's words.

    A path is such as `defaultActions.1.member.type`.
    """
    if value is None:
        return
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            below = name[0].lower() + name[1:]
            yield from violations(value.get(name), member, f"{path}.{below}" if path else below)
    elif isinstance(shape, ListShape) and isinstance(shape.member, StringShape) and shape.member.enum:
        if not set(value) <= set(shape.member.enum):
            constraint = f"Member must satisfy constraint: [{_value_set(shape.member)}]"
            yield path, _violation(f"[{', '.join(value)}]", path, constraint)
    elif isinstance(shape, ListShape):
        for number, item in enumerate(value, 1):
            yield from violations(item, shape.member, f"{path}.{number}.member")
    elif isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        yield path, _violation(value, path, _value_set(shape))


def _violation(value: str, path: str, constraint: str) -> str:
    return f"Value '{value}' at '{path}' failed to satisfy constraint: {constraint}"


def _value_set(shape: StringShape) -> str:
    return f"Member must satisfy enum value set: [{', '.join(shape.enum)}]"
