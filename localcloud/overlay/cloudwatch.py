"""CloudWatch: measured metrics beside those that were put, alarms that start without data, keep a history and act.

moto never evaluates an alarm; its new alarms are `OK` and a changed one forgets its state. The reconciler of the alarms
evaluates; `change_state` here is the one place where an alarm changes its state, and so where its actions run.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import re
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from moto.cloudwatch.exceptions import (
    CloudWatchException,
    InvalidParameterCombination,
    InvalidParameterValue,
    ResourceNotFoundException,
    ValidationError,
)
from moto.cloudwatch.models import Alarm, CloudWatchBackend, MetricDataQuery, MetricDatumBase
from moto.cloudwatch.responses import CloudWatchResponse
from moto.core.common_models import CloudWatchMetricProvider
from moto.core.responses import ActionResult, EmptyResult
from moto.core.utils import utcnow

from localcloud import backends, metric_math
from localcloud.alarm_rules import RuleError, parse_rule
from localcloud.metric_statistics import aggregate, is_extended, is_statistic
from localcloud.metrics import MEASURED, epoch
from localcloud.overlay import scaling_policies
from localcloud.overlay.autoscaling import find_group, suspended
from localcloud.overlay.pages import page

LOGGER = logging.getLogger(__name__)
OK, ALARM, INSUFFICIENT_DATA = "OK", "ALARM", "INSUFFICIENT_DATA"
KEPT_HISTORY = 100  # items per alarm; AWS keeps thirty days

_INITIAL_REASON = "Unchecked: Initial alarm creation"


class MeasuredMetricProvider(CloudWatchMetricProvider):
    """Gives moto's CloudWatch what was measured here, each time it is asked: none of it is in the saved state."""

    @staticmethod
    def get_cloudwatch_metrics(account_id: str, region: str) -> list[MetricDatumBase]:
        return MEASURED.data((account_id, region))


def describe_state(alarm: Any) -> dict[str, Any]:
    state = {"stateValue": alarm.state_value, "stateReason": alarm.state_reason}
    with contextlib.suppress(TypeError, ValueError):
        if reason_data := json.loads(alarm.state_reason_data or "{}"):
            state["stateReasonData"] = reason_data
    return state


def add_history(alarm: Any, kind: str, summary: str, data: dict[str, Any]) -> None:
    """`kind`: ConfigurationUpdate, StateUpdate or Action."""
    alarm.events.insert(
        0,
        {
            "AlarmName": alarm.name,
            "AlarmType": "MetricAlarm" if alarm.rule is None else "CompositeAlarm",
            "Timestamp": utcnow(),
            "HistoryItemType": kind,
            "HistorySummary": summary,
            "HistoryData": json.dumps({"version": "1.0", **data}, default=str),
        },
    )
    del alarm.events[KEPT_HISTORY:]


def change_state(backend: Any, alarm: Any, value: str, reason: str, reason_data: str = "{}") -> bool:
    """Put an alarm into a state. When that is another one than before, write history and run the actions."""
    old = describe_state(alarm)
    changed = value != alarm.state_value
    alarm.state_reason, alarm.state_reason_data, alarm.state_value = reason, reason_data, value
    alarm.state_updated_timestamp = utcnow()
    if not changed:
        return False
    alarm.state_transitioned_timestamp = alarm.state_updated_timestamp
    LOGGER.info("alarm %s: %s -> %s: %s", alarm.name, old["stateValue"], value, reason)
    summary = f"Alarm updated from {old['stateValue']} to {value}"
    add_history(alarm, "StateUpdate", summary, {"oldState": old, "newState": describe_state(alarm)})
    run_actions(backend, alarm)
    return True


def run_actions(backend: Any, alarm: Any, again: bool = False, metric_value: float | None = None) -> None:
    """Run the actions of the alarm's state. `again`: it stays in that state, which only scaling policies act upon."""
    if not alarm.actions_enabled:
        return
    actions = {OK: alarm.ok_actions, ALARM: alarm.alarm_actions}.get(alarm.state_value, alarm.insufficient_data_actions)
    for action in actions:
        try:
            acted = _run_action(backend, alarm, action, again, metric_value)
        except Exception as error:
            LOGGER.error("alarm %s: action %s failed: %s", alarm.name, action, error)
            if not again:
                data = {"actionState": "Failed", "notificationResource": action, "error": str(error)}
                add_history(alarm, "Action", f"Failed to execute action {action}", data)
            continue
        if acted or not again:
            data = {"actionState": "Succeeded", "notificationResource": action}
            add_history(alarm, "Action", f"Successfully executed action {action}", data)


