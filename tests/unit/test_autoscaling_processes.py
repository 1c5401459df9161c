"""What a group does by itself and on request: zones, termination policies, suspended processes, standby, schedules."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from autoscaling_world import ACCOUNT, REGION, World, new_world

from localcloud import backends
from localcloud.cron import CronError, Schedule
from localcloud.overlay.ec2 import set_state
from localcloud.reconcilers.autoscaling import choose_for_scale_in

GROUP = {"AutoScalingGroupName": "g"}


@pytest.fixture
def world() -> Iterator[World]:
    with new_world() as world:
        yield world


def pass_time(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    later = time.time() + seconds
    monkeypatch.setattr(time, "time", lambda: later)


def zones(world: World) -> dict[str, int]:
    return dict(Counter(member.availability_zone[-1] for member in world.members()))


def refused(call: Any, **arguments: Any) -> str:
    with pytest.raises(call.__self__.exceptions.ClientError) as error:
        call(**arguments)
    assert error.value.response["Error"]["Code"] == "ValidationError"
    return str(error.value.response["Error"]["Message"])


def subnets(world: World, *prefixes: int) -> list[str]:
    """A subnet in zone a, b, … of each prefix length."""
    ec2 = world.client("ec2")
    vpc_id = ec2.create_vpc(CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    return [
        ec2.create_subnet(VpcId=vpc_id, CidrBlock=f"10.9.{number}.0/{prefix}", AvailabilityZone=f"{REGION}{zone}")[
            "Subnet"
        ]["SubnetId"]
        for number, (zone, prefix) in enumerate(zip("abc", prefixes, strict=False))
    ]


# -- where ---------------------------------------------------------------------------------------------------------


def test_full_subnet_makes_another_zone_take_the_launch(world: World) -> None:
    small, large = subnets(world, 28, 24)
    image_id = next(iter(backends.backend("ec2", ACCOUNT, REGION).amis))
    world.client("ec2").run_instances(
        ImageId=image_id, InstanceType="t3.micro", MinCount=11, MaxCount=11, SubnetId=small
    )
    world.create_group(DesiredCapacity=3, AvailabilityZones=[], VPCZoneIdentifier=f"{small},{large}")
    world.settle()
    assert zones(world) == {"b": 3}
    failed = [activity for activity in world.group.activities if activity.status_code == "Failed"]
    assert [activity.status_message for activity in failed] == [
        f"There are not enough free addresses in subnet '{small}' to satisfy the requested number of instances. "
        "Launching EC2 instance failed."
    ]


def test_zones_that_balanced_only_are_waited_for(world: World) -> None:
    small, large = subnets(world, 28, 24)
    image_id = next(iter(backends.backend("ec2", ACCOUNT, REGION).amis))
    world.client("ec2").run_instances(
        ImageId=image_id, InstanceType="t3.micro", MinCount=11, MaxCount=11, SubnetId=small
    )
    world.create_group(
        DesiredCapacity=3,
        AvailabilityZones=[],
        VPCZoneIdentifier=f"{large},{small}",
        AvailabilityZoneDistribution={"CapacityDistributionStrategy": "balanced-only"},
    )
    world.settle()
    assert zones(world) == {"b": 1}


def test_zones_are_balanced_by_launching_before_terminating(world: World) -> None:
    a, b, c = subnets(world, 24, 24, 24)
    world.create_group(DesiredCapacity=4, MaxSize=4, AvailabilityZones=[], VPCZoneIdentifier=a)
    world.settle()
    assert zones(world) == {"a": 4}
    world.autoscaling.suspend_processes(**GROUP, ScalingProcesses=["AZRebalance"])
    world.autoscaling.update_auto_scaling_group(**GROUP, VPCZoneIdentifier=f"{a},{b},{c}")
    world.settle(10)
    assert zones(world) == {"a": 4}
    world.autoscaling.resume_processes(**GROUP)
    for _ in range(30):
        world.settle(1)
        assert len(world.members()) >= 4
        assert len(world.members()) + len(world.members("Pending")) <= 5
    assert sorted(zones(world).values()) == [1, 1, 2]
    assert world.causes("Launching")[0] == "an instance was launched to aid in balancing the group's zones."
    assert world.causes("Terminating")[0].startswith("instances were launched to balance instances in zones us-east-1")
    count = len(world.group.activities)
    world.settle()
    assert len(world.group.activities) == count  # balanced, and left alone


def test_zone_that_the_group_left_is_emptied(world: World) -> None:
    a, b = subnets(world, 24, 24)
    world.create_group(DesiredCapacity=2, AvailabilityZones=[], VPCZoneIdentifier=f"{a},{b}")
    world.settle()
    world.autoscaling.update_auto_scaling_group(**GROUP, VPCZoneIdentifier=b)
    world.settle(12)
    assert zones(world) == {"b": 2}


# -- which go first ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policies", "expected"),
    [
        (["OldestInstance"], 0),
        (["NewestInstance"], 3),
        (["OldestLaunchTemplate", "NewestInstance"], 1),  # of the two with version 1 the newer one
        (["OldestLaunchTemplate", "OldestInstance"], 0),
        (["ClosestToNextInstanceHour"], 2),
        (["Default"], 1),  # of those with version 1 the one that is closer to its next hour
        (["AllocationStrategy", "OldestInstance"], 0),
    ],
)
def test_termination_policies(world: World, policies: list[str], expected: int) -> None:
    world.create_group(DesiredCapacity=2, AvailabilityZones=[f"{REGION}a"], TerminationPolicies=policies)
    world.settle()
    template = {"LaunchTemplateId": world.template_id, "Version": "2"}
    world.autoscaling.update_auto_scaling_group(**GROUP, LaunchTemplate=template, DesiredCapacity=4)
    world.settle()
    now = time.time()
    minutes_ago = (300, 290, 59, 10)  # minutes into the hour: 0, 50, 59, 10
    for member, minutes in zip(world.members(), minutes_ago, strict=True):
        member.launched_at = now - minutes * 60
    assert choose_for_scale_in(world.group, 1) == [world.members()[expected]]
    message = refused(world.autoscaling.update_auto_scaling_group, **GROUP, TerminationPolicies=["Youngest"])
    assert message == "Youngest is not a valid termination policy"


def test_member_that_is_too_old_is_replaced(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create_group(DesiredCapacity=2, MaxInstanceLifetime=86400)
    world.settle()
    old = {member.instance_id for member in world.members()}
    pass_time(monkeypatch, 86401)
    world.settle(12)
    assert len(world.members()) == 2
    assert not old & {member.instance_id for member in world.members()}
    assert "maximum instance lifetime" in world.causes("Terminating")[0]
    assert "86400" in refused(world.autoscaling.update_auto_scaling_group, **GROUP, MaxInstanceLifetime=60)


def test_maintenance_policy_launches_before_the_unhealthy_goes(world: World) -> None:
    policy = {"MinHealthyPercentage": 100, "MaxHealthyPercentage": 150}
    world.create_group(DesiredCapacity=2, InstanceMaintenancePolicy=policy)
    world.settle()
    failing, _other = world.members()
    failing.health_status, failing.unhealthy_cause = "Unhealthy", "test"
    world.reconcile()
    assert (failing.lifecycle_state, len(world.members("Pending"))) == ("InService", 1)
    world.settle()
    assert failing not in world.group.instance_states
    assert len(world.members()) == 2
    assert world.causes("Launching")[0] == (
        "an instance was launched in response to an unhealthy instance needing to be replaced."
    )
    count = len(world.group.activities)
    world.settle()
    assert len(world.group.activities) == count


# -- suspended processes ---------------------------------------------------------------------------------------------


def test_suspended_health_check_sees_nothing_and_reasons_are_given(world: World) -> None:
    world.create_group(DesiredCapacity=1)
    world.settle()
    world.autoscaling.suspend_processes(**GROUP, ScalingProcesses=["HealthCheck"])
    (entry,) = world.autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"][0]["SuspendedProcesses"]
    assert entry["ProcessName"] == "HealthCheck"
    assert entry["SuspensionReason"].startswith("User suspended at 20")
    (member,) = world.members()
    set_state(member.instance, "stopped")
    world.settle()
    assert (member.health_status, world.members()) == ("Healthy", [member])
    world.autoscaling.resume_processes(**GROUP)
    world.settle()
    assert member not in world.group.instance_states
    assert "not a valid process" in refused(world.autoscaling.suspend_processes, **GROUP, ScalingProcesses=["Sleep"])


def test_suspended_replacement_leaves_the_unhealthy(world: World) -> None:
    world.create_group(DesiredCapacity=1)
    world.settle()
    world.autoscaling.suspend_processes(**GROUP, ScalingProcesses=["ReplaceUnhealthy"])
    (member,) = world.members()
    set_state(member.instance, "stopped")
    world.settle()
    assert (member.health_status, world.members()) == ("Unhealthy", [member])


def test_instance_launched_while_not_added_to_the_load_balancer_stays_out(world: World) -> None:
    elb = world.client("elbv2")
    vpc_id = world.client("ec2").describe_vpcs()["Vpcs"][0]["VpcId"]
    arn = elb.create_target_group(Name="tg", Protocol="HTTP", Port=80, VpcId=vpc_id)["TargetGroups"][0][
        "TargetGroupArn"
    ]
    world.create_group(DesiredCapacity=1, TargetGroupARNs=[arn])
    world.settle()
    world.autoscaling.suspend_processes(**GROUP, ScalingProcesses=["AddToLoadBalancer"])
    world.autoscaling.set_desired_capacity(**GROUP, DesiredCapacity=2)
    world.settle()
    world.autoscaling.resume_processes(**GROUP)
    world.settle()
    assert [member.registered for member in world.members()] == [[arn], []]


def test_suspended_alarm_notification_scales_nothing(world: World) -> None:
    world.create_group(DesiredCapacity=1)
    world.settle()
    arn = world.autoscaling.put_scaling_policy(
        **GROUP, PolicyName="out", AdjustmentType="ChangeInCapacity", ScalingAdjustment=1
    )["PolicyARN"]
    world.create_alarm("a", AlarmActions=[arn])
    for suspended, expected in ((["AlarmNotification"], 1), ([], 2)):
        world.autoscaling.resume_processes(**GROUP)
        if suspended:
            world.autoscaling.suspend_processes(**GROUP, ScalingProcesses=suspended)
        for value in ("OK", "ALARM"):
            world.client("cloudwatch").set_alarm_state(AlarmName="a", StateValue=value, StateReason="test")
        assert world.group.desired_capacity == expected


# -- by request ------------------------------------------------------------------------------------------------------


def test_standby_and_back(world: World) -> None:
    world.create_group(DesiredCapacity=2, MinSize=1)
    world.settle()
    first, second = world.members()
    ids = [first.instance_id]
    (activity,) = world.autoscaling.enter_standby(**GROUP, InstanceIds=ids, ShouldDecrementDesiredCapacity=True)[
        "Activities"
    ]
    assert activity["Cause"].endswith("in response to a user request, shrinking the capacity from 2 to 1.")
    assert (activity["StatusCode"], activity["Progress"]) == ("InProgress", 50)
    world.settle()
    assert (first.lifecycle_state, world.members(), world.group.desired_capacity) == ("Standby", [second], 1)
    set_state(first.instance, "stopped")  # nobody minds
    world.settle()
    assert first in world.group.instance_states
    message = refused(
        world.autoscaling.enter_standby,
        **GROUP,
        InstanceIds=[second.instance_id],
        ShouldDecrementDesiredCapacity=True,
    )
    assert "has min-size=1, max-size=10, and desired-size=1. To place into standby 1 instance" in message
    set_state(first.instance, "running")
    (activity,) = world.autoscaling.exit_standby(**GROUP, InstanceIds=ids)["Activities"]
    assert (activity["StatusCode"], activity["Progress"]) == ("PreInService", 30)
    world.settle()
    assert {activity.status_code for activity in world.group.activities} == {"Successful"}
    assert (first.lifecycle_state, world.group.desired_capacity) == ("InService", 2)


def test_a_template_is_named(world: World) -> None:
    message = refused(
        world.autoscaling.create_auto_scaling_group,
        **GROUP,
        LaunchTemplate={"Version": "1"},
        MinSize=0,
        MaxSize=1,
        AvailabilityZones=["us-east-1a"],
    )
    assert message == "Valid requests must contain either launchTemplateId or LaunchTemplateName"


def test_a_launch_configuration_is_complete(world: World) -> None:
    create = world.autoscaling.create_launch_configuration
    message = refused(create, LaunchConfigurationName="c", ImageId="ami-none")
    assert message.startswith("Valid requests must contain either the InstanceID parameter or both")


def test_detached_instance_goes_on_and_can_be_attached(world: World) -> None:
    world.create_group(DesiredCapacity=2)
    world.settle()
    member, _other = world.members()
    ids = [member.instance_id]
    world.autoscaling.detach_instances(**GROUP, InstanceIds=ids, ShouldDecrementDesiredCapacity=True)
    world.settle()
    assert (member.instance.state, world.group.desired_capacity, len(world.members())) == ("running", 1, 1)
    world.autoscaling.attach_instances(**GROUP, InstanceIds=ids)
    world.settle()
    assert world.group.desired_capacity == 2
    assert ids[0] in [member.instance_id for member in world.members()]
    assert "is already part of" in refused(world.autoscaling.attach_instances, **GROUP, InstanceIds=ids)


def test_health_set_within_the_grace_period_counts_when_it_shall(world: World) -> None:
    world.create_group(DesiredCapacity=1, HealthCheckGracePeriod=600)
    world.settle()
    (member,) = world.members()
    unhealthy = {"InstanceId": member.instance_id, "HealthStatus": "Unhealthy"}
    world.autoscaling.set_instance_health(**unhealthy)
    world.settle()
    assert member in world.members()
    world.autoscaling.set_instance_health(**unhealthy, ShouldRespectGracePeriod=False)
    world.settle()
    assert member not in world.group.instance_states


def test_what_this_cloud_does_not_do_is_refused(world: World) -> None:
    specification = {"LaunchTemplateId": world.template_id, "Version": "1"}
    policy = {"LaunchTemplate": {"LaunchTemplateSpecification": specification}}
    create = world.autoscaling.create_auto_scaling_group
    sizes = {"MinSize": 0, "MaxSize": 1, "AvailabilityZones": [f"{REGION}a"]}
    message = refused(create, AutoScalingGroupName="m", MixedInstancesPolicy=policy, **sizes)
    assert "does not run mixed instances policies" in message
    message = refused(create, AutoScalingGroupName="m", LaunchConfigurationName="none", **sizes)
    assert message.startswith("Launch configuration name not found")
    world.create_group(DesiredCapacity=0)
    assert "no warm pools" in refused(world.autoscaling.put_warm_pool, **GROUP)
    message = refused(world.autoscaling.update_auto_scaling_group, **GROUP, VPCZoneIdentifier="subnet-0")
    assert message == "The subnet ID 'subnet-0' does not exist"
    for call, arguments in {
        world.autoscaling.suspend_processes: {},
        world.autoscaling.set_instance_protection: {"InstanceIds": ["i-0"], "ProtectedFromScaleIn": True},
        world.autoscaling.put_scheduled_update_group_action: {"ScheduledActionName": "s", "MinSize": 1},
    }.items():
        assert "'none' not found" in refused(call, AutoScalingGroupName="none", **arguments)


# -- schedules -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expression", "zone", "after", "expected"),
    [
        ("*/15 * * * *", "UTC", "2026-01-01T10:07", "2026-01-01T10:15"),
        ("0 22 * * 1-5", "UTC", "2026-01-02T22:00", "2026-01-05T22:00"),  # Friday evening -> Monday
        ("30 0 1 1,6,12 *", "UTC", "2026-01-01T00:30", "2026-06-01T00:30"),
        ("0 0 13 * fri", "UTC", "2026-01-01T00:00", "2026-01-02T00:00"),  # the 13th or a Friday
        ("0 9 * * *", "Europe/Berlin", "2026-07-01T06:00", "2026-07-01T07:00"),
        ("0 0 29 2 *", "UTC", "2026-01-01T00:00", "2028-02-29T00:00"),
        ("0 0 * * 7", "UTC", "2026-01-01T00:00", "2026-01-04T00:00"),
        ("0 0 31 2 *", "UTC", "2026-01-01T00:00", None),
    ],
)
def test_next_time_of_a_cron_expression(expression: str, zone: str, after: str, expected: str | None) -> None:
    found = Schedule.parse(expression).next_after(datetime.fromisoformat(after).replace(tzinfo=UTC), ZoneInfo(zone))
    assert (found and found.astimezone(UTC).strftime("%Y-%m-%dT%H:%M")) == expected


@pytest.mark.parametrize("expression", ["* * * *", "60 * * * *", "a * * * *", "5-1 * * * *", "*/0 * * * *"])
def test_cron_expression_that_is_none(expression: str) -> None:
    with pytest.raises(CronError):
        Schedule.parse(expression)


def scheduled(world: World) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = world.autoscaling.describe_scheduled_actions(**GROUP)["ScheduledUpdateGroupActions"]
    return found


def make_due(world: World) -> None:
    for action in backends.backend("autoscaling", ACCOUNT, REGION).scheduled_actions.values():
        action.start_time = datetime(2026, 1, 1)


def test_scheduled_actions_change_the_sizes(world: World) -> None:
    world.create_group(DesiredCapacity=1)
    put = world.autoscaling.put_scheduled_update_group_action
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    put(**GROUP, ScheduledActionName="once", MinSize=2, MaxSize=4, DesiredCapacity=3, StartTime=tomorrow)
    world.settle()
    assert len(world.members()) == 1  # not due
    make_due(world)
    world.settle()
    assert (len(world.members()), world.group.min_size, world.group.max_size) == (3, 2, 4)
    assert world.causes("Launching")[0].startswith(
        "a scheduled action update of AutoScalingGroup constraints to min: 2, max: 4, desired: 3 changing the desired "
        "capacity from 1 to 3."
    )
    assert scheduled(world) == []
    put(**GROUP, ScheduledActionName="daily", DesiredCapacity=2, Recurrence="0 3 * * *")
    (action,) = scheduled(world)
    assert action["ScheduledActionARN"].endswith(":autoScalingGroupName/g:scheduledActionName/daily")
    world.autoscaling.suspend_processes(**GROUP, ScalingProcesses=["ScheduledActions"])
    make_due(world)
    world.settle()
    assert world.group.desired_capacity == 3  # passed over; it is due again tomorrow
    world.autoscaling.resume_processes(**GROUP)
    assert scheduled(world)[0]["StartTime"] == action["StartTime"]
    make_due(world)
    world.settle()
    assert world.group.desired_capacity == 2


def test_schedules_that_are_refused(world: World) -> None:
    world.create_group(DesiredCapacity=0)
    put = world.autoscaling.put_scheduled_update_group_action
    past = datetime.now(UTC) - timedelta(hours=1)
    assert (
        refused(put, **GROUP, ScheduledActionName="s", MinSize=1, StartTime=past) == "Given start time is in the past"
    )
    message = refused(put, **GROUP, ScheduledActionName="s", MinSize=1, Recurrence="never")
    assert message == "Given recurrence string:never is invalid"
    assert "At least one of" in refused(put, **GROUP, ScheduledActionName="s", Recurrence="0 0 * * *")
    assert "not found" in refused(world.autoscaling.delete_scheduled_action, **GROUP, ScheduledActionName="s")


# -- lifecycle hooks -------------------------------------------------------------------------------------------------


def put_hook(world: World, transition: str, **options: Any) -> None:
    world.autoscaling.put_lifecycle_hook(
        **GROUP,
        LifecycleHookName=transition.lower(),
        LifecycleTransition=f"autoscaling:EC2_INSTANCE_{transition}",
        **options,
    )


def test_hooks_hold_an_instance_until_their_action_is_completed(world: World) -> None:
    world.create_group(DesiredCapacity=0)
    put_hook(world, "LAUNCHING")
    put_hook(world, "TERMINATING")
    world.autoscaling.set_desired_capacity(**GROUP, DesiredCapacity=1)
    world.settle()
    (member,) = world.members("Pending:Wait")
    named = {**GROUP, "InstanceId": member.instance_id, "LifecycleActionResult": "CONTINUE"}
    world.autoscaling.complete_lifecycle_action(**named, LifecycleHookName="launching")
    world.settle()
    assert world.members() == [member]
    world.autoscaling.set_desired_capacity(**GROUP, DesiredCapacity=0)
    world.settle()
    assert (member.lifecycle_state, member.instance.state) == ("Terminating:Wait", "running")
    world.autoscaling.complete_lifecycle_action(**named, LifecycleHookName="terminating")
    world.settle()
    assert world.group.instance_states == []
    message = refused(world.autoscaling.complete_lifecycle_action, **named, LifecycleHookName="launching")
    assert "No managed instance found" in message


def test_launch_that_a_hook_gives_up_is_made_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create_group(DesiredCapacity=0)
    put_hook(world, "LAUNCHING", HeartbeatTimeout=30)  # ABANDON is the default result
    world.autoscaling.set_desired_capacity(**GROUP, DesiredCapacity=1)
    world.settle()
    (member,) = world.members("Pending:Wait")
    pass_time(monkeypatch, 20)
    world.autoscaling.record_lifecycle_action_heartbeat(
        **GROUP, LifecycleHookName="launching", InstanceId=member.instance_id
    )
    pass_time(monkeypatch, 20)
    world.settle()
    assert world.members("Pending:Wait") == [member]
    pass_time(monkeypatch, 11)
    world.settle()
    assert member not in world.group.instance_states
    (cancelled,) = [activity for activity in world.group.activities if activity.status_code == "Cancelled"]
    assert cancelled.status_message.startswith("Instance failed to complete user's Lifecycle Action: Lifecycle Action")
    assert cancelled.status_message.endswith("was abandoned: Heartbeat Timeout")
    pass_time(monkeypatch, 2)
    world.settle()
    (replacement,) = world.members("Pending:Wait")
    world.autoscaling.delete_lifecycle_hook(**GROUP, LifecycleHookName="launching")
    world.settle()
    assert world.members() == [replacement]


def test_hook_whose_default_result_is_to_continue(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.create_group(DesiredCapacity=0)
    put_hook(world, "LAUNCHING", HeartbeatTimeout=60, DefaultResult="CONTINUE")
    (hook,) = world.autoscaling.describe_lifecycle_hooks(**GROUP)["LifecycleHooks"]
    assert (hook["GlobalTimeout"], hook["DefaultResult"]) == (6000, "CONTINUE")
    assert "NotificationTargetARN" not in hook
    world.autoscaling.set_desired_capacity(**GROUP, DesiredCapacity=1)
    world.settle()
    pass_time(monkeypatch, 61)
    world.settle()
    assert len(world.members()) == 1
