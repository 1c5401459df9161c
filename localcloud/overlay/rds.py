"""RDS: instances take time and pass through AWS's states; parameters are echoed; only what really runs is offered.

moto's instances are available the moment they are asked for. Here the API's request sets the transitional state
(`creating`, `stopping`, …), and the reconciler of the databases does the work and sets the final one.
"""

from __future__ import annotations

import functools
import json
import string
from collections.abc import Callable, Iterable
from typing import Any

from moto.core.responses import ActionResult
from moto.moto_api._internal import mock_random
from moto.rds.exceptions import (
    DBParameterGroupNotFoundError,
    InvalidParameterCombination,
    InvalidParameterValue,
    RDSClientError,
)
from moto.rds.models import DBInstance, DBParameterGroup, RDSBackend
from moto.rds.responses import RDSResponse

from localcloud.config import DNS_SUFFIX
from localcloud.overlay.interfaces import create_interface

POSTGRES_MAJOR = "17"  # what the image has

# PostgreSQL's parameters that are read only when the server starts, of those that one may want to change
# (pg_settings, context postmaster). RDS calls them static and applies them with the next reboot.
STATIC_PARAMETERS = frozenset(
    {
        "autovacuum_freeze_max_age",
        "autovacuum_max_workers",
        "autovacuum_multixact_freeze_max_age",
        "hot_standby",
        "huge_pages",
        "jit_provider",
        "max_connections",
        "max_files_per_process",
        "max_locks_per_transaction",
        "max_logical_replication_workers",
        "max_pred_locks_per_transaction",
        "max_prepared_transactions",
        "max_replication_slots",
        "max_wal_senders",
        "max_worker_processes",
        "rds.logical_replication",
        "shared_buffers",
        "shared_preload_libraries",
        "superuser_reserved_connections",
        "track_activity_query_size",
        "track_commit_timestamp",
        "wal_buffers",
        "wal_level",
    }
)


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
        if name not in STATIC_PARAMETERS:  # it was reset
            del values[name]
    for name, value in parameter_values(wanted).items():
        if wanted[name].get("ApplyMethod") == "immediate":
            values[name] = value
    return values


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
    _install_instances()
    _install_changes()
    _install_removal()
    _install_parameters()


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
        _validate(db_kwargs)
        subnet = _choose_subnet(self, db_kwargs)
        database: Any = create(self, db_kwargs)
        database.status = "creating"
        letters = string.ascii_lowercase + string.digits
        database.host_suffix = "".join(mock_random.choice(letters) for _ in range(12))
        database.dbi_resource_id = "db-" + "".join(
            mock_random.choice(string.ascii_uppercase + string.digits) for _ in range(26)
        )
        database.live_parameters = {}
        database.availability_zone = subnet.availability_zone
        database.interface = create_interface(subnet, "RDSNetworkInterface", list(database.vpc_security_group_ids))
        return database  # type: ignore[no-any-return]

    def refuse_restore(*_args: Any, **_kwargs: Any) -> Any:
        raise RDSClientError("InvalidRestoreFault", "The local cloud keeps no backups of databases to restore from.")

    def address(self: Any) -> str:
        return f"{self.db_instance_identifier}.{self.host_suffix}.{self.region}.rds.{DNS_SUFFIX}"

    def endpoint(self: Any) -> dict[str, Any] | None:
        # AWS gives the endpoint when there is one.
        return None if self.status == "creating" else {"Address": self.address, "Port": self.port}

    RDSBackend.create_db_instance = create_for_real  # type: ignore[method-assign]
    RDSBackend.restore_db_instance_from_db_snapshot = refuse_restore  # type: ignore[method-assign]
    RDSBackend.restore_db_instance_to_point_in_time = refuse_restore  # type: ignore[method-assign]
    RDSBackend.create_db_instance_read_replica = refuse_restore  # type: ignore[method-assign]
    DBInstance.address = property(address)  # type: ignore[method-assign,assignment]
    DBInstance.endpoint = property(endpoint)  # type: ignore[method-assign,assignment]


def _validate(db_kwargs: dict[str, Any]) -> None:
    """Refuse what would not run here, and what AWS refuses but moto takes."""
    engine = db_kwargs.get("engine")
    if engine != "postgres":
        raise InvalidParameterValue(f"Invalid DB engine: {engine} (the local cloud runs postgres)")
    version = str(db_kwargs.get("engine_version") or POSTGRES_MAJOR)
    if version.split(".")[0] != POSTGRES_MAJOR:
        raise InvalidParameterCombination(
            f"Cannot find version {version} for postgres (the local cloud runs {POSTGRES_MAJOR})"
        )
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


