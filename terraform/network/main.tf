# The network: one public and one private subnet in each availability zone.
# Public: load balancer, migration and template instance. Private: database and fleet.

data "aws_availability_zones" "this" {
  #checkov:skip=CKV_AWS_394:More zones than availability_zone_count are not used

  # No local or wavelength zones, which an account may have opted into. Zones in trouble stay in the list:
  # leaving them out would shift all subnets to other zones.
  filter {
    name   = "zone-type"
    values = ["availability-zone"]
  }

  # The oldest zones of us-east-1, us-west-1 and ap-northeast-1 have no current instance types, or take no new customers.
  exclude_zone_ids = ["use1-az3", "usw1-az2", "apne1-az3"]

  lifecycle {
    postcondition {
      condition     = length(self.names) >= var.availability_zone_count
      error_message = "Region ${var.region} has ${length(self.names)} usable availability zones: type availability_zone_count = ${length(self.names)} or less."
    }
  }
}

locals {
  usable_zones = sort(data.aws_availability_zones.this.names)
  # Too few are an error above, but for a destroy, which plans with the default of the variable.
  availability_zones = slice(local.usable_zones, 0, min(var.availability_zone_count, length(local.usable_zones)))

  # 16 parts: the first half is for public subnets, the second for private ones. The halves keep their place
  # when the number of zones changes, so no subnet moves.
  public_cidrs  = { for index, zone in local.availability_zones : zone => cidrsubnet(var.vpc_cidr, 4, index) }
  private_cidrs = { for index, zone in local.availability_zones : zone => cidrsubnet(var.vpc_cidr, 4, 8 + index) }
}

resource "aws_vpc" "this" {
  #checkov:skip=CKV2_AWS_11:Flow logs cost by the GB; who needs them adds them

  cidr_block           = var.vpc_cidr
  enable_dns_support   = true
  enable_dns_hostnames = true

  tags = { Name = var.name }
}

# Every VPC comes with a security group that lets its members talk to each other. Without rules it can't be used by mistake.
resource "aws_default_security_group" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-default-unused" }
}

# ---- Public subnets ------------------------------------------------------------

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id

  tags = { Name = var.name }

  timeouts {
    delete = "10m" # something still uses it: then it is said what
  }
}

resource "aws_subnet" "public" {
  for_each = local.public_cidrs

  vpc_id            = aws_vpc.this.id
  availability_zone = each.key
  cidr_block        = each.value

  # A public address is asked for by the instance that needs one, never given by accident.
  map_public_ip_on_launch = false

  tags = { Name = "${var.name}-public-${each.key}" }

  timeouts {
    delete = "10m" # something still uses it: then it is said what
  }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-public" }
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public.id
}

# ---- Private subnets: no way in, and no way out but the one that private_subnet_egress names ----

resource "aws_subnet" "private" {
  for_each = local.private_cidrs

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.key
  cidr_block              = each.value
  map_public_ip_on_launch = false

  tags = { Name = "${var.name}-private-${each.key}" }

  timeouts {
    delete = "10m" # something still uses it: then it is said what
  }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.this.id

  tags = { Name = "${var.name}-private" }
}

resource "aws_route_table_association" "private" {
  for_each = aws_subnet.private

  subnet_id      = each.value.id
  route_table_id = aws_route_table.private.id
}

# ---- S3 (optional): a gateway endpoint is a route, costs nothing, and spares NAT's price for a GB ----

resource "aws_vpc_endpoint" "s3" {
  count = var.private_subnet_egress == "none" ? 0 : 1

  vpc_id            = aws_vpc.this.id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = [aws_route_table.private.id]

  tags = { Name = "${var.name}-s3" }
}

# ---- NAT (optional): one gateway for all zones, since it is for convenience and not for serving ----

resource "aws_eip" "nat" {
  count = var.private_subnet_egress == "nat" ? 1 : 0

  domain = "vpc"

  tags = { Name = "${var.name}-nat" }
}

resource "aws_nat_gateway" "this" {
  count = var.private_subnet_egress == "nat" ? 1 : 0

  allocation_id = aws_eip.nat[0].id
  subnet_id     = aws_subnet.public[local.availability_zones[0]].id

  tags = { Name = var.name }

  # A NAT gateway in a network without a way out fails.
  depends_on = [aws_internet_gateway.this]
}

resource "aws_route" "nat" {
  count = var.private_subnet_egress == "nat" ? 1 : 0

  route_table_id         = aws_route_table.private.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = aws_nat_gateway.this[0].id
}

# ---- Security group of the application's hosts ---------------------------------

# Worn by the migration instance, the template instance and the fleet. It lets nobody in; its members may go out,
# and the database lets its members in. Whatever else a host must accept comes from a second group in its own stage.
resource "aws_security_group" "app" {
  #checkov:skip=CKV2_AWS_5:The stages hosts and fleet wear it

  name        = "${var.name}-app"
  description = "Hosts of the application: out to anywhere, in from nowhere"
  vpc_id      = aws_vpc.this.id

  tags = { Name = "${var.name}-app" }

  timeouts {
    delete = "10m" # something still uses it: then it is said what
  }
}

resource "aws_vpc_security_group_egress_rule" "app" {
  security_group_id = aws_security_group.app.id
  description       = "Anywhere"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "-1"

  tags = { Name = "${var.name}-app-out" }
}
