# Instances with all that they may say.

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
  cidr_block = "10.0.0.0/16"
}

resource "aws_subnet" "main" {
  vpc_id            = aws_vpc.main.id
  cidr_block        = "10.0.1.0/24"
  availability_zone = "us-east-1b"
}

resource "aws_instance" "plain" {
  ami           = data.aws_ami.base.id
  instance_type = "t3.micro"
  subnet_id     = aws_subnet.main.id
}

resource "aws_instance" "options" {
  ami                                  = data.aws_ami.base.id
  instance_type                        = "m5.xlarge"
  subnet_id                            = aws_subnet.main.id
  private_ip                           = "10.0.1.50"
  source_dest_check                    = var.changed
  user_data                            = "#!/bin/sh\ntrue\n"
  tenancy                              = "default"
  ebs_optimized                        = true
  hibernation                          = false
  instance_initiated_shutdown_behavior = var.changed ? "terminate" : "stop"

  capacity_reservation_specification {
    capacity_reservation_preference = var.changed ? "open" : "none"
  }

  cpu_options {
    core_count       = 1
    threads_per_core = 1
  }

  enclave_options {
    enabled = true
  }

  maintenance_options {
    auto_recovery = var.changed ? "default" : "disabled"
  }

  private_dns_name_options {
    enable_resource_name_dns_a_record = !var.changed
    hostname_type                     = "resource-name"
  }

  root_block_device {
    volume_type = "gp3"
    volume_size = 20
    iops        = var.changed ? 4000 : 3000
    throughput  = var.changed ? 250 : 200
    tags        = { Name = var.changed ? "new" : "old" }
  }

  ebs_block_device {
    device_name           = "/dev/sdf"
    volume_size           = 5
    volume_type           = "gp3"
    throughput            = 150
    delete_on_termination = true
    encrypted             = true
  }

  tags = { Name = var.changed ? "new" : "old" }
}

resource "aws_instance" "credits" {
  ami           = data.aws_ami.base.id
  instance_type = "t3.micro"
  subnet_id     = aws_subnet.main.id
  volume_tags   = { Name = var.changed ? "new" : "old" }

  credit_specification {
    cpu_credits = var.changed ? "unlimited" : "standard"
  }

  root_block_device {
    encrypted   = true
    volume_type = "gp2"
  }
}

resource "aws_network_interface" "existing" {
  subnet_id         = aws_subnet.main.id
  private_ips       = ["10.0.1.60"]
  source_dest_check = false
}

resource "aws_instance" "existing_interface" {
  ami           = data.aws_ami.base.id
  instance_type = "t3.micro"

  network_interface {
    device_index         = 0
    network_interface_id = aws_network_interface.existing.id
  }
}

resource "aws_launch_template" "main" {
  name          = "plans-instance"
  image_id      = data.aws_ami.base.id
  instance_type = "t3.small"
  user_data     = base64encode("#!/bin/sh\ntrue\n")

  cpu_options {
    core_count       = 1
    threads_per_core = 1
  }

  credit_specification {
    cpu_credits = "standard"
  }

  block_device_mappings {
    device_name = data.aws_ami.base.root_device_name
    ebs {
      volume_type = "gp3"
      throughput  = 175
    }
  }

  tag_specifications {
    resource_type = "volume"
    tags          = { Name = "of-template" }
  }
}

resource "aws_instance" "of_template" {
  subnet_id = aws_subnet.main.id
  tags      = { Name = var.changed ? "new" : "old" }

  launch_template {
    id      = aws_launch_template.main.id
    version = "1"
  }

  lifecycle {
    # The provider hashes the hash in its state anew, on AWS too: hashicorp/terraform-provider-aws issue 30825.
    ignore_changes = [user_data]
  }
}
