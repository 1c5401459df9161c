"""What is said of a database when it is created is what DescribeDBInstances says."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from instant_cloud import instant_cloud
from running_cloud import REGION, Cloud


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with instant_cloud(tmp_path_factory.mktemp("options")) as cloud:
        yield cloud


def create(cloud: Cloud, name: str, **options: Any) -> dict[str, Any]:
    """Create a database; what DescribeDBInstances says then."""
    cloud.client("rds").create_db_instance(
        DBInstanceIdentifier=name,
        DBInstanceClass="db.t3.micro",
        Engine="postgres",
        MasterUsername="master",
        MasterUserPassword="twelve-letters",
        **{"AllocatedStorage": 20, **options},
    )
    return described(cloud, name)


def described(cloud: Cloud, name: str) -> dict[str, Any]:
    answer = cloud.client("rds").describe_db_instances(DBInstanceIdentifier=name)
    found: dict[str, Any] = answer["DBInstances"][0]
    return found


def test_defaults_are_reported(cloud: Cloud) -> None:
    database = create(cloud, "plain")
    assert (database["StorageType"], database["Iops"], database["StorageThroughput"]) == ("gp3", 3000, 125)
    assert database["EngineLifecycleSupport"] == "open-source-rds-extended-support"
    assert database["PerformanceInsightsEnabled"] is False
    assert "PerformanceInsightsRetentionPeriod" not in database
    assert database["DatabaseInsightsMode"] == "standard"
    assert database["NetworkType"] == "IPV4"
    assert database["DedicatedLogVolume"] is False
    assert database["LicenseModel"] == "postgresql-license"


def test_database_without_a_subnet_group_is_in_the_default_one(cloud: Cloud) -> None:
    group = create(cloud, "grouped")["DBSubnetGroup"]
    vpc = cloud.client("ec2").describe_vpcs(Filters=[{"Name": "is-default", "Values": ["true"]}])["Vpcs"][0]
    assert (group["DBSubnetGroupName"], group["VpcId"]) == ("default", vpc["VpcId"])
    (found,) = cloud.client("rds").describe_db_subnet_groups(DBSubnetGroupName="default")["DBSubnetGroups"]
    assert len(found["Subnets"]) == len(group["Subnets"]) > 1


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DatabaseInsightsMode", "advanced"),
        ("DedicatedLogVolume", True),
        ("EngineLifecycleSupport", "open-source-rds-extended-support-disabled"),
        ("NetworkType", "DUAL"),
        ("PromotionTier", 3),
        ("Timezone", "UTC"),
    ],
)
def test_option_is_reported(cloud: Cloud, name: str, value: Any) -> None:
    assert create(cloud, f"option-{name.lower()}", **{name: value})[name] == value


def test_performance_insights(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    database = create(cloud, "insights", EnablePerformanceInsights=True)
    assert (database["PerformanceInsightsEnabled"], database["PerformanceInsightsRetentionPeriod"]) == (True, 7)
    rds.modify_db_instance(DBInstanceIdentifier="insights", PerformanceInsightsRetentionPeriod=93)
    assert described(cloud, "insights")["PerformanceInsightsRetentionPeriod"] == 93
    rds.modify_db_instance(DBInstanceIdentifier="insights", EnablePerformanceInsights=False)
    database = described(cloud, "insights")
    assert database["PerformanceInsightsEnabled"] is False
    assert "PerformanceInsightsRetentionPeriod" not in database


def test_storage_that_is_striped(cloud: Cloud) -> None:
    database = create(cloud, "striped", AllocatedStorage=400)
    assert (database["Iops"], database["StorageThroughput"]) == (12000, 500)
    database = create(cloud, "fast", AllocatedStorage=400, StorageType="gp3", Iops=16000, StorageThroughput=700)
    assert (database["Iops"], database["StorageThroughput"]) == (16000, 700)


def test_storage_changes_type(cloud: Cloud) -> None:
    database = create(cloud, "moved", StorageType="gp2")
    assert "Iops" not in database
    cloud.client("rds").modify_db_instance(DBInstanceIdentifier="moved", StorageType="gp3", ApplyImmediately=True)
    database = described(cloud, "moved")
    assert (database["StorageType"], database["Iops"], database["StorageThroughput"]) == ("gp3", 3000, 125)
    cloud.client("rds").modify_db_instance(
        DBInstanceIdentifier="moved", AllocatedStorage=400, StorageThroughput=600, ApplyImmediately=True
    )
    assert described(cloud, "moved")["StorageThroughput"] == 600


def test_performance_of_small_storage_can_not_be_chosen(cloud: Cloud) -> None:
    with pytest.raises(ClientError, match="InvalidParameterCombination"):
        create(cloud, "small", StorageType="gp3", Iops=4000)
    create(cloud, "small")
    with pytest.raises(ClientError, match="InvalidParameterCombination"):
        cloud.client("rds").modify_db_instance(DBInstanceIdentifier="small", StorageThroughput=200)


def test_restored_database_has_the_options_it_is_given(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    create(cloud, "origin")
    rds.create_db_snapshot(DBInstanceIdentifier="origin", DBSnapshotIdentifier="of-origin")
    rds.restore_db_instance_from_db_snapshot(
        DBInstanceIdentifier="copy", DBSnapshotIdentifier="of-origin", DedicatedLogVolume=True
    )
    database = described(cloud, "copy")
    assert database["DedicatedLogVolume"] is True
    assert (database["StorageType"], database["Iops"], database["StorageThroughput"]) == ("gp3", 3000, 125)
    assert database["DBSubnetGroup"]["DBSubnetGroupName"] == "default"


@pytest.mark.parametrize(
    ("maintenance", "backup", "accepted"),
    [
        ("Mon:00:00-Mon:03:00", "03:00-06:00", True),
        ("sun:06:00-sun:07:00", "03:00-06:00", True),
        ("sun:05:59-sun:07:00", "03:00-06:00", False),
        ("sun:23:30-mon:00:30", "00:30-01:00", True),
        ("sun:23:30-mon:00:30", "00:00-01:00", False),
        ("sun:00:30-sun:01:30", "23:30-00:30", True),
        ("sun:00:15-sun:01:30", "23:30-00:30", False),
    ],
)
def test_windows(cloud: Cloud, maintenance: str, backup: str, accepted: bool) -> None:
    name = f"window-{maintenance}-{backup}".replace(":", "").lower()
    windows = {"PreferredMaintenanceWindow": maintenance, "PreferredBackupWindow": backup}
    if accepted:
        database = create(cloud, name, **windows)
        assert database["PreferredMaintenanceWindow"] == maintenance.lower()
        assert database["PreferredBackupWindow"] == backup
    else:
        with pytest.raises(ClientError, match="must not overlap"):
            create(cloud, name, **windows)


def test_modified_subnet_group_is_still_there(cloud: Cloud) -> None:
    rds = cloud.client("rds")
    rds.create_db_subnet_group(
        DBSubnetGroupName="modified", DBSubnetGroupDescription="old", SubnetIds=cloud.subnet_ids[:2]
    )
    rds.modify_db_subnet_group(DBSubnetGroupName="modified", DBSubnetGroupDescription="new", SubnetIds=cloud.subnet_ids)
    (group,) = rds.describe_db_subnet_groups(DBSubnetGroupName="modified")["DBSubnetGroups"]
    assert (group["DBSubnetGroupDescription"], len(group["Subnets"])) == ("new", 3)
    with pytest.raises(ClientError, match="DBSubnetGroupNotFoundFault"):
        rds.modify_db_subnet_group(DBSubnetGroupName="none", SubnetIds=cloud.subnet_ids)


def test_ansibles_second_run_changes_nothing(cloud: Cloud) -> None:
    arguments = (
        "id=of-ansible state=present engine=postgres instance_type=db.t3.micro allocated_storage=20 username=master "
        "password=twelve-letters storage_type=gp3 enable_performance_insights=true backup_window=03:00-06:00 "
        "maintenance_window=Mon:00:00-Mon:03:00 tags={'a':'b'} wait=true"
    )

    def run() -> str:
        return subprocess.run(
            ["ansible", "localhost", "-m", "amazon.aws.rds_instance", "-a", arguments],
            env={
                **os.environ,
                "AWS_ENDPOINT_URL": cloud.endpoint,
                "AWS_REGION": REGION,
                "AWS_ACCESS_KEY_ID": "test",
                "AWS_SECRET_ACCESS_KEY": "test",
            },
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        ).stdout

    assert "CHANGED" in run()
    second = run()
    assert "SUCCESS" in second, second
