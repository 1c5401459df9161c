"""What moto lacks or does otherwise than AWS, one module per service.

Each module's `install()` changes moto's classes in place, once, before the first request and before state is loaded.
Nothing else in the package changes moto, so each of these can be offered upstream.
"""

from __future__ import annotations

from localcloud.overlay import (
    autoscaling_requests,
    block_devices,
    cloudwatch,
    dhcp_options,
    ec2,
    ec2_dependencies,
    elbv2,
    filters,
    flow_logs,
    iam,
    instance_filters,
    instance_options,
    instance_refresh,
    interfaces,
    launch_template_versions,
    launch_templates,
    lifecycle_hooks,
    log_groups,
    machine_images,
    placement_groups,
    prefix_lists,
    rds,
    rds_events,
    refusals,
    request_checks,
    scaling_policies,
    scheduled_actions,
    secrets,
    security_groups,
    subnets,
    traffic_sources,
    unknown_ids,
    vpc_endpoint_services,
    vpc_endpoints,
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
    dhcp_options.install()
    ec2.install()
    instance_options.install()
    elbv2.install()
    iam.install()
    interfaces.install()
    launch_template_versions.install()
    machine_images.install()  # after ec2: it is asked first
    placement_groups.install()
    prefix_lists.install()
    rds.install()
    rds_events.install()
    security_groups.install()
    traffic_sources.install()
    vpc_endpoint_services.install()
    vpc_endpoints.install()
    flow_logs.install()
    launch_templates.install()
    log_groups.install()
    secrets.install()
    subnets.install()
    # Around what answers by now.
    ec2_dependencies.install()
    filters.install()
    instance_filters.install()
    unknown_ids.install()
    refusals.install()
    request_checks.install()
