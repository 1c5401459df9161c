"""Print, as JSON, the account's quota of virtual CPUs for an instance type's family and how many one instance has, and
how many MiB of memory a database of a class has.

Arguments: the instance type and the database's class. Region and credentials come from the environment. Reads only;
needs the permissions servicequotas:GetServiceQuota and ec2:DescribeInstanceTypes.
"""

from __future__ import annotations

import json
import sys
from typing import Any

import boto3
from botocore.exceptions import BotoCoreError, ClientError

# "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances", in virtual CPUs.
# https://docs.aws.amazon.com/ec2/latest/instancetypes/ec2-instance-quotas.html
STANDARD_QUOTA = "L-1216C47A"
STANDARD_FAMILIES = "acdhimrtz"


def main() -> int:
    """Ask, and print what is known: `error` says why there is no quota, `unknown_type` that there is no such type."""
    instance_type = sys.argv[1]
    answer: dict[str, object] = {}
    try:
        ec2 = boto3.client("ec2")
        types = ec2.describe_instance_types(InstanceTypes=[instance_type])
        answer["vcpus"] = types["InstanceTypes"][0]["VCpuInfo"]["DefaultVCpus"]
        answer["database_mib"] = database_memory(ec2, sys.argv[2])
        if instance_type[0] in STANDARD_FAMILIES:
            quota = boto3.client("service-quotas").get_service_quota(ServiceCode="ec2", QuotaCode=STANDARD_QUOTA)
            answer |= {"code": STANDARD_QUOTA, "quota": int(quota["Quota"]["Value"])}
        else:
            answer["error"] = f"{instance_type} has a quota of its own, which is not checked"
    except (BotoCoreError, ClientError) as error:
        code = error.response["Error"]["Code"] if isinstance(error, ClientError) else ""
        answer["unknown_type" if code == "InvalidInstanceType" else "error"] = str(error)
    print(json.dumps(answer))
    return 0


def database_memory(ec2: Any, instance_class: str) -> int:
    """MiB of a database's machine, which is one of EC2's; 0 where EC2 has none of that type."""
    wanted = [{"Name": "instance-type", "Values": [instance_class.removeprefix("db.")]}]
    types = ec2.describe_instance_types(Filters=wanted)["InstanceTypes"]
    return int(types[0]["MemoryInfo"]["SizeInMiB"]) if types else 0


if __name__ == "__main__":
    sys.exit(main())
