# Who may do what: roles, policies, users; and what stands in parameters, secrets, keys and buckets.

variable "changed" { type = bool }

resource "aws_iam_role" "main" {
  name                 = "plans"
  description          = var.changed ? "new" : "old"
  max_session_duration = var.changed ? 7200 : 3600
  tags                 = { Name = var.changed ? "new" : "old" }
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "ec2.amazonaws.com" } }]
  })
}

resource "aws_iam_role_policy" "main" {
  name   = "plans"
  role   = aws_iam_role.main.id
  policy = data.aws_iam_policy_document.main.json
}

data "aws_iam_policy_document" "main" {
  statement {
    actions   = var.changed ? ["s3:GetObject", "s3:PutObject"] : ["s3:GetObject"]
    resources = ["arn:aws:s3:::plans-access/*"]
  }
}

resource "aws_iam_policy" "main" {
  name   = "plans"
  policy = data.aws_iam_policy_document.main.json
  tags   = { Name = var.changed ? "new" : "old" }
}

resource "aws_iam_role_policy_attachment" "ours" {
  role       = aws_iam_role.main.name
  policy_arn = aws_iam_policy.main.arn
}

resource "aws_iam_role_policy_attachment" "managed" {
  role       = aws_iam_role.main.name
  policy_arn = "arn:aws:iam::aws:policy/AmazonSSMManagedInstanceCore"
}

resource "aws_iam_instance_profile" "main" {
  name = "plans"
  role = aws_iam_role.main.name
  tags = { Name = var.changed ? "new" : "old" }
}

resource "aws_iam_user" "main" {
  name = "plans"
  tags = { Name = var.changed ? "new" : "old" }
}

resource "aws_iam_group" "main" {
  name = "plans"
}

resource "aws_iam_user_group_membership" "main" {
  user   = aws_iam_user.main.name
  groups = var.changed ? [] : [aws_iam_group.main.name]
}

resource "aws_ssm_parameter" "main" {
  name        = "/plans/plain"
  type        = "String"
  value       = var.changed ? "new" : "old"
  description = var.changed ? "new" : "old"
  tags        = { Name = var.changed ? "new" : "old" }
}

resource "aws_ssm_parameter" "secret" {
  name  = "/plans/secret"
  type  = "SecureString"
  value = "somebodys"
}

resource "aws_secretsmanager_secret" "main" {
  name                    = "plans"
  description             = var.changed ? "new" : "old"
  recovery_window_in_days = 0
}

resource "aws_secretsmanager_secret_version" "main" {
  secret_id     = aws_secretsmanager_secret.main.id
  secret_string = var.changed ? "new" : "old"
}

resource "aws_kms_key" "main" {
  description             = var.changed ? "new" : "old"
  deletion_window_in_days = 7
  enable_key_rotation     = var.changed
}

resource "aws_kms_alias" "main" {
  name          = "alias/plans"
  target_key_id = aws_kms_key.main.key_id
}

resource "aws_s3_bucket" "main" {
  bucket        = "plans-access"
  force_destroy = true
  tags          = { Name = var.changed ? "new" : "old" }
}

resource "aws_s3_bucket_versioning" "main" {
  bucket = aws_s3_bucket.main.id

  versioning_configuration {
    status = var.changed ? "Suspended" : "Enabled"
  }
}

resource "aws_s3_bucket_public_access_block" "main" {
  bucket                  = aws_s3_bucket.main.id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = var.changed
  restrict_public_buckets = true
}

resource "aws_s3_bucket_server_side_encryption_configuration" "main" {
  bucket = aws_s3_bucket.main.id

  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256"
    }
  }
}

resource "aws_s3_bucket_lifecycle_configuration" "main" {
  bucket = aws_s3_bucket.main.id

  rule {
    id     = "old"
    status = "Enabled"

    filter {
      prefix = "old/"
    }

    expiration {
      days = var.changed ? 20 : 10
    }
  }
}

resource "aws_s3_bucket_policy" "main" {
  bucket = aws_s3_bucket.main.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Deny"
      Principal = "*"
      Action    = var.changed ? ["s3:PutObject", "s3:DeleteObject"] : ["s3:PutObject"]
      Resource  = "${aws_s3_bucket.main.arn}/closed/*"
    }]
  })
}

resource "aws_s3_object" "main" {
  bucket  = aws_s3_bucket.main.id
  key     = "plans"
  content = var.changed ? "new" : "old"
}
