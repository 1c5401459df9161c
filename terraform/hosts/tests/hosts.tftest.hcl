# Against a mocked provider: no account, no network, a few seconds. `terraform init -backend=false && terraform test`

mock_provider "aws" {
  mock_data "aws_ami" {
    defaults = {
      id = "ami-0123456789abcdef0"
    }
  }
}

variables {
  name                  = "web2py-test"
  region                = "us-east-1"
  tags                  = { Project = "web2py", Environment = "test" }
  vpc_id                = "vpc-0123"
  public_subnet_ids     = ["subnet-0a", "subnet-0b"]
  app_security_group_id = "sg-0123"
  ssh_cidr              = "203.0.113.7/32"
  public_key            = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIB4Dq7sKq0Yd0nV5zGxT0bqPqf2cHkqkXn0m3p7Zy8aB deployer"
}

run "defaults" {
  command = apply

  assert {
    condition     = data.aws_ami.base.owners == tolist(["136693071363"])
    error_message = "The base image is Debian's own, not anyone's of that name."
  }

  assert {
    condition     = alltrue([for instance in values(aws_instance.builder) : instance.metadata_options[0].http_tokens == "required"])
    error_message = "IMDSv2 is required."
  }

  assert {
    condition     = alltrue([for instance in values(aws_instance.builder) : instance.root_block_device[0].encrypted && instance.root_block_device[0].volume_type == "gp3"])
    error_message = "Volumes are encrypted gp3."
  }

  assert {
    condition     = alltrue([for instance in values(aws_instance.builder) : instance.vpc_security_group_ids == toset(["sg-0123", aws_security_group.ssh.id])])
    error_message = "Hosts wear the application's group and the one for SSH."
  }

  assert {
    condition     = alltrue([for instance in values(aws_instance.builder) : instance.subnet_id == "subnet-0a" && instance.associate_public_ip_address])
    error_message = "Hosts are in a public subnet with a public address."
  }

  # The inventory makes groups of this tag.
  assert {
    condition     = aws_instance.builder["migration"].tags["Role"] == "migration" && aws_instance.builder["template"].tags["Role"] == "template"
    error_message = "Hosts say which role they have."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.ssh.cidr_ipv4 == "203.0.113.7/32" && aws_vpc_security_group_ingress_rule.ssh.from_port == 22 && aws_vpc_security_group_ingress_rule.ssh.to_port == 22
    error_message = "SSH is open to the deployer's address only."
  }

  assert {
    condition     = output.ssh_security_group_id == aws_security_group.ssh.id && output.key_name == "web2py-test-deployer" && output.base_ami_id == "ami-0123456789abcdef0" && aws_key_pair.deployer.key_name == "web2py-test-deployer" && output.migration_instance_id != output.template_instance_id
    error_message = "The outputs say which hosts there are and what they were made of."
  }
}

run "newer_base_image_replaces_no_host" {
  command = plan

  override_data {
    target = data.aws_ami.base
    values = {
      id = "ami-0fedcba9876543210"
    }
  }

  assert {
    condition     = aws_instance.builder["template"].ami == "ami-0123456789abcdef0" && output.base_ami_id == "ami-0123456789abcdef0"
    error_message = "The host stays, and the output says what it really is made of."
  }
}

run "another_deployer_gets_other_hosts" {
  command = apply

  variables {
    public_key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB another"
  }

  assert {
    condition     = output.migration_instance_id != run.defaults.migration_instance_id && output.template_instance_id != run.defaults.template_instance_id
    error_message = "Nobody else's key gets into hosts that are there."
  }
}

run "role" {
  command = plan

  variables {
    instance_profile = "web2py-test-app-us-east-1"
  }

  assert {
    condition     = alltrue([for builder in aws_instance.builder : builder.iam_instance_profile == "web2py-test-app-us-east-1"])
    error_message = "Both hosts have the role."
  }
}

# ---- Bad input -----------------------------------------------------------------

run "role_by_its_arn" {
  command = plan

  variables {
    instance_profile = "arn:aws:iam::123456789012:instance-profile/web2py-test-app-us-east-1"
  }

  expect_failures = [var.instance_profile]
}

run "ssh_from_everywhere" {
  command = plan

  variables {
    ssh_cidr = "0.0.0.0/0"
  }

  expect_failures = [var.ssh_cidr]
}

run "ssh_from_a_network" {
  command = plan

  variables {
    ssh_cidr = "203.0.113.0/24"
  }

  expect_failures = [var.ssh_cidr]
}

run "ssh_from_no_address" {
  command = plan

  variables {
    ssh_cidr = "203.0.113.7"
  }

  expect_failures = [var.ssh_cidr]
}

run "key_that_ec2_refuses" {
  command = plan

  variables {
    public_key = "ecdsa-sha2-nistp256 AAAAE2VjZHNh deployer"
  }

  expect_failures = [var.public_key]
}

run "private_key" {
  command = plan

  variables {
    public_key = "-----BEGIN OPENSSH PRIVATE KEY-----"
  }

  expect_failures = [var.public_key]
}

run "arm_instance" {
  command = plan

  variables {
    instance_type = "t4g.micro"
  }

  expect_failures = [var.instance_type]
}

run "no_instance_type" {
  command = plan

  variables {
    instance_type = "micro"
  }

  expect_failures = [var.instance_type]
}

run "owner_by_name" {
  command = plan

  variables {
    base_ami_owner = "debian"
  }

  expect_failures = [var.base_ami_owner]
}

run "empty_image_name" {
  command = plan

  variables {
    base_ami_name = ""
  }

  expect_failures = [var.base_ami_name]
}

run "a_single_subnet" {
  command = plan

  variables {
    public_subnet_ids = ["subnet-0a"]
  }

  expect_failures = [var.public_subnet_ids]
}
