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

run "nat_gateway" {
  command = apply

  variables {
    nat_gateway = true
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
