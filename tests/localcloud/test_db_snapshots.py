"""RDS snapshots: they hold the data, a database is made from them, and they outlive the one they were taken of."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from botocore.exceptions import ClientError
from running_cloud import PROJECT_ROOT, Cloud, docker
from terraform_stack import terraform_stack
from waiting import PATIENCE, wait_until

PASSWORD = "first-Password_1"
NAME = "snapshot-test"
QUICK = {"Delay": 1, "MaxAttempts": 120 * PATIENCE}


@pytest.fixture(scope="module")
def rds(cloud: Cloud) -> Iterator[Any]:
    """The client, with a database and a subnet group called `snapshot-test`; all databases and snapshots go."""
    client = cloud.client("rds")
    client.create_db_subnet_group(
        DBSubnetGroupName=NAME, DBSubnetGroupDescription="test", SubnetIds=cloud.subnet_ids[1:]
    )
    client.create_db_instance(
        DBInstanceIdentifier=NAME,
        Engine="postgres",
        DBInstanceClass="db.t4g.micro",
        AllocatedStorage=20,
        DBName="web2py",
        MasterUsername="dbadmin",
        MasterUserPassword=PASSWORD,
        DBSubnetGroupName=NAME,
        VpcSecurityGroupIds=[cloud.security_group_id],
        BackupRetentionPeriod=1,
        CopyTagsToSnapshot=True,
        Tags=[{"Key": "Name", "Value": "kept"}],
    )
    client.get_waiter("db_instance_available").wait(DBInstanceIdentifier=NAME, WaiterConfig=QUICK)
    yield client
    for database in client.describe_db_instances()["DBInstances"]:
        name = database["DBInstanceIdentifier"]
        with contextlib.suppress(ClientError):
            client.modify_db_instance(DBInstanceIdentifier=name, DeletionProtection=False)
            client.delete_db_instance(DBInstanceIdentifier=name, SkipFinalSnapshot=True)
    for snapshot in client.describe_db_snapshots()["DBSnapshots"]:
        client.delete_db_snapshot(DBSnapshotIdentifier=snapshot["DBSnapshotIdentifier"])
    wait_until(lambda: not client.describe_db_instances()["DBInstances"], what="no database is left")
    client.delete_db_subnet_group(DBSubnetGroupName=NAME)


def connect(cloud: Cloud, name: str, **options: Any) -> Any:
    database = cloud.client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
    host = docker(
        "inspect",
        "--format",
        "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
        cloud.container(database["DbiResourceId"]),
    ).strip()
    arguments = {"host": host, "user": "dbadmin", "password": PASSWORD, "dbname": "web2py", "connect_timeout": 5}
    connection = psycopg2.connect(**{**arguments, **options})
    connection.autocommit = True
    return connection


def query(cloud: Cloud, name: str, statement: str, **options: Any) -> Any:
    with contextlib.closing(connect(cloud, name, **options)) as connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def restore(rds: Any, snapshot: str, name: str, **options: Any) -> dict[str, Any]:
    request = {"DBInstanceIdentifier": name, "DBSnapshotIdentifier": snapshot, "DBSubnetGroupName": NAME, **options}
    answer: dict[str, Any] = rds.restore_db_instance_from_db_snapshot(**request)["DBInstance"]
    return answer


def group_names(cloud: Cloud, name: str) -> list[tuple[str, str]]:
    """Name and VPC of a database's security groups."""
    database = cloud.client("rds").describe_db_instances(DBInstanceIdentifier=name)["DBInstances"][0]
    ids = [group["VpcSecurityGroupId"] for group in database["VpcSecurityGroups"]]
    groups = cloud.client("ec2").describe_security_groups(GroupIds=ids)["SecurityGroups"]
    return [(group["GroupName"], group["VpcId"]) for group in groups]


def open_up(cloud: Cloud, name: str) -> None:
    """Let the tests in, and whoever else asks."""
    cloud.client("rds").modify_db_instance(
        DBInstanceIdentifier=name, VpcSecurityGroupIds=[cloud.security_group_id], ApplyImmediately=True
    )
    wait_until(lambda: group_names(cloud, name) == [("open", cloud.vpc_id)], what=f"{name} has its new group")


