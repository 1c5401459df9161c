# Against a mocked provider: no account, no network, a few seconds. `terraform init -backend=false && terraform test`

mock_provider "aws" {}

variables {
  name                  = "web2py-test"
  region                = "us-east-1"
  tags                  = { Project = "web2py", Environment = "test" }
  vpc_id                = "vpc-0123"
  private_subnet_ids    = ["subnet-0a", "subnet-0b"]
  app_security_group_id = "sg-0123"
}

run "defaults" {
  command = apply

  module {
    source = "./tests/mocked_passwords"
  }

  assert {
    condition     = aws_db_instance.this.engine == "postgres" && aws_db_instance.this.engine_version == "17" && aws_db_parameter_group.this.family == "postgres17"
    error_message = "PostgreSQL 17, with a parameter group of that family."
  }

  assert {
    condition     = aws_db_instance.this.auto_minor_version_upgrade
    error_message = "RDS brings minor versions, which mend what is wrong."
  }

  assert {
    condition     = aws_db_instance.this.storage_encrypted && !aws_db_instance.this.publicly_accessible
    error_message = "Encrypted, and not reachable from outside."
  }

  assert {
    condition     = aws_db_instance.this.password == null
    error_message = "The password goes in by the write-only argument only; the other one would be in the state."
  }

  assert {
    condition     = aws_db_instance.this.parameter_group_name == aws_db_parameter_group.this.name && aws_db_instance.this.db_subnet_group_name == aws_db_subnet_group.this.name
    error_message = "The instance uses the stage's own groups."
  }

  assert {
    condition     = aws_db_subnet_group.this.subnet_ids == toset(["subnet-0a", "subnet-0b"])
    error_message = "Private subnets only."
  }

  # max_connections is static: with apply_method immediate, RDS refuses it.
  assert {
    condition     = { for parameter in aws_db_parameter_group.this.parameter : parameter.name => "${parameter.value} ${parameter.apply_method}" } == { max_connections = "300 pending-reboot" }
    error_message = "max_connections is 300 and waits for a restart."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.app.referenced_security_group_id == "sg-0123" && aws_vpc_security_group_ingress_rule.app.from_port == 5432 && aws_vpc_security_group_ingress_rule.app.cidr_ipv4 == null
    error_message = "Only members of the application's group may connect."
  }

  assert {
    condition     = output.master_password_parameter == "/web2py-test/database/master_password" && output.app_password_parameter == "/web2py-test/database/app_password"
    error_message = "The outputs name the parameters that hold the passwords."
  }

  assert {
    condition     = output.instance_id == "web2py-test" && output.port == 5432 && output.database_name == "web2py" && output.master_username == "dbadmin" && output.app_username == "web2py"
    error_message = "The outputs say where the database is and who may use it."
  }

  assert {
    condition     = can(regex("^web2py-test-final-[0-9]{14}$", aws_db_instance.this.final_snapshot_identifier))
    error_message = "A final snapshot's name is unique, and one that AWS takes."
  }
}

run "minor_version_named" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    engine_version = "17.5"
  }

  assert {
    condition     = aws_db_parameter_group.this.family == "postgres17"
    error_message = "The family is the major version's."
  }

  assert {
    condition     = !aws_db_instance.this.auto_minor_version_upgrade
    error_message = "RDS doesn't leave a minor version that is named: the next plan would want to go back, which RDS refuses."
  }
}

# ---- Bad input -----------------------------------------------------------------

run "max_connections_too_few" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    max_connections = 5
  }

  expect_failures = [var.max_connections]
}

run "max_connections_too_many" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    max_connections = 100000
  }

  expect_failures = [var.max_connections]
}

run "version_without_forced_tls" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    engine_version = "14"
  }

  expect_failures = [var.engine_version]
}

run "another_engine" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    engine_version = "mysql8"
  }

  expect_failures = [var.engine_version]
}

run "application_is_master" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    app_username = "dbadmin"
  }

  expect_failures = [var.app_username]
}

run "reserved_master_name" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    master_username = "admin"
  }

  expect_failures = [var.master_username]
}

run "storage_below_gp3" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    allocated_storage = 10
  }

  expect_failures = [var.allocated_storage]
}

run "class_without_prefix" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    instance_class = "t4g.micro"
  }

  expect_failures = [var.instance_class]
}

run "database_name_with_hyphen" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    database_name = "web2py-local"
  }

  expect_failures = [var.database_name]
}

run "backups_for_too_long" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    backup_retention_days = 36
  }

  expect_failures = [var.backup_retention_days]
}

run "a_single_subnet" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    private_subnet_ids = ["subnet-0a"]
  }

  expect_failures = [var.private_subnet_ids]
}

run "vpc_by_name" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    vpc_id = "main"
  }

  expect_failures = [var.vpc_id]
}

run "group_by_name" {
  command = plan

  module {
    source = "./tests/mocked_passwords"
  }

  variables {
    app_security_group_id = "app"
  }

  expect_failures = [var.app_security_group_id]
}
