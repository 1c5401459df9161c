# They are made by AWS on the first apply and kept in the parameter store. Ephemeral values and write-only arguments
# (value_wo, password_wo) are never written to the state or a plan.
# No punctuation: the passwords end up in a connection URI. 32 letters and digits are 190 bits.

ephemeral "aws_secretsmanager_random_password" "master" {
  password_length     = 32
  exclude_punctuation = true
}

ephemeral "aws_secretsmanager_random_password" "app" {
  password_length     = 32
  exclude_punctuation = true
}

# A new random value is drawn in every run, but written only when value_wo_version changes.

resource "aws_ssm_parameter" "master_password" {
  #checkov:skip=CKV_AWS_337:The account's own key; one of ours costs a dollar a month

  name             = "/${var.name}/database/master_password"
  description      = "Password of the database's master user ${var.master_username}"
  type             = "SecureString"
  value_wo         = ephemeral.aws_secretsmanager_random_password.master.random_password
  value_wo_version = 1
}

resource "aws_ssm_parameter" "app_password" {
  #checkov:skip=CKV_AWS_337:The account's own key; one of ours costs a dollar a month

  name             = "/${var.name}/database/app_password"
  description      = "Password of the application's database role ${var.app_username}"
  type             = "SecureString"
  value_wo         = ephemeral.aws_secretsmanager_random_password.app.random_password
  value_wo_version = 1
}

# The instance gets what is in the store and not what was drawn in this run: an apply that was interrupted between the
# two is finished with the same password.
ephemeral "aws_ssm_parameter" "master_password" {
  arn = aws_ssm_parameter.master_password.arn
}

locals {
  master_password = ephemeral.aws_ssm_parameter.master_password.value
}
