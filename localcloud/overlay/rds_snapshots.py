"""RDS's snapshots: they take time, hold what was on the disk, and a database can be made from them.

moto's snapshots are descriptions without data. Here the API's request notes a snapshot that is to be taken, and the
reconciler of the snapshots makes an image of the database's disk.
"""

from __future__ import annotations

import functools
from typing import Any

from moto.moto_api._internal import mock_random
from moto.rds.exceptions import InvalidParameterCombination, RDSClientError
from moto.rds.models import DBInstance, DBSnapshot, RDSBackend

# What a restored database has from the one that the snapshot was taken of, unless the request says otherwise. Its
# security groups, parameter group and network are the default ones.
INHERITED = (
    "engine",
    "engine_version",
    "db_instance_class",
    "allocated_storage",
    "storage_type",
    "port",
    "db_name",
    "master_username",
    "license_model",
    "backup_retention_period",
    "preferred_backup_window",
    "preferred_maintenance_window",
    "auto_minor_version_upgrade",
    "copy_tags_to_snapshot",
    "enable_iam_database_authentication",
    "tags",
)


# -- what the reconcilers ask ---------------------------------------------------------------------------------------


def is_real(snapshot: Any) -> bool:
    """Whether a snapshot holds data, or will: those made by this overlay do."""
    return hasattr(snapshot, "data_tag")


def is_to_be_taken(snapshot: Any) -> bool:
    return is_real(snapshot) and snapshot.status == "creating" and not snapshot.taken


def has_snapshot_to_be_taken(database: Any) -> bool:
    """Whether a snapshot of the database waits: it is taken before anything else is done to it."""
    return any(
        is_to_be_taken(snapshot) and snapshot.dbi_resource_id == database.dbi_resource_id
        for snapshot in database.backend.database_snapshots.values()
    )


# -- moto's classes -------------------------------------------------------------------------------------------------


def install() -> None:
    """Change moto's RDS classes."""
    _install_snapshots()
    _install_restore()
    _install_no_backups()


def _install_snapshots() -> None:
    create, copy, delete = RDSBackend.create_db_snapshot, RDSBackend.copy_db_snapshot, RDSBackend.delete_db_snapshot

    @functools.wraps(create)
    def create_to_be_taken(
        self: RDSBackend, db_instance_identifier: str, db_snapshot_identifier: str, *args: Any, **kwargs: Any
    ) -> DBSnapshot:
        database: Any = self.databases.get(db_instance_identifier)
        # A final snapshot may also be one of a stopped database.
        final = kwargs.pop("final", False)
        if database is not None and database.status not in ("available", *(["stopped"] if final else [])):
            raise RDSClientError(
                "InvalidDBInstanceState",
                f"Cannot create a snapshot because the database instance {db_instance_identifier} "
                "is not currently in the available state.",
            )
        snapshot: Any = create(self, db_instance_identifier, db_snapshot_identifier, *args, **kwargs)
        snapshot.data_tag = "".join(mock_random.choice("0123456789abcdef") for _ in range(17))
        snapshot.taken = False
        _describe(snapshot, database.interface.subnet.vpc_id)
        if database.status == "available":
            database.status = "backing-up"
        return snapshot  # type: ignore[no-any-return]

    @functools.wraps(copy)
    def copy_taken(self: RDSBackend, source_db_snapshot_identifier: str, *args: Any, **kwargs: Any) -> DBSnapshot:
        if source_db_snapshot_identifier.startswith("arn:"):
            self.extract_snapshot_name_from_arn(source_db_snapshot_identifier)  # refuses another resource's
        source: Any = self.get_db_snapshot(source_db_snapshot_identifier)
        if source.status != "available":
            raise RDSClientError(
                "InvalidDBSnapshotState",
                f"Cannot copy the snapshot because {source.db_snapshot_identifier} is in the {source.status} state.",
            )
        snapshot: Any = copy(self, source_db_snapshot_identifier, *args, **kwargs)
        snapshot.data_tag, snapshot.taken = source.data_tag, True
        _describe(snapshot, source.vpc_id)
        snapshot.source_db_snapshot_identifier = source.arn
        return snapshot  # type: ignore[no-any-return]

    @functools.wraps(delete)
    def delete_taken(self: RDSBackend, db_snapshot_identifier: str) -> DBSnapshot:
        existing = self.database_snapshots.get(db_snapshot_identifier)
        if existing is not None and existing.status == "creating":
            raise RDSClientError(
                "InvalidDBSnapshotState",
                "Cannot delete the snapshot because it is not currently in the available or failed state.",
            )
        snapshot = delete(self, db_snapshot_identifier)
        snapshot.status = "deleted"
        return snapshot

    RDSBackend.create_db_snapshot = create_to_be_taken  # type: ignore[method-assign]
    RDSBackend.copy_db_snapshot = copy_taken  # type: ignore[method-assign]
    RDSBackend.delete_db_snapshot = delete_taken  # type: ignore[method-assign]


