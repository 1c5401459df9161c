# Terraform can't mock ephemeral resources yet, so the tests look at the stage with this in place of its passwords.tf;
# everything else here is a link to the real file.

locals {
  master_password = "only for tests"
}

resource "aws_ssm_parameter" "master_password" {
  name  = "/${var.name}/database/master_password"
  type  = "SecureString"
  value = local.master_password
}

resource "aws_ssm_parameter" "app_password" {
  name  = "/${var.name}/database/app_password"
  type  = "SecureString"
  value = "only for tests"
}
