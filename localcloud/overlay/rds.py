"""RDS: instances take time and pass through AWS's states; parameters are echoed; only what really runs is offered.

moto's instances are available the moment they are asked for. Here the API's request sets the transitional state
(`creating`, `stopping`, …), and the reconciler of the databases does the work and sets the final one.
"""

from __future__ import annotations

import datetime
import functools
import json
import logging
import string
from collections.abc import Callable, Iterable
from typing import Any

from moto.core.responses import ActionResult
from moto.moto_api._internal import mock_random
from moto.rds.exceptions import (
    DBInstanceNotFoundError,
    DBParameterGroupNotFoundError,
    DBSnapshotNotFoundFault,
    DBSubnetGroupNotFoundError,
    InvalidParameterCombination,
    InvalidParameterValue,
    OptionGroupNotFoundFaultError,
    RDSClientError,
)
from moto.rds.models import DBInstance, DBParameterGroup, DBSubnetGroup, OptionGroup, RDSBackend
from moto.rds.responses import RDSResponse

from localcloud.config import DNS_SUFFIX
from localcloud.overlay import rds_options, rds_parameters, rds_snapshots, rds_versions
from localcloud.overlay.interfaces import create_interface
from localcloud.overlay.rds_versions import POSTGRES_MAJOR

LOGGER = logging.getLogger(__name__)
LEAST_STORAGE = 20  # GiB, of gp3

# Changes that wait for the maintenance window unless they are asked for at once; as DescribeDBInstances names them.
DEFERRED = {
    "allocated_storage": "AllocatedStorage",
    "ca_certificate_identifier": "CACertificateIdentifier",
    "db_instance_class": "DBInstanceClass",
    "engine_version": "EngineVersion",
    "iops": "Iops",
    "multi_az": "MultiAZ",
    "storage_throughput": "StorageThroughput",
    "storage_type": "StorageType",
}
INCOMPATIBLE_NETWORK = "incompatible-network"
RESTARTING = ("db_instance_class", "engine_version", "port")  # changes that a running server restarts for

# -- what the reconciler asks ---------------------------------------------------------------------------------------


def is_real(database: Any) -> bool:
    """Whether a database of ours has a machine: those made by this overlay do."""
    return hasattr(database, "interface")


def wanted_parameters(database: Any) -> dict[str, dict[str, Any]]:
    """The parameters that were set in an instance's parameter group: name -> moto's parameter."""
    group = database.backend.db_parameter_groups.get(database.db_parameter_group_name or "")
    return dict(group.parameters) if group is not None else {}


def parameter_values(parameters: dict[str, dict[str, Any]]) -> dict[str, str]:
    """Name -> value, of parameters that have one."""
    return {
        name: str(parameter["ParameterValue"])
        for name, parameter in sorted(parameters.items())
        if parameter.get("ParameterValue") not in (None, "")
    }


def immediate_parameters(database: Any) -> dict[str, str]:
    """The values that shall hold now: those live since the last start, changed by what is applied immediately."""
    wanted = wanted_parameters(database)
    values = dict(database.live_parameters)
    for name in values.keys() - wanted.keys():
        if not rds_parameters.is_static(name):  # it was reset
            del values[name]
    for name, value in parameter_values(wanted).items():
        if wanted[name].get("ApplyMethod") == "immediate":
            values[name] = value
    return values


def in_maintenance_window(window: str, now: datetime.datetime) -> bool:
    """Whether `now` (UTC) is in a weekly window such as `sun:23:30-mon:00:30`."""

    begin, end = map(rds_options.minute_of_week, window.split("-"))
    minute = (now.weekday() * 24 + now.hour) * 60 + now.minute
    return begin <= minute < end if begin <= end else minute >= begin or minute < end


def apply_pending_changes(database: Any, now: datetime.datetime) -> None:
    """Make the changes that waited for the maintenance window, when it is there."""
    if database.pending_changes and in_maintenance_window(database.preferred_maintenance_window, now):
        database.restart_wanted = database.restart_wanted or any(key in database.pending_changes for key in RESTARTING)
        for key, value in database.pending_changes.items():
            setattr(database, key, value)
        database.pending_changes = {}


def master_password(database: Any) -> str:
    """The master user's password, which may be in Secrets Manager."""
    if database.manage_master_user_password:
        secret = database.backend.secretsmanager.get_secret_value(
            database.master_user_secret.secret_arn, None, "AWSCURRENT"
        )
        return str(json.loads(secret["SecretString"])["password"])
    return str(database._master_user_password)  # moto lets nobody read it by its proper name


