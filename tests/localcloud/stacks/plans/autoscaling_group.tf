# An empty Auto Scaling group with all that it may say.

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
  cidr_block = "10.2.0.0/16"
}

resource "aws_subnet" "main" {
  vpc_id            = aws_vpc.main.id
  cidr_block        = "10.2.1.0/24"
  availability_zone = "us-east-1a"
}

resource "aws_launch_template" "main" {
  name          = "plans-group"
  image_id      = data.aws_ami.base.id
  instance_type = "t3.micro"
}

resource "aws_autoscaling_group" "main" {
  name                      = "plans"
  min_size                  = 0
  max_size                  = var.changed ? 3 : 2
  desired_capacity          = 0
  vpc_zone_identifier       = [aws_subnet.main.id]
  health_check_type         = var.changed ? "EC2" : "ELB"
  health_check_grace_period = var.changed ? 60 : 30
  default_cooldown          = 10
  default_instance_warmup   = 20
  max_instance_lifetime     = 86400
  capacity_rebalance        = var.changed
  protect_from_scale_in     = var.changed
  termination_policies      = ["OldestInstance", "Default"]
  suspended_processes       = var.changed ? ["AZRebalance"] : ["AZRebalance", "AlarmNotification"]
  metrics_granularity       = "1Minute"
  enabled_metrics           = var.changed ? ["GroupMinSize", "GroupTotalCapacity"] : ["GroupMinSize", "GroupMaxSize"]
  context                   = "somebodys"
  service_linked_role_arn   = "arn:aws:iam::123456789012:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling_${var.changed ? "new" : "old"}"

  launch_template {
    id      = aws_launch_template.main.id
    version = aws_launch_template.main.latest_version
  }

  availability_zone_distribution {
    capacity_distribution_strategy = var.changed ? "balanced-best-effort" : "balanced-only"
  }

  instance_maintenance_policy {
    min_healthy_percentage = 90
    max_healthy_percentage = var.changed ? 120 : 110
  }

  instance_refresh {
    strategy = "Rolling"
  }

  initial_lifecycle_hook {
    name                 = "ready"
    lifecycle_transition = "autoscaling:EC2_INSTANCE_LAUNCHING"
    heartbeat_timeout    = 60
  }

  tag {
    key                 = "Name"
    value               = var.changed ? "new" : "old"
    propagate_at_launch = true
  }
}
