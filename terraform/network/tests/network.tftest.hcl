# Against a mocked provider: no account, no network, a few seconds. `terraform init -backend=false && terraform test`

mock_provider "aws" {
  mock_data "aws_availability_zones" {
    defaults = {
      names = ["us-east-1b", "us-east-1a", "us-east-1c", "us-east-1d"]
    }
  }
}

variables {
  name   = "web2py-test"
  region = "us-east-1"
  tags   = { Project = "web2py", Environment = "test" }
}

run "subnets_over_three_zones" {
  command = plan

  assert {
    condition     = output.availability_zones == tolist(["us-east-1a", "us-east-1b", "us-east-1c"])
    error_message = "The first three zones by name are used."
  }

  assert {
    condition     = [for zone in output.availability_zones : aws_subnet.public[zone].cidr_block] == ["10.80.0.0/20", "10.80.16.0/20", "10.80.32.0/20"]
    error_message = "Public subnets are the first parts of the VPC."
  }

  assert {
    condition     = [for zone in output.availability_zones : aws_subnet.private[zone].cidr_block] == ["10.80.128.0/20", "10.80.144.0/20", "10.80.160.0/20"]
    error_message = "Private subnets are in the second half of the VPC."
  }

  assert {
    condition     = alltrue([for subnet in merge(aws_subnet.public, { for zone, subnet in aws_subnet.private : "private-${zone}" => subnet }) : !subnet.map_public_ip_on_launch])
    error_message = "No subnet gives public addresses by itself."
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 0 && length(aws_eip.nat) == 0 && length(aws_route.nat) == 0
    error_message = "There is no NAT gateway unless it is asked for."
  }

  assert {
    condition     = length(aws_vpc_endpoint.s3) == 0 && length(aws_s3_bucket.uploads) == 0 && length(aws_iam_role.app) == 0
    error_message = "There is no way to S3, no bucket and no role unless they are asked for."
  }

  assert {
    condition     = output.uploads_bucket == "" && output.instance_profile == ""
    error_message = "What is not there has no name."
  }
}

run "subnets_keep_their_place_when_a_zone_is_added" {
  command = plan

  variables {
    availability_zone_count = 4
  }

  assert {
    condition     = aws_subnet.private["us-east-1a"].cidr_block == "10.80.128.0/20" && aws_subnet.private["us-east-1d"].cidr_block == "10.80.176.0/20"
    error_message = "A further zone moves no subnet."
  }
}

run "outputs" {
  command = apply

  assert {
    condition     = length(distinct(output.public_subnet_ids)) == 3 && length(distinct(output.private_subnet_ids)) == 3
    error_message = "One public and one private subnet for each zone."
  }

  assert {
    condition     = length(setintersection(output.public_subnet_ids, output.private_subnet_ids)) == 0
    error_message = "No subnet is both public and private."
  }

  assert {
    condition     = alltrue([for association in aws_route_table_association.private : association.route_table_id == aws_route_table.private.id])
    error_message = "Private subnets use the table without a way out."
  }

  assert {
    condition     = aws_route.internet.route_table_id == aws_route_table.public.id
    error_message = "Only the public table leads to the Internet."
  }

  assert {
    condition     = output.app_security_group_id == aws_security_group.app.id
    error_message = "The application's group is handed on."
  }
}

