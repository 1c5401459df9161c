# Autoscaling groups with what goes with them: policies, alarms, schedules, hooks.

variable "subnet_ids" {
  type = list(string)
}

variable "ami_id" {
  type = string
}

resource "aws_launch_template" "this" {
  name                   = "drift-autoscaling"
  image_id               = var.ami_id
  instance_type          = "t3.micro"
  update_default_version = true

  metadata_options {
    http_tokens = "required"
  }

  tag_specifications {
    resource_type = "instance"
    tags          = { From = "template" }
  }
}

resource "aws_launch_configuration" "this" {
  name          = "drift-autoscaling"
  image_id      = var.ami_id
  instance_type = "t3.micro"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_autoscaling_group" "this" {
  name                    = "drift-autoscaling"
  min_size                = 0
  desired_capacity        = 1
  max_size                = 3
  vpc_zone_identifier     = var.subnet_ids
  termination_policies    = ["OldestLaunchTemplate", "Default"]
  suspended_processes     = ["AZRebalance", "ScheduledActions"]
  enabled_metrics         = ["GroupInServiceInstances", "GroupDesiredCapacity"]
  default_cooldown        = 30
  default_instance_warmup = 20
  max_instance_lifetime   = 604800
  capacity_rebalance      = true
  force_delete            = true

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  instance_maintenance_policy {
    min_healthy_percentage = 100
    max_healthy_percentage = 200
  }

  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage = 50
      checkpoint_percentages = [50, 100]
      checkpoint_delay       = 60
    }
  }

  tag {
    key                 = "Role"
    value               = "drift"
    propagate_at_launch = true
  }
}

resource "aws_autoscaling_group" "from_configuration" {
  name                      = "drift-configuration"
  min_size                  = 0
  max_size                  = 2
  vpc_zone_identifier       = var.subnet_ids
  launch_configuration      = aws_launch_configuration.this.name
  health_check_type         = "ELB"
  health_check_grace_period = 60
  protect_from_scale_in     = true
}

resource "aws_autoscaling_policy" "simple" {
  name                   = "simple"
  autoscaling_group_name = aws_autoscaling_group.this.name
  adjustment_type        = "ChangeInCapacity"
  scaling_adjustment     = 2
  cooldown               = 30
}

resource "aws_autoscaling_policy" "step" {
  name                      = "step"
  autoscaling_group_name    = aws_autoscaling_group.this.name
  policy_type               = "StepScaling"
  adjustment_type           = "PercentChangeInCapacity"
  min_adjustment_magnitude  = 1
  metric_aggregation_type   = "Average"
  estimated_instance_warmup = 60

  step_adjustment {
    scaling_adjustment          = 10
    metric_interval_lower_bound = 0
    metric_interval_upper_bound = 20
  }

  step_adjustment {
    scaling_adjustment          = 50
    metric_interval_lower_bound = 20
  }
}

resource "aws_autoscaling_policy" "target_tracking" {
  name                   = "target-tracking"
  autoscaling_group_name = aws_autoscaling_group.this.name
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = 50

    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}

resource "aws_autoscaling_policy" "customized" {
  name                   = "customized"
  autoscaling_group_name = aws_autoscaling_group.this.name
  policy_type            = "TargetTrackingScaling"
  enabled                = false

  target_tracking_configuration {
    target_value     = 100
    disable_scale_in = true

    customized_metric_specification {
      metric_name = "Jobs"
      namespace   = "Drift"
      statistic   = "Average"

      metric_dimension {
        name  = "Queue"
        value = "all"
      }
    }
  }
}

resource "aws_autoscaling_schedule" "recurring" {
  scheduled_action_name  = "nightly"
  autoscaling_group_name = aws_autoscaling_group.this.name
  min_size               = 0
  max_size               = 3
  desired_capacity       = 0
  recurrence             = "0 3 * * *"
  time_zone              = "Europe/Berlin"
}

resource "aws_autoscaling_schedule" "once" {
  scheduled_action_name  = "once"
  autoscaling_group_name = aws_autoscaling_group.this.name
  max_size               = 2
  start_time             = "2099-01-01T00:00:00Z"
}

resource "aws_autoscaling_lifecycle_hook" "this" {
  name                   = "ready"
  autoscaling_group_name = aws_autoscaling_group.from_configuration.name
  lifecycle_transition   = "autoscaling:EC2_INSTANCE_LAUNCHING"
  default_result         = "CONTINUE"
  heartbeat_timeout      = 120
  notification_metadata  = jsonencode({ why = "drift" })
}

resource "aws_cloudwatch_metric_alarm" "simple" {
  alarm_name          = "drift-simple"
  namespace           = "AWS/EC2"
  metric_name         = "CPUUtilization"
  dimensions          = { AutoScalingGroupName = aws_autoscaling_group.this.name }
  extended_statistic  = "p95"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 60
  period              = 10
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_autoscaling_policy.simple.arn]
}

resource "aws_cloudwatch_metric_alarm" "math" {
  alarm_name          = "drift-math"
  comparison_operator = "GreaterThanThreshold"
  threshold           = 5
  evaluation_periods  = 2

  metric_query {
    id          = "share"
    expression  = "100 * errors / FILL(requests, 1)"
    label       = "Share of errors"
    return_data = true
  }

  metric_query {
    id = "errors"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "HTTPCode_ELB_5XX_Count"
      period      = 60
      stat        = "Sum"
      dimensions  = { LoadBalancer = "app/drift/0" }
    }
  }

  metric_query {
    id = "requests"

    metric {
      namespace   = "AWS/ApplicationELB"
      metric_name = "RequestCount"
      period      = 60
      stat        = "Sum"
      dimensions  = { LoadBalancer = "app/drift/0" }
    }
  }
}

resource "aws_cloudwatch_composite_alarm" "this" {
  alarm_name = "drift-composite"
  alarm_rule = "ALARM(${aws_cloudwatch_metric_alarm.simple.alarm_name}) AND NOT OK(${aws_cloudwatch_metric_alarm.math.alarm_name})"
}