# -- moto's classes -------------------------------------------------------------------------------------------------


def install() -> None:
    """Change moto's RDS classes."""
    rds_options.install()
    rds_snapshots.install()
    rds_versions.install()
    _install_instances()
    _install_changes()
    _install_removal()
    _install_parameters()
    _install_tags()


def fail_for_network(database: Any, reason: str) -> None:
    """The database can't be made in its VPC; an event of RDS says why."""
    database.status = INCOMPATIBLE_NETWORK
    database.add_event("DB_INSTANCE_CREATE")
    event = database.backend.events[-1]
    event.message, event.event_categories = f"The DB instance is in an incompatible network. {reason}", ["failure"]


def _require_status(database: Any, *statuses: str) -> None:
    if database.status not in statuses:
        raise RDSClientError(
            "InvalidDBInstanceState",
            f"Instance {database.db_instance_identifier} is in state {database.status}; "
            f"it must be {' or '.join(statuses)}.",
        )


def _install_instances() -> None:
    create = RDSBackend.create_db_instance

    @functools.wraps(create)
    def create_for_real(self: RDSBackend, db_kwargs: dict[str, Any]) -> DBInstance:
        restored_from = db_kwargs.get("restored_from")
        _validate(db_kwargs, restored=restored_from is not None)
        if not db_kwargs.get("engine_version"):
            db_kwargs["engine_version"] = POSTGRES_MAJOR
        if not db_kwargs.get("storage_type") and not db_kwargs.get("iops"):
            db_kwargs["storage_type"] = "gp3"
        if db_kwargs.get("storage_type") == "gp3" and not db_kwargs.get("allocated_storage"):
            db_kwargs["allocated_storage"] = LEAST_STORAGE
        if restored_from is None:
            rds_options.validate_storage(db_kwargs.get("storage_type"), db_kwargs.get("allocated_storage"), db_kwargs)
        subnets = _subnets(self, db_kwargs)
        subnet = _choose_subnet(subnets, db_kwargs)
        if not db_kwargs.get("vpc_security_group_ids"):
            # moto takes the default VPC's, wherever the database is.
            group = subnet.ec2_backend.get_security_group_from_name("default", subnet.vpc_id)
            db_kwargs["vpc_security_group_ids"] = [group.id]
        database: Any = create(self, db_kwargs)
        if not db_kwargs.get("db_subnet_group_name"):
            database.db_subnet_group = rds_options.default_subnet_group(self, subnets)
        database.status = "creating"
        database.restored_from = restored_from  # the tag of a snapshot's data
        letters = string.ascii_lowercase + string.digits
        database.host_suffix = "".join(mock_random.choice(letters) for _ in range(12))
        database.dbi_resource_id = "db-" + "".join(
            mock_random.choice(string.ascii_uppercase + string.digits) for _ in range(26)
        )
        database.live_parameters = {}
        database.availability_zone = subnet.availability_zone
        database.interface = create_interface(subnet, "RDSNetworkInterface", list(database.vpc_security_group_ids))
        return database  # type: ignore[no-any-return]

    def address(self: Any) -> str:
        return f"{self.db_instance_identifier}.{self.host_suffix}.{self.region}.rds.{DNS_SUFFIX}"

    def endpoint(self: Any) -> dict[str, Any] | None:
        # AWS gives the endpoint when there is one.
        return None if self.status == "creating" else {"Address": self.address, "Port": self.port}

    def default_db_parameter_group_details(self: Any) -> tuple[str, str]:
        family = f"{self.engine}{self.engine_version.split('.')[0]}"  # moto takes no version without a minor part
        return family, f"default.{family}"

    DBInstance.default_db_parameter_group_details = default_db_parameter_group_details  # type: ignore[method-assign]
    DBInstance.restored_from = None  # type: ignore[attr-defined]
    DBInstance.pending_changes = {}  # type: ignore[attr-defined]
    DBInstance.restart_wanted = False  # type: ignore[attr-defined]
    RDSBackend.create_db_instance = create_for_real  # type: ignore[method-assign]
    DBInstance.address = property(address)  # type: ignore[method-assign,assignment]
    DBInstance.endpoint = property(endpoint)  # type: ignore[method-assign,assignment]