run "uploads_in_s3" {
  command = apply

  variables {
    private_subnet_egress = "s3"
    uploads_bucket        = true
  }

  override_resource {
    target = aws_s3_bucket.uploads
    values = { bucket = "web2py-test-uploads-2026", arn = "arn:aws:s3:::web2py-test-uploads-2026" }
  }

  assert {
    condition     = aws_vpc_endpoint.s3[0].route_table_ids == toset([aws_route_table.private.id]) && length(aws_nat_gateway.this) == 0
    error_message = "Private subnets reach S3 through the endpoint, and nothing else."
  }

  assert {
    condition = jsondecode(aws_iam_role_policy.uploads[0].policy).Statement == [
      { Effect = "Allow", Action = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"], Resource = "arn:aws:s3:::web2py-test-uploads-2026/*" },
      { Effect = "Allow", Action = "s3:ListBucket", Resource = "arn:aws:s3:::web2py-test-uploads-2026" },
    ]
    error_message = "Hosts may use this bucket only, and change nothing of the bucket itself."
  }

  assert {
    condition     = aws_s3_bucket_public_access_block.uploads[0].block_public_policy && aws_s3_bucket_public_access_block.uploads[0].restrict_public_buckets
    error_message = "Nobody else reads what visitors upload."
  }

  assert {
    condition     = output.uploads_bucket == "web2py-test-uploads-2026" && output.instance_profile == "web2py-test-app-us-east-1"
    error_message = "The hosts are told."
  }
}

run "longest_names" {
  command = plan

  variables {
    name           = "a2345678901234567890123456789012"
    region         = "ap-southeast-1"
    uploads_bucket = true
  }

  assert {
    condition     = length(aws_s3_bucket.uploads[0].bucket_prefix) <= 37 && length(aws_iam_role.app[0].name) <= 64
    error_message = "Names are within AWS's limits."
  }
}

run "nat_gateway" {
  command = apply

  variables {
    private_subnet_egress = "nat"
  }

  assert {
    condition     = length(aws_vpc_endpoint.s3) == 1
    error_message = "What goes to S3 does not pay for NAT."
  }

  assert {
    condition     = length(aws_nat_gateway.this) == 1 && aws_nat_gateway.this[0].subnet_id == output.public_subnet_ids[0]
    error_message = "One NAT gateway, in a public subnet."
  }

  assert {
    condition     = aws_route.nat[0].route_table_id == aws_route_table.private.id
    error_message = "Private subnets go out through it."
  }
}

run "smallest_vpc" {
  command = plan

  variables {
    vpc_cidr = "192.168.64.0/23"
  }

  assert {
    condition     = aws_subnet.public["us-east-1a"].cidr_block == "192.168.64.0/27"
    error_message = "A /23 gives subnets of /27."
  }
}

# ---- Bad input -----------------------------------------------------------------

run "cidr_too_small_for_the_subnets" {
  command = plan

  variables {
    vpc_cidr = "10.80.0.0/24"
  }

  expect_failures = [var.vpc_cidr]
}

run "cidr_larger_than_aws_allows" {
  command = plan

  variables {
    vpc_cidr = "10.0.0.0/8"
  }

  expect_failures = [var.vpc_cidr]
}

run "cidr_with_host_bits" {
  command = plan

  variables {
    vpc_cidr = "10.80.0.1/16"
  }

  expect_failures = [var.vpc_cidr]
}

run "cidr_that_is_none" {
  command = plan

  variables {
    vpc_cidr = "10.80.0.0"
  }

  expect_failures = [var.vpc_cidr]
}

run "one_zone" {
  command = plan

  variables {
    availability_zone_count = 1
  }

  expect_failures = [var.availability_zone_count]
}

run "more_zones_than_the_region_has" {
  command = plan

  variables {
    availability_zone_count = 5
  }

  expect_failures = [data.aws_availability_zones.this]
}

run "name_too_long_for_a_load_balancer" {
  command = plan

  variables {
    name = "a23456789-123456789-123456789-123"
  }

  expect_failures = [var.name]
}

run "name_of_32_characters" {
  command = plan

  variables {
    name = "a23456789-123456789-123456789-12"
  }
}

run "name_with_double_hyphen" {
  command = plan

  variables {
    name = "web2py--local"
  }

  expect_failures = [var.name]
}

run "region_that_is_a_zone" {
  command = plan

  variables {
    region = "us-east-1a"
  }

  expect_failures = [var.region]
}

run "tags_without_environment" {
  command = plan

  variables {
    tags = { Project = "web2py" }
  }

  expect_failures = [var.tags]
}

run "unknown_way_out" {
  command = plan

  variables {
    private_subnet_egress = "internet"
  }

  expect_failures = [var.private_subnet_egress]
}