class Writer(threading.Thread):
    """Commits one row after the other, each with the next number."""

    def __init__(self, cloud: Cloud) -> None:
        super().__init__()
        self.connection = connect(cloud, NAME)
        self.committed = 0
        self.stopping = threading.Event()

    def run(self) -> None:
        with self.connection.cursor() as cursor:
            while not self.stopping.is_set():
                cursor.execute("INSERT INTO written VALUES (%s)", (self.committed + 1,))
                self.committed += 1
        self.connection.close()


def test_snapshot_taken_while_writes_go_on_is_consistent(cloud: Cloud, rds: Any) -> None:
    query(cloud, NAME, "CREATE TABLE written (number int PRIMARY KEY)")
    writer = Writer(cloud)
    writer.start()
    try:
        wait_until(lambda: writer.committed > 100, what="100 rows")
        before = writer.committed
        snapshot = rds.create_db_snapshot(DBInstanceIdentifier=NAME, DBSnapshotIdentifier="busy")["DBSnapshot"]
        assert (snapshot["Status"], snapshot["PercentProgress"]) == ("creating", 0)
        with pytest.raises(ClientError, match="not currently in the available state"):
            rds.create_db_snapshot(DBInstanceIdentifier=NAME, DBSnapshotIdentifier="second")
        rds.get_waiter("db_snapshot_available").wait(DBSnapshotIdentifier="busy", WaiterConfig=QUICK)
        after = writer.committed
        wait_until(lambda: writer.committed > after, what="writes go on")
    finally:
        writer.stopping.set()
        writer.join()
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier=NAME, WaiterConfig=QUICK)
    assert restore(rds, "busy", "restored")["DBInstanceStatus"] == "creating"
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier="restored", WaiterConfig=QUICK)
    assert group_names(cloud, "restored") == [("default", cloud.vpc_id)], "nobody said which groups it has"
    open_up(cloud, "restored")
    rows = query(cloud, "restored", "SELECT count(*) FROM written")
    assert query(cloud, "restored", "SELECT max(number) FROM written") == rows, "no row is missing between others"
    assert before <= rows <= after + 1


def test_restored_database_is_one_of_its_own(cloud: Cloud, rds: Any) -> None:
    databases = {d["DBInstanceIdentifier"]: d for d in rds.describe_db_instances()["DBInstances"]}
    old, new = databases[NAME], databases["restored"]
    assert new["Endpoint"]["Address"].startswith("restored.")
    assert new["Endpoint"]["Address"] != old["Endpoint"]["Address"]
    assert new["DbiResourceId"] != old["DbiResourceId"]
    assert (new["MasterUsername"], new["DBName"], new["EngineVersion"]) == ("dbadmin", "web2py", old["EngineVersion"])
    assert new["DBParameterGroups"][0]["DBParameterGroupName"] == "default.postgres17"
    assert rds.list_tags_for_resource(ResourceName=new["DBInstanceArn"])["TagList"] == [
        {"Key": "Name", "Value": "kept"}
    ]
    query(cloud, "restored", "INSERT INTO written VALUES (-1)")
    assert query(cloud, NAME, "SELECT count(*) FROM written WHERE number = -1") == 0
    certificate = docker("exec", cloud.container(new["DbiResourceId"]), "openssl", "x509", "-noout", "-subject",
                         "-in", "/var/lib/postgresql/rds/server.crt")  # fmt: skip
    assert new["Endpoint"]["Address"] in certificate
    rds.modify_db_instance(DBInstanceIdentifier="restored", MasterUserPassword="third-Password_3")
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier="restored", WaiterConfig=QUICK)
    assert query(cloud, "restored", "SELECT 1", password="third-Password_3") == 1
    assert query(cloud, NAME, "SELECT 1") == 1, "the other one's password stays"


