"""What moto lacks or does otherwise than AWS, one module per service.

Each module's `install()` changes moto's classes in place, once, before the first request and before state is loaded.
Nothing else in the package changes moto, so each of these can be offered upstream.
"""

from __future__ import annotations

from localcloud.overlay import (
    autoscaling_requests,
    block_devices,
    cloudwatch,
    ec2,
    elbv2,
    flow_logs,
    instance_options,
    instance_refresh,
    interfaces,
    launch_templates,
    lifecycle_hooks,
    log_groups,
    rds,
    refusals,
    scaling_policies,
    scheduled_actions,
    secrets,
    security_groups,
    subnets,
)


def install() -> None:
    """Install every overlay."""
    autoscaling_requests.install()
    instance_refresh.install()
    lifecycle_hooks.install()
    scaling_policies.install()
    scheduled_actions.install()
    cloudwatch.install()
    block_devices.install()
    ec2.install()
    instance_options.install()
    elbv2.install()
    flow_logs.install()
    interfaces.install()
    launch_templates.install()
    log_groups.install()
    rds.install()
    refusals.install()
    secrets.install()
    security_groups.install()
    subnets.install()
