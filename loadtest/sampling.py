"""What happens beside the load, asked of the environment's API: instances, target health, CPU, alarms, deploys.

A question that fails is noted once and asked again; sampling never ends a run.
"""

from __future__ import annotations

import datetime
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config

from loadtest.target import Target

INTERVAL = 2.0
# Group activities and refreshes change slowly, and AWS limits how often it may be asked.
SLOW_INTERVAL = 10.0


@contextmanager
def environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Environment variables for the time in which boto3's clients are made."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


class Sampler:
    """Asks the API every `INTERVAL` seconds in a thread, from `start` to `stop`. Times are seconds after the start."""

    def __init__(self, target: Target, clock: Callable[[], float] = time.time) -> None:
        self.target = target
        self.clock = clock
        self.started_at = clock()
        self.samples: list[dict[str, Any]] = []
        self.cpu: dict[float, float] = {}
        self.marks: list[dict[str, Any]] = []
        self.notes: list[str] = []
        self._seen: set[tuple[Any, ...]] = set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="sampler", daemon=True)
        with environment(target.variables):
            config = Config(connect_timeout=5, read_timeout=10, retries={"total_max_attempts": 2})
            session = boto3.session.Session()
            self.autoscaling = session.client("autoscaling", config=config)
            self.elbv2 = session.client("elbv2", config=config)
            self.cloudwatch = session.client("cloudwatch", config=config)
            self.ec2 = session.client("ec2", config=config)
            self.rds = session.client("rds", config=config)

    def start(self, started_at: float) -> None:
        """Begin; `started_at` is the load's start (seconds since the epoch)."""
        self.started_at = started_at
        self._thread.start()

    def stop(self) -> None:
        """End, after a last look."""
        self._ended.set()
        self._thread.join(timeout=60)
        self._ask("the CPU", self._look_at_cpu)
        self._ask("the alarms' history", self._look_at_alarm_history)
        self._ask("the group's activities", self._look_at_activities)
        self.marks.sort(key=lambda mark: float(mark["at"]))

    def mark(self, kind: str, text: str, at: float | None = None) -> None:
        """Remember an event: `alarm`, `deploy`, `scaling` or `action`."""
        moment = self.clock() - self.started_at if at is None else at
        self.marks.append({"at": round(moment, 3), "kind": kind, "text": text})

    def added(self) -> int:
        """How many instances more than its minimum the group was told to have, at most."""
        return max((sample["desired"] - sample["minimum"] for sample in self.samples), default=0)

    def at_minimum(self, since: float) -> bool:
        """Whether the group was at its minimum at the last look, and stays there: it has been above it, or `since` (s),
        the end of the load that was to make it grow, is so long ago that no alarm has that load still before it.
        """
        if not self.samples:
            return False
        last = self.samples[-1]
        at_minimum = last["desired"] == last["minimum"] == last["in_service"]
        return at_minimum and (self.added() > 0 or since > self.target.reaction_time)

    def in_service(self) -> list[str]:
        """Ids of the instances in service, now."""
        return [row["InstanceId"] for row in self._group()["Instances"] if row["LifecycleState"] == "InService"]

    def _run(self) -> None:
        slow = 0.0
        while True:
            began = time.monotonic()
            self._ask("the group", self._look_at_group)
            self._ask("the alarms", self._look_at_alarms)
            if began - slow >= SLOW_INTERVAL:
                slow = began
                self._ask("the CPU", self._look_at_cpu)
                self._ask("instance refreshes", self._look_at_refreshes)
                self._ask("the group's activities", self._look_at_activities)
            if self._ended.wait(max(0.0, INTERVAL - (time.monotonic() - began))):
                return

    def _ask(self, what: str, look: Callable[[], None]) -> None:
        try:
            look()
        except Exception as error:
            note = f"{what} could not be sampled: {type(error).__name__}: {error}"
            if note not in self.notes:
                self.notes.append(note)

    def _since_start(self, moment: datetime.datetime) -> float:
        return moment.timestamp() - self.started_at

    def _once(self, *key: Any) -> bool:
        """Whether this is seen for the first time."""
        if key in self._seen:
            return False
        self._seen.add(key)
        return True

    def _group(self) -> Any:
        answer = self.autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[self.target.autoscaling_group])
        return answer["AutoScalingGroups"][0]

    def look(self) -> dict[str, int]:
        """The group, now: its minimum, and how many instances are desired, in service, healthy, unhealthy."""
        group = self._group()
        health = self.elbv2.describe_target_health(TargetGroupArn=self.target.target_group_arn)
        states = [row["TargetHealth"]["State"] for row in health["TargetHealthDescriptions"]]
        return {
            "minimum": group["MinSize"],
            "desired": group["DesiredCapacity"],
            "in_service": sum(row["LifecycleState"] == "InService" for row in group["Instances"]),
            "healthy": states.count("healthy"),
            "unhealthy": states.count("unhealthy"),
        }

    def _look_at_group(self) -> None:
        self.samples.append({"at": round(self.clock() - self.started_at, 3), **self.look()})

    @property
    def _alarm_prefixes(self) -> tuple[str, str]:
        """What the names of the group's alarms begin with: ours, and those that target tracking makes."""
        return f"{self.target.autoscaling_group}-", f"TargetTracking-{self.target.autoscaling_group}-"

    def _look_at_alarms(self) -> None:
        found = [self.cloudwatch.describe_alarms(AlarmNamePrefix=prefix) for prefix in self._alarm_prefixes]
        for alarm in [alarm for page in found for alarm in page["MetricAlarms"]]:
            name, state = alarm["AlarmName"], alarm["StateValue"]
            changed = alarm["StateUpdatedTimestamp"]
            first = not any(key[:2] == ("alarm", name) for key in self._seen)
            # The state in which an alarm was before the load is nothing that happened.
            if self._once("alarm", name, state, round(changed.timestamp())) and not (
                first and self._since_start(changed) < 0
            ):
                self.mark("alarm", f"{name}: {state}", self._since_start(changed))

    def _look_at_alarm_history(self) -> None:
        """Changes between two looks, where the API keeps a history."""
        begin = datetime.datetime.fromtimestamp(self.started_at, datetime.UTC)
        pages = self.cloudwatch.get_paginator("describe_alarm_history").paginate(
            HistoryItemType="StateUpdate", StartDate=begin, EndDate=datetime.datetime.now(datetime.UTC)
        )
        for page in pages:
            for item in page["AlarmHistoryItems"]:
                name, moment = item["AlarmName"], item["Timestamp"]
                if not name.startswith(self._alarm_prefixes):
                    continue
                near = {("alarm", name, round(moment.timestamp()) + offset) for offset in (-1, 0, 1)}
                if not near & {(key[0], key[1], key[-1]) for key in self._seen if key[0] == "alarm"}:
                    self.mark("alarm", f"{name}: {item['HistorySummary']}", self._since_start(moment))

    def _look_at_cpu(self) -> None:
        period = self.target.alarm_period
        now = datetime.datetime.now(datetime.UTC)
        answer = self.cloudwatch.get_metric_statistics(
            Namespace="AWS/EC2",
            MetricName="CPUUtilization",
            Dimensions=[{"Name": "AutoScalingGroupName", "Value": self.target.autoscaling_group}],
            StartTime=now - datetime.timedelta(seconds=max(20 * period, 60)),
            # Moments are sent in whole seconds, cut, and the last one is left out: this one counts, too.
            EndTime=now + datetime.timedelta(seconds=1),
            Period=period,
            Statistics=["Average"],
        )
        for point in answer["Datapoints"]:
            at = self._since_start(point["Timestamp"])
            if at > -period:
                self.cpu[round(at, 3)] = point["Average"]

    def _look_at_refreshes(self) -> None:
        answer = self.autoscaling.describe_instance_refreshes(
            AutoScalingGroupName=self.target.autoscaling_group, MaxRecords=5
        )
        for refresh in answer["InstanceRefreshes"]:
            times = {"begun": refresh.get("StartTime"), refresh["Status"].lower(): refresh.get("EndTime")}
            for text, moment in times.items():
                if moment is None or self._since_start(moment) < 0:
                    continue
                if self._once("refresh", refresh["InstanceRefreshId"], text):
                    self.mark("deploy", f"instance refresh {text}", self._since_start(moment))

    def _look_at_activities(self) -> None:
        answer = self.autoscaling.describe_scaling_activities(
            AutoScalingGroupName=self.target.autoscaling_group, MaxRecords=50
        )
        for activity in answer["Activities"]:
            at = self._since_start(activity["StartTime"])
            if at >= 0 and self._once("activity", activity["ActivityId"]):
                self.mark("scaling", activity["Description"], at)