def _validate(db_kwargs: dict[str, Any], *, restored: bool) -> None:
    """Refuse what would not run here, and what AWS refuses but moto takes. A restored database has its users."""
    engine = db_kwargs.get("engine")
    if engine != "postgres":
        raise InvalidParameterValue(f"Invalid DB engine: {engine} (the local cloud runs postgres)")
    version = str(db_kwargs.get("engine_version") or POSTGRES_MAJOR)
    if version.split(".")[0] != POSTGRES_MAJOR:
        raise InvalidParameterCombination(
            f"Cannot find version {version} for postgres (the local cloud runs {POSTGRES_MAJOR})"
        )
    if restored:
        return
    if not db_kwargs.get("master_username"):
        raise InvalidParameterValue("The parameter MasterUsername must be provided and must not be blank.")
    password = db_kwargs.get("master_user_password")
    if not db_kwargs.get("manage_master_user_password"):
        if not password:
            raise InvalidParameterValue("The parameter MasterUserPassword must be provided and must not be blank.")
        _validate_password(password)


def _validate_password(password: str) -> None:
    # "Can include any printable ASCII character except /, ', ", @, or a space", 8 to 128 of them (CreateDBInstance).
    if not 8 <= len(password) <= 128 or any(not 33 <= ord(c) <= 126 or c in "/'\"@" for c in password):
        raise InvalidParameterValue(
            "The parameter MasterUserPassword is not a valid password. "
            "Only 8 to 128 printable ASCII characters besides '/', '@', '\"', ' ' may be used."
        )


def _subnets(backend: RDSBackend, db_kwargs: dict[str, Any]) -> list[Any]:
    """The subnets of a database's group, or the default VPC's."""
    from moto.ec2.models import ec2_backends

    name = db_kwargs.get("db_subnet_group_name")
    if name:
        subnets = backend.describe_db_subnet_groups(name.lower())[0]._subnets
    else:
        ec2 = ec2_backends[backend.account_id][backend.region_name]
        default_vpc = ec2.default_vpc
        subnets = [subnet for subnet in ec2.describe_subnets() if default_vpc and subnet.vpc_id == default_vpc.id]
    if not subnets:
        raise InvalidParameterValue("There is no subnet: name a DB subnet group.")
    return subnets


def _choose_subnet(subnets: list[Any], db_kwargs: dict[str, Any]) -> Any:
    """The subnet of the zone that was asked for, or the first one."""
    zone = db_kwargs.get("availability_zone")
    return next((subnet for subnet in subnets if subnet.availability_zone == zone), subnets[0])


CHANGEABLE = (
    "available",
    "backing-up",
    "incompatible-parameters",
    "modifying",
    "resetting-master-credentials",
    "storage-full",
)


def _validate_changes(database: Any, changes: dict[str, Any]) -> None:
    """Refuse what AWS refuses, and what can't be done here."""
    if changes.get("master_user_password"):
        _validate_password(changes["master_user_password"])
    version = changes.get("engine_version")
    if version and version.split(".")[0] != POSTGRES_MAJOR:
        raise InvalidParameterCombination(f"Cannot upgrade postgres from {database.engine_version} to {version}")
    if changes.get("allocated_storage", database.allocated_storage) < database.allocated_storage:
        raise InvalidParameterCombination(
            f"Invalid storage size for engine name postgres: {changes['allocated_storage']} is less than the current "
            f"{database.allocated_storage}, and storage can't be reduced."
        )
    rds_options.validate_storage(
        changes.get("storage_type", database.storage_type),
        changes.get("allocated_storage", database.allocated_storage),
        changes,
    )
    for key, words, now in (
        ("new_db_instance_identifier", "renames no database", database.db_instance_identifier),
        ("db_subnet_group_name", "moves no database", database._db_subnet_group_name),  # moto lets nobody read it
    ):
        if changes.get(key, now) != now:
            raise InvalidParameterCombination(f"The local cloud {words}: take a snapshot and restore that.")


