"""A second `terraform plan` is empty for what a stack has beside its machines; those have tests of their own."""

from __future__ import annotations

import subprocess
from pathlib import Path

from running_cloud import Cloud
from terraform_stack import terraform_stack

STACKS = Path(__file__).parent / "stacks"


def test_second_plan_is_empty(cloud: Cloud, tmp_path: Path) -> None:
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "drift", "-f", str(key)], check=True)
    variables = {
        "vpc_id": cloud.vpc_id,
        "subnet_ids": cloud.subnet_ids,
        "ami_id": cloud.base_ami_id,
        "public_key": key.with_suffix(".pub").read_text().strip(),
    }
    with terraform_stack(cloud, tmp_path, (STACKS / "services.tf").read_text(), variables) as stack:
        stack.apply()
        stack.assert_no_drift()
