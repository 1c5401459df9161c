# What makes an Auto Scaling group larger and smaller, and what goes with its members.

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
  cidr_block = "10.8.0.0/16"
}

resource "aws_subnet" "main" {
  vpc_id            = aws_vpc.main.id
  cidr_block        = "10.8.1.0/24"
  availability_zone = "us-east-1a"
}

resource "aws_launch_template" "main" {
  name          = "plans-policies"
  image_id      = data.aws_ami.base.id
  instance_type = "t3.micro"
}

resource "aws_autoscaling_group" "main" {
  name                = "plans-policies"
  min_size            = 0
  max_size            = 4
  vpc_zone_identifier = [aws_subnet.main.id]

  launch_template {
    id = aws_launch_template.main.id
  }

  lifecycle {
    ignore_changes = [load_balancers, target_group_arns, traffic_source, tag]
  }
}

resource "aws_autoscaling_policy" "simple" {
  name                   = "simple"
  autoscaling_group_name = aws_autoscaling_group.main.name
  adjustment_type        = "ChangeInCapacity"
  scaling_adjustment     = var.changed ? 2 : 1
  cooldown               = 60
}

resource "aws_autoscaling_policy" "step" {
  name                      = "step"
  autoscaling_group_name    = aws_autoscaling_group.main.name
  policy_type               = "StepScaling"
  adjustment_type           = "PercentChangeInCapacity"
  min_adjustment_magnitude  = 1
  metric_aggregation_type   = var.changed ? "Maximum" : "Average"
  estimated_instance_warmup = 120
  enabled                   = var.changed

  step_adjustment {
    scaling_adjustment          = 10
    metric_interval_lower_bound = 0
    metric_interval_upper_bound = var.changed ? 20 : 10
  }

  step_adjustment {
    scaling_adjustment          = 30
    metric_interval_lower_bound = var.changed ? 20 : 10
  }
}

resource "aws_autoscaling_policy" "target" {
  name                   = "target"
  autoscaling_group_name = aws_autoscaling_group.main.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value     = var.changed ? 40 : 60
    disable_scale_in = var.changed

    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}

resource "aws_autoscaling_schedule" "main" {
  scheduled_action_name  = "night"
  autoscaling_group_name = aws_autoscaling_group.main.name
  min_size               = 0
  max_size               = var.changed ? 3 : 2
  desired_capacity       = 0
  recurrence             = "0 22 * * *"
  time_zone              = "Europe/Rome"
}

resource "aws_autoscaling_lifecycle_hook" "main" {
  name                    = "leave"
  autoscaling_group_name  = aws_autoscaling_group.main.name
  lifecycle_transition    = "autoscaling:EC2_INSTANCE_TERMINATING"
  default_result          = var.changed ? "ABANDON" : "CONTINUE"
  heartbeat_timeout       = 120
  notification_metadata   = "{}"
  notification_target_arn = aws_sns_topic.main.arn
  role_arn                = aws_iam_role.main.arn
}

resource "aws_sns_topic" "main" {
  name         = "plans"
  display_name = var.changed ? "new" : "old"
}

resource "aws_iam_role" "main" {
  name = "plans-hook"
  assume_role_policy = jsonencode({
    Version   = "2012-10-17"
    Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = "autoscaling.amazonaws.com" } }]
  })
}

resource "aws_autoscaling_notification" "main" {
  group_names   = [aws_autoscaling_group.main.name]
  topic_arn     = aws_sns_topic.main.arn
  notifications = concat(["autoscaling:EC2_INSTANCE_LAUNCH"], var.changed ? ["autoscaling:EC2_INSTANCE_TERMINATE"] : [])
}

resource "aws_autoscaling_group_tag" "main" {
  autoscaling_group_name = aws_autoscaling_group.main.name

  tag {
    key                 = "Name"
    value               = var.changed ? "new" : "old"
    propagate_at_launch = true
  }
}

resource "aws_lb_target_group" "main" {
  count    = 2
  name     = "plans-policies-${count.index}"
  port     = 80
  protocol = "HTTP"
  vpc_id   = aws_vpc.main.id
}

resource "aws_autoscaling_attachment" "main" {
  autoscaling_group_name = aws_autoscaling_group.main.name
  lb_target_group_arn    = aws_lb_target_group.main[0].arn
}

resource "aws_autoscaling_traffic_source_attachment" "main" {
  autoscaling_group_name = aws_autoscaling_group.main.name

  traffic_source {
    identifier = aws_lb_target_group.main[1].arn
    type       = "elbv2"
  }
}

resource "aws_launch_configuration" "main" {
  name_prefix   = "plans-"
  image_id      = data.aws_ami.base.id
  instance_type = var.changed ? "t3.small" : "t3.micro"

  lifecycle {
    create_before_destroy = true
  }
}
