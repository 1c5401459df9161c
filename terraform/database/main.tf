# The database: one PostgreSQL instance in private subnets that only the application's hosts reach.

locals {
  port = 5432
}

# ---- Who may connect -----------------------------------------------------------

resource "aws_security_group" "database" {
  name        = "${var.name}-database"
  description = "PostgreSQL, from hosts of the application only"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-database" }
}

resource "aws_vpc_security_group_ingress_rule" "app" {
  security_group_id            = aws_security_group.database.id
  description                  = "PostgreSQL from hosts of the application"
  referenced_security_group_id = var.app_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = local.port
  to_port                      = local.port

  tags = { Name = "${var.name}-database-from-app" }
}

resource "aws_db_subnet_group" "this" {
  name        = var.name
  description = "Private subnets of ${var.name}"
  subnet_ids  = var.private_subnet_ids

  tags = { Name = var.name }
}

# ---- The instance --------------------------------------------------------------

resource "aws_db_parameter_group" "this" {
  # A prefix and create_before_destroy, because a group in use can't be deleted: another major version needs a new group first.
  name_prefix = "${var.name}-"
  description = "PostgreSQL settings of ${var.name}"
  family      = "postgres${split(".", var.engine_version)[0]}"

  # Static: PostgreSQL reads it when it starts. On a running instance a new value waits for the next restart.
  parameter {
    name         = "max_connections"
    value        = var.max_connections
    apply_method = "pending-reboot"
  }

  # rds.force_ssl is left alone: it is on by default since PostgreSQL 15, so nothing crosses the network in the clear,
  # and libpq's default (sslmode=prefer) uses TLS by itself. Repeating a default here only invites differences in plans.

  tags = { Name = var.name }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  #checkov:skip=CKV_AWS_293:Whoever has data to lose sets db_deletion_protection
  #checkov:skip=CKV_AWS_157:db_multi_az is the choice of who pays for it
  #checkov:skip=CKV_AWS_353:The smallest instance classes have no Performance Insights
  #checkov:skip=CKV_AWS_118:One-minute CloudWatch metrics are enough, and need no role
  #checkov:skip=CKV_AWS_226:Except where the settings name a minor version
  #checkov:skip=CKV_AWS_129:The logs can be read in RDS; a copy in CloudWatch costs by the GB
  #checkov:skip=CKV_AWS_161:The application logs in by password: its hosts have no role
  #checkov:skip=CKV2_AWS_69:From PostgreSQL 15 on RDS takes encrypted connections only, unless told otherwise

  identifier = var.name

  engine                     = "postgres"
  engine_version             = var.engine_version
  auto_minor_version_upgrade = !strcontains(var.engine_version, ".") # of one that is named with its minor, there would be no way back to it
  instance_class             = var.instance_class
  parameter_group_name       = aws_db_parameter_group.this.name

  storage_type      = "gp3"
  allocated_storage = var.allocated_storage
  storage_encrypted = true

  db_name             = var.database_name
  username            = var.master_username
  password_wo         = local.master_password                     # from passwords.tf
  password_wo_version = aws_ssm_parameter.master_password.version # overwritten in the store, it reaches the instance with the next apply

  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.database.id]
  port                   = local.port
  publicly_accessible    = false
  multi_az               = var.multi_az

  backup_retention_period = var.backup_retention_days
  copy_tags_to_snapshot   = true
  deletion_protection     = var.deletion_protection
  skip_final_snapshot     = var.skip_final_snapshot

  # Snapshots outlive instances, so the name must not come back with the next one.
  final_snapshot_identifier = "${var.name}-final-${formatdate("YYYYMMDDhhmmss", plantimestamp())}"

  # Otherwise changes wait for the weekly maintenance window, and an apply that succeeded would have changed nothing.
  apply_immediately = true

  tags = { Name = var.name }

  lifecycle {
    ignore_changes = [final_snapshot_identifier] # the time of the first apply stays
  }
}
