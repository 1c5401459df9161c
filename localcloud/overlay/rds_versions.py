"""The engine versions that can be had here (DescribeDBEngineVersions): the PostgreSQL of the databases' image.

Option groups are there for it, too.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from moto.core.responses import ActionResult
from moto.rds.exceptions import InvalidParameterValue
from moto.rds.models import OptionGroup, RDSBackend
from moto.rds.responses import RDSResponse

from localcloud.backends import without_lock

ENGINE = "postgres"
POSTGRES_MAJOR = "17"  # what the image has
FAMILY = f"{ENGINE}{POSTGRES_MAJOR}"
MOTOS_NEWEST = "13"  # that it makes option groups for

# Finds out the image's PostgreSQL version, such as 17.6, or nothing. Put in place by the reconciler of the databases.
VersionReader = Callable[[], str]
_version_reader: list[VersionReader] = []

# Filter -> the member of a version that it is compared with.
FILTERS = {
    "db-parameter-group-family": "DBParameterGroupFamily",
    "engine": "Engine",
    "engine-mode": "SupportedEngineModes",
    "engine-version": "EngineVersion",
    "status": "Status",
}


def read_version_with(reader: VersionReader) -> None:
    _version_reader[:] = [reader]


def install() -> None:
    """Add the operation, which moto lacks, and the version to those of option groups."""
    RDSResponse.describe_db_engine_versions = describe_db_engine_versions  # type: ignore[attr-defined]
    create = RDSBackend.create_option_group

    @functools.wraps(create)
    def create_option_group(self: RDSBackend, option_group_kwargs: dict[str, Any]) -> OptionGroup:
        asked = (option_group_kwargs.get("engine_name"), option_group_kwargs.get("major_engine_version"))
        if asked != (ENGINE, POSTGRES_MAJOR):
            return create(self, option_group_kwargs)
        group = create(self, {**option_group_kwargs, "major_engine_version": MOTOS_NEWEST})
        group.major_engine_version = POSTGRES_MAJOR
        return group

    describe = RDSBackend.describe_option_groups

    @functools.wraps(describe)
    def describe_option_groups(self: RDSBackend, option_group_kwargs: dict[str, Any]) -> list[OptionGroup]:
        """Those of a name, or all; moto wants a name, and an error where there are none."""
        if option_group_kwargs.get("option_group_name"):
            return describe(self, option_group_kwargs)
        wanted = {key: option_group_kwargs.get(key) for key in ("engine_name", "major_engine_version")}
        return [
            group
            for group in self.option_groups.values()
            if all(value in (None, getattr(group, key)) for key, value in wanted.items())
        ]

    RDSBackend.create_option_group = create_option_group  # type: ignore[method-assign]
    RDSBackend.describe_option_groups = describe_option_groups  # type: ignore[method-assign]


def describe_db_engine_versions(self: RDSResponse) -> ActionResult:
    wanted = {item["Name"]: item["Values"] for item in self.params.get("Filters", [])}
    for name in wanted:
        if name not in FILTERS:
            raise InvalidParameterValue(f"Unrecognized filter name: {name}")
    for name, parameter in (
        ("engine", "Engine"),
        ("engine-version", "EngineVersion"),
        ("db-parameter-group-family", "DBParameterGroupFamily"),
    ):
        if self.params.get(parameter):
            wanted[name] = [*wanted.get(name, []), str(self.params[parameter])]
    with without_lock():
        version = _version_reader[0]() if _version_reader else ""
    versions = [described(version or POSTGRES_MAJOR)]
    found = [version for version in versions if all(_passes(version, name, wanted[name]) for name in wanted)]
    return ActionResult({"DBEngineVersions": found})


def _passes(version: dict[str, Any], name: str, values: list[str]) -> bool:
    """Whether a version is one of those; a major version stands for all of its minor ones."""
    has = version[FILTERS[name]]
    has = has if isinstance(has, list) else [has]
    if name == "engine-version":
        has = [*has, version["MajorEngineVersion"]]
    return any(value in has for value in values)


def described(version: str) -> dict[str, Any]:
    """A version as the API shows it: the default one, that can't be upgraded to another."""
    return {
        "Engine": ENGINE,
        "EngineVersion": version,
        "MajorEngineVersion": POSTGRES_MAJOR,
        "DBParameterGroupFamily": FAMILY,
        "DBEngineDescription": "PostgreSQL",
        "DBEngineVersionDescription": f"PostgreSQL {version}",
        "ValidUpgradeTarget": [],
        "ExportableLogTypes": [],
        "SupportedEngineModes": ["provisioned"],
        "SupportedFeatureNames": [],
        "Status": "available",
        "SupportsLogExportsToCloudwatchLogs": False,
        "SupportsReadReplica": False,
        "SupportsGlobalDatabases": False,
        "SupportsParallelQuery": False,
        "SupportsBabelfish": False,
    }
