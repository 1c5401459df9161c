# The fleet: load balancer -> target group <- autoscaling group <- launch template, and the alarms that scale it.

locals {
  http_port = 80
}

# ---- Who may connect: everyone to the load balancer; to the fleet the load balancer, and the builder hosts by SSH ----

resource "aws_security_group" "load_balancer" {
  name        = "${var.name}-load-balancer"
  description = "HTTP from everywhere, out to the fleet only"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-load-balancer" }
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer" {
  #checkov:skip=CKV_AWS_260:A web site

  security_group_id = aws_security_group.load_balancer.id
  description       = "HTTP from everywhere"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = local.http_port
  to_port           = local.http_port

  tags = { Name = "${var.name}-load-balancer-in" }
}

resource "aws_vpc_security_group_egress_rule" "load_balancer" {
  security_group_id            = aws_security_group.load_balancer.id
  description                  = "HTTP to the fleet"
  referenced_security_group_id = aws_security_group.fleet.id
  ip_protocol                  = "tcp"
  from_port                    = local.http_port
  to_port                      = local.http_port

  tags = { Name = "${var.name}-load-balancer-to-fleet" }
}

resource "aws_security_group" "fleet" {
  name        = "${var.name}-fleet"
  description = "HTTP from the load balancer only"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-fleet" }
}

resource "aws_vpc_security_group_ingress_rule" "fleet" {
  #checkov:skip=CKV_AWS_260:From the load balancer's group, not from an address

  security_group_id            = aws_security_group.fleet.id
  description                  = "HTTP from the load balancer"
  referenced_security_group_id = aws_security_group.load_balancer.id
  ip_protocol                  = "tcp"
  from_port                    = local.http_port
  to_port                      = local.http_port

  tags = { Name = "${var.name}-fleet-from-load-balancer" }
}

# The way in for `make logs`: through the migration host, which lets ssh_cidr in only.
resource "aws_vpc_security_group_ingress_rule" "fleet_ssh" {
  #checkov:skip=CKV_AWS_24:From the builder hosts' group, not from an address

  security_group_id            = aws_security_group.fleet.id
  description                  = "SSH from the builder hosts"
  referenced_security_group_id = var.ssh_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = 22
  to_port                      = 22

  tags = { Name = "${var.name}-fleet-ssh-from-builders" }
}

# ---- Load balancer -------------------------------------------------------------

resource "aws_lb" "this" {
  #checkov:skip=CKV_AWS_91:nginx has an access log (nginx_access_log); this one costs by the GB
  #checkov:skip=CKV_AWS_150:teardown.yml takes it away
  #checkov:skip=CKV2_AWS_20:The domain of a certificate is redirected: https.tf
  #checkov:skip=CKV2_AWS_28:A WAF costs more than the smallest fleet

  name               = var.name
  load_balancer_type = "application"
  internal           = false
  subnets            = var.public_subnet_ids
  security_groups    = [aws_security_group.load_balancer.id]

  # Headers with invalid names are a way to smuggle requests past a proxy.
  drop_invalid_header_fields = true

  tags = { Name = var.name }
}

resource "aws_lb_target_group" "fleet" {
  #checkov:skip=CKV_AWS_378:Inside the VPC, and only from the load balancer

  name        = var.name
  vpc_id      = var.vpc_id
  target_type = "instance"
  protocol    = "HTTP"
  port        = local.http_port

  load_balancing_algorithm_type = var.load_balancing_algorithm
  slow_start                    = var.slow_start
  deregistration_delay          = var.deregistration_delay

  stickiness {
    type            = "lb_cookie"
    enabled         = var.sticky
    cookie_duration = 86400
  }

  health_check {
    path                = var.health_check_path
    matcher             = "200"
    interval            = var.health_check_interval
    timeout             = var.health_check_timeout
    healthy_threshold   = var.healthy_threshold
    unhealthy_threshold = var.unhealthy_threshold
  }

  tags = { Name = var.name }
}

# HTTPS: https.tf.
resource "aws_lb_listener" "http" {
  #checkov:skip=CKV_AWS_2:HTTPS needs a domain: https.tf
  #checkov:skip=CKV_AWS_103:HTTPS needs a domain: https.tf

  load_balancer_arn = aws_lb.this.arn
  protocol          = "HTTP"
  port              = local.http_port

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.fleet.arn
  }

  tags = { Name = "${var.name}-http" }
}

# ---- Fleet ---------------------------------------------------------------------

resource "aws_launch_template" "fleet" {
  name        = var.name
  description = "Fleet of ${var.name}"

  image_id               = var.ami_id
  instance_type          = var.instance_type
  vpc_security_group_ids = [var.app_security_group_id, aws_security_group.fleet.id]
  update_default_version = true

  # For reading logs only. What should change there changes in the image.
  key_name = var.key_name

  dynamic "iam_instance_profile" {
    for_each = var.instance_profile == "" ? [] : [var.instance_profile]

    content {
      name = iam_instance_profile.value
    }
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }

  monitoring {
    enabled = var.detailed_monitoring
  }

  # No block devices: the root volume is as the image has it. The image is made from the template instance's encrypted
  # gp3 volume, and a volume made from an encrypted snapshot is always encrypted.

  # The provider's default_tags reach what Terraform makes itself, but not what the autoscaling group launches:
  # volumes get their tags here, instances from the group's own tags below.
  tag_specifications {
    resource_type = "volume"
    tags          = local.fleet_tags
  }

  tags = { Name = var.name }
}

locals {
  fleet_tags = merge(var.tags, {
    Name = "${var.name}-fleet"
    Role = "fleet"
  })
}