def _choose_subnet(backend: RDSBackend, db_kwargs: dict[str, Any]) -> Any:
    """The subnet of the zone that was asked for, or the first one."""
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
    zone = db_kwargs.get("availability_zone")
    return next((subnet for subnet in subnets if subnet.availability_zone == zone), subnets[0])


def _install_changes() -> None:
    modify = RDSBackend.modify_db_instance

    @functools.wraps(modify)
    def modify_for_real(self: RDSBackend, db_instance_identifier: str, db_kwargs: dict[str, Any]) -> DBInstance:
        password = db_kwargs.get("master_user_password")
        if password:
            _validate_password(password)
        database = self.describe_db_instances(db_instance_identifier)[0]
        if database.status == "deleting":
            _require_status(database, "available")
        database = modify(self, db_instance_identifier, db_kwargs)
        if password or db_kwargs.get("rotate_master_user_password"):
            _require_status(database, "available", "resetting-master-credentials")
            database.status = "resetting-master-credentials"
        return database

    def transition(statuses: tuple[str, ...], to: str) -> Callable[..., DBInstance]:
        def change(self: RDSBackend, db_instance_identifier: str, snapshot: str | None = None) -> DBInstance:
            database = self.describe_db_instances(db_instance_identifier)[0]
            _require_status(database, *statuses)
            if snapshot:
                self.create_db_snapshot(db_instance_identifier, snapshot)
            database.status = to
            return database

        return change

    RDSBackend.modify_db_instance = modify_for_real  # type: ignore[method-assign]
    RDSBackend.stop_db_instance = transition(("available",), "stopping")  # type: ignore[method-assign]
    RDSBackend.start_db_instance = transition(("stopped",), "starting")  # type: ignore[method-assign]
    RDSBackend.reboot_db_instance = transition(  # type: ignore[method-assign]
        ("available", "incompatible-parameters"), "rebooting"
    )


def _install_removal() -> None:
    delete = RDSBackend.delete_db_instance

    @functools.wraps(delete)
    def delete_for_real(self: RDSBackend, db_instance_identifier: str, *args: Any, **kwargs: Any) -> DBInstance:
        existing = self.databases.get(db_instance_identifier)
        if existing is not None and existing.status == "deleting":
            raise RDSClientError(
                "InvalidDBInstanceState", f"Instance {db_instance_identifier} is already being deleted."
            )
        database = delete(self, db_instance_identifier, *args, **kwargs)
        if is_real(database):
            self.databases[db_instance_identifier] = database  # it is shown as `deleting` until its machine is gone
        return database

    delete_group = RDSBackend.delete_db_parameter_group

    @functools.wraps(delete_group)
    def delete_unused_group(self: RDSBackend, db_parameter_group_name: str) -> DBParameterGroup:
        for database in self.databases.values():
            if database.db_parameter_group_name == db_parameter_group_name:
                raise RDSClientError(
                    "InvalidDBParameterGroupState",
                    "One or more database instances are still members of this parameter group "
                    f"{db_parameter_group_name}, so the group cannot be deleted",
                )
        return delete_group(self, db_parameter_group_name)

    RDSBackend.delete_db_instance = delete_for_real  # type: ignore[method-assign]
    RDSBackend.delete_db_parameter_group = delete_unused_group  # type: ignore[method-assign]


def _install_parameters() -> None:
    update = DBParameterGroup.update_parameters

    @functools.wraps(update)
    def update_described(self: DBParameterGroup, new_parameters: Iterable[dict[str, Any]]) -> None:
        described = []
        for given in new_parameters:
            static = given["ParameterName"] in STATIC_PARAMETERS
            if static and given.get("ApplyMethod") == "immediate":
                raise InvalidParameterCombination("cannot use immediate apply method for static parameter")
            value = str(given.get("ParameterValue", ""))
            described.append(
                {
                    "ApplyMethod": "pending-reboot",
                    **given,
                    "Source": "user",
                    "IsModifiable": True,
                    "ApplyType": "static" if static else "dynamic",
                    "DataType": "integer" if value.lstrip("-").isdigit() else "string",
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
