# The two hosts that Ansible configures: the migration instance changes the database's schema, the template instance
# becomes the fleet's image. Both are configured by the same roles; neither serves the public.

locals {
  # The size of Debian's image in GiB. The fleet's volumes get it too, through the image.
  root_volume_size = 8
}

data "aws_ami" "base" {
  most_recent = true
  owners      = [var.base_ami_owner]

  filter {
    name   = "name"
    values = [var.base_ami_name]
  }

  filter {
    name   = "architecture"
    values = ["x86_64"]
  }

  filter {
    name   = "virtualization-type"
    values = ["hvm"]
  }
}

# ---- Who may log in ------------------------------------------------------------

resource "aws_key_pair" "deployer" {
  key_name   = "${var.name}-deployer"
  public_key = var.public_key

  tags = { Name = "${var.name}-deployer" }
}

resource "aws_security_group" "ssh" {
  name        = "${var.name}-ssh"
  description = "SSH, from the machine that runs the playbooks only"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-ssh" }
}

resource "aws_vpc_security_group_ingress_rule" "ssh" {
  security_group_id = aws_security_group.ssh.id
  description       = "SSH from the machine that runs the playbooks"
  cidr_ipv4         = var.ssh_cidr
  ip_protocol       = "tcp"
  from_port         = 22
  to_port           = 22

  tags = { Name = "${var.name}-ssh-from-deployer" }
}

# ---- The instances -------------------------------------------------------------
# One is replaced with: terraform apply -replace='aws_instance.builder["migration"]'

resource "aws_instance" "builder" {
  #checkov:skip=CKV_AWS_88:Ansible logs in there, from ssh_cidr only
  #checkov:skip=CKV_AWS_126:It runs for minutes, and nobody watches its metrics
  #checkov:skip=CKV_AWS_135:t3 and newer types always are
  #checkov:skip=CKV2_AWS_41:It has a role where it calls an API: terraform/network/uploads.tf

  for_each = toset(["migration", "template"])

  ami                    = data.aws_ami.base.id
  instance_type          = var.instance_type
  key_name               = aws_key_pair.deployer.key_name
  subnet_id              = var.public_subnet_ids[0]
  vpc_security_group_ids = [var.app_security_group_id, aws_security_group.ssh.id]
  iam_instance_profile   = var.instance_profile == "" ? null : var.instance_profile

  # The way in for SSH, and the way out for packages without a NAT gateway.
  associate_public_ip_address = true

  # IMDSv2 only: a request that an attacker tricks the application into can't read the instance's metadata.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  # The image inherits the encryption, and the fleet's volumes inherit it from the image.
  root_block_device {
    volume_type = "gp3"
    volume_size = local.root_volume_size
    encrypted   = true
    tags        = { Name = "${var.name}-${each.key}" }
  }

  tags = {
    Name = "${var.name}-${each.key}"
    Role = each.key
  }

  lifecycle {
    # A host learns who may log in when it boots for the first time: another deployer gets other hosts.
    replace_triggered_by = [aws_key_pair.deployer.public_key]

    ignore_changes = [
      ami,                         # a newer base image must not replace a configured host; ask for it with -replace
      associate_public_ip_address, # reads false while the instance is stopped, which would replace it
    ]
  }
}
