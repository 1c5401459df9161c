"""What is sampled beside the load, and what a scenario does to the stack, against moto in a process of its own."""

import datetime
import json
import time

import boto3
import pytest
from moto_server import moto_server
from waiting import wait_until

from loadtest.actions import Actions
from loadtest.sampling import Sampler
from loadtest.scenario import Action
from loadtest.target import Target

NAME = "web2py-local"
ALARMS = (f"{NAME}-cpu-high", f"TargetTracking-{NAME}-AlarmHigh-1", "somebody-elses")


@pytest.fixture(scope="module")
def stack():
    """A group of two instances behind a target group, an alarm and a database."""
    with pytest.MonkeyPatch.context() as monkeypatch, moto_server() as endpoint:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkeypatch.setenv(name, "testing")
        for name in ("AWS_PROFILE", "AWS_DEFAULT_PROFILE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
        ec2, autoscaling, elbv2 = (boto3.client(name) for name in ("ec2", "autoscaling", "elbv2"))
        vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        group = elbv2.create_target_group(Name=NAME, Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][0]
        image = ec2.describe_images(Owners=["amazon"])["Images"][0]["ImageId"]
        template = {"ImageId": image, "InstanceType": "t3.micro"}
        ec2.create_launch_template(LaunchTemplateName=NAME, LaunchTemplateData=template)
        autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=NAME,
            LaunchTemplate={"LaunchTemplateName": NAME, "Version": "1"},
            MinSize=1,
            MaxSize=5,
            DesiredCapacity=2,
            VPCZoneIdentifier=subnet,
            TargetGroupARNs=[group["TargetGroupArn"]],
        )
        cloudwatch = boto3.client("cloudwatch")
        for alarm in ALARMS:
            cloudwatch.put_metric_alarm(
                AlarmName=alarm,
                Namespace="AWS/EC2",
                MetricName="CPUUtilization",
                Statistic="Average",
                Period=10,
                EvaluationPeriods=1,
                Threshold=40,
                ComparisonOperator="GreaterThanOrEqualToThreshold",
            )
        boto3.client("rds").create_db_instance(
            DBInstanceIdentifier=NAME,
            Engine="postgres",
            DBInstanceClass="db.t4g.micro",
            MasterUsername="dbadmin",
            MasterUserPassword="a password",
            AllocatedStorage=20,
        )
        yield Target(
            *("local", "http://x", ("/",), {}, {}, NAME, group["TargetGroupArn"], NAME),
            alarm_period=10,
            variables={"AWS_REGION": "us-east-1"},
        )


def test_instances_cpu_and_alarms_are_sampled(stack):
    sampler = Sampler(stack)
    cloudwatch = boto3.client("cloudwatch")
    sampler.start(time.time())
    wait_until(lambda: sampler.samples)
    for name in ALARMS:
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
    cloudwatch.put_metric_data(
        Namespace="AWS/EC2",
        MetricData=[
            {
                "MetricName": "CPUUtilization",
                "Dimensions": [{"Name": "AutoScalingGroupName", "Value": NAME}],
                "Timestamp": datetime.datetime.now(datetime.UTC),
                "Value": 73.0,
            }
        ],
    )
    wait_until(lambda: len([mark for mark in sampler.marks if mark["kind"] == "alarm"]) >= 2)
    sampler.stop()
    sample = sampler.samples[0]
    assert (sample["minimum"], sample["desired"], sample["in_service"]) == (1, 2, 2)
    assert sample["healthy"] == 2
    alarms = [mark["text"] for mark in sampler.marks if mark["kind"] == "alarm"]
    assert {f"{name}: ALARM" for name in ALARMS[:2]} <= set(alarms)
    assert not [text for text in alarms if "somebody" in text]
    assert list(sampler.cpu.values()) == [73.0]
    assert not [note for note in sampler.notes if "CPU" in note]
    json.dumps([sampler.samples, sampler.marks, sampler.notes])


def test_a_question_that_fails_is_noted_once_and_asked_again(stack):
    sampler = Sampler(Target(**vars(stack) | {"autoscaling_group": "no-such-group"}))
    sampler._ask("the group", sampler._look_at_group)
    sampler._ask("the group", sampler._look_at_group)
    assert len(sampler.notes) == 1
    assert sampler.notes[0].startswith("the group could not be sampled")


def test_a_group_is_back_at_its_minimum_only_after_it_grew(stack):
    """Or when no alarm can make it grow any more."""
    sampler, while_alarms_look, after = Sampler(stack), stack.reaction_time - 1, stack.reaction_time + 1

    def sample(desired, in_service):
        sampler.samples.append({"minimum": 1, "desired": desired, "in_service": in_service})

    assert not sampler.at_minimum(after)
    sample(1, 1)
    assert (sampler.at_minimum(while_alarms_look), sampler.at_minimum(after), sampler.added()) == (False, True, 0)
    sample(11, 1)
    sample(1, 6)
    assert not sampler.at_minimum(after)
    sample(1, 1)
    assert (sampler.at_minimum(0), sampler.added()) == (True, 10)


def test_a_refresh_is_marked_at_its_begin_and_its_end(stack, monkeypatch):
    sampler = Sampler(stack)
    sampler.started_at = 1_000_000.0
    moment = datetime.datetime.fromtimestamp(1_000_030, datetime.UTC)
    answer = [{"InstanceRefreshId": "r-1", "Status": "InProgress", "StartTime": moment}]
    monkeypatch.setattr(
        sampler.autoscaling, "describe_instance_refreshes", lambda **_: {"InstanceRefreshes": answer}, raising=False
    )
    sampler._look_at_refreshes()
    sampler._look_at_refreshes()
    answer[0] |= {"Status": "Successful", "EndTime": moment + datetime.timedelta(seconds=20)}
    sampler._look_at_refreshes()
    assert [(mark["at"], mark["text"]) for mark in sampler.marks] == [
        (30.0, "instance refresh begun"),
        (50.0, "instance refresh successful"),
    ]


def test_an_instance_is_terminated_and_a_database_restarts(stack):
    sampler = Sampler(stack)
    ids = sampler.in_service()
    said = Actions(sampler, stack).do(Action(0, "terminate_instance"))
    assert said == f"instance {ids[0]} is terminated"
    states = boto3.client("ec2").describe_instances(InstanceIds=[ids[0]])["Reservations"][0]["Instances"][0]["State"]
    assert states["Name"] in ("shutting-down", "terminated")
    assert Actions(sampler, stack).do(Action(0, "reboot_database")) == f"database {NAME} restarts"
