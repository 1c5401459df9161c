# Security groups, with their rules inside and beside them.

variable "changed" { type = bool }

resource "aws_vpc" "main" {
  cidr_block = "10.5.0.0/16"
}

resource "aws_default_security_group" "main" {
  vpc_id = aws_vpc.main.id
  tags   = { Name = var.changed ? "new" : "old" }

  ingress {
    protocol  = "-1"
    from_port = 0
    to_port   = 0
    self      = true
  }
}

resource "aws_security_group" "inline" {
  name        = "plans-inline"
  description = "Rules inside"
  vpc_id      = aws_vpc.main.id
  tags        = { Name = var.changed ? "new" : "old" }

  ingress {
    description = var.changed ? "new" : "old"
    protocol    = "tcp"
    from_port   = 443
    to_port     = 443
    cidr_blocks = var.changed ? ["10.0.0.0/8", "192.168.0.0/16"] : ["10.0.0.0/8"]
  }

  ingress {
    protocol        = "udp"
    from_port       = 53
    to_port         = 53
    security_groups = [aws_security_group.beside.id]
  }

  egress {
    protocol         = "-1"
    from_port        = 0
    to_port          = 0
    cidr_blocks      = ["0.0.0.0/0"]
    ipv6_cidr_blocks = ["::/0"]
  }
}

resource "aws_security_group" "beside" {
  name_prefix = "plans-beside-"
  vpc_id      = aws_vpc.main.id
}

resource "aws_vpc_security_group_ingress_rule" "address" {
  security_group_id = aws_security_group.beside.id
  description       = var.changed ? "new" : "old"
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = var.changed ? 23 : 22
  cidr_ipv4         = "10.0.0.0/8"
  tags              = { Name = var.changed ? "new" : "old" }
}

resource "aws_vpc_security_group_ingress_rule" "group" {
  security_group_id            = aws_security_group.beside.id
  ip_protocol                  = "icmp"
  from_port                    = -1
  to_port                      = -1
  referenced_security_group_id = aws_security_group.beside.id
}

resource "aws_vpc_security_group_ingress_rule" "protocol" {
  security_group_id = aws_security_group.beside.id
  ip_protocol       = "47"
  cidr_ipv4         = "10.0.0.0/8"
}

resource "aws_vpc_security_group_egress_rule" "main" {
  security_group_id = aws_security_group.beside.id
  ip_protocol       = "-1"
  cidr_ipv4         = var.changed ? "10.0.0.0/8" : "0.0.0.0/0"
}

resource "aws_security_group" "older" {
  name   = "plans-older"
  vpc_id = aws_vpc.main.id
}

resource "aws_security_group_rule" "main" {
  security_group_id = aws_security_group.older.id
  type              = "ingress"
  description       = var.changed ? "new" : "old"
  protocol          = "tcp"
  from_port         = 80
  to_port           = 80
  cidr_blocks       = ["10.0.0.0/8", "172.16.0.0/12"]
}

resource "aws_security_group_rule" "self" {
  security_group_id = aws_security_group.older.id
  type              = "egress"
  protocol          = "-1"
  from_port         = 0
  to_port           = 0
  self              = true
}
