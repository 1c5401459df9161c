# What leads out of a VPC, and what stops at its edges.

variable "changed" { type = bool }

resource "aws_vpc" "main" {
  cidr_block = "10.3.0.0/16"
}

resource "aws_vpc" "other" {
  cidr_block = "10.4.0.0/16"
}

resource "aws_subnet" "main" {
  count             = 2
  vpc_id            = aws_vpc.main.id
  cidr_block        = cidrsubnet(aws_vpc.main.cidr_block, 8, count.index)
  availability_zone = "us-east-1${["a", "b"][count.index]}"
}

resource "aws_internet_gateway" "main" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = var.changed ? "new" : "old" }
}

resource "aws_eip" "nat" {
  domain     = "vpc"
  tags       = { Name = var.changed ? "new" : "old" }
  depends_on = [aws_internet_gateway.main]
}

resource "aws_nat_gateway" "main" {
  subnet_id     = aws_subnet.main[0].id
  allocation_id = aws_eip.nat.id
  tags          = { Name = var.changed ? "new" : "old" }
}

resource "aws_nat_gateway" "private" {
  subnet_id         = aws_subnet.main[1].id
  connectivity_type = "private"
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = var.changed ? "new" : "old" }

  route {
    cidr_block = "0.0.0.0/0"
    gateway_id = aws_internet_gateway.main.id
  }
}

resource "aws_route_table" "private" {
  vpc_id = aws_vpc.main.id
}

resource "aws_route" "main" {
  route_table_id         = aws_route_table.private.id
  destination_cidr_block = "0.0.0.0/0"
  nat_gateway_id         = var.changed ? aws_nat_gateway.private.id : aws_nat_gateway.main.id
}

resource "aws_route" "peering" {
  route_table_id            = aws_route_table.private.id
  destination_cidr_block    = aws_vpc.other.cidr_block
  vpc_peering_connection_id = aws_vpc_peering_connection.main.id
}

resource "aws_route_table_association" "main" {
  subnet_id      = aws_subnet.main[1].id
  route_table_id = var.changed ? aws_route_table.public.id : aws_route_table.private.id
}

resource "aws_main_route_table_association" "main" {
  vpc_id         = aws_vpc.main.id
  route_table_id = var.changed ? aws_route_table.private.id : aws_route_table.public.id
}

resource "aws_default_route_table" "other" {
  default_route_table_id = aws_vpc.other.default_route_table_id
  tags                   = { Name = var.changed ? "new" : "old" }
}

resource "aws_vpc_peering_connection" "main" {
  vpc_id      = aws_vpc.main.id
  peer_vpc_id = aws_vpc.other.id
  auto_accept = true
  tags        = { Name = var.changed ? "new" : "old" }
}

resource "aws_vpc_dhcp_options" "main" {
  domain_name         = "example.internal"
  domain_name_servers = ["AmazonProvidedDNS"]
  tags                = { Name = var.changed ? "new" : "old" }
}

resource "aws_vpc_dhcp_options_association" "main" {
  vpc_id          = aws_vpc.other.id
  dhcp_options_id = aws_vpc_dhcp_options.main.id
}

resource "aws_network_acl" "main" {
  vpc_id     = aws_vpc.main.id
  subnet_ids = [aws_subnet.main[0].id]
  tags       = { Name = var.changed ? "new" : "old" }

  ingress {
    rule_no    = 100
    action     = "allow"
    protocol   = "tcp"
    cidr_block = "0.0.0.0/0"
    from_port  = var.changed ? 443 : 80
    to_port    = 443
  }

  egress {
    rule_no    = 100
    action     = "allow"
    protocol   = "-1"
    cidr_block = "0.0.0.0/0"
    from_port  = 0
    to_port    = 0
  }
}

resource "aws_network_acl" "with_rules" {
  vpc_id = aws_vpc.main.id
}

resource "aws_network_acl_rule" "main" {
  network_acl_id = aws_network_acl.with_rules.id
  rule_number    = 200
  protocol       = "icmp"
  icmp_type      = -1
  icmp_code      = -1
  rule_action    = var.changed ? "deny" : "allow"
  cidr_block     = "10.0.0.0/8"
}

resource "aws_network_acl_association" "main" {
  network_acl_id = aws_network_acl.with_rules.id
  subnet_id      = aws_subnet.main[1].id
}

resource "aws_vpc_endpoint" "gateway" {
  vpc_id          = aws_vpc.main.id
  service_name    = "com.amazonaws.us-east-1.s3"
  route_table_ids = var.changed ? [aws_route_table.public.id, aws_route_table.private.id] : [aws_route_table.private.id]
  tags            = { Name = var.changed ? "new" : "old" }
}

resource "aws_vpc_endpoint_route_table_association" "main" {
  vpc_endpoint_id = aws_vpc_endpoint.other.id
  route_table_id  = aws_vpc.other.main_route_table_id
}

resource "aws_vpc_endpoint" "other" {
  vpc_id       = aws_vpc.other.id
  service_name = "com.amazonaws.us-east-1.s3"
}

resource "aws_ec2_managed_prefix_list" "main" {
  name           = "plans"
  address_family = "IPv4"
  max_entries    = 3

  entry {
    cidr        = "10.3.0.0/24"
    description = var.changed ? "new" : "old"
  }
}
