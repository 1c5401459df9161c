# A bucket for what visitors upload (web2py_app_uploads: s3), and the role with which the application's hosts use it.
# In this stage, as hosts are made with the role while the database is still being made.

locals {
  # Roles belong to the whole account, and other regions may have a deployment of this name.
  role_name = "${var.name}-app-${var.region}"
}

resource "aws_s3_bucket" "uploads" {
  #checkov:skip=CKV_AWS_18:A log of who read what costs, and is for whoever needs it to add
  #checkov:skip=CKV_AWS_21:An upload has a name of its own and is never written twice; removed is removed
  #checkov:skip=CKV_AWS_144:A copy in another region is for whoever needs it to add
  #checkov:skip=CKV_AWS_145:S3 encrypts with a key of its own; one of ours costs a dollar a month, and each request
  #checkov:skip=CKV2_AWS_61:Uploads stay until the application removes them
  #checkov:skip=CKV2_AWS_62:Nobody listens

  count = var.uploads_bucket ? 1 : 0

  # Names are unique over all of AWS, and have at most 63 characters, of which Terraform makes up 26.
  bucket_prefix = "${substr(var.name, 0, 28)}-uploads-"

  # The playbooks never take the variable back: a bucket that is there goes with teardown.yml only.
  force_destroy = true

  tags = { Name = "${var.name}-uploads" }
}

resource "aws_s3_bucket_public_access_block" "uploads" {
  count = var.uploads_bucket ? 1 : 0

  bucket                  = aws_s3_bucket.uploads[0].id
  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_iam_role" "app" {
  count = var.uploads_bucket ? 1 : 0

  name        = local.role_name
  description = "Hosts of ${var.name}: uploads"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })

  tags = { Name = local.role_name }
}

resource "aws_iam_role_policy" "uploads" {
  count = var.uploads_bucket ? 1 : 0

  name = "uploads"
  role = aws_iam_role.app[0].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
        Resource = "${aws_s3_bucket.uploads[0].arn}/*"
      },
      {
        # Without it, what is not there is answered as if it were forbidden.
        Effect   = "Allow"
        Action   = "s3:ListBucket"
        Resource = aws_s3_bucket.uploads[0].arn
      },
    ]
  })
}

resource "aws_iam_instance_profile" "app" {
  count = var.uploads_bucket ? 1 : 0

  name = local.role_name
  role = aws_iam_role.app[0].name

  tags = { Name = local.role_name }

  # A host must not be made with a role that may do nothing yet.
  depends_on = [aws_iam_role_policy.uploads]
}
