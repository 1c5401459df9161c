"""What AWS looks at in a request of any operation, before the operation itself; moto doesn't.

EC2: with DryRun nothing is done. CloudWatch, Elastic Load Balancing, Auto Scaling, RDS: a value that is not one of the
enumeration's in the service's model is refused, in the words that these services share. EC2's enumerations are left to
its operations: new instance types come faster than models of them.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from botocore.model import ListShape, OperationNotFoundError, Shape, StringShape, StructureShape
from moto.core.responses import BaseResponse
from moto.core.utils import get_service_model
from moto.ec2.exceptions import DryRunClientError

from localcloud.overlay.refusals import serialized_error

CHECKED = ("autoscaling", "cloudwatch", "elbv2", "rds")
# CloudWatch's older operations have words of their own.
OLDER = ("GetMetricStatistics", "ListMetrics", "PutMetricData")


@dataclass(frozen=True)
class Violation:
    """A value that is none of its enumeration's. `path` is such as (DefaultActions, 1, member, Type)."""

    path: tuple[str, ...]
    value: str
    allowed: tuple[str, ...]

    def in_older_words(self) -> str:
        name = ".".join(f"member.{part}" if part.isdigit() else part for part in self.path if part != "member")
        return f"The parameter {name} must be a value in the set [ {', '.join(self.allowed)} ]."

    def __str__(self) -> str:
        path, value = self.path, self.value
        constraint = f"Member must satisfy enum value set: [{', '.join(self.allowed)}]"
        if path[-1].isdigit():  # of a list, which is named as a whole
            path, value, constraint = path[:-1], f"[{value}]", f"Member must satisfy constraint: [{constraint}]"
        name = ".".join(part[0].lower() + part[1:] for part in path)
        return f"Value '{value}' at '{name}' failed to satisfy constraint: {constraint}"


def install() -> None:
    """Wrap the one method through which moto's services answer."""
    answer = BaseResponse.call_action

    @functools.wraps(answer)
    def call_action(self: BaseResponse) -> Any:
        service = self.service_name
        if service == "ec2" and self._get_bool_param("DryRun", False):
            return serialized_error(self, DryRunClientError.code, DryRunClientError.message, 412)
        if service in CHECKED and (wrong := _wrong_values(self)):
            if self._get_action() in OLDER:
                return serialized_error(self, "InvalidParameterValue", wrong[0].in_older_words(), 400)
            errors = "1 validation error" if len(wrong) == 1 else f"{len(wrong)} validation errors"
            message = f"{errors} detected: {'; '.join(map(str, wrong))}"
            return serialized_error(self, "ValidationError", message, 400)
        return answer(self)

    BaseResponse.call_action = call_action  # type: ignore[method-assign]


def _wrong_values(response: BaseResponse) -> list[Violation]:
    try:
        model = get_service_model(response.boto3_service_name).operation_model(response._get_action())
    except OperationNotFoundError:
        return []
    return list(violations(response._get_params(), model.input_shape)) if model.input_shape else []


def violations(value: Any, shape: Shape, path: tuple[str, ...] = ()) -> Iterator[Violation]:
    """What in a parameter is none of its enumeration's."""
    if value is None:
        return
    if isinstance(shape, StructureShape):
        for name, member in shape.members.items():
            yield from violations(value.get(name), member, (*path, name))
    elif isinstance(shape, ListShape):
        below = () if isinstance(shape.member, StringShape) else ("member",)
        for number, item in enumerate(value, 1):
            yield from violations(item, shape.member, (*path, str(number), *below))
    elif isinstance(shape, StringShape) and shape.enum and value not in shape.enum:
        yield Violation(path, value, tuple(shape.enum))