resource "aws_autoscaling_group" "fleet" {
  name                = var.name
  min_size            = var.asg_min_size
  max_size            = var.asg_max_size
  desired_capacity    = var.asg_min_size # at the start; then the alarms decide
  vpc_zone_identifier = var.private_subnet_ids

  # A number and not $Latest: with $Latest an instance refresh can't tell old instances from new ones. This is the version
  # at the start; then each refresh, which Ansible starts, watches and undoes, gives the group the version that has proved
  # itself (see ignore_changes). Until then, whatever the group launches is of the version that serves.
  launch_template {
    id      = aws_launch_template.fleet.id
    version = aws_launch_template.fleet.latest_version
  }

  target_group_arns = [aws_lb_target_group.fleet.arn]

  # An instance that runs but doesn't serve is replaced too. Without the grace period a booting one would be.
  health_check_type         = "ELB"
  health_check_grace_period = var.health_check_grace_period

  default_cooldown = var.scaling_cooldown

  # Ansible waits for healthy targets, and says so meanwhile.
  wait_for_capacity_timeout = "0"

  # On teardown the instances go with the group at once; there is nobody left to drain them for.
  force_delete = true

  dynamic "tag" {
    for_each = local.fleet_tags

    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  # As on everything else of this stage (versions.tf); not on its instances, which no state knows.
  tag {
    key                 = "Stage"
    value               = "fleet"
    propagate_at_launch = false
  }

  lifecycle {
    ignore_changes = [desired_capacity, launch_template]
  }

  # The load balancer's health check says nothing about a target group that no listener uses.
  depends_on = [aws_lb_listener.http]
}

# ---- Scaling: many at once when busy, fewer at once when idle ------------------

resource "aws_autoscaling_policy" "target" {
  count = var.scaling_policy == "target_tracking" ? 1 : 0

  name                      = "${var.name}-target"
  autoscaling_group_name    = aws_autoscaling_group.fleet.name
  policy_type               = "TargetTrackingScaling"
  estimated_instance_warmup = var.scaling_cooldown

  target_tracking_configuration {
    target_value = var.target_cpu

    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}

resource "aws_autoscaling_policy" "scale_out" {
  count = var.scaling_policy == "thresholds" ? 1 : 0

  name                   = "${var.name}-scale-out"
  autoscaling_group_name = aws_autoscaling_group.fleet.name
  policy_type            = "SimpleScaling"
  adjustment_type        = "ChangeInCapacity"
  scaling_adjustment     = var.scale_out_adjustment
  cooldown               = var.scaling_cooldown
}

resource "aws_autoscaling_policy" "scale_in" {
  count = var.scaling_policy == "thresholds" ? 1 : 0

  name                   = "${var.name}-scale-in"
  autoscaling_group_name = aws_autoscaling_group.fleet.name
  policy_type            = "SimpleScaling"
  adjustment_type        = "ChangeInCapacity"
  scaling_adjustment     = var.scale_in_adjustment
  cooldown               = var.scaling_cooldown
}

resource "aws_cloudwatch_metric_alarm" "cpu_high" {
  count = var.scaling_policy == "thresholds" ? 1 : 0

  alarm_name          = "${var.name}-cpu-high"
  alarm_description   = "Average CPU of the fleet >= ${var.scale_out_cpu_threshold} %: add ${var.scale_out_adjustment} instances"
  namespace           = "AWS/EC2"
  metric_name         = "CPUUtilization"
  dimensions          = { AutoScalingGroupName = aws_autoscaling_group.fleet.name }
  statistic           = "Average"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.scale_out_cpu_threshold
  period              = var.alarm_period
  evaluation_periods  = var.alarm_evaluation_periods
  alarm_actions       = [aws_autoscaling_policy.scale_out[0].arn]
}

resource "aws_cloudwatch_metric_alarm" "cpu_low" {
  count = var.scaling_policy == "thresholds" ? 1 : 0

  alarm_name          = "${var.name}-cpu-low"
  alarm_description   = "Average CPU of the fleet <= ${var.scale_in_cpu_threshold} %: remove ${- var.scale_in_adjustment} instances"
  namespace           = "AWS/EC2"
  metric_name         = "CPUUtilization"
  dimensions          = { AutoScalingGroupName = aws_autoscaling_group.fleet.name }
  statistic           = "Average"
  comparison_operator = "LessThanOrEqualToThreshold"
  threshold           = var.scale_in_cpu_threshold
  period              = var.alarm_period
  evaluation_periods  = var.alarm_evaluation_periods
  alarm_actions       = [aws_autoscaling_policy.scale_in[0].arn]
}

# Looked at while instances are replaced: a version that fails is taken back (roles/fleet). It has no action of its own.
resource "aws_cloudwatch_metric_alarm" "errors" {
  alarm_name          = "${var.name}-errors"
  alarm_description   = "More than ${var.refresh_error_percent} % of the requests, and at least 5, are answered with 5xx"
  comparison_operator = "GreaterThanThreshold"
  threshold           = var.refresh_error_percent
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"

  metric_query {
    id          = "percent"
    label       = "Percentage of failed requests"
    expression  = "IF(FILL(application, 0) + FILL(balancer, 0) >= 5, 100 * (FILL(application, 0) + FILL(balancer, 0)) / requests, 0)"
    return_data = true
  }

  dynamic "metric_query" {
    # The application's answers, the load balancer's own (an instance that doesn't answer), and all.
    for_each = {
      application = "HTTPCode_Target_5XX_Count"
      balancer    = "HTTPCode_ELB_5XX_Count"
      requests    = "RequestCount"
    }

    content {
      id = metric_query.key

      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        dimensions  = { LoadBalancer = aws_lb.this.arn_suffix }
        stat        = "Sum"
        period      = var.alarm_period
      }
    }
  }
}
