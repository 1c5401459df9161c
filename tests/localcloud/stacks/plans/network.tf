# What instances stand in, and what is written down of their traffic.

variable "changed" { type = bool }

resource "aws_vpc" "main" {
  cidr_block                           = "10.1.0.0/16"
  assign_generated_ipv6_cidr_block     = true
  enable_dns_hostnames                 = var.changed
  enable_network_address_usage_metrics = var.changed
}

resource "aws_subnet" "main" {
  vpc_id                                         = aws_vpc.main.id
  cidr_block                                     = "10.1.1.0/24"
  ipv6_cidr_block                                = cidrsubnet(aws_vpc.main.ipv6_cidr_block, 8, 1)
  availability_zone                              = "us-east-1a"
  assign_ipv6_address_on_creation                = true
  enable_dns64                                   = !var.changed
  enable_resource_name_dns_a_record_on_launch    = var.changed
  enable_resource_name_dns_aaaa_record_on_launch = !var.changed
  map_public_ip_on_launch                        = var.changed
  private_dns_hostname_type_on_launch            = var.changed ? "ip-name" : "resource-name"
  tags                                           = { Name = var.changed ? "new" : "old" }
}

resource "aws_network_interface" "main" {
  subnet_id         = aws_subnet.main.id
  private_ips       = ["10.1.1.40"]
  description       = var.changed ? "new" : "old"
  source_dest_check = var.changed
  tags              = { Name = "main" }
}

resource "aws_ebs_volume" "main" {
  availability_zone = "us-east-1a"
  type              = "gp3"
  size              = var.changed ? 30 : 20
  throughput        = var.changed ? 250 : 200
  iops              = 3500
  encrypted         = true
}

resource "aws_s3_bucket" "logs" {
  bucket        = "plans-flow-logs"
  force_destroy = true
}

resource "aws_flow_log" "main" {
  vpc_id                   = aws_vpc.main.id
  traffic_type             = "ALL"
  log_destination_type     = "s3"
  log_destination          = aws_s3_bucket.logs.arn
  max_aggregation_interval = 60

  destination_options {
    file_format                = "parquet"
    hive_compatible_partitions = true
    per_hour_partition         = true
  }

  tags = { Name = var.changed ? "new" : "old" }
}

resource "aws_cloudwatch_log_group" "rare" {
  name              = "plans-rare"
  log_group_class   = "INFREQUENT_ACCESS"
  retention_in_days = var.changed ? 7 : 14
}

resource "aws_cloudwatch_log_group" "plain" {
  name = "plans-plain"
  tags = { Name = var.changed ? "new" : "old" }
}
