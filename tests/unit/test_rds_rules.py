"""RDS's rules: when the maintenance window is, which values a parameter takes, what waits for the window."""

from __future__ import annotations

import datetime
from types import SimpleNamespace

import pytest
from moto.rds.exceptions import RDSClientError

from localcloud.overlay import rds, rds_parameters

WEDNESDAY = datetime.datetime(2026, 7, 1, 6, 38, tzinfo=datetime.UTC)


@pytest.mark.parametrize(
    ("window", "later", "inside"),
    [
        ("wed:06:38-wed:07:08", 0, True),
        ("wed:06:38-wed:07:08", 29, True),
        ("wed:06:38-wed:07:08", 30, False),
        ("wed:06:39-wed:07:09", 0, False),
        ("tue:23:45-wed:06:39", 0, True),
        ("sun:23:30-mon:00:30", 0, False),
        ("sun:23:30-mon:00:30", (4 * 24 + 17) * 60 + 22, True),  # Monday 00:00
        ("sun:23:30-mon:00:30", (4 * 24 + 17) * 60 + 52, False),
    ],
)
def test_maintenance_window(window: str, later: int, inside: bool) -> None:
    assert rds.in_maintenance_window(window, WEDNESDAY + datetime.timedelta(minutes=later)) is inside


def test_what_waited_is_done_in_the_window() -> None:
    database = SimpleNamespace(
        preferred_maintenance_window="wed:06:38-wed:07:08",
        pending_changes={"db_instance_class": "db.t4g.small", "allocated_storage": 30},
        restart_wanted=False,
        db_instance_class="db.t4g.micro",
        allocated_storage=20,
    )
    rds.apply_pending_changes(database, WEDNESDAY - datetime.timedelta(minutes=1))
    assert (database.db_instance_class, database.restart_wanted) == ("db.t4g.micro", False)
    rds.apply_pending_changes(database, WEDNESDAY)
    assert (database.db_instance_class, database.allocated_storage, database.restart_wanted) == (
        "db.t4g.small",
        30,
        True,
    )
    assert database.pending_changes == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", "{DBInstanceClassMemory/9531392}"),
        ("max_connections", "262143"),
        ("autovacuum_vacuum_scale_factor", "0.05"),
        ("log_statement", "ddl"),
        ("jit", "0"),
        ("rds.force_ssl", "1"),
        ("auto_explain.log_min_duration", "-1"),
        ("pgaudit.log", "all"),
        ("timezone", "Europe/Berlin"),
    ],
)
def test_value_is_taken(name: str, value: str) -> None:
    rds_parameters.validated(name, value, "pending-reboot")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_connections", "262144"),
        ("max_connections", "many"),
        ("autovacuum_vacuum_scale_factor", "101"),
        ("log_statement", "some"),
        ("jit", "2"),
        ("rds.no_such", "1"),
        ("data_directory", "/tmp"),
    ],
)
def test_value_is_refused(name: str, value: str) -> None:
    with pytest.raises(RDSClientError) as refused:
        rds_parameters.validated(name, value, "pending-reboot")
    assert name in str(refused.value)
