terraform {
  # 1.11 is the first version with write-only arguments and with the S3 backend's own lock file.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }

  # Bucket, key and region are handed over at `terraform init`: the state lives in the cloud it describes.
  backend "s3" {}
}

provider "aws" {
  region = var.region

  default_tags {
    # What a Terraform that was killed has made and not written down is found by these.
    tags = merge(var.tags, { Stage = "database" })
  }
}
