"""`python -m localcloud status`: all there is, on one screen, as any client of the API sees it."""

from __future__ import annotations

import json
import statistics
import urllib.request
from collections.abc import Callable, Iterable
from typing import Any

import boto3

from localcloud.config import Settings

Rows = Iterable[tuple[str, ...]]


def show(settings: Settings, region: str) -> str:
    """The screen: a table each for a region's instances, images, groups, load balancers' targets, databases and alarms,
    and one of what is broken."""

    def client(service: str) -> Any:
        return boto3.client(
            service,  # type: ignore[call-overload]
            endpoint_url=settings.endpoint,
            region_name=region,
            aws_access_key_id="local",
            aws_secret_access_key="local",
        )

    tables: list[tuple[str, tuple[str, ...], Callable[[], Rows]]] = [
        ("Instances", ("id", "state", "address", "zone", "image", "role"), lambda: _instances(client("ec2"))),
        ("Images", ("id", "state", "name"), lambda: _images(client("ec2"))),
        ("Autoscaling groups", ("name", "min", "max", "desired", "in service"), lambda: _groups(client("autoscaling"))),
        ("Load balancers", ("name", "state", "DNS name"), lambda: _load_balancers(client("elbv2"))),
        ("Targets", ("target group", "target", "health", "reason"), lambda: _targets(client("elbv2"))),
        ("Databases", ("id", "state", "engine", "endpoint"), lambda: _databases(client("rds"))),
        ("Alarms", ("name", "state", "reason"), lambda: _alarms(client("cloudwatch"))),
        ("Broken", ("what", "state", "why"), lambda: _broken(client)),
        ("Asked for in vain", ("service", "the local cloud", "times"), lambda: _refused(settings)),
    ]
    parts = [f"The local cloud at {settings.endpoint}, {region}{_pass_time(settings)}"]
    parts += [_table(title, header, list(rows())) for title, header, rows in tables]
    return "\n\n".join(parts)


def _pass_time(settings: Settings) -> str:
    times = _asked(settings, "passes")["seconds"]
    if not times:
        return ""
    return f"; the controller's passes take {1000 * statistics.median(times):.0f} ms (at most {1000 * max(times):.0f})"


def _asked(settings: Settings, path: str) -> Any:
    with urllib.request.urlopen(f"{settings.endpoint}/localcloud/{path}", timeout=10) as answer:
        return json.load(answer)


def _refused(settings: Settings) -> Rows:
    for service, what, times in _asked(settings, "refused"):
        yield service, what, str(times)


def _table(title: str, header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    if not rows:
        return f"{title}: none"
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in [header, *rows]]
    return "\n".join([f"{title}:", *("  " + line.rstrip() for line in lines)])


def _tag(resource: dict[str, Any], key: str) -> str:
    return next((tag["Value"] for tag in resource.get("Tags", []) if tag["Key"] == key), "")


def _instances(ec2: Any) -> Rows:
    for reservation in ec2.describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            yield (
                instance["InstanceId"],
                instance["State"]["Name"],
                instance.get("PrivateIpAddress", ""),
                instance["Placement"]["AvailabilityZone"],
                instance["ImageId"],
                _tag(instance, "Role") or _tag(instance, "Name"),
            )


def _images(ec2: Any) -> Rows:
    for image in ec2.describe_images(Owners=["self"])["Images"]:
        yield image["ImageId"], image["State"], image["Name"]


def _groups(autoscaling: Any) -> Rows:
    for group in autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]:
        in_service = [member for member in group["Instances"] if member["LifecycleState"] == "InService"]
        sizes = (group["MinSize"], group["MaxSize"], group["DesiredCapacity"], len(in_service))
        yield group["AutoScalingGroupName"], *map(str, sizes)


def _load_balancers(elbv2: Any) -> Rows:
    for balancer in elbv2.describe_load_balancers()["LoadBalancers"]:
        yield balancer["LoadBalancerName"], balancer["State"]["Code"], balancer["DNSName"]


def _targets(elbv2: Any) -> Rows:
    for group in elbv2.describe_target_groups()["TargetGroups"]:
        health = elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])
        for target in health["TargetHealthDescriptions"]:
            state = target["TargetHealth"]
            yield group["TargetGroupName"], target["Target"]["Id"], state["State"], state.get("Reason", "")


def _databases(rds: Any) -> Rows:
    for database in rds.describe_db_instances()["DBInstances"]:
        yield (
            database["DBInstanceIdentifier"],
            database["DBInstanceStatus"],
            f"{database['Engine']} {database['EngineVersion']}",
            database.get("Endpoint", {}).get("Address", ""),
        )


def _alarms(cloudwatch: Any) -> Rows:
    found = cloudwatch.describe_alarms(AlarmTypes=["MetricAlarm", "CompositeAlarm"])
    for alarm in found["MetricAlarms"] + found["CompositeAlarms"]:
        yield alarm["AlarmName"], alarm["StateValue"], alarm.get("StateReason", "")[:70]


def _broken(client: Callable[[str], Any]) -> Rows:
    """What will not get well by itself, and why as far as the API knows."""
    log = "python -m localcloud logs"
    ec2, rds, autoscaling = client("ec2"), client("rds"), client("autoscaling")
    for reservation in ec2.describe_instances()["Reservations"]:
        for instance in reservation["Instances"]:
            reason = instance.get("StateReason", {})
            if reason.get("Code", "").startswith("Server."):
                yield instance["InstanceId"], instance["State"]["Name"], reason["Message"]
    for instance in ec2.describe_instance_status()["InstanceStatuses"]:
        status = instance["InstanceStatus"]["Status"]
        if status == "impaired":
            yield instance["InstanceId"], status, f"it does not boot; aws ec2 get-console-output, {log}"
    for image in ec2.describe_images(Owners=["self"])["Images"]:
        if image["State"] == "failed":
            yield image["ImageId"], image["State"], log
    for database in rds.describe_db_instances()["DBInstances"]:
        state = database["DBInstanceStatus"]
        if state in ("failed", "storage-full") or state.startswith("incompatible-"):
            name = database["DBInstanceIdentifier"]
            events = rds.describe_events(SourceIdentifier=name, SourceType="db-instance")["Events"]
            failures = [event["Message"] for event in events if "failure" in event["EventCategories"]]
            yield name, state, (failures or [log])[-1]
    for balancer in client("elbv2").describe_load_balancers()["LoadBalancers"]:
        if balancer["State"]["Code"] == "failed":
            yield balancer["LoadBalancerName"], "failed", balancer["State"].get("Reason", log)
    for snapshot in rds.describe_db_snapshots()["DBSnapshots"]:
        if snapshot["Status"] == "failed":
            yield snapshot["DBSnapshotIdentifier"], snapshot["Status"], log
    for group in autoscaling.describe_auto_scaling_groups()["AutoScalingGroups"]:
        name = group["AutoScalingGroupName"]
        for activity in autoscaling.describe_scaling_activities(AutoScalingGroupName=name)["Activities"][:1]:
            if activity["StatusCode"] in ("Failed", "Cancelled"):
                yield name, activity["StatusCode"], activity.get("StatusMessage", "") or activity["Description"]