def test_snapshots_are_found_copied_and_tagged(rds: Any) -> None:
    described = rds.describe_db_snapshots(DBInstanceIdentifier=NAME, SnapshotType="manual")["DBSnapshots"]
    assert [(s["DBSnapshotIdentifier"], s["Status"], s["PercentProgress"]) for s in described] == [
        ("busy", "available", 100)
    ]
    arn = described[0]["DBSnapshotArn"]
    assert described[0]["VpcId"].startswith("vpc-")
    assert described[0]["AvailabilityZone"].startswith("us-east-1")
    assert described[0]["TagList"] == [{"Key": "Name", "Value": "kept"}]
    rds.add_tags_to_resource(ResourceName=arn, Tags=[{"Key": "Keep", "Value": "yes"}])
    rds.copy_db_snapshot(SourceDBSnapshotIdentifier=arn, TargetDBSnapshotIdentifier="copied", CopyTags=True)
    rds.get_waiter("db_snapshot_completed").wait(DBSnapshotIdentifier="copied", WaiterConfig=QUICK)
    copied = rds.describe_db_snapshots(DBSnapshotIdentifier="copied")["DBSnapshots"][0]
    assert copied["SourceDBSnapshotIdentifier"] == arn
    assert {tag["Key"] for tag in copied["TagList"]} == {"Name", "Keep"}
    filters = [{"Name": "db-snapshot-id", "Values": ["copied", "busy"]}]
    assert len(rds.describe_db_snapshots(Filters=filters)["DBSnapshots"]) == 2
    with pytest.raises(ClientError, match="DBSnapshotAlreadyExists"):
        rds.copy_db_snapshot(SourceDBSnapshotIdentifier="busy", TargetDBSnapshotIdentifier="copied")


def test_there_are_no_automated_backups_to_restore(rds: Any) -> None:
    assert rds.describe_db_snapshots(SnapshotType="automated")["DBSnapshots"] == []
    assert rds.describe_db_instance_automated_backups()["DBInstanceAutomatedBackups"] == []
    assert "LatestRestorableTime" not in rds.describe_db_instances(DBInstanceIdentifier=NAME)["DBInstances"][0]
    with pytest.raises(ClientError, match="InvalidRestoreFault"):
        rds.restore_db_instance_to_point_in_time(
            SourceDBInstanceIdentifier=NAME, TargetDBInstanceIdentifier="earlier", UseLatestRestorableTime=True
        )


def test_protected_database_is_not_deleted(rds: Any) -> None:
    rds.modify_db_instance(DBInstanceIdentifier="restored", DeletionProtection=True, ApplyImmediately=True)
    with pytest.raises(ClientError, match="Cannot delete protected DB Instance, please disable deletion protection"):
        rds.delete_db_instance(DBInstanceIdentifier="restored", SkipFinalSnapshot=True)
    rds.modify_db_instance(DBInstanceIdentifier="restored", DeletionProtection=False, ApplyImmediately=True)


def test_final_snapshot_has_the_data_and_no_controller_is_needed_between(cloud: Cloud, rds: Any) -> None:
    with pytest.raises(ClientError, match="FinalDBSnapshotIdentifier is required unless SkipFinalSnapshot"):
        rds.delete_db_instance(DBInstanceIdentifier="restored")
    query(cloud, "restored", "CREATE TABLE last AS SELECT 42 AS answer", password="third-Password_3")
    answer = rds.delete_db_instance(DBInstanceIdentifier="restored", FinalDBSnapshotIdentifier="final")
    assert answer["DBInstance"]["DBInstanceStatus"] == "deleting"
    cloud.kill()
    cloud.up()
    rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier="restored", WaiterConfig=QUICK)
    assert rds.describe_db_snapshots(DBSnapshotIdentifier="final")["DBSnapshots"][0]["Status"] == "available"
    restore(rds, "final", "again", VpcSecurityGroupIds=[cloud.security_group_id], Port=6543)
    rds.get_waiter("db_instance_available").wait(DBInstanceIdentifier="again", WaiterConfig=QUICK)
    assert query(cloud, "again", "SELECT answer FROM last", password="third-Password_3", port=6543) == 42


