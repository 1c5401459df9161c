"""Autoscaling groups: real instances, as many as desired, spread over the zones, the broken ones replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from autoscaling_group import Group, group_of_its_own, refused, state
from running_cloud import REGION, Cloud, docker
from waiting import wait_until

DRAINING_DELAY = 3  # seconds


@pytest.fixture
def group(cloud: Cloud, request: pytest.FixtureRequest) -> Iterator[Group]:
    with group_of_its_own(cloud, request.node.name) as group:
        yield group


@pytest.mark.essential
def test_instances_are_machines_spread_over_the_zones(cloud: Cloud, group: Group) -> None:
    group.create(DesiredCapacity=3)
    ids = group.wait(3)
    instances = [cloud.instance(instance_id) for instance_id in ids]
    assert {instance["SubnetId"] for instance in instances} == set(cloud.subnet_ids)
    for instance in instances:
        assert instance["State"]["Name"] == "running"
        tags = {tag["Key"]: tag["Value"] for tag in instance["Tags"]}
        assert tags["Role"] == "fleet"
        assert tags["aws:autoscaling:groupName"] == group.name
        assert tags["aws:ec2launchtemplate:version"] == "1"
        assert instance["MetadataOptions"]["HttpTokens"] == "required"
        assert instance["Monitoring"]["State"] == "enabled"
        assert instance["SecurityGroups"][0]["GroupId"] == cloud.security_group_id
        assert docker("inspect", "--format", "{{.State.Running}}", cloud.container(instance["InstanceId"])) == "true\n"
    assert group.cause("Launching") == (
        "a user request created an AutoScalingGroup changing the desired capacity from 0 to 3.  "
        "an instance was started in response to a difference between desired and actual capacity, "
        "increasing the capacity from 0 to 3."
    )
    assert {activity["StatusCode"] for activity in group.activities()} == {"Successful"}
    assert (
        group.api.describe_auto_scaling_instances(InstanceIds=ids[:1])["AutoScalingInstances"][0][
            "AutoScalingGroupName"
        ]
        == group.name
    )


@pytest.mark.parametrize("harm", ["stop", "terminate", "remove", "report"])
def test_broken_instance_is_replaced(cloud: Cloud, group: Group, harm: str) -> None:
    group.create(DesiredCapacity=1)
    (broken,) = group.wait(1)
    if harm == "stop":
        cloud.client("ec2").stop_instances(InstanceIds=[broken])
    elif harm == "terminate":
        cloud.client("ec2").terminate_instances(InstanceIds=[broken])
    elif harm == "remove":
        docker("rm", "--force", cloud.container(broken))
    else:
        group.api.set_instance_health(InstanceId=broken, HealthStatus="Unhealthy")
    wait_until(lambda: broken not in group.ids, what="the broken one is gone")
    (replacement,) = group.wait(1)
    assert replacement != broken
    wait_until(lambda: state(cloud, broken) == "terminated", what="it is terminated")
    failed = (
        "a user health-check."
        if harm == "report"
        else ("an EC2 health check indicating it has been terminated or stopped.")
    )
    assert group.cause("Terminating") == f"an instance was taken out of service in response to {failed}"
    assert group.cause("Launching") == (
        "an instance was launched in response to an unhealthy instance needing to be replaced."
    )


def test_scale_in_keeps_the_zones_even_the_newest_template_and_what_is_protected(cloud: Cloud, group: Group) -> None:
    group.create(DesiredCapacity=3)
    old = group.wait(3)
    group.new_template_version(InstanceType="t3.small")
    group.api.update_auto_scaling_group(
        AutoScalingGroupName=group.name,
        LaunchTemplate={"LaunchTemplateId": group.template_id, "Version": "$Latest"},
        DesiredCapacity=6,
    )
    group.wait(6)
    new = [member for member in group.members if member["InstanceId"] not in old]
    assert {member["LaunchTemplate"]["Version"] for member in new} == {"2"}
    assert {member["InstanceType"] for member in new} == {"t3.small"}
    assert set(Counter(member["AvailabilityZone"] for member in group.members).values()) == {2}
    group.api.set_instance_protection(AutoScalingGroupName=group.name, InstanceIds=old[:1], ProtectedFromScaleIn=True)
    group.set_desired(4)
    left = set(group.wait(4))
    assert left == {old[0], *(member["InstanceId"] for member in new)}
    zones = Counter(member["AvailabilityZone"] for member in group.members)
    assert sorted(zones.values()) == [1, 1, 2]
    assert "shrinking the capacity from 6 to 4." in group.cause("Terminating")


def test_capacity_outside_the_bounds_is_refused_as_on_aws(group: Group) -> None:
    error = refused(group.create, MinSize=2, MaxSize=1)
    assert error["Message"] == "Max bound, 1, must be greater than or equal to min bound, 2"
    error = refused(group.create, MinSize=1, MaxSize=3, DesiredCapacity=5)
    assert error["Message"] == "Desired capacity:5 must be between the specified min size:1 and max size:3"
    group.create(MinSize=0, MaxSize=2, DesiredCapacity=0)
    assert refused(group.create)["Code"] == "AlreadyExists"
    error = refused(group.set_desired, capacity=3)
    assert error == {
        "Type": "Sender",
        "Code": "ValidationError",
        "Message": "New SetDesiredCapacity value 3 is above max value 2 for the AutoScalingGroup.",
    }
    group.api.update_auto_scaling_group(AutoScalingGroupName=group.name, MinSize=1)
    assert group.describe()["DesiredCapacity"] == 1


def test_unknown_image_is_refused(cloud: Cloud, group: Group) -> None:
    group.new_template_version(ImageId="ami-00000000000000000")
    template = {"LaunchTemplateId": group.template_id, "Version": "2"}
    assert "does not exist" in refused(group.create, LaunchTemplate=template)["Message"]


def test_terminate_in_group_with_and_without_decrement(cloud: Cloud, group: Group) -> None:
    group.create(DesiredCapacity=2, MinSize=1)
    first, second = group.wait(2)
    activity = group.api.terminate_instance_in_auto_scaling_group(
        InstanceId=first, ShouldDecrementDesiredCapacity=True
    )["Activity"]
    assert activity["Cause"].endswith("in response to a user request, shrinking the capacity from 2 to 1.")
    assert group.wait(1) == [second]
    error = refused(
        group.api.terminate_instance_in_auto_scaling_group, InstanceId=second, ShouldDecrementDesiredCapacity=True
    )
    assert error["Message"].startswith("Currently, desiredSize equals minSize (1).")
    group.api.terminate_instance_in_auto_scaling_group(InstanceId=second, ShouldDecrementDesiredCapacity=False)
    wait_until(lambda: second not in group.ids, what="it is gone")
    assert len(group.wait(1)) == 1
    wait_until(lambda: state(cloud, second) == "terminated", what="terminated")


@pytest.mark.essential
def test_members_are_targets_and_drain_before_they_end(cloud: Cloud, group: Group) -> None:
    elb = cloud.client("elbv2")
    name = group.name[:20].strip("-")
    balancer = elb.create_load_balancer(Name=name, Subnets=cloud.subnet_ids)["LoadBalancers"][0]["LoadBalancerArn"]
    arn = elb.create_target_group(Name=name, Protocol="HTTP", Port=80, VpcId=cloud.vpc_id)["TargetGroups"][0][
        "TargetGroupArn"
    ]
    delay = {"Key": "deregistration_delay.timeout_seconds", "Value": str(DRAINING_DELAY)}
    elb.modify_target_group_attributes(TargetGroupArn=arn, Attributes=[delay])
    elb.create_listener(
        LoadBalancerArn=balancer,
        Protocol="HTTP",
        Port=8080,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": arn}],
    )
    try:
        group.create(DesiredCapacity=2, TargetGroupARNs=[arn], HealthCheckType="ELB", HealthCheckGracePeriod=300)
        ids = group.wait(2)

        def targets() -> dict[str, str]:
            answer = elb.describe_target_health(TargetGroupArn=arn)["TargetHealthDescriptions"]
            return {target["Target"]["Id"]: target["TargetHealth"]["State"] for target in answer}

        assert set(targets()) == set(ids)
        group.set_desired(1)
        group.wait(1)
        (leaving,) = set(ids) - set(group.ids)
        ended = next(a for a in group.activities() if a["Description"].startswith("Terminating"))
        assert ended["Description"].endswith(f"{leaving} - Waiting For ELB connection draining.")
        assert leaving not in targets()
    finally:
        group.delete()
        elb.delete_load_balancer(LoadBalancerArn=balancer)
        elb.delete_target_group(TargetGroupArn=arn)


def test_suspended_processes_do_nothing(cloud: Cloud, group: Group) -> None:
    group.create(DesiredCapacity=1)
    (only,) = group.wait(1)
    group.api.suspend_processes(
        AutoScalingGroupName=group.name, ScalingProcesses=["Launch", "Terminate", "ReplaceUnhealthy"]
    )
    group.set_desired(2)
    cloud.client("ec2").stop_instances(InstanceIds=[only])
    wait_until(lambda: group.members[0]["HealthStatus"] == "Unhealthy", what="its health is seen")
    cloud.wait_for_passes()
    assert group.ids == [only]
    group.api.resume_processes(AutoScalingGroupName=group.name)
    wait_until(lambda: only not in group.ids, what="it is replaced")
    assert len(group.wait(2)) == 2


def test_forced_delete_ends_with_nothing(cloud: Cloud, group: Group) -> None:
    group.create(DesiredCapacity=2)
    ids = group.wait(2)
    assert refused(group.api.delete_auto_scaling_group, AutoScalingGroupName=group.name)["Code"] == "ResourceInUse"
    group.policy("out", ScalingAdjustment=1)
    group.api.delete_auto_scaling_group(AutoScalingGroupName=group.name, ForceDelete=True)
    assert group.describe()["Status"] == "Delete in progress"
    wait_until(lambda: not group.describe(), what="the group is gone")
    assert {state(cloud, instance_id) for instance_id in ids} == {"terminated"}
    assert not group.api.describe_policies()["ScalingPolicies"]


@pytest.mark.essential
def test_policies_change_the_capacity_within_the_bounds(group: Group) -> None:
    group.create(DesiredCapacity=1, MinSize=1, MaxSize=3)
    group.wait(1)
    arn = group.policy("out", ScalingAdjustment=10, Cooldown=600)
    (policy,) = group.api.describe_policies(AutoScalingGroupName=group.name)["ScalingPolicies"]
    assert policy["Enabled"] is True
    assert policy["PolicyARN"] == arn
    assert "PredictiveScalingConfiguration" not in policy
    group.api.execute_policy(AutoScalingGroupName=group.name, PolicyName="out")
    assert group.describe()["DesiredCapacity"] == 3
    group.wait(3)
    assert group.cause("Launching").startswith(
        "a user request executed policy out changing the desired capacity from 1 to 3."
    )
    group.policy("exact", AdjustmentType="ExactCapacity", ScalingAdjustment=1)
    error = refused(group.api.execute_policy, AutoScalingGroupName=group.name, PolicyName="exact", HonorCooldown=True)
    assert error["Code"] == "ScalingActivityInProgress"
    group.api.execute_policy(AutoScalingGroupName=group.name, PolicyName="exact")
    assert group.describe()["DesiredCapacity"] == 1
    group.wait(1)


def test_hooks_hold_a_machine_and_a_schedule_makes_and_ends_it(cloud: Cloud, group: Group) -> None:
    group.create(MinSize=0)
    for transition in ("LAUNCHING", "TERMINATING"):
        group.api.put_lifecycle_hook(
            AutoScalingGroupName=group.name,
            LifecycleHookName=transition,
            LifecycleTransition=f"autoscaling:EC2_INSTANCE_{transition}",
        )

    def schedule(capacity: int) -> None:
        group.api.put_scheduled_update_group_action(
            AutoScalingGroupName=group.name,
            ScheduledActionName="soon",
            DesiredCapacity=capacity,
            StartTime=datetime.now(UTC) + timedelta(seconds=10),
        )

    def held(state: str) -> str:
        wait_until(lambda: [m["LifecycleState"] for m in group.members] == [state], what=state)
        return group.ids[0]

    def go_on(hook: str) -> None:
        group.api.complete_lifecycle_action(
            AutoScalingGroupName=group.name,
            LifecycleHookName=hook,
            InstanceId=group.ids[0],
            LifecycleActionResult="CONTINUE",
        )

    schedule(1)
    instance_id = held("Pending:Wait")
    assert state(cloud, instance_id) == "running"
    assert group.cause("Launching").startswith("a scheduled action update of AutoScalingGroup constraints to min: 0")
    go_on("LAUNCHING")
    group.wait(1)
    schedule(0)
    held("Terminating:Wait")
    assert state(cloud, instance_id) == "running"
    go_on("TERMINATING")
    group.wait(0)
    wait_until(lambda: state(cloud, instance_id) == "terminated", what="terminated")


def test_launch_configuration_makes_machines_too(cloud: Cloud, group: Group) -> None:
    group.api.create_launch_configuration(
        LaunchConfigurationName=group.name,
        ImageId=cloud.base_ami_id,
        InstanceType="t3.micro",
        SecurityGroups=[cloud.security_group_id],
    )
    request = {
        "AutoScalingGroupName": group.name,
        "MinSize": 1,
        "MaxSize": 1,
        "VPCZoneIdentifier": cloud.subnet_ids[0],
        "LaunchConfigurationName": group.name,
    }
    group.api.create_auto_scaling_group(**request)
    (instance_id,) = group.wait(1)
    assert group.members[0]["LaunchConfigurationName"] == group.name
    assert cloud.instance(instance_id)["SecurityGroups"][0]["GroupId"] == cloud.security_group_id
    group.delete()
    group.api.delete_launch_configuration(LaunchConfigurationName=group.name)


def test_groups_in_other_zones_only(cloud: Cloud, group: Group) -> None:
    group.create(DesiredCapacity=2, VPCZoneIdentifier=cloud.subnet_ids[2])
    group.wait(2)
    assert {member["AvailabilityZone"] for member in group.members} == {f"{REGION}c"}