def _run_action(backend: Any, alarm: Any, action: str, again: bool, metric_value: float | None) -> bool:
    """Run one action; returns whether it did something."""
    if ":scalingPolicy:" in action:
        groups = backends.backend("autoscaling", backend.account_id, backend.region_name)
        policy = scaling_policies.find_policy(groups, action, None)
        if suspended(find_group(groups, policy.auto_scaling_group_name), "AlarmNotification"):
            return False
        value = metric_value if metric_value is not None else _newest_value(alarm)
        reason = f"a monitor alarm {alarm.name} in state {alarm.state_value} triggered policy {policy.name}"
        return scaling_policies.execute_policy(policy, reason, True, value, alarm.threshold, alarm.name)
    if again:
        return False
    if (verb := _ec2_verb(action)) is not None:
        ec2 = backends.backend("ec2", backend.account_id, backend.region_name)
        instance_ids = [dimension.value for dimension in alarm.dimensions if dimension.name == "InstanceId"]
        getattr(ec2, f"{verb}_instances")(instance_ids)
        return True
    if ":sns:" in action:
        message = {
            "AlarmName": alarm.name,
            "AlarmDescription": alarm.description,
            "AWSAccountId": backend.account_id,
            "NewStateValue": alarm.state_value,
            "NewStateReason": alarm.state_reason,
            "StateChangeTime": alarm.state_updated_timestamp,
            "Region": backend.region_name,
            "AlarmArn": alarm.alarm_arn,
        }
        sns = backends.backend("sns", backend.account_id, backend.region_name)
        sns.publish(json.dumps(message, default=str), arn=action, subject=f'{alarm.state_value}: "{alarm.name}"'[:100])
        return True
    raise ValueError("the local cloud does not execute actions of this kind")


def _ec2_verb(action: str) -> str | None:
    """What an EC2 action such as `arn:aws:automate:us-east-1:ec2:stop` does; None for another kind of action."""
    if ":automate:" not in action or ":ec2:" not in action:
        return None
    verb = action.rpartition(":")[2]
    if verb not in ("stop", "terminate", "reboot"):
        raise ValueError(f"the local cloud does not {verb} instances")
    return verb


def _newest_value(alarm: Any) -> float | None:
    with contextlib.suppress(TypeError, ValueError):
        points = json.loads(alarm.state_reason_data or "{}").get("recentDatapoints") or []
        return float(points[-1]) if points else None
    return None