def test_database_whose_container_was_removed_has_failed_and_says_why(cloud: Cloud, rds: Any) -> None:
    database = rds.describe_db_instances(DBInstanceIdentifier="again")["DBInstances"][0]
    docker("rm", "--force", cloud.container(database["DbiResourceId"]))

    def status() -> str:
        return str(rds.describe_db_instances(DBInstanceIdentifier="again")["DBInstances"][0]["DBInstanceStatus"])

    wait_until(lambda: status() == "failed", what="again has failed")
    assert "again: its container is gone, and with it the data" in cloud.log
    broken = cloud.localcloud("status").stdout.partition("Broken:")[2].splitlines()
    assert [line.split()[:2] for line in broken if "again" in line] == [["again", "failed"]]
    with pytest.raises(ClientError, match="not currently in the available state"):
        rds.delete_db_instance(DBInstanceIdentifier="again", FinalDBSnapshotIdentifier="too-late")
    rds.delete_db_instance(DBInstanceIdentifier="again", SkipFinalSnapshot=True)
    rds.get_waiter("db_instance_deleted").wait(DBInstanceIdentifier="again", WaiterConfig=QUICK)


TERRAFORM = """
variable "security_group_id" {
  type = string
}

resource "aws_db_snapshot" "this" {
  db_instance_identifier = "snapshot-test"
  db_snapshot_identifier = "by-terraform"
  tags                   = { Name = "by-terraform" }
}

resource "aws_db_instance" "restored" {
  identifier                = "by-terraform"
  snapshot_identifier       = aws_db_snapshot.this.id
  instance_class            = "db.t4g.micro"
  db_subnet_group_name      = "snapshot-test"
  vpc_security_group_ids    = [var.security_group_id]
  final_snapshot_identifier = "by-terraform-final"
  apply_immediately         = true
  copy_tags_to_snapshot     = true
  tags                      = { Name = "by-terraform" }
}
"""


def test_terraform_takes_and_restores_snapshots(cloud: Cloud, rds: Any, tmp_path: Path) -> None:
    query(cloud, NAME, "CREATE TABLE for_terraform AS SELECT 7 AS answer")
    variables = {"security_group_id": cloud.security_group_id}
    with terraform_stack(cloud, tmp_path, TERRAFORM, variables) as stack:
        stack.apply()
        assert query(cloud, "by-terraform", "SELECT answer FROM for_terraform") == 7
        stack.assert_no_drift()
    snapshots = rds.describe_db_snapshots()["DBSnapshots"]
    assert {s["DBSnapshotIdentifier"] for s in snapshots if "terraform" in s["DBSnapshotIdentifier"]} == {
        "by-terraform-final"
    }


def test_ansible_takes_and_deletes_snapshots(cloud: Cloud, rds: Any) -> None:
    def module(**options: Any) -> str:
        arguments = {
            "db_snapshot_identifier": "by-ansible",
            "db_instance_identifier": NAME,
            "wait": True,
            "endpoint_url": cloud.endpoint,
            "region": "us-east-1",
            "access_key": "test",
            "secret_key": "test",
            **options,
        }
        return subprocess.run(
            [
                *(Path(sys.executable).with_name("ansible"), "localhost", "--inventory", "localhost,"),
                *("--connection", "local", "--extra-vars", f"ansible_python_interpreter={sys.executable}"),
                *("--module-name", "amazon.aws.rds_instance_snapshot", "--args", json.dumps(arguments)),
            ],
            cwd=PROJECT_ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout

    assert "CHANGED" in module(tags={"Name": "by-ansible"})
    assert "SUCCESS" in module(tags={"Name": "by-ansible"}), "the second time nothing changes"
    assert rds.describe_db_snapshots(DBSnapshotIdentifier="by-ansible")["DBSnapshots"][0]["Status"] == "available"
    assert "CHANGED" in module(state="absent")


def test_deleted_snapshots_leave_no_image(cloud: Cloud, rds: Any) -> None:
    with pytest.raises(ClientError, match="DBSnapshotNotFound"):
        restore(rds, "no-such-snapshot", "never")
    repository = f"localcloud-{cloud.port}/db-snapshot"
    assert docker("images", "--quiet", repository).strip()
    for name in [s["DBSnapshotIdentifier"] for s in rds.describe_db_snapshots()["DBSnapshots"]]:
        assert rds.delete_db_snapshot(DBSnapshotIdentifier=name)["DBSnapshot"]["Status"] == "deleted"
    wait_until(lambda: not docker("images", "--quiet", repository).strip(), what="no image is left")
    assert query(cloud, NAME, "SELECT 1") == 1
