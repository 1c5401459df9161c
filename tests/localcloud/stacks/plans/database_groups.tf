# What goes with a database: its parameters, options, snapshots and events.

variable "changed" { type = bool }

resource "aws_db_parameter_group" "main" {
  name        = "plans"
  family      = "postgres17"
  description = "Parameters"
  tags        = { Name = var.changed ? "new" : "old" }

  parameter {
    name  = "log_min_duration_statement"
    value = var.changed ? "2000" : "1000"
  }

  parameter {
    name         = "max_connections"
    value        = "200"
    apply_method = "pending-reboot"
  }
}

resource "aws_db_option_group" "main" {
  name                     = "plans"
  option_group_description = "Options"
  engine_name              = "postgres"
  major_engine_version     = "17"
  tags                     = { Name = var.changed ? "new" : "old" }
}

resource "aws_db_instance" "main" {
  identifier           = "plans-groups"
  engine               = "postgres"
  engine_version       = "17"
  instance_class       = "db.t3.micro"
  allocated_storage    = 20
  username             = "master"
  password             = "twelve-letters"
  parameter_group_name = aws_db_parameter_group.main.name
  option_group_name    = aws_db_option_group.main.name
  deletion_protection  = false
  skip_final_snapshot  = true
  apply_immediately    = true

  timeouts { # moto keeps waiting whom it does not understand
    create = "3m"
    update = "3m"
    delete = "3m"
  }
}

resource "aws_db_snapshot" "main" {
  db_instance_identifier = aws_db_instance.main.identifier
  db_snapshot_identifier = "plans"
  tags                   = { Name = var.changed ? "new" : "old" }
}

resource "aws_db_snapshot_copy" "main" {
  source_db_snapshot_identifier = aws_db_snapshot.main.db_snapshot_arn
  target_db_snapshot_identifier = "plans-copy"
  tags                          = { Name = var.changed ? "new" : "old" }
}

resource "aws_sns_topic" "main" {
  name = "plans-database"
}

resource "aws_db_event_subscription" "main" {
  name             = "plans"
  sns_topic        = aws_sns_topic.main.arn
  source_type      = "db-instance"
  source_ids       = [aws_db_instance.main.identifier]
  event_categories = ["failure"]
  enabled          = !var.changed
  tags             = { Name = "plans" }
}
