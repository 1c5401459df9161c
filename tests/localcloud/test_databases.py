"""RDS: a real PostgreSQL answers at the endpoint, with the parameter group's settings, and keeps its data."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from botocore.exceptions import ClientError
from running_cloud import Cloud, container_log, docker
from waiting import wait_until

PASSWORD = "first-Password_1"


class Database:
    """A database instance, with a parameter group and a subnet group of its own."""

    def __init__(self, cloud: Cloud) -> None:
        # As long as it may be on AWS.
        self.cloud, self.rds, self.id = cloud, cloud.client("rds"), f"test-db-{'x' * 55}"
        self.rds.create_db_subnet_group(
            DBSubnetGroupName="test-db", DBSubnetGroupDescription="test", SubnetIds=cloud.subnet_ids[1:]
        )
        self.rds.create_db_parameter_group(
            DBParameterGroupName="test-db", DBParameterGroupFamily="postgres17", Description="test"
        )
        self.set_parameter("max_connections", "123", "pending-reboot")
        day = f"{datetime.now(UTC) + timedelta(days=2):%a}".lower()
        self.first = self.rds.create_db_instance(
            DBInstanceIdentifier=self.id,
            Engine="postgres",
            EngineVersion="17",
            DBInstanceClass="db.t4g.micro",
            AllocatedStorage=20,
            DBName="web2py",
            MasterUsername="dbadmin",
            MasterUserPassword=PASSWORD,
            DBSubnetGroupName="test-db",
            DBParameterGroupName="test-db",
            VpcSecurityGroupIds=[cloud.security_group_id],
            # Not now, whatever the day: what waits for it is looked at.
            PreferredMaintenanceWindow=f"{day}:06:38-{day}:07:08",
        )["DBInstance"]

    def set_parameter(self, name: str, value: str, apply_method: str) -> None:
        self.rds.modify_db_parameter_group(
            DBParameterGroupName="test-db",
            Parameters=[{"ParameterName": name, "ParameterValue": value, "ApplyMethod": apply_method}],
        )

    def describe(self) -> dict[str, Any]:
        found: dict[str, Any] = self.rds.describe_db_instances(DBInstanceIdentifier=self.id)["DBInstances"][0]
        return found

    def wait_for(self, status: str = "available", timeout: float = 60) -> None:
        wait_until(lambda: self.describe()["DBInstanceStatus"] == status, timeout, what=status)

    @property
    def container(self) -> str:
        return self.cloud.container(self.describe()["DbiResourceId"])

    @property
    def ip_address(self) -> str:
        inspected = docker(
            "inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", self.container
        )
        return inspected.strip()

    def connect(self, **options: Any) -> Any:
        arguments = {
            "host": self.ip_address,
            "user": "dbadmin",
            "password": PASSWORD,
            "dbname": "web2py",
            "connect_timeout": 5,
            **options,
        }
        connection = psycopg2.connect(**arguments)
        connection.autocommit = True
        return connection

    def query(self, statement: str, **options: Any) -> Any:
        connection = self.connect(**options)
        try:
            with connection.cursor() as cursor:
                cursor.execute(statement)
                return cursor.fetchone()[0] if cursor.description else None
        finally:
            connection.close()


@pytest.fixture(scope="module")
def database(cloud: Cloud) -> Database:
    database = Database(cloud)
    database.wait_for()
    database.query("CREATE TABLE kept AS SELECT 42 AS answer")
    return database


def test_is_created_in_its_own_time(database: Database) -> None:
    assert database.first["DBInstanceStatus"] == "creating"
    assert "Endpoint" not in database.first
    endpoint = database.describe()["Endpoint"]
    assert endpoint["Address"].startswith(f"{database.id}.")
    assert endpoint["Address"].endswith(".us-east-1.rds.localcloud.internal")
    assert endpoint["Port"] == 5432


def test_address_is_in_the_subnet_group(database: Database) -> None:
    assert database.ip_address.split(".")[2] in ("1", "2")


@pytest.mark.essential
def test_parameters_hold(database: Database) -> None:
    assert database.query("SHOW max_connections") == "123"
    parameters = database.rds.describe_db_parameters(DBParameterGroupName="test-db")["Parameters"]
    assert [(p["ParameterName"], p["ParameterValue"], p["ApplyMethod"], p["Source"]) for p in parameters] == [
        ("max_connections", "123", "pending-reboot", "user")
    ]


@pytest.mark.essential
def test_master_user_has_the_rights_of_rds(database: Database) -> None:
    assert database.query("SHOW server_version").startswith("17.")
    assert database.query("SELECT NOT rolsuper AND rolcreaterole AND rolcreatedb FROM pg_roles WHERE rolname=user")
    assert database.query("SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname='web2py'") == "dbadmin"
    assert database.query("SELECT datcollate FROM pg_database WHERE datname='web2py'") == "en_US.UTF-8"
    database.query("CREATE ROLE app LOGIN PASSWORD 'app-password-1'; GRANT ALL ON SCHEMA public TO app")
    database.query("CREATE TABLE mine (id int)", user="app", password="app-password-1")
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        database.query("ALTER SYSTEM SET work_mem = '1GB'")


@pytest.mark.essential
def test_only_encrypted_connections_are_taken(database: Database) -> None:
    assert database.query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    with pytest.raises(psycopg2.OperationalError, match="no encryption"):
        database.connect(sslmode="disable")


def test_its_certificate_is_of_its_endpoint(database: Database, tmp_path: Path) -> None:
    certificate = tmp_path / "server.crt"
    certificate.write_text(docker("exec", database.container, "cat", "/var/lib/postgresql/rds/server.crt"))
    verified = {"hostaddr": database.ip_address, "sslmode": "verify-full", "sslrootcert": str(certificate)}
    database.connect(host=database.describe()["Endpoint"]["Address"], **verified).close()
    with pytest.raises(psycopg2.OperationalError, match="does not match host name"):
        database.connect(host="another.us-east-1.rds.localcloud.internal", **verified)


def test_the_superuser_is_out_of_reach(database: Database) -> None:
    with pytest.raises(psycopg2.OperationalError, match="rejects"):
        database.connect(user="rdsadmin")


@pytest.mark.essential
def test_endpoint_name_resolves_inside_the_vpc(database: Database) -> None:
    instance_id = database.cloud.run_instance()
    address = database.describe()["Endpoint"]["Address"]
    answer = docker("exec", database.cloud.container(instance_id), "getent", "hosts", address)
    assert answer.split()[0] == database.ip_address
    database.cloud.terminate(instance_id)


def test_password_is_nowhere_to_be_seen(database: Database) -> None:
    assert PASSWORD not in docker("inspect", database.container)
    assert PASSWORD not in container_log(database.container)
    assert PASSWORD not in database.cloud.log
    found = subprocess.run(
        ["docker", "exec", "--user", "root", database.container, "grep", "-r", PASSWORD, "/etc", "/var/lib/postgresql"],
        capture_output=True,
        check=False,
    )
    assert found.stdout == b""


def test_dynamic_parameter_holds_at_once_and_static_after_a_reboot(database: Database) -> None:
    database.set_parameter("log_min_duration_statement", "777", "immediate")
    wait_until(lambda: database.query("SHOW log_min_duration_statement") == "777ms", 15)
    database.set_parameter("max_connections", "124", "pending-reboot")
    database.cloud.wait_for_passes()
    assert database.query("SHOW max_connections") == "123"
    assert database.describe()["DBParameterGroups"][0]["ParameterApplyStatus"] == "pending-reboot"
    answer = database.rds.reboot_db_instance(DBInstanceIdentifier=database.id)
    assert answer["DBInstance"]["DBInstanceStatus"] == "rebooting"
    database.wait_for()
    assert database.query("SHOW max_connections") == "124"
    assert database.describe()["DBParameterGroups"][0]["ParameterApplyStatus"] == "in-sync"
    assert database.query("SELECT answer FROM kept") == 42


def test_static_parameter_can_not_be_immediate(database: Database) -> None:
    with pytest.raises(ClientError, match="InvalidParameterCombination"):
        database.set_parameter("max_connections", "125", "immediate")


def test_stop_and_start_keep_the_data(database: Database) -> None:
    address = database.ip_address
    answer = database.rds.stop_db_instance(DBInstanceIdentifier=database.id)
    assert answer["DBInstance"]["DBInstanceStatus"] == "stopping"
    database.wait_for("stopped")
    with pytest.raises(psycopg2.OperationalError):
        database.connect(host=address)
    answer = database.rds.start_db_instance(DBInstanceIdentifier=database.id)
    assert answer["DBInstance"]["DBInstanceStatus"] == "starting"
    database.wait_for()
    assert database.query("SELECT answer FROM kept") == 42


def test_dead_database_is_started_again(database: Database) -> None:
    docker("kill", database.container)
    wait_until(lambda: answers(database), 30)
    assert database.query("SELECT answer FROM kept") == 42


def ids_of_databases(rds: Any) -> set[str]:
    return {row["DBInstanceIdentifier"] for row in rds.describe_db_instances()["DBInstances"]}


def answers(database: Database) -> bool:
    try:
        return bool(database.query("SELECT 1"))
    except psycopg2.OperationalError:
        return False


def test_killed_controller_does_not_disturb_it(database: Database) -> None:
    connection = database.connect()
    database.cloud.kill()
    database.cloud.up()
    database.cloud.wait_for_passes()
    with connection.cursor() as cursor:
        cursor.execute("SELECT answer FROM kept")
        assert cursor.fetchone() == (42,)
    connection.close()
    assert database.describe()["DBInstanceStatus"] == "available"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("no_such_parameter", "1", "Could not find parameter with name: no_such_parameter"),
        ("max_connections", "0", "Invalid parameter value: 0 for: max_connections allowed values are: 1-262143"),
        ("work_mem", "4MB", "Invalid parameter value: 4MB for: work_mem allowed values are: 64-2147483647"),
        (
            "wal_level",
            "much",
            "Invalid parameter value: much for: wal_level allowed values are: minimal,replica,logical",
        ),
        ("listen_addresses", "*", "The parameter listen_addresses cannot be modified."),
    ],
)
def test_parameter_that_can_not_be_set_is_refused(database: Database, name: str, value: str, message: str) -> None:
    with pytest.raises(ClientError, match="InvalidParameterValue") as refused:
        database.set_parameter(name, value, "pending-reboot")
    assert refused.value.response["Error"]["Message"] == message


def test_change_waits_for_the_maintenance_window_or_is_made_at_once(database: Database) -> None:
    modify = database.rds.modify_db_instance
    modify(DBInstanceIdentifier=database.id, DBInstanceClass="db.t4g.small", PreferredBackupWindow="02:00-02:30")
    waiting = database.describe()
    assert waiting["PendingModifiedValues"] == {"DBInstanceClass": "db.t4g.small"}
    assert (waiting["DBInstanceClass"], waiting["PreferredBackupWindow"]) == ("db.t4g.micro", "02:00-02:30")
    started = database.query("SELECT pg_postmaster_start_time()::text")
    answer = modify(DBInstanceIdentifier=database.id, AllocatedStorage=25, ApplyImmediately=True)
    assert answer["DBInstance"]["DBInstanceStatus"] == "modifying"
    database.wait_for()
    changed = database.describe()
    assert not changed["PendingModifiedValues"]
    assert (changed["DBInstanceClass"], changed["AllocatedStorage"]) == ("db.t4g.small", 25)
    assert database.query("SELECT pg_postmaster_start_time()::text") > started, "another class is another machine"
    with pytest.raises(ClientError, match="InvalidParameterCombination.* storage can't be reduced"):
        modify(DBInstanceIdentifier=database.id, AllocatedStorage=20, ApplyImmediately=True)
    with pytest.raises(ClientError, match=r"InvalidParameterCombination.*Cannot upgrade postgres from 17\.\d+ to 18"):
        modify(DBInstanceIdentifier=database.id, EngineVersion="18", ApplyImmediately=True)


def test_master_password_changes(database: Database) -> None:
    changed = "second-Password_2"

    def change_to(password: str) -> None:
        database.rds.modify_db_instance(
            DBInstanceIdentifier=database.id, MasterUserPassword=password, ApplyImmediately=True
        )
        database.wait_for()

    change_to(changed)
    with pytest.raises(psycopg2.OperationalError, match="authentication failed"):
        database.connect()
    assert database.query("SELECT 1", password=changed) == 1
    assert changed not in database.cloud.log
    assert changed not in container_log(database.container)
    change_to(PASSWORD)
    assert database.query("SELECT 1") == 1


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"Engine": "mysql"}, "InvalidParameterValue"),
        ({"EngineVersion": "16"}, "InvalidParameterCombination"),
        ({"MasterUserPassword": "with/slash"}, "InvalidParameterValue"),
    ],
)
def test_what_would_not_run_is_refused(cloud: Cloud, options: dict[str, str], code: str) -> None:
    request = {
        "DBInstanceIdentifier": "refused",
        "Engine": "postgres",
        "DBInstanceClass": "db.t4g.micro",
        "AllocatedStorage": 20,
        "MasterUsername": "dbadmin",
        "MasterUserPassword": PASSWORD,
        **options,
    }
    with pytest.raises(ClientError, match=code):
        cloud.client("rds").create_db_instance(**request)


def test_secure_parameter_survives_the_controller(cloud: Cloud) -> None:
    ssm = cloud.client("ssm")
    ssm.put_parameter(Name="/test/password", Value=PASSWORD, Type="SecureString", Tags=[{"Key": "a", "Value": "b"}])
    cloud.kill()
    cloud.up()
    assert ssm.get_parameter(Name="/test/password", WithDecryption=True)["Parameter"]["Value"] == PASSWORD
    assert PASSWORD not in ssm.get_parameter(Name="/test/password")["Parameter"]["Value"][:16]
    tags = ssm.list_tags_for_resource(ResourceType="Parameter", ResourceId="/test/password")["TagList"]
    assert tags == [{"Key": "a", "Value": "b"}]


def test_deleted_database_leaves_nothing(database: Database) -> None:
    container = database.container
    with pytest.raises(ClientError, match="InvalidDBParameterGroupState"):
        database.rds.delete_db_parameter_group(DBParameterGroupName="test-db")
    with pytest.raises(ClientError, match="FinalDBSnapshotIdentifier is required"):
        database.rds.delete_db_instance(DBInstanceIdentifier=database.id)
    answer = database.rds.delete_db_instance(DBInstanceIdentifier=database.id, SkipFinalSnapshot=True)
    assert answer["DBInstance"]["DBInstanceStatus"] == "deleting"
    wait_until(lambda: database.id not in ids_of_databases(database.rds), 30)
    assert container not in docker("ps", "--all", "--format", "{{.Names}}")
    database.rds.delete_db_parameter_group(DBParameterGroupName="test-db")
    database.rds.delete_db_subnet_group(DBSubnetGroupName="test-db")
    interfaces = database.cloud.client("ec2").describe_network_interfaces()["NetworkInterfaces"]
    assert not [interface for interface in interfaces if interface["Description"] == "RDSNetworkInterface"]
