"""What test_state.py runs on a machine of its own: the four stages live through `kill -9` of everything."""

from __future__ import annotations

import json
import os
import random
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import Any

import pytest
from private_machine import PrivateMachine
from running_cloud import Cloud, docker
from terraform_stack import TerraformStack
from waiting import wait_until

KILLS = 4  # of the API's process, while Terraform applies


@dataclass
class World:
    machine: PrivateMachine
    cloud: Cloud
    stack: TerraformStack

    # -- what shall be as it was ------------------------------------------------------------------------------------

    def database(self) -> dict[str, Any]:
        answer = self.cloud.client("rds").describe_db_instances()
        found: dict[str, Any] = answer["DBInstances"][0]
        return found

    def query(self, statement: str) -> str:
        """Ask the database, as its superuser, who is let in from inside only."""
        container = self.cloud.container(self.database()["DbiResourceId"])
        return docker("exec", container, "psql", "-h", "/tmp", "-U", "rdsadmin", "-Atc", statement, "postgres").strip()

    def identities(self) -> dict[str, list[str]]:
        """The ids of what has a machine behind it."""
        reservations = self.cloud.client("ec2").describe_instances()["Reservations"]
        group = self.cloud.client("autoscaling").describe_auto_scaling_groups()["AutoScalingGroups"][0]
        return {
            "instances": sorted(i["InstanceId"] + i["PrivateIpAddress"] for r in reservations for i in r["Instances"]),
            "members": [member["InstanceId"] for member in group["Instances"]],
            "database": [self.database()["DbiResourceId"], self.database()["Endpoint"]["Address"]],
            "vpcs": sorted(vpc["VpcId"] for vpc in self.cloud.client("ec2").describe_vpcs()["Vpcs"]),
        }

    def boots(self) -> dict[str, str]:
        """Instance id -> state of its machine."""
        rows = docker("ps", "--all", "--filter", "label=localcloud.kind=instance", "--format", "{{json .}}")
        return {row["Names"]: row["State"] for row in map(json.loads, rows.splitlines())}

    def screen(self) -> str:
        """What `python -m localcloud status` shows."""
        return self.cloud.localcloud("status").stdout

    def everything_works(self) -> bool:
        states = self.boots()
        if len(states) != 3 or set(states.values()) != {"running"}:
            return False
        if self.database()["DBInstanceStatus"] != "available":
            return False
        return self.load_balancer_answers()

    def load_balancer_answers(self) -> bool:
        """It answers for its targets, which serve nothing."""
        try:
            urllib.request.urlopen(self.stack.outputs()["url"], timeout=5)
        except urllib.error.HTTPError as error:
            return error.code in (502, 503)
        except OSError:
            return False
        return True

    def assert_is_as_before(self, identities: dict[str, list[str]]) -> None:
        wait_until(self.everything_works, 90, interval=1, what="machines, database and load balancer work")
        assert self.identities() == identities
        assert self.query("SELECT answer FROM kept") == "42"
        instance = self.cloud.container(self.stack.outputs()["migration_instance_id"])
        assert docker("exec", instance, "cat", "/root/kept") == "kept"
        self.stack.assert_no_drift()


@pytest.fixture(scope="module")
def world() -> World:
    machine = PrivateMachine()
    machine.start_engine()
    machine.load_images()
    cloud = Cloud(port=int(os.environ["LOCALCLOUD_TEST_PORT"]), home=machine.disk / "home", cidr="")
    cloud.up()
    return World(machine, cloud, TerraformStack(cloud, machine.disk / "stack"))


def test_apply_goes_on_when_the_api_is_killed_meanwhile(world: World) -> None:
    seed = random.randrange(10_000)
    print(f"\nseed of the moments: {seed}")
    moments = random.Random(seed)
    apply = world.stack.start("apply", "-auto-approve", "-input=false", "-no-color")
    for _kill in range(KILLS):
        time.sleep(moments.uniform(1, 12))  # a moment that nothing announces is what this is about
        world.cloud.kill()
        world.cloud.up()
    output, _nothing = apply.communicate()
    print(output[-1500:])
    if apply.returncode:
        print(world.stack.apply())
    wait_until(world.everything_works, 90, interval=1, what="machines, database and load balancer work")
    world.stack.assert_no_drift()
    # A target, which serves nothing here, is `initial` until enough checks have failed.
    wait_until(lambda: "unhealthy" in world.screen(), interval=1, what="the target is unhealthy")
    screen = world.screen()
    for what in (*world.boots(), "all-stages", "all-stages-cpu-high", "available"):
        assert what.removeprefix(f"localcloud-{world.cloud.port}-") in screen
    assert "Broken: none" in screen
    world.query("CREATE TABLE kept AS SELECT 42 AS answer")
    instance = world.cloud.container(world.stack.outputs()["migration_instance_id"])
    docker("exec", instance, "sh", "-c", "printf kept > /root/kept")


def test_killed_engine(world: World) -> None:
    identities = world.identities()
    world.machine.kill_engine()
    wait_until(lambda: "Docker does not answer" in world.cloud.log, 30, what="the controller says so")
    assert world.cloud.client("rds").describe_db_instances()["DBInstances"], "the API answers without Docker"
    world.machine.start_engine()
    world.assert_is_as_before(identities)


def test_reboot(world: World) -> None:
    identities = world.identities()
    world.machine.pull_the_plug()
    world.machine.start_engine()
    world.cloud.up()
    world.assert_is_as_before(identities)


def test_networks_that_docker_lost_are_made_again(world: World) -> None:
    identities = world.identities()
    world.cloud.kill()
    for container in docker("ps", "--quiet").split():
        docker("stop", "--time", "1", container)
    vpc = next(name for name in docker("network", "ls", "--format", "{{.Name}}").split() if "-vpc-" in name)
    docker("network", "rm", vpc)
    world.cloud.up()
    world.assert_is_as_before(identities)
