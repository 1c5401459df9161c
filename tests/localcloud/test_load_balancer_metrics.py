"""CloudWatch knows what went through a load balancer: requests, answers by whom, time taken, targets by health."""

from __future__ import annotations

import contextlib
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from typing import Any

from running_cloud import Cloud
from waiting import wait_until

# Answers /broken with 500, all else with 200 after a twentieth of a second.
SERVER = """#!/bin/sh
cat > /root/server.py <<'END'
import http.server, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        time.sleep(0.05)
        self.send_response(500 if self.path == "/broken" else 200)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *arguments): pass
http.server.ThreadingHTTPServer(("", 80), Handler).serve_forever()
END
systemd-run --unit=server python3 /root/server.py
"""
GOOD, BROKEN, MISSING = 12, 3, 2  # requests


def ask(url: str, times: int) -> None:
    for _ in range(times):
        with contextlib.suppress(urllib.error.HTTPError):
            urllib.request.urlopen(url, timeout=10).read()


def serves(url: str) -> bool:
    with contextlib.suppress(OSError):
        return bool(urllib.request.urlopen(url, timeout=2).status == 200)
    return False


def test_what_went_through_is_counted(cloud: Cloud) -> None:
    elb, cloudwatch = cloud.client("elbv2"), cloud.client("cloudwatch")
    instance_id = cloud.run_instance(SERVER)
    balancer = elb.create_load_balancer(
        Name="measured", Subnets=cloud.subnet_ids, SecurityGroups=[cloud.security_group_id]
    )["LoadBalancers"][0]
    group = elb.create_target_group(
        Name="measured",
        Protocol="HTTP",
        Port=80,
        VpcId=cloud.vpc_id,
        HealthCheckIntervalSeconds=5,
        HealthyThresholdCount=2,
    )["TargetGroups"][0]["TargetGroupArn"]
    forward: list[dict[str, Any]] = [{"Type": "forward", "TargetGroupArn": group}]
    listener = elb.create_listener(
        LoadBalancerArn=balancer["LoadBalancerArn"], Protocol="HTTP", Port=80, DefaultActions=forward
    )["Listeners"][0]["ListenerArn"]
    elb.create_rule(
        ListenerArn=listener,
        Priority=1,
        Conditions=[{"Field": "path-pattern", "Values": ["/missing"]}],
        Actions=[{"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}],
    )
    address = cloud.instance(instance_id)["PrivateIpAddress"]
    wait_until(lambda: serves(f"http://{address}"), 120, 1, what="the server has started")
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": instance_id}])
    whole = {"Name": "LoadBalancer", "Value": balancer["LoadBalancerArn"].split(":loadbalancer/")[1]}
    part = {"Name": "TargetGroup", "Value": group.rpartition(":")[2]}

    def health() -> str:
        (target,) = elb.describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
        return str(target["TargetHealth"]["State"])

    def measured(name: str, statistic: str = "Sum", *dimensions: dict[str, str]) -> float:
        now = datetime.now(UTC)
        points = cloudwatch.get_metric_statistics(
            Namespace="AWS/ApplicationELB",
            MetricName=name,
            Dimensions=[whole, *dimensions],
            StartTime=now - timedelta(hours=1),
            EndTime=now + timedelta(seconds=5),
            Period=60,
            Statistics=[statistic],
        )["Datapoints"]
        values = [float(point[statistic]) for point in points] or [-1.0]
        return sum(values) if statistic == "Sum" else max(values)

    try:
        wait_until(lambda: health() == "healthy", 60, what="the target is healthy")
        # The first reading is what the next one is compared with.
        wait_until(lambda: measured("HealthyHostCount", "Maximum", part) == 1, 30, what="measured once")
        url = f"http://{balancer['DNSName']}"
        began = time.monotonic()
        ask(url, GOOD)
        ask(f"{url}/broken", BROKEN)
        ask(f"{url}/missing", MISSING)
        took = time.monotonic() - began
        wait_until(lambda: measured("RequestCount", "Sum", part) >= GOOD + BROKEN, 30, what="all are counted")
        wait_until(lambda: measured("HTTPCode_ELB_4XX_Count") >= MISSING, 30, what="these, too")
        assert measured("RequestCount", "Sum", part) == GOOD + BROKEN
        assert measured("RequestCountPerTarget", "Sum", part) == GOOD + BROKEN
        assert measured("HTTPCode_Target_2XX_Count", "Sum", part) == GOOD
        assert measured("HTTPCode_Target_5XX_Count", "Sum", part) == BROKEN
        assert measured("HTTPCode_ELB_4XX_Count") == MISSING
        assert measured("HTTPCode_ELB_5XX_Count") == -1
        assert 0.05 <= measured("TargetResponseTime", "Average", part) <= took
        assert measured("UnHealthyHostCount", "Maximum", part) >= 0
        assert measured("NewConnectionCount") >= 1
        listed = cloudwatch.list_metrics(Namespace="AWS/ApplicationELB", Dimensions=[part])["Metrics"]
        assert {"HealthyHostCount", "RequestCount", "RequestCountPerTarget"} <= {m["MetricName"] for m in listed}
    finally:
        cloud.terminate(instance_id)
        elb.delete_load_balancer(LoadBalancerArn=balancer["LoadBalancerArn"])
        elb.delete_target_group(TargetGroupArn=group)