def _install_changes() -> None:
    modify = RDSBackend.modify_db_instance

    @functools.wraps(modify)
    def modify_for_real(self: RDSBackend, db_instance_identifier: str, db_kwargs: dict[str, Any]) -> DBInstance:
        database: Any = self.describe_db_instances(db_instance_identifier)[0]
        if database.status not in CHANGEABLE:
            raise RDSClientError("InvalidDBInstanceState", "Database instance is not in available state.")
        changes = {key: value for key, value in db_kwargs.items() if value is not None}
        _validate_changes(database, changes)
        password = changes.get("master_user_password")
        if password or changes.get("rotate_master_user_password") or changes.get("manage_master_user_password"):
            _require_status(database, "available", "resetting-master-credentials")
        if changes.get("db_parameter_group_name", "").startswith("default."):  # it exists without having been made
            database.db_parameter_group_name = changes.pop("db_parameter_group_name")
        if "db_port_number" in changes:
            changes["port"] = changes.pop("db_port_number")  # which is not left to the maintenance window
        deferred = {key: changes.pop(key) for key in DEFERRED if key in changes}
        if changes.get("apply_immediately"):
            changes = {**database.pending_changes, **deferred, **changes}
            database.pending_changes = {}
        else:
            waiting = {**database.pending_changes, **deferred}
            database.pending_changes = {key: v for key, v in waiting.items() if v != getattr(database, key)}
        restart = any(key in changes and changes[key] != getattr(database, key) for key in RESTARTING)
        database = modify(self, db_instance_identifier, changes)
        if "vpc_security_group_ids" in changes:
            database.interface.subnet.ec2_backend.modify_network_interface_attribute(
                database.interface.id, list(changes["vpc_security_group_ids"])
            )
        if password or changes.get("rotate_master_user_password") or changes.get("manage_master_user_password"):
            database.status = "resetting-master-credentials"
        if restart:
            database.restart_wanted = True  # remembered apart from the status, which shows one thing at a time
            if database.status == "available":
                database.status = "modifying"
        return database  # type: ignore[no-any-return]

    def pending_modified_values(self: Any) -> dict[str, Any]:
        return {DEFERRED[key]: value for key, value in self.pending_changes.items()}

    def transition(statuses: tuple[str, ...], to: str) -> Callable[..., DBInstance]:
        def change(self: RDSBackend, db_instance_identifier: str, snapshot: str | None = None) -> DBInstance:
            database = self.describe_db_instances(db_instance_identifier)[0]
            _require_status(database, *statuses)
            if snapshot:
                self.create_db_snapshot(db_instance_identifier, snapshot)
            database.status = to
            return database

        return change

    DBInstance.pending_modified_values = property(pending_modified_values)  # type: ignore[attr-defined]
    RDSBackend.modify_db_instance = modify_for_real  # type: ignore[method-assign]
    RDSBackend.stop_db_instance = transition(("available",), "stopping")  # type: ignore[method-assign]
    RDSBackend.start_db_instance = transition(("stopped",), "starting")  # type: ignore[method-assign]
    RDSBackend.reboot_db_instance = transition(  # type: ignore[method-assign]
        ("available", "incompatible-parameters"), "rebooting"
    )


def _install_removal() -> None:
    delete = RDSBackend.delete_db_instance

    @functools.wraps(delete)
    def delete_for_real(
        self: RDSBackend,
        db_instance_identifier: str,
        final_db_snapshot_identifier: str | None = None,
        skip_final_snapshot: bool | None = False,
        delete_automated_backups: bool | None = True,
    ) -> DBInstance:
        existing = self.databases.get(db_instance_identifier)
        if existing is not None and existing.status == "deleting":
            raise RDSClientError(
                "InvalidDBInstanceState", f"Instance {db_instance_identifier} is already being deleted."
            )
        if existing is not None and not existing.deletion_protection:
            rds_snapshots.final_snapshot(self, existing, final_db_snapshot_identifier, skip_final_snapshot)
        database = delete(self, db_instance_identifier, None, True, delete_automated_backups)
        if is_real(database):
            database.status = "deleting"
            self.databases[db_instance_identifier] = database  # it is shown as `deleting` until its machine is gone
        return database

    delete_group = RDSBackend.delete_db_parameter_group

    @functools.wraps(delete_group)
    def delete_unused_group(self: RDSBackend, db_parameter_group_name: str) -> DBParameterGroup:
        if db_parameter_group_name.startswith("default."):
            raise RDSClientError(
                "InvalidDBParameterGroupState",
                f"Default DBParameterGroup cannot be deleted: {db_parameter_group_name}",
            )
        for database in self.databases.values():
            if database.db_parameter_group_name == db_parameter_group_name:
                raise RDSClientError(
                    "InvalidDBParameterGroupState",
                    "One or more database instances are still members of this parameter group "
                    f"{db_parameter_group_name}, so the group cannot be deleted",
                )
        return delete_group(self, db_parameter_group_name)

    delete_subnets, delete_options = RDSBackend.delete_subnet_group, RDSBackend.delete_option_group

    @functools.wraps(delete_subnets)
    def delete_unused_subnet_group(self: RDSBackend, subnet_name: str) -> DBSubnetGroup:
        for name, database in self.databases.items():
            if database._db_subnet_group_name == subnet_name:  # moto lets nobody read it by its proper name
                raise RDSClientError(
                    "InvalidDBSubnetGroupStateFault",
                    f"Cannot delete the subnet group '{subnet_name}' because at least one database instance: {name} is "
                    "still using it.",
                )
        return delete_subnets(self, subnet_name)

    @functools.wraps(delete_options)
    def delete_unused_option_group(self: RDSBackend, option_group_name: str) -> OptionGroup:
        if any(database.option_group_name == option_group_name for database in self.databases.values()):
            raise RDSClientError(
                "InvalidOptionGroupStateFault",
                f"The option group '{option_group_name}' cannot be deleted because it is in use.",
            )
        return delete_options(self, option_group_name)

    RDSBackend.delete_subnet_group = delete_unused_subnet_group  # type: ignore[method-assign]
    RDSBackend.delete_option_group = delete_unused_option_group  # type: ignore[method-assign]
    RDSBackend.delete_db_instance = delete_for_real  # type: ignore[method-assign]
    RDSBackend.delete_db_parameter_group = delete_unused_group  # type: ignore[method-assign]


