"""VPC flow logs: what CreateFlowLogs is told of their delivery, which moto drops."""

from __future__ import annotations

import functools
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models.flow_logs import FlowLogs as FlowLog
from moto.ec2.responses.flow_logs import FlowLogs

FILE_OPTIONS = {"FileFormat": "plain-text", "HiveCompatiblePartitions": False, "PerHourPartition": False}


def install() -> None:
    """Change moto's flow logs."""
    create = FlowLogs.create_flow_logs

    @functools.wraps(create)
    def create_with_destination(self: FlowLogs) -> ActionResult:
        result = create(self)
        given = self._get_param("DestinationOptions")
        for flow_log_id in result.result["FlowLogIds"]:  # type: ignore[index]
            flow_log = self.ec2_backend.flow_logs[flow_log_id]
            flow_log.destination_options = {**FILE_OPTIONS, **given} if given else None
            flow_log.deliver_cross_account_role = self._get_param("DeliverCrossAccountRole")
        return result

    of_older: Any = FlowLog  # which an older version of this program saved
    of_older.destination_options = of_older.deliver_cross_account_role = None
    FlowLogs.create_flow_logs = create_with_destination  # type: ignore[method-assign]
