"""A second `terraform plan` is empty for each resource type that the stages use, and for those that go with them."""

from __future__ import annotations

from pathlib import Path

import pytest
from running_cloud import Cloud
from terraform_stack import terraform_stack

# name -> a configuration
CONFIGURATIONS = {
    "ssm": """
resource "aws_ssm_parameter" "plain" {
  name        = "/drift/plain"
  description = "Plain"
  type        = "String"
  value       = "value"
  tags        = { Name = "drift" }
}

resource "aws_ssm_parameter" "secret" {
  name             = "/drift/secret"
  type             = "SecureString"
  value_wo         = "secret"
  value_wo_version = 1
}
""",
}


@pytest.mark.parametrize("name", CONFIGURATIONS)
def test_second_plan_is_empty(cloud: Cloud, tmp_path: Path, name: str) -> None:
    with terraform_stack(cloud, tmp_path, CONFIGURATIONS[name]) as stack:
        stack.apply()
        stack.assert_no_drift()
