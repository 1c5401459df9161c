# A launch template with all that it may say.

variable "changed" { type = bool }

resource "aws_launch_template" "main" {
  name                                 = "plans"
  description                          = var.changed ? "new" : "old"
  update_default_version               = true
  image_id                             = "ami-12345678"
  instance_type                        = var.changed ? "m5.large" : "m5.xlarge"
  disable_api_stop                     = var.changed
  disable_api_termination              = true
  ebs_optimized                        = true
  instance_initiated_shutdown_behavior = "terminate"
  key_name                             = "somebodys"
  user_data                            = base64encode(var.changed ? "new" : "old")

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size           = 20
      volume_type           = "gp3"
      iops                  = 3500
      throughput            = var.changed ? 200 : 300
      encrypted             = true
      delete_on_termination = true
    }
  }

  block_device_mappings {
    device_name = "/dev/sdg"
    no_device   = ""
  }

  capacity_reservation_specification {
    capacity_reservation_preference = "none"
  }

  cpu_options {
    core_count       = 1
    threads_per_core = 1
  }

  credit_specification {
    cpu_credits = "standard"
  }

  enclave_options {
    enabled = true
  }

  hibernation_options {
    configured = false
  }

  iam_instance_profile {
    name = "somebodys"
  }

  instance_market_options {
    market_type = "spot"
    spot_options {
      max_price          = "0.02"
      spot_instance_type = "one-time"
    }
  }

  maintenance_options {
    auto_recovery = var.changed ? "default" : "disabled"
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 2
    instance_metadata_tags      = "enabled"
  }

  monitoring {
    enabled = true
  }

  network_interfaces {
    device_index                = 0
    associate_public_ip_address = true
    delete_on_termination       = true
    security_groups             = ["sg-12345678"]
    subnet_id                   = "subnet-12345678"
  }

  placement {
    tenancy    = "default"
    group_name = "somebodys"
  }

  private_dns_name_options {
    hostname_type                     = "resource-name"
    enable_resource_name_dns_a_record = true
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { Name = var.changed ? "new" : "old" }
  }

  tag_specifications {
    resource_type = "volume"
    tags          = { Name = "volume" }
  }

  tags = var.changed ? { Name = "new", More = "yes" } : { Name = "old", Less = "no" }
}

resource "aws_launch_template" "short" {
  name_prefix = "plans-"
  tags        = { Name = "short" }
}

resource "aws_launch_template" "requirements" {
  name = "plans-requirements"

  instance_requirements {
    memory_mib {
      min = var.changed ? 1024 : 2048
    }
    vcpu_count {
      min = 1
      max = 4
    }
    burstable_performance = "included"
  }
}
