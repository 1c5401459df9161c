"""The engine versions that can be had here, and the filters that look for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from api_client import api_without_machines
from botocore.exceptions import ClientError


@pytest.fixture(scope="module")
def rds() -> Iterator[Any]:
    with api_without_machines() as client:
        yield client("rds")


@pytest.mark.essential
def test_the_version_that_runs_here_is_described(rds: Any) -> None:
    (version,) = rds.describe_db_engine_versions()["DBEngineVersions"]
    assert version["Engine"] == "postgres"
    assert version["EngineVersion"].split(".")[0] == version["MajorEngineVersion"] == "17"
    assert version["DBParameterGroupFamily"] == "postgres17"
    assert version["ValidUpgradeTarget"] == []
    assert rds.describe_db_engine_versions(Engine="postgres", DefaultOnly=True)["DBEngineVersions"] == [version]


@pytest.mark.parametrize(
    ("wanted", "count"),
    [
        ({"Engine": "postgres", "EngineVersion": "17"}, 1),
        ({"Engine": "postgres", "EngineVersion": "16"}, 0),
        ({"Engine": "mysql"}, 0),
        ({"DBParameterGroupFamily": "postgres17"}, 1),
        ({"DBParameterGroupFamily": "postgres16"}, 0),
        ({"Filters": [{"Name": "engine-mode", "Values": ["serverless", "provisioned"]}]}, 1),
        ({"Filters": [{"Name": "status", "Values": ["deprecated"]}]}, 0),
        ({"Filters": [{"Name": "engine-version", "Values": ["17"]}, {"Name": "engine", "Values": ["mysql"]}]}, 0),
    ],
)
def test_versions_are_looked_for(rds: Any, wanted: dict[str, Any], count: int) -> None:
    assert len(rds.describe_db_engine_versions(**wanted)["DBEngineVersions"]) == count


def test_an_unknown_filter_is_refused(rds: Any) -> None:
    with pytest.raises(ClientError, match="Unrecognized filter name: nonsense") as refused:
        rds.describe_db_engine_versions(Filters=[{"Name": "nonsense", "Values": ["x"]}])
    assert refused.value.response["Error"]["Code"] == "InvalidParameterValue"
