# What goes with instances: key pairs, placement groups, addresses, interfaces, volumes and images.

variable "changed" { type = bool }

data "aws_ami" "base" {
  most_recent = true
  owners      = ["amazon"]
  filter {
    name   = "architecture"
    values = ["x86_64"]
  }
}

resource "aws_vpc" "main" {
  cidr_block = "10.6.0.0/16"
}

resource "aws_internet_gateway" "main" {
  vpc_id = aws_vpc.main.id
}

resource "aws_subnet" "main" {
  vpc_id            = aws_vpc.main.id
  cidr_block        = "10.6.1.0/24"
  availability_zone = "us-east-1a"
}

resource "aws_key_pair" "main" {
  key_name   = "plans"
  public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f somebody"
  tags       = { Name = var.changed ? "new" : "old" }
}

resource "aws_placement_group" "main" {
  name            = "plans"
  strategy        = "partition"
  partition_count = 3
  tags            = { Name = var.changed ? "new" : "old" }
}

resource "aws_instance" "main" {
  ami                    = data.aws_ami.base.id
  instance_type          = "m5.large"
  subnet_id              = aws_subnet.main.id
  key_name               = aws_key_pair.main.key_name
  placement_group        = aws_placement_group.main.id
  vpc_security_group_ids = [aws_vpc.main.default_security_group_id]
  monitoring             = var.changed
}

resource "aws_eip" "main" {
  domain = "vpc"
}

resource "aws_eip_association" "main" {
  allocation_id = aws_eip.main.id
  instance_id   = aws_instance.main.id
  depends_on    = [aws_internet_gateway.main]
}

resource "aws_network_interface" "main" {
  subnet_id       = aws_subnet.main.id
  security_groups = [aws_vpc.main.default_security_group_id]
  tags            = { Name = var.changed ? "new" : "old" }
}

resource "aws_ami_from_instance" "main" {
  name                    = "plans"
  source_instance_id      = aws_instance.main.id
  snapshot_without_reboot = true
  tags                    = { Name = var.changed ? "new" : "old" }
}

resource "aws_ami_launch_permission" "main" {
  image_id   = aws_ami_from_instance.main.id
  account_id = "111122223333"
}

resource "aws_ebs_volume" "main" {
  availability_zone = "us-east-1a"
  size              = 10
  tags              = { Name = var.changed ? "new" : "old" }
}

resource "aws_ebs_snapshot" "main" {
  volume_id = aws_ebs_volume.main.id
  tags      = { Name = var.changed ? "new" : "old" }
}

resource "aws_volume_attachment" "main" {
  device_name = "/dev/sdh"
  volume_id   = aws_ebs_volume.main.id
  instance_id = aws_instance.main.id
}
