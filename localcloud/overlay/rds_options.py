"""What CreateDBInstance is told of a database and DescribeDBInstances repeats, with AWS's defaults.

moto drops some of it and answers nothing where AWS answers a default; Terraform then plans it anew, each time, and
Ansible's module fails where it expects a value.
"""

from __future__ import annotations

import functools
import re
from typing import Any

from moto.rds import models
from moto.rds.exceptions import InvalidParameterCombination
from moto.rds.models import DBInstance, DBSubnetGroup, RDSBackend

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MINUTES_PER_DAY = 24 * 60
MINUTES_PER_WEEK = 7 * MINUTES_PER_DAY
LEAST_WINDOW = 30  # minutes
_TIME = r"(?:[01]\d|2[0-3]):[0-5]\d"
_MOMENT = rf"(?:{'|'.join(WEEKDAYS)}):{_TIME}"
BACKUP_WINDOW = re.compile(f"{_TIME}-{_TIME}")
MAINTENANCE_WINDOW = re.compile(f"{_MOMENT}-{_MOMENT}")
DEFAULT_RETENTION = 7  # days, of Performance Insights
DEFAULT_SUBNET_GROUP = "default"

# Parameters of CreateDBInstance that DescribeDBInstances repeats, in moto's spelling, and what holds without them.
DEFAULTS: dict[str, Any] = {
    "backup_target": "region",
    "custom_iam_instance_profile": None,
    "database_insights_mode": "standard",
    "dedicated_log_volume": False,
    "enable_customer_owned_ip": False,
    "enable_performance_insights": False,
    "engine_lifecycle_support": "open-source-rds-extended-support",
    "multi_tenant": False,
    "nchar_character_set_name": None,
    "network_type": "IPV4",
    "processor_features": None,
    "promotion_tier": None,
    "tde_credential_arn": None,
    "timezone": None,
}
LICENSE_MODEL = "postgresql-license"
# GiB from which on PostgreSQL's gp3 volumes are striped; IOPS and MiB/s below it and above.
STRIPED_FROM = 400
GP3_SMALL, GP3_STRIPED = (3000, 125), (12000, 500)


def minute_of_week(text: str) -> int:
    """Of `sun:23:30`, as AWS writes it."""
    day, hour, minute = text.split(":")
    return (WEEKDAYS.index(day) * 24 + int(hour)) * 60 + int(minute)


def window_error(maintenance: str, backup: str | None) -> str | None:
    """What AWS has against a maintenance window, beside a backup window; None: nothing."""
    if not MAINTENANCE_WINDOW.fullmatch(maintenance):
        return (
            f"Invalid maintenance window format: {maintenance}. Should be specified as a range ddd:hh24:mi-ddd:hh24:mi "
            "(24H Clock UTC). Example: Sun:23:45-Mon:00:15"
        )
    if backup and not BACKUP_WINDOW.fullmatch(backup):
        return (
            f"Invalid backup window format: {backup}. Should be specified as a range hh24:mi-hh24:mi (24H Clock UTC). "
            "Example: 04:32-05:16"
        )
    begin, end = (minute_of_week(part) for part in maintenance.split("-"))
    length = (end - begin) % MINUTES_PER_WEEK
    if length < LEAST_WINDOW:
        return f"The maintenance window must be at least {LEAST_WINDOW} minutes."
    if length > MINUTES_PER_DAY:
        return "Maintenance window must be less than 24 hours."
    if backup and windows_overlap(maintenance, backup):
        return "The backup window and maintenance window must not overlap."
    return None


def windows_overlap(maintenance: str, backup: str) -> bool:
    """Whether a weekly window (`sun:23:30-mon:00:30`) and a daily one (`03:00-06:00`) share a minute."""
    begin, end = (minute_of_week(part) for part in maintenance.split("-"))
    length = (end - begin) % MINUTES_PER_WEEK
    daily_begin, daily_end = (int(part[:2]) * 60 + int(part[3:]) for part in backup.split("-"))
    daily_length = (daily_end - daily_begin) % MINUTES_PER_DAY
    # From one's beginning it is less to the other's beginning than to its own end.
    return (daily_begin - begin) % MINUTES_PER_DAY < length or (begin - daily_begin) % MINUTES_PER_DAY < daily_length


