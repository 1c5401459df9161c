"""Print, as JSON, the account's quota of virtual CPUs for an instance type's family and how many one instance has.

Argument: the instance type. Region and credentials come from the environment. Reads only; needs the permissions
servicequotas:GetServiceQuota and ec2:DescribeInstanceTypes.
"""

from __future__ import annotations

import json
import sys

import boto3
from botocore.exceptions import BotoCoreError, ClientError

# "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", in virtual CPUs.
# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
STANDARD_QUOTA = "L-1216C47A"
STANDARD_FAMILIES = "acdhimrtz"


def main() -> int:
    """Ask, print, and say on standard error why there is no answer."""
    instance_type = sys.argv[1]
    if instance_type[0] not in STANDARD_FAMILIES:
        print(f"{instance_type} has a quota of its own, which is not checked", file=sys.stderr)
        return 1
    try:
        types = boto3.client("ec2").describe_instance_types(InstanceTypes=[instance_type])
        quota = boto3.client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=STANDARD_QUOTA)
    except (BotoCoreError, ClientError) as error:
        print(error, file=sys.stderr)
        return 1
    answer = {
        "code": STANDARD_QUOTA,
        "quota": int(quota["Quota"]["Value"]),
        "vcpus": types["InstanceTypes"][0]["VCpuInfo"]["DefaultVCpus"],
    }
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
