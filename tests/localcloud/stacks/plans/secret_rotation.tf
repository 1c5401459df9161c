# The rotation of a secret that another service manages: a database's master password.

variable "changed" { type = bool }

resource "aws_db_instance" "main" {
  identifier                  = "plans-rotated"
  engine                      = "postgres"
  engine_version              = "17"
  instance_class              = "db.t3.micro"
  allocated_storage           = 20
  username                    = "master"
  manage_master_user_password = true
  skip_final_snapshot         = true

  timeouts { # moto keeps waiting whom it does not understand
    create = "3m"
    update = "3m"
    delete = "3m"
  }
}

resource "aws_secretsmanager_secret_rotation" "main" {
  secret_id          = aws_db_instance.main.master_user_secret[0].secret_arn
  rotate_immediately = false

  rotation_rules {
    automatically_after_days = var.changed ? null : 30
    schedule_expression      = var.changed ? "rate(10 days)" : null
    duration                 = "3h"
  }
}