def _describe(snapshot: Any, vpc_id: str) -> None:
    """What AWS says of a snapshot and moto does not."""
    database = snapshot.database
    snapshot.status, snapshot.percent_progress = "creating", 0
    snapshot.vpc_id = vpc_id
    for name in ("availability_zone", "storage_type", "iops", "license_model", "option_group_name"):
        setattr(snapshot, name, getattr(database, name))
    snapshot.snapshot_target = "region"


def final_snapshot(backend: RDSBackend, database: DBInstance, name: str | None, skip: bool | None) -> None:
    """Note the snapshot that is to be taken before a database is deleted. Raises RDS's errors."""
    if name and skip:
        raise InvalidParameterCombination("You cannot specify both FinalDBSnapshotIdentifier and SkipFinalSnapshot")
    if not name and not skip:
        raise InvalidParameterCombination(
            "FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot is specified."
        )
    if name:
        backend.create_db_snapshot(database.db_instance_identifier, name, final=True)  # type: ignore[call-arg]


def _install_restore() -> None:
    def restore(self: RDSBackend, from_snapshot_id: str | None, overrides: dict[str, Any]) -> DBInstance:
        if not from_snapshot_id:
            raise InvalidParameterCombination("The local cloud restores from a DBSnapshotIdentifier only.")
        name = from_snapshot_id.rpartition(":")[2] if from_snapshot_id.startswith("arn:") else from_snapshot_id
        snapshot: Any = self.describe_db_snapshots(None, name)[0]
        if snapshot.status != "available":
            raise RDSClientError(
                "InvalidDBSnapshotState",
                f"Cannot restore from the snapshot {name} because it is in the {snapshot.status} state.",
            )
        source = snapshot.database
        request = {attribute: getattr(source, attribute) for attribute in INHERITED}
        for attribute in ("iops", "storage_throughput"):  # what was chosen, not what AWS answers otherwise
            request[attribute] = source.__dict__.get(f"_{attribute}")
        request["master_user_password"] = source.__dict__.get("_master_user_password")
        request["storage_encrypted"], request["kms_key_id"] = snapshot.encrypted, snapshot.kms_key_id
        request |= {key: value for key, value in overrides.items() if value is not None}
        for key in ("engine", "db_name"):
            if request[key] != getattr(source, key):
                raise InvalidParameterCombination(f"A restored PostgreSQL database keeps its {key}.")
        if request["allocated_storage"] < snapshot.allocated_storage:
            raise InvalidParameterCombination(
                "The allocated storage size can't be less than the source snapshot or backup size."
            )
        return self.create_db_instance({**request, "restored_from": snapshot.data_tag})

    RDSBackend.restore_db_instance_from_db_snapshot = restore  # type: ignore[method-assign]


def _install_no_backups() -> None:
    """moto shows automated backups that hold nothing. There are none here: what can't be restored isn't shown."""

    def refuse(*_args: Any, **_kwargs: Any) -> Any:
        raise RDSClientError(
            "InvalidRestoreFault",
            "The local cloud has no automated backups and no replicas of databases; take a snapshot and restore that.",
        )

    def save_automated_backup(_self: DBInstance) -> None:
        """None."""

    RDSBackend.restore_db_instance_to_point_in_time = refuse  # type: ignore[method-assign]
    RDSBackend.create_db_instance_read_replica = refuse  # type: ignore[method-assign]
    DBInstance.save_automated_backup = save_automated_backup  # type: ignore[method-assign,assignment]
    DBInstance.latest_restorable_time = property(lambda _self: None)  # type: ignore[method-assign,assignment]
