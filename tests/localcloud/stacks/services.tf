# What a stack like ours has beside its machines, one or two of each; nothing here waits for anything.

variable "vpc_id" {
  type = string
}

variable "subnet_ids" {
  type = list(string)
}

variable "ami_id" {
  type = string
}

variable "public_key" {
  type = string
}

data "aws_caller_identity" "this" {}

data "aws_iam_policy_document" "assume" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

# ---- A way out, and one into a private subnet -------------------------------------

resource "aws_internet_gateway" "this" {
  vpc_id = var.vpc_id
  tags   = { Name = "drift" }
}

resource "aws_eip" "nat" {
  domain = "vpc"
  tags   = { Name = "drift-nat" }
}

resource "aws_nat_gateway" "this" {
  allocation_id = aws_eip.nat.id
  subnet_id     = var.subnet_ids[0]
  tags          = { Name = "drift" }
  depends_on    = [aws_internet_gateway.this]
}

resource "aws_route_table" "public" {
  vpc_id = var.vpc_id
  tags   = { Name = "drift-public" }
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "public" {
  subnet_id      = var.subnet_ids[0]
  route_table_id = aws_route_table.public.id
}

resource "aws_route_table" "private" {
  vpc_id = var.vpc_id

  route {
    cidr_block     = "0.0.0.0/0"
    nat_gateway_id = aws_nat_gateway.this.id
  }

  tags = { Name = "drift-private" }
}

resource "aws_route_table_association" "private" {
  subnet_id      = var.subnet_ids[1]
  route_table_id = aws_route_table.private.id
}

resource "aws_security_group" "inline" {
  name        = "drift-inline"
  description = "Rules inside"
  vpc_id      = var.vpc_id

  ingress {
    description = "HTTP and HTTPS"
    from_port   = 80
    to_port     = 443
    protocol    = "tcp"
    cidr_blocks = ["0.0.0.0/0"]
  }

  ingress {
    description = "Each other"
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    self        = true
  }

  egress {
    description = "Anywhere"
    from_port   = 0
    to_port     = 0
    protocol    = "-1"
    cidr_blocks = ["0.0.0.0/0"]
  }

  tags = { Name = "drift-inline" }
}

# ---- A machine with a role and a volume --------------------------------------------

resource "aws_iam_role" "this" {
  name               = "drift"
  description        = "Role of the machine"
  assume_role_policy = data.aws_iam_policy_document.assume.json
  tags               = { Name = "drift" }
}

resource "aws_iam_policy" "this" {
  name = "drift"
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["ssm:GetParameter"], Resource = "*" }]
  })
  tags = { Name = "drift" }
}

resource "aws_iam_role_policy_attachment" "this" {
  role       = aws_iam_role.this.name
  policy_arn = aws_iam_policy.this.arn
}

resource "aws_iam_role_policy" "inline" {
  name = "inline"
  role = aws_iam_role.this.id
  policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = ["s3:ListAllMyBuckets"], Resource = "*" }]
  })
}

resource "aws_iam_instance_profile" "this" {
  name = "drift"
  role = aws_iam_role.this.name
  tags = { Name = "drift" }
}

resource "aws_key_pair" "this" {
  key_name   = "drift"
  public_key = var.public_key
  tags       = { Name = "drift" }
}

resource "aws_instance" "this" {
  ami                    = var.ami_id
  instance_type          = "t3.micro"
  subnet_id              = var.subnet_ids[1]
  vpc_security_group_ids = [aws_security_group.inline.id]
  iam_instance_profile   = aws_iam_instance_profile.this.name
  key_name               = aws_key_pair.this.key_name
  user_data              = "#!/bin/sh\ntrue\n"

  metadata_options {
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
    instance_metadata_tags      = "enabled"
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = 9
    encrypted   = true
    tags        = { Name = "drift-root" }
  }

  tags = { Name = "drift" }
}

resource "aws_ebs_volume" "this" {
  availability_zone = aws_instance.this.availability_zone
  type              = "gp3"
  size              = 1
  encrypted         = true
  tags              = { Name = "drift" }
}

# ---- A database's settings ----------------------------------------------------------

resource "aws_db_subnet_group" "this" {
  name        = "drift"
  description = "drift"
  subnet_ids  = var.subnet_ids
  tags        = { Name = "drift" }
}

resource "aws_db_parameter_group" "this" {
  name        = "drift"
  description = "drift"
  family      = "postgres17"

  parameter {
    name         = "max_connections"
    value        = "200"
    apply_method = "pending-reboot"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "500"
  }

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name         = "shared_preload_libraries"
    value        = "pg_stat_statements"
    apply_method = "pending-reboot"
  }

  tags = { Name = "drift" }
}

# ---- Storage, secrets, keys ---------------------------------------------------------

resource "aws_s3_bucket" "this" {
  bucket        = "drift-${data.aws_caller_identity.this.account_id}"
  force_destroy = true
  tags          = { Name = "drift" }
}

resource "aws_s3_bucket_versioning" "this" {
  bucket = aws_s3_bucket.this.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "this" {
  bucket = aws_s3_bucket.this.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = aws_kms_key.this.arn
    }

    bucket_key_enabled = true
  }
}

resource "aws_s3_bucket_public_access_block" "this" {
  bucket                  = aws_s3_bucket.this.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_lifecycle_configuration" "this" {
  bucket     = aws_s3_bucket.this.id
  depends_on = [aws_s3_bucket_versioning.this]

  rule {
    id     = "old-versions"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = 30
    }
  }
}

resource "aws_s3_object" "this" {
  bucket     = aws_s3_bucket.this.id
  key        = "a/file"
  content    = "content"
  depends_on = [aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this]
}

resource "aws_kms_key" "this" {
  description             = "drift"
  enable_key_rotation     = true
  deletion_window_in_days = 7
  tags                    = { Name = "drift" }
}

resource "aws_kms_alias" "this" {
  name          = "alias/drift"
  target_key_id = aws_kms_key.this.key_id
}

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

resource "aws_secretsmanager_secret" "this" {
  name                    = "drift"
  recovery_window_in_days = 0
  tags                    = { Name = "drift" }
}

resource "aws_secretsmanager_secret_version" "this" {
  secret_id     = aws_secretsmanager_secret.this.id
  secret_string = "secret"
}

# ---- Watching -----------------------------------------------------------------------

resource "aws_sns_topic" "this" {
  name         = "drift"
  display_name = "drift"
  tags         = { Name = "drift" }
}

resource "aws_sns_topic_subscription" "this" {
  topic_arn = aws_sns_topic.this.arn
  protocol  = "email"
  endpoint  = "admin@example.com"
}

resource "aws_cloudwatch_log_group" "this" {
  name              = "/drift"
  retention_in_days = 7
  tags              = { Name = "drift" }
}

resource "aws_cloudwatch_metric_alarm" "this" {
  alarm_name          = "drift"
  alarm_description   = "The machine is busy"
  namespace           = "AWS/EC2"
  metric_name         = "CPUUtilization"
  dimensions          = { InstanceId = aws_instance.this.id }
  statistic           = "Average"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 80
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.this.arn]
  tags                = { Name = "drift" }
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = "drift"
  dashboard_body = jsonencode({
    widgets = [{
      type       = "text"
      x          = 0
      y          = 0
      width      = 6
      height     = 3
      properties = { markdown = "drift" }
    }]
  })
}