def install() -> None:
    """Change moto's CloudWatch classes."""
    create, put, set_state = Alarm.__init__, CloudWatchBackend.put_metric_alarm, CloudWatchBackend.set_alarm_state
    list_tags = CloudWatchBackend.list_tags_for_resource
    disable, enable = CloudWatchBackend.disable_alarm_actions, CloudWatchBackend.enable_alarm_actions

    @functools.wraps(create)
    def create_unchecked(self: Any, *args: Any, **kwargs: Any) -> None:
        create(self, *args, **kwargs)
        self.events = []
        self.state_value = INSUFFICIENT_DATA
        self.state_reason = _INITIAL_REASON
        self.state_transitioned_timestamp = self.state_updated_timestamp
        # Numbers, whichever way the request wrote them.
        for attribute in ("period", "evaluation_periods", "datapoints_to_alarm"):
            value = getattr(self, attribute)
            setattr(self, attribute, None if value is None else int(value))
        self.threshold = None if self.threshold is None else float(self.threshold)

    @functools.wraps(put)
    def put_metric_alarm(self: Any, **kwargs: Any) -> Any:
        _check_alarm(self, kwargs)
        before = self.alarms.get(kwargs["name"])
        extended = kwargs.get("extended_statistic")
        alarm = put(self, **{**kwargs, "extended_statistic": None})  # moto takes percentiles only
        alarm.extended_statistic = extended
        if before is None:
            add_history(alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" created', {"type": "Create"})
            return alarm
        # A changed alarm keeps its state until the next evaluation.
        for attribute in (
            "events", "state_value", "state_reason", "state_reason_data", "state_updated_timestamp",
            "state_transitioned_timestamp",
        ):  # fmt: skip
            setattr(alarm, attribute, getattr(before, attribute))
        add_history(alarm, "ConfigurationUpdate", f'Alarm "{alarm.name}" updated', {"type": "Update"})
        return alarm

    @functools.wraps(set_state)
    def set_alarm_state(self: Any, alarm_name: str, reason: str, reason_data: str, state_value: str) -> None:
        before = self.alarms.get(alarm_name)
        state = (before.state_reason, before.state_reason_data, before.state_value) if before else ("", "", "")
        set_state(self, alarm_name, reason, reason_data, state_value)  # checks the arguments
        alarm = self.alarms[alarm_name]
        alarm.history.clear()
        alarm.state_reason, alarm.state_reason_data, alarm.state_value = state
        change_state(self, alarm, state_value, reason, reason_data or "{}")

    def describe_alarms(self: Any) -> ActionResult:
        names, kinds = self._get_param("AlarmNames", []), self._get_param("AlarmTypes", []) or ["MetricAlarm"]
        prefix, action = self._get_param("AlarmNamePrefix"), self._get_param("ActionPrefix")
        state = self._get_param("StateValue")
        found = [
            alarm
            for name, alarm in sorted(self.cloudwatch_backend.alarms.items())
            if (not names or name in names)
            and name.startswith(prefix or "")
            and (not action or any(item.startswith(action) for item in alarm.alarm_actions))
            and (not state or alarm.state_value == state)
            and ("MetricAlarm" if alarm.rule is None else "CompositeAlarm") in kinds
        ]
        size = min(100, self._get_int_param("MaxRecords") or 100)  # AWS: 50, and at most 100
        alarms, token = page(found, self._get_param("NextToken"), size, CloudWatchException)
        return ActionResult(
            {
                "MetricAlarms": [alarm for alarm in alarms if alarm.rule is None],
                "CompositeAlarms": [alarm for alarm in alarms if alarm.rule is not None],
                "NextToken": token,
            }
        )

    def put_composite_alarm(self: Any) -> ActionResult:
        if self._get_param("ActionsSuppressor"):
            raise ValidationError("The local cloud does not suppress actions of composite alarms.")
        self.put_metric_alarm()  # it reads the rule, too
        return EmptyResult()

    def describe_alarm_history(self: Any) -> ActionResult:
        name, kind = self._get_param("AlarmName"), self._get_param("HistoryItemType")
        start, end = _naive(self._get_param("StartDate")), _naive(self._get_param("EndDate"))
        items = [
            event
            for alarm in self.cloudwatch_backend.alarms.values()
            if not name or alarm.name == name
            for event in alarm.events
            if (not kind or event["HistoryItemType"] == kind)
            and (start is None or event["Timestamp"] >= start)
            and (end is None or event["Timestamp"] <= end)
        ]
        ascending = self._get_param("ScanBy") == "TimestampAscending"
        items.sort(key=lambda event: event["Timestamp"], reverse=not ascending)
        size = min(100, self._get_int_param("MaxRecords") or 100)
        events, token = page(items, self._get_param("NextToken"), size, CloudWatchException)
        return ActionResult({"AlarmHistoryItems": events, "NextToken": token})

    @functools.wraps(list_tags)
    def list_tags_for_resource(self: Any, arn: str) -> Any:
        if ":alarm:" in arn and arn.split(":alarm:", 1)[1] not in self.alarms:
            raise ResourceNotFoundException
        return list_tags(self, arn)

    def switch(enabled: bool, original: Any) -> Any:
        @functools.wraps(original)
        def switched(self: Any, alarm_names: list[str]) -> None:
            original(self, alarm_names)
            for alarm in self.get_alarms_by_alarm_names(alarm_names):
                text = f'Alarm actions {"enabled" if enabled else "disabled"} for alarm "{alarm.name}"'
                add_history(alarm, "ConfigurationUpdate", text, {"type": "Update"})

        return switched

    alarm_class: Any = Alarm
    backend: Any = CloudWatchBackend
    response: Any = CloudWatchResponse
    alarm_class.__init__ = create_unchecked
    alarm_class.alarm_rule = property(lambda alarm: alarm.rule)
    backend.put_metric_alarm = put_metric_alarm
    backend.set_alarm_state = set_alarm_state
    backend.list_tags_for_resource = list_tags_for_resource
    backend.disable_alarm_actions = switch(False, disable)
    backend.enable_alarm_actions = switch(True, enable)
    response.get_metric_statistics = _get_metric_statistics
    response.get_metric_data = _get_metric_data
    response.describe_alarms = describe_alarms
    response.put_composite_alarm = put_composite_alarm
    response.describe_alarm_history = describe_alarm_history


def _in_periods(data: list[Any], metric: dict[str, Any], unit: str | None, period: int) -> dict[float, list[Any]]:
    """The samples of a metric by the start of their period; those without a dimension of the metric's are another's."""
    wanted = {(dimension["Name"], dimension["Value"]) for dimension in metric.get("Dimensions") or []}
    found: dict[float, list[Any]] = {}
    for datum in data:
        if (datum.namespace, datum.name) != (metric["Namespace"], metric["MetricName"]):
            continue
        if unit in (None, datum.unit) and {(d.name, d.value) for d in datum.dimensions} == wanted:
            found.setdefault(epoch(datum.timestamp) // period * period, []).append(datum)
    return found


def _time_range(request: dict[str, Any]) -> tuple[int, int]:
    """Seconds since the epoch: CloudWatch overlooks what is less than a second."""
    return int(epoch(request["StartTime"])), int(epoch(request["EndTime"]))


def _data_between(self: Any, start: int, end: int) -> list[Any]:
    return [datum for datum in self.cloudwatch_backend.get_all_metrics() if start <= epoch(datum.timestamp) < end]


def _get_metric_statistics(self: Any) -> ActionResult:
    """moto adds up all metrics that have the dimensions among theirs, and knows no percentiles."""
    request = self._get_params()
    simple, extended = request.get("Statistics") or [], request.get("ExtendedStatistics") or []
    if not simple and not extended:
        raise InvalidParameterCombination("Must specify either Statistics or ExtendedStatistics")
    if simple and extended:
        raise InvalidParameterCombination("Must specify either Statistics or ExtendedStatistics, but not both")
    for number, name in enumerate(extended, 1):
        if not is_extended(name):
            raise InvalidParameterValue(
                f"The value {name} for parameter ExtendedStatistics.member.{number} is not supported."
            )
    start, end = _time_range(request)
    if start >= end:
        raise InvalidParameterValue("The parameter StartTime must be less than the parameter EndTime.")
    points = []
    periods = _in_periods(_data_between(self, start, end), request, request.get("Unit"), int(request["Period"]))
    for begin, datums in sorted(periods.items()):
        values = {name: aggregate(datums, name) for name in (*simple, *extended)}
        known = {name: value for name, value in values.items() if value is not None}
        if known:
            point = {"Timestamp": datetime.fromtimestamp(begin, UTC), "Unit": datums[0].unit or "None"}
            points.append({**point, **(known if simple else {"ExtendedStatistics": known})})
    return ActionResult({"Label": request["MetricName"], "Datapoints": points})


def _get_metric_data(self: Any) -> ActionResult:
    """moto mixes metrics of one name, knows no percentiles, and of metric math only an id."""
    request = self._get_params()
    asked = request.get("MetricDataQueries") or []
    _check_queries(asked)
    queries = metric_math.queries_of(asked, 60)
    _check_statistics(_statistics_of(queries), "MetricDataQueries")
    start, end = _time_range(request)
    if start == end:
        raise ValidationError("The parameter StartTime must not equal parameter EndTime.")
    if start > end:
        raise ValidationError("The parameter EndTime must be greater than StartTime.")
    data = _data_between(self, start, end)
    found: dict[str, dict[float, float]] = {}
    for given in asked:
        if stat := given.get("MetricStat"):
            periods = _in_periods(data, stat["Metric"], stat.get("Unit"), int(stat["Period"]))
            values = {begin: aggregate(datums, stat["Stat"]) for begin, datums in periods.items()}
            found[given["Id"]] = {begin: value for begin, value in values.items() if value is not None}
    times = sorted({begin for values in found.values() for begin in values})
    series: dict[str, metric_math.Series] = {name: [v.get(time) for time in times] for name, v in found.items()}
    results = []
    for given, query in zip(asked, queries, strict=True):
        if given.get("ReturnData") is False:
            continue
        try:
            values_of = metric_math.evaluate_queries(queries, series, len(times), query.id)
        except metric_math.MetricMathError as error:
            raise ValidationError(str(error)) from error
        points = [(time, value) for time, value in zip(times, values_of, strict=True) if value is not None]
        if request.get("ScanBy") != "TimestampAscending":
            points.reverse()
        results.append(
            {
                "Id": query.id,
                "Label": given.get("Label") or _label(given, asked),
                "Timestamps": [datetime.fromtimestamp(time, UTC) for time, _value in points],
                "Values": [value for _time, value in points],
                "StatusCode": "Complete",
            }
        )
    return ActionResult({"MetricDataResults": results})


def _label(query: dict[str, Any], queries: list[dict[str, Any]]) -> str:
    """What a query is called that has no label: by its metric, and by what tells it apart from the others."""
    stat = query.get("MetricStat")
    if not stat:
        return str(query["Id"])
    stats = [other["MetricStat"] for other in queries if other.get("MetricStat")]
    differing = [key for key in ("Stat", "Period") if len({str(other[key]) for other in stats}) > 1]
    return " ".join([stat["Metric"]["MetricName"], *(str(stat[key]) for key in differing)])


def _check_queries(queries: list[dict[str, Any]]) -> None:
    """Refuse metric data queries that ask for nothing, in AWS's words, and those in SQL, which nobody answers here."""
    for number, query in enumerate(queries, 1):
        if not query.get("MetricStat") and not query.get("Expression"):
            raise ValidationError(f"The parameter MetricDataQueries.member.{number}.MetricStat is required.\n")
        if re.match(r"\s*SELECT\b", query.get("Expression") or "", re.IGNORECASE):
            raise NotImplementedError("a Metrics Insights query (SELECT …)")


def _statistics_of(queries: list[MetricDataQuery]) -> list[str | None]:
    return [query.metric_stat.stat if query.metric_stat else None for query in queries]


def _check_statistics(names: Iterable[str | None], parameter: str) -> None:
    """Refuse metric data queries with a statistic that there is not, in AWS's words; None: a query without one."""
    wrong = [
        f"The value {name} for parameter {parameter}.member.{number}.MetricStat.Stat is not a valid statistic."
        for number, name in enumerate(names, 1)
        if name is not None and not is_statistic(name)
    ]
    if wrong:
        raise ValidationError("\n".join(wrong))


def _check_alarm(backend: Any, request: dict[str, Any]) -> None:
    """Refuse what AWS refuses, and what is not evaluated here."""
    if request.get("threshold_metric_id"):
        raise ValidationError("The local cloud does not detect anomalies; give the alarm a Threshold.")
    if request.get("rule"):
        try:
            named = parse_rule(request["rule"]).alarms
        except RuleError as error:
            raise ValidationError(str(error)) from error
        unknown = sorted(named - set(backend.alarms)) + [name for name in named if name == request["name"]]
        if unknown:
            raise ValidationError(f"AlarmRule refers to alarms that can't be used: {', '.join(unknown)}")
        return
    statistic, extended = request.get("statistic"), request.get("extended_statistic")
    if request.get("metric_data_queries"):
        if statistic or extended:
            raise ValidationError("Statistic should not be set if list of Metrics is set.")
        _check_statistics(_statistics_of(request["metric_data_queries"]), "Metrics")
        try:
            metric_math.check_queries(request["metric_data_queries"])
        except metric_math.MetricMathError as error:
            raise ValidationError(str(error)) from error
        _check_period(metric_math.period_of(request["metric_data_queries"]), request.get("evaluation_periods"))
        return
    if bool(statistic) == bool(extended):
        raise ValidationError("You must specify either Statistic or ExtendedStatistic, but not both.")
    if extended and not is_extended(extended):
        raise InvalidParameterValue(f"The value {extended} for parameter ExtendedStatistic is not supported.")
    _check_period(request.get("period"), request.get("evaluation_periods"))


def _check_period(period: Any, evaluation_periods: Any) -> None:
    """A period is 10, 20, 30 or a multiple of 60, and an alarm looks at no more than a day or a week of them."""
    if period is None:
        return
    seconds = int(period)
    if seconds not in (10, 20, 30) and (seconds < 60 or seconds % 60):
        raise ValidationError(f"Period must be 10, 20, 30 or a multiple of 60, but was {seconds}")
    if seconds * int(evaluation_periods or 1) > (86400 if seconds < 3600 else 604800):
        raise ValidationError(
            "Metrics cannot be checked across more than a day (EvaluationPeriods * Period must be <= 86400)."
        )


def _naive(value: Any) -> datetime | None:
    """A request's timestamp as moto keeps its own: UTC without a time zone."""
    return value.replace(tzinfo=None) if isinstance(value, datetime) else None