# What AWS says of a name that there is not, by the kind of resource in an ARN.
NOT_FOUND: dict[str, type[RDSClientError]] = {
    "db": DBInstanceNotFoundError,
    "og": OptionGroupNotFoundFaultError,
    "pg": DBParameterGroupNotFoundError,
    "snapshot": DBSnapshotNotFoundFault,
    "subgrp": DBSubnetGroupNotFoundError,
}


def _install_tags() -> None:
    find = RDSBackend._get_resource_for_tagging

    @functools.wraps(find)
    def find_known(self: RDSBackend, arn: str) -> Any:
        """moto tags nothing when there is nothing of that name. Default groups exist without having been made."""
        resource = find(self, arn)
        kind, _, name = arn.split(":", 5)[-1].partition(":")
        if resource is None and kind in NOT_FOUND and not name.startswith("default"):
            raise NOT_FOUND[kind](name)
        return resource

    RDSBackend._get_resource_for_tagging = find_known  # type: ignore[method-assign]


def _install_parameters() -> None:
    update = DBParameterGroup.update_parameters

    @functools.wraps(update)
    def update_described(self: DBParameterGroup, new_parameters: Iterable[dict[str, Any]]) -> None:
        if self.name.startswith("default."):
            raise InvalidParameterValue("Cannot modify a default parameter group.")
        described = []
        for given in new_parameters:
            known = rds_parameters.validated(
                given["ParameterName"], given.get("ParameterValue"), given.get("ApplyMethod")
            )
            described.append(
                {
                    "ApplyMethod": "pending-reboot",
                    **given,
                    "Source": "user",
                    "IsModifiable": True,
                    "ApplyType": "static" if known.static else "dynamic",
                    "DataType": known.data_type,
                    "AllowedValues": known.allowed,
                }
            )
        update(self, described)

    def reset_db_parameter_group(self: RDSResponse) -> ActionResult:
        """ResetDBParameterGroup, which moto lacks: parameters go back to the engine's defaults."""
        name = self.params["DBParameterGroupName"]
        group = self.backend.db_parameter_groups.get(name)
        if group is None:
            raise DBParameterGroupNotFoundError(name)
        if self.params.get("ResetAllParameters"):
            group.parameters.clear()
        for parameter in self.params.get("Parameters", []):
            group.parameters.pop(parameter["parameter_name"], None)
        return ActionResult({"DBParameterGroupName": name})

    def db_parameter_group_status_list(self: Any) -> list[Any]:
        status = "in-sync"
        if is_real(self) and self.live_parameters != parameter_values(wanted_parameters(self)):
            pending = self.live_parameters == immediate_parameters(self)
            status = "pending-reboot" if pending else "applying"
        groups: list[Any] = self.db_parameter_groups()
        for group in groups:
            group.ParameterApplyStatus = status
        return groups

    DBParameterGroup.update_parameters = update_described  # type: ignore[method-assign]
    RDSResponse.reset_db_parameter_group = reset_db_parameter_group  # type: ignore[attr-defined]
    DBInstance.db_parameter_group_status_list = property(  # type: ignore[method-assign,assignment]
        db_parameter_group_status_list
    )
