# Databases with all that they may say.

variable "changed" { type = bool }

resource "aws_db_instance" "default" {
  identifier                            = "plans-default"
  engine                                = "postgres"
  engine_version                        = "17"
  instance_class                        = "db.t3.micro"
  allocated_storage                     = 20
  storage_type                          = "gp3"
  username                              = "master"
  password                              = "twelve-letters"
  skip_final_snapshot                   = true
  apply_immediately                     = true
  maintenance_window                    = "Mon:00:00-Mon:03:00"
  backup_window                         = "03:00-06:00"
  performance_insights_enabled          = true
  performance_insights_retention_period = var.changed ? 31 : 7
  engine_lifecycle_support              = "open-source-rds-extended-support-disabled"
  license_model                         = "postgresql-license"
  network_type                          = "IPV4"
  dedicated_log_volume                  = var.changed
  enabled_cloudwatch_logs_exports       = var.changed ? ["postgresql"] : ["postgresql", "upgrade"]
  iam_database_authentication_enabled   = var.changed
  copy_tags_to_snapshot                 = !var.changed
  max_allocated_storage                 = var.changed ? 50 : 40
  tags                                  = { Name = var.changed ? "new" : "old" }

  timeouts { # moto keeps waiting whom it does not understand
    create = "3m"
    update = "3m"
    delete = "3m"
  }
}

resource "aws_vpc" "main" {
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "main" {
  count             = 2
  vpc_id            = aws_vpc.main.id
  cidr_block        = cidrsubnet(aws_vpc.main.cidr_block, 8, count.index)
  availability_zone = "us-east-1${["a", "b"][count.index]}"
}

resource "aws_db_subnet_group" "main" {
  name        = "plans"
  description = var.changed ? "new" : "old"
  subnet_ids  = aws_subnet.main[*].id
}

resource "aws_db_instance" "large" {
  identifier                  = "plans-large"
  engine                      = "postgres"
  engine_version              = "17"
  instance_class              = "db.t3.micro"
  allocated_storage           = 400
  storage_type                = "gp3"
  iops                        = var.changed ? 14000 : 12000
  storage_throughput          = var.changed ? 600 : 500
  storage_encrypted           = true
  db_subnet_group_name        = aws_db_subnet_group.main.name
  username                    = "master"
  manage_master_user_password = true
  multi_az                    = var.changed
  backup_retention_period     = 7
  skip_final_snapshot         = true
  apply_immediately           = true
  ca_cert_identifier          = "rds-ca-rsa2048-g1"

  timeouts { # moto keeps waiting whom it does not understand
    create = "3m"
    update = "3m"
    delete = "3m"
  }
}
