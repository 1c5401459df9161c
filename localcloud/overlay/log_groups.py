"""CloudWatch Logs: a log group's class and its protection from deletion, which moto drops.

And a metric filter takes the place of one of its name.
"""

from __future__ import annotations

import functools
from typing import Any

from moto.logs.exceptions import InvalidParameterException
from moto.logs.metric_filters import MetricFilters
from moto.logs.models import LogGroup
from moto.logs.responses import LogsResponse

CLASSES = ("STANDARD", "INFREQUENT_ACCESS", "DELIVERY")


def install() -> None:
    """Change moto's log groups."""
    create, describe = LogsResponse.create_log_group, LogGroup.to_describe_dict

    @functools.wraps(create)
    def create_with_class(self: LogsResponse) -> str:
        log_group_class = self._get_param("logGroupClass", CLASSES[0])
        if log_group_class not in CLASSES:
            raise InvalidParameterException(
                constraint=f"Member must satisfy enum value set: [{', '.join(CLASSES)}]",
                parameter="logGroupClass",
                value=log_group_class,
            )
        answer = create(self)
        group: Any = self.logs_backend.groups[self._get_param("logGroupName")]
        group.log_group_class = log_group_class
        group.deletion_protection_enabled = self._get_param("deletionProtectionEnabled", False)
        return answer

    @functools.wraps(describe)
    def describe_with_class(self: Any) -> dict[str, Any]:
        return {
            **describe(self),
            "logGroupClass": self.log_group_class,
            "deletionProtectionEnabled": self.deletion_protection_enabled,
        }

    add_filter = MetricFilters.add_filter

    @functools.wraps(add_filter)
    def replace_filter(self: MetricFilters, filter_name: str, pattern: str, log_group_name: str, *args: Any) -> None:
        """Put a filter in place of that of its name; moto keeps both."""
        self.metric_filters[:] = [
            known
            for known in self.metric_filters
            if (known["filterName"], known["logGroupName"]) != (filter_name, log_group_name)
        ]
        add_filter(self, filter_name, pattern, log_group_name, *args)

    MetricFilters.add_filter = replace_filter  # type: ignore[method-assign,assignment]
    of_older: Any = LogGroup  # which an older version of this program saved, or another service made
    of_older.log_group_class, of_older.deletion_protection_enabled = CLASSES[0], False
    LogsResponse.create_log_group = create_with_class  # type: ignore[method-assign]
    LogGroup.to_describe_dict = describe_with_class  # type: ignore[method-assign]
