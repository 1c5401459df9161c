"""What machines use of the CPU, measured from their containers' own cgroups, and the samples kept of all metrics.

Samples live in memory only: they are not part of the API's saved state, which is pickled after each change and would
otherwise be written every few seconds. After a restart the metrics begin anew, as after a gap on AWS.
"""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from moto.cloudwatch.models import MetricAggregatedDatum, MetricDatum, MetricDatumBase
from moto.core.utils import utcnow
from moto.ec2.models.instance_types import INSTANCE_TYPES

SAMPLE_INTERVAL = 5.0  # seconds between two samples
KEPT_SAMPLES = 180  # single samples: a quarter of an hour
KEPT_MINUTES = 60  # older ones, put together by the minute
CGROUP_ROOT = Path("/sys/fs/cgroup")

Dimensions = tuple[tuple[str, str], ...]  # of a metric, such as ((`InstanceId`, `i-…`),)

# Where Docker puts a container's cgroup: version 1 with the cgroupfs and the systemd driver, version 2 likewise.
CGROUP_PATTERNS = (
    "cpuacct/docker/{id}/cpuacct.usage",
    "cpu,cpuacct/docker/{id}/cpuacct.usage",
    "cpuacct/system.slice/docker-{id}.scope/cpuacct.usage",
    "system.slice/docker-{id}.scope/cpu.stat",
    "docker/{id}/cpu.stat",
)


@dataclass(frozen=True)
class Reading:
    """CPU time that a machine has used since it started, in seconds, read at `at` (monotonic seconds)."""

    used: float
    at: float


class CpuMeter:
    """Reads the CPU counters of containers. Cheap: one small file per container, no call to Docker.

    `docker stats` is not used: it takes a second per call and reads 0 on some hosts.
    """

    def __init__(self, root: Path = CGROUP_ROOT) -> None:
        self._root = root
        self._files: dict[str, Path] = {}
        self._last: dict[str, Reading] = {}

    def locate(self, container_id: str, pid: int) -> bool:
        """Find the counter by the cgroups of the container's init, for hosts that put it elsewhere than usual."""
        try:
            lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
        except OSError:
            return False
        for line in lines:
            _, controllers, path = line.split(":", 2)
            # The container's own systemd may have moved its init into a child cgroup of the container's.
            end = path.find("/", path.find(container_id)) if container_id in path else -1
            path = path[:end].lstrip("/") if end > 0 else path.lstrip("/")
            if controllers == "":
                candidates = [self._root / path / "cpu.stat", self._root / "unified" / path / "cpu.stat"]
            elif "cpuacct" in controllers.split(","):
                candidates = [
                    self._root / name / path / "cpuacct.usage" for name in ("cpuacct", "cpu,cpuacct", controllers)
                ]
            else:
                continue
            for candidate in candidates:
                if _read(candidate) is not None:
                    self._files[container_id] = candidate
                    return True
        return False

    def used(self, container_id: str) -> float | None:
        """CPU time used by a container since it started, in seconds; None when it has no counter."""
        known = self._files.get(container_id)
        paths = [known] if known else [self._root / pattern.format(id=container_id) for pattern in CGROUP_PATTERNS]
        for path in paths:
            value = _read(path)
            if value is not None:
                self._files[container_id] = path
                return value
        self._files.pop(container_id, None)
        return None

    def percent(self, container_id: str, vcpus: int) -> float | None:
        """CPU use since the last call, in percent of `vcpus` CPUs, 0 to 100; None the first time and after a restart.

        100 % is all the CPUs that the instance type has (t3.micro: 2). A container may use every core of this machine:
        with more cores than the type has CPUs it can exceed that, and counts as 100 %; with fewer it never reaches it.
        """
        used = self.used(container_id)
        if used is None:
            self._last.pop(container_id, None)
            return None
        reading, last = Reading(used, time.monotonic()), self._last.get(container_id)
        self._last[container_id] = reading
        if last is None or reading.at <= last.at or reading.used < last.used:
            return None
        return min(100.0, 100.0 * (reading.used - last.used) / ((reading.at - last.at) * vcpus))

    def keep_only(self, container_ids: set[str]) -> None:
        """Forget containers that are gone."""
        self._files = {key: value for key, value in self._files.items() if key in container_ids}
        self._last = {key: value for key, value in self._last.items() if key in container_ids}


