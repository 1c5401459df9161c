"""CPU from cgroups of both versions, and that what is kept of it stays bounded."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from localcloud.metrics import KEPT_MINUTES, KEPT_SAMPLES, CpuMeter, Series, vcpus_of

CONTAINER = "c" * 64


def write(root: Path, version: int, seconds: float) -> None:
    if version == 1:
        file = root / "cpuacct" / "docker" / CONTAINER / "cpuacct.usage"
        text = f"{int(seconds * 1e9)}\n"
    else:
        file = root / "system.slice" / f"docker-{CONTAINER}.scope" / "cpu.stat"
        text = f"usage_usec {int(seconds * 1e6)}\nuser_usec 1\nsystem_usec 1\n"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)


@pytest.mark.parametrize("version", [1, 2])
def test_percent_of_the_types_cpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: int) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    meter = CpuMeter(tmp_path)
    assert meter.percent(CONTAINER, 2) is None  # no such cgroup
    write(tmp_path, version, 7)
    assert meter.percent(CONTAINER, 2) is None  # the first reading
    now += 10
    write(tmp_path, version, 12)
    assert meter.percent(CONTAINER, 2) == pytest.approx(25)
    now += 10
    write(tmp_path, version, 52)  # four cores of the machine busy, the type has two
    assert meter.percent(CONTAINER, 2) == 100
    now += 10
    write(tmp_path, version, 1)  # it was started anew
    assert meter.percent(CONTAINER, 2) is None


def test_cpus_of_instance_types() -> None:
    assert vcpus_of("t3.micro") == 2
    assert vcpus_of("m5.xlarge") == 4
    assert vcpus_of("no.such") >= 1


def test_samples_are_kept_single_then_by_the_minute_and_never_too_many() -> None:
    series = Series("N", "M", (("D", "a"),), "Percent")
    start = datetime(2026, 1, 1)
    for index in range(3 * 720):  # three hours, a sample every five seconds
        series.add(float(index % 2), start + timedelta(seconds=5 * index))
    assert len(series.samples) <= KEPT_SAMPLES + 1
    assert len(series.minutes) == KEPT_MINUTES
    minute = series.minutes[-2]
    assert (minute.sample_count, minute.sum, minute.min, minute.max) == (12, 6.0, 0.0, 1.0)
    assert series.expired(start + timedelta(hours=5))