def validate_storage(storage_type: str | None, allocated_storage: int | None, options: dict[str, Any]) -> None:
    """Refuse IOPS and throughput (in `options`) where AWS has none to choose."""
    chosen = options.get("iops") or options.get("storage_throughput")
    if storage_type == "gp3" and (allocated_storage or 0) < STRIPED_FROM and chosen:
        raise InvalidParameterCombination(
            "You can't specify IOPS or storage throughput for engine postgres and a storage size less than "
            f"{STRIPED_FROM}."
        )


def default_subnet_group(backend: RDSBackend, subnets: list[Any]) -> DBSubnetGroup:
    """The DB subnet group of the default VPC, which AWS makes for the first database that names none."""
    if DEFAULT_SUBNET_GROUP not in backend.subnet_groups:
        backend.create_subnet_group(DEFAULT_SUBNET_GROUP, DEFAULT_SUBNET_GROUP, subnets, [])
    return backend.subnet_groups[DEFAULT_SUBNET_GROUP]


def install() -> None:
    """Change moto's RDS instances."""
    _install_options()
    _install_storage()
    _install_subnet_groups()
    # moto takes windows that touch for ones that overlap, and one that ends on Monday for one of a negative length.
    models.valid_preferred_maintenance_window = window_error  # type: ignore[attr-defined,assignment]


def _install_options() -> None:
    create = DBInstance.__init__

    @functools.wraps(create)
    def create_described(self: Any, *args: Any, **kwargs: Any) -> None:
        create(self, *args, **{"license_model": LICENSE_MODEL, **kwargs})
        for name, default in DEFAULTS.items():
            value = kwargs.get(name)
            setattr(self, name, default if value is None else value)
        self.performance_insights_retention_period = kwargs.get("performance_insights_retention_period")
        self.performance_insights_kms_key_id = kwargs.get("performance_insights_kms_key_id")

    def retention_period(self: Any) -> int | None:
        return (
            (self._performance_insights_retention_period or DEFAULT_RETENTION)
            if self.enable_performance_insights
            else None
        )

    def choose_retention_period(self: Any, days: int | None) -> None:
        self._performance_insights_retention_period = days

    database: Any = DBInstance
    for name, default in DEFAULTS.items():
        setattr(database, name, default)  # of databases that an older version of this program saved
    database._performance_insights_retention_period = database.performance_insights_kms_key_id = None
    database.performance_insights_enabled = property(lambda self: self.enable_performance_insights)
    database.performance_insights_retention_period = property(retention_period, choose_retention_period)
    database.customer_owned_ip_enabled = property(lambda self: self.enable_customer_owned_ip)
    database.__init__ = create_described


def _install_storage() -> None:
    """What AWS says of a volume's performance where nothing was asked for."""

    def performance(self: Any, chosen: str, number: int) -> int | None:
        value: int | None = self.__dict__.get(f"_{chosen}")
        if self.storage_type != "gp3":
            return value if chosen == "iops" else None
        return value or (GP3_SMALL if int(self.allocated_storage) < STRIPED_FROM else GP3_STRIPED)[number]

    def choosable(chosen: str, number: int) -> property:
        def choose(self: Any, value: int | None) -> None:
            setattr(self, f"_{chosen}", value)

        return property(lambda self: performance(self, chosen, number), choose)

    database: Any = DBInstance
    database.iops = choosable("iops", 0)
    database.storage_throughput = choosable("storage_throughput", 1)


def _install_subnet_groups() -> None:
    modify = RDSBackend.modify_db_subnet_group

    @functools.wraps(modify)
    def modify_db_subnet_group(
        self: RDSBackend, subnet_name: str, description: str, subnets: list[Any]
    ) -> DBSubnetGroup:
        """moto forgets a group that is modified."""
        (group,) = self.describe_db_subnet_groups(subnet_name)
        modify(self, subnet_name, description, subnets)
        self.subnet_groups[subnet_name] = group
        return group

    RDSBackend.modify_db_subnet_group = modify_db_subnet_group  # type: ignore[method-assign]