def _read(path: Path) -> float | None:
    """Seconds of CPU time in a cgroup's `cpuacct.usage` (nanoseconds) or `cpu.stat` (usage_usec, microseconds)."""
    try:
        text = path.read_text()
    except OSError:
        return None
    if path.name == "cpuacct.usage":
        return int(text) / 1e9
    for line in text.splitlines():
        if line.startswith("usage_usec "):
            return int(line.split()[1]) / 1e6
    return None


def vcpus_of(instance_type: str) -> int:
    """Number of virtual CPUs of an instance type; of an unknown one the number of cores of this machine."""
    known = INSTANCE_TYPES.get(instance_type, {}).get("VCpuInfo", {}).get("DefaultVCpus")
    return int(known or os.cpu_count() or 1)


def epoch(timestamp: datetime) -> float:
    """Seconds since the epoch; moto keeps UTC without a time zone."""
    return (timestamp if timestamp.tzinfo else timestamp.replace(tzinfo=UTC)).timestamp()


class Minute(MetricAggregatedDatum):
    """The samples of a minute, which are kept for percentiles and the like."""

    def __init__(self, sample: MetricDatum, dimensions: list[dict[str, str]]) -> None:
        minute, value = sample.timestamp.replace(second=0, microsecond=0), sample.value
        super().__init__(sample.namespace, sample.name, value, value, 1, value, dimensions, minute, sample.unit)
        self.values = [value]

    def add(self, value: float) -> None:
        self.min, self.max = min(self.min, value), max(self.max, value)
        self.sample_count, self.sum = self.sample_count + 1, self.sum + value
        self.values.append(value)


class Series:
    """The samples of one metric: single ones for a quarter of an hour, then by the minute."""

    def __init__(self, namespace: str, name: str, dimensions: Dimensions, unit: str) -> None:
        self.namespace, self.name, self.unit = namespace, name, unit
        self.dimensions = [{"Name": dimension, "Value": value} for dimension, value in dimensions]
        self.samples: deque[MetricDatum] = deque()
        self.minutes: deque[Minute] = deque(maxlen=KEPT_MINUTES)

    def add(self, value: float, timestamp: datetime) -> None:
        self.samples.append(MetricDatum(self.namespace, self.name, value, self.dimensions, timestamp, self.unit))
        # Samples of a group are as many as it has instances, so their age decides and not their number.
        limit = KEPT_SAMPLES * SAMPLE_INTERVAL
        while (timestamp - self.samples[0].timestamp).total_seconds() > limit:
            self._move_to_minutes(self.samples.popleft())

    def _move_to_minutes(self, sample: MetricDatum) -> None:
        minute = sample.timestamp.replace(second=0, microsecond=0)
        if self.minutes and self.minutes[-1].timestamp == minute:
            self.minutes[-1].add(sample.value)
        else:
            self.minutes.append(Minute(sample, self.dimensions))

    def data(self) -> Iterator[MetricDatumBase]:
        yield from self.minutes
        yield from self.samples

    def expired(self, now: datetime) -> bool:
        newest = self.samples[-1].timestamp if self.samples else now
        return (now - newest).total_seconds() > KEPT_MINUTES * 60


class MeasuredMetrics:
    """All series of this process, by account and region. Used under the API lock."""

    def __init__(self) -> None:
        self._series: dict[tuple[str, str], dict[tuple[str, str, Dimensions], Series]] = {}

    def put(
        self, place: tuple[str, str], namespace: str, name: str, dimensions: Dimensions, value: float, unit: str
    ) -> None:
        """Add a sample of now. `place` is (account id, region)."""
        of_place = self._series.setdefault(place, {})
        key = (namespace, name, dimensions)
        if key not in of_place:
            of_place[key] = Series(namespace, name, dimensions, unit)
        of_place[key].add(value, utcnow())

    def data(self, place: tuple[str, str]) -> list[MetricDatumBase]:
        return [datum for series in self._series.get(place, {}).values() for datum in series.data()]

    def prune(self) -> None:
        """Drop series that got nothing for an hour: their instances and groups are gone."""
        now = utcnow()
        for of_place in self._series.values():
            for key in [key for key, series in of_place.items() if series.expired(now)]:
                del of_place[key]


MEASURED = MeasuredMetrics()
