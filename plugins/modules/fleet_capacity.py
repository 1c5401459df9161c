#!/usr/bin/python
"""Ansible module: the number of instances that an autoscaling group should have."""

from __future__ import annotations

from ansible_collections.amazon.aws.plugins.module_utils.modules import AnsibleAWSModule

DOCUMENTATION = r"""
module: fleet_capacity
short_description: Set the desired capacity of an autoscaling group, and nothing else
description:
  - C(amazon.aws.autoscaling_group) sets all of a group's properties, those that it isn't given to its own defaults.
  - Alarms go on changing the capacity afterwards.
extends_documentation_fragment:
  - amazon.aws.common.modules
  - amazon.aws.region.modules
options:
  group: {description: Name of the autoscaling group., type: str, required: true}
  desired: {description: Number of instances., type: int, required: true}
"""
RETURN = r"""
before: {description: The desired capacity that the group had., type: int, returned: always}
"""


def main() -> None:
    module = AnsibleAWSModule(
        argument_spec={
            "group": {"type": "str", "required": True},
            "desired": {"type": "int", "required": True},
        },
        supports_check_mode=True,
    )
    name, desired = module.params["group"], module.params["desired"]
    autoscaling = module.client("autoscaling")
    try:
        groups = autoscaling.describe_auto_scaling_groups(AutoScalingGroupNames=[name])["AutoScalingGroups"]
        if not groups:
            module.fail_json(msg=f"There is no autoscaling group {name}")
        before = groups[0]["DesiredCapacity"]
        if before != desired and not module.check_mode:
            autoscaling.set_desired_capacity(AutoScalingGroupName=name, DesiredCapacity=desired, HonorCooldown=False)
    except autoscaling.exceptions.ClientError as error:
        module.fail_json_aws(error, msg=f"The capacity of {name} could not be set")
    module.exit_json(changed=before != desired, before=before)


if __name__ == "__main__":
    main()
