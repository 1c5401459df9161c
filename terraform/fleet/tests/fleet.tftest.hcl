# Against a mocked provider: no account, no network, a few seconds. `terraform init -backend=false && terraform test`

mock_provider "aws" {
  # The provider checks that these look like ARNs and versions, so mocked random strings won't do.
  mock_resource "aws_lb" {
    defaults = {
      arn      = "arn:aws:elasticloadbalancing:us-east-1:123456789012:loadbalancer/app/web2py-test/0123456789abcdef"
      dns_name = "web2py-test-1.us-east-1.elb.amazonaws.com"
    }
  }

  mock_resource "aws_lb_target_group" {
    defaults = {
      arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web2py-test/0123456789abcdef"
    }
  }

  mock_resource "aws_lb_listener" {
    defaults = {
      arn = "arn:aws:elasticloadbalancing:us-east-1:123456789012:listener/app/web2py-test/0123456789abcdef/0123456789abcdef"
    }
  }

  mock_resource "aws_launch_template" {
    defaults = {
      id             = "lt-0123456789abcdef0"
      latest_version = 7
    }
  }

  mock_resource "aws_autoscaling_policy" {
    defaults = {
      arn = "arn:aws:autoscaling:us-east-1:123456789012:scalingPolicy:01234567-89ab-cdef-0123-456789abcdef:autoScalingGroupName/web2py-test:policyName/policy"
    }
  }
}

variables {
  name                  = "web2py-test"
  region                = "us-east-1"
  tags                  = { Project = "web2py", Environment = "test" }
  vpc_id                = "vpc-0123"
  public_subnet_ids     = ["subnet-0a", "subnet-0b"]
  private_subnet_ids    = ["subnet-1a", "subnet-1b"]
  app_security_group_id = "sg-0123"
  ssh_security_group_id = "sg-0456"
  key_name              = "web2py-test-deployer"
  ami_id                = "ami-0123456789abcdef0"
}

run "defaults" {
  command = apply

  assert {
    condition     = aws_lb.this.subnets == toset(["subnet-0a", "subnet-0b"]) && aws_autoscaling_group.fleet.vpc_zone_identifier == toset(["subnet-1a", "subnet-1b"])
    error_message = "The load balancer is in the public subnets, the fleet in the private ones."
  }

  assert {
    condition     = !aws_lb_target_group.fleet.stickiness[0].enabled
    error_message = "Each request goes to the instance that has the fewest."
  }

  assert {
    condition     = aws_lb.this.drop_invalid_header_fields
    error_message = "Invalid header fields are dropped."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.fleet.referenced_security_group_id == aws_security_group.load_balancer.id && aws_vpc_security_group_ingress_rule.fleet.cidr_ipv4 == null
    error_message = "Only the load balancer reaches the fleet by HTTP."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.fleet_ssh.referenced_security_group_id == "sg-0456" && aws_vpc_security_group_ingress_rule.fleet_ssh.cidr_ipv4 == null
    error_message = "Only the builder hosts reach the fleet by SSH."
  }

  assert {
    condition     = aws_vpc_security_group_ingress_rule.fleet_ssh.from_port == 22 && aws_vpc_security_group_ingress_rule.fleet_ssh.to_port == 22
    error_message = "They reach nothing else of it."
  }

  assert {
    condition     = aws_launch_template.fleet.key_name == "web2py-test-deployer"
    error_message = "The fleet lets the deployer's key in."
  }

  assert {
    condition     = aws_vpc_security_group_egress_rule.load_balancer.referenced_security_group_id == aws_security_group.fleet.id
    error_message = "The load balancer reaches nothing but the fleet."
  }

  assert {
    condition     = aws_launch_template.fleet.vpc_security_group_ids == toset(["sg-0123", aws_security_group.fleet.id])
    error_message = "The fleet wears the application's group and its own."
  }

  assert {
    condition     = aws_launch_template.fleet.metadata_options[0].http_tokens == "required"
    error_message = "IMDSv2 is required."
  }

  # With $Latest an instance refresh never starts.
  assert {
    condition     = aws_autoscaling_group.fleet.launch_template[0].version == "7" && output.launch_template_version == 7
    error_message = "The group names a numbered version of the launch template."
  }

  assert {
    condition     = aws_autoscaling_group.fleet.health_check_type == "ELB" && aws_autoscaling_group.fleet.health_check_grace_period == 180
    error_message = "Instances that don't serve are replaced, after a grace period."
  }

  assert {
    condition     = aws_autoscaling_group.fleet.min_size == 1 && aws_autoscaling_group.fleet.max_size == 20 && aws_autoscaling_group.fleet.desired_capacity == 1
    error_message = "1 to 20 instances, 1 to begin with."
  }

  assert {
    condition = (
      { for tag in aws_autoscaling_group.fleet.tag : tag.key => tag.value if tag.propagate_at_launch } ==
      { Name = "web2py-test-fleet", Role = "fleet", Project = "web2py", Environment = "test" }
    )
    error_message = "Launched instances get all tags."
  }

  assert {
    condition     = aws_launch_template.fleet.tag_specifications[0].resource_type == "volume" && aws_launch_template.fleet.tag_specifications[0].tags["Environment"] == "test"
    error_message = "Launched volumes get all tags."
  }

  assert {
    condition     = aws_lb_target_group.fleet.load_balancing_algorithm_type == "least_outstanding_requests" && aws_lb_target_group.fleet.health_check[0].path == "/health" && aws_lb_target_group.fleet.health_check[0].matcher == "200"
    error_message = "To where the fewest requests are open, and a health check on a cheap path."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.cpu_high[0].comparison_operator == "GreaterThanOrEqualToThreshold" && aws_cloudwatch_metric_alarm.cpu_high[0].threshold == 40 &&
      aws_autoscaling_policy.scale_out[0].scaling_adjustment == 10 && aws_cloudwatch_metric_alarm.cpu_high[0].alarm_actions == toset([aws_autoscaling_policy.scale_out[0].arn])
    )
    error_message = "CPU >= 40 %: ten more."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.cpu_low[0].comparison_operator == "LessThanOrEqualToThreshold" && aws_cloudwatch_metric_alarm.cpu_low[0].threshold == 10 &&
      aws_autoscaling_policy.scale_in[0].scaling_adjustment == -5 && aws_cloudwatch_metric_alarm.cpu_low[0].alarm_actions == toset([aws_autoscaling_policy.scale_in[0].arn])
    )
    error_message = "CPU <= 10 %: five fewer."
  }

  assert {
    condition = (
      aws_cloudwatch_metric_alarm.errors.comparison_operator == "GreaterThanThreshold" && aws_cloudwatch_metric_alarm.errors.threshold == 5 &&
      aws_cloudwatch_metric_alarm.errors.treat_missing_data == "notBreaching" && aws_cloudwatch_metric_alarm.errors.alarm_actions == null &&
      length(aws_cloudwatch_metric_alarm.errors.metric_query) == 4
    )
    error_message = "More than 5 % of the requests fail: it says so, and does nothing itself."
  }

  assert {
    condition     = output.url == "http://web2py-test-1.us-east-1.elb.amazonaws.com" && output.autoscaling_group_name == "web2py-test"
    error_message = "The outputs say where the application is served."
  }
}

run "desired_capacity_is_the_alarms_after_that" {
  command = plan

  variables {
    asg_min_size = 3
  }

  assert {
    condition     = aws_autoscaling_group.fleet.min_size == 3 && aws_autoscaling_group.fleet.desired_capacity == 1
    error_message = "An apply doesn't undo what the alarms did."
  }
}

run "role" {
  command = plan

  variables {
    instance_profile = "web2py-test-app-us-east-1"
  }

  assert {
    condition     = aws_launch_template.fleet.iam_instance_profile[0].name == "web2py-test-app-us-east-1"
    error_message = "Instances have the role."
  }
}

run "limits_are_allowed" {
  command = plan

  variables {
    slow_start               = 900
    load_balancing_algorithm = "round_robin"
    asg_min_size             = 20
    alarm_period             = 10
    health_check_interval    = 10
    health_check_timeout     = 9
  }
}

run "no_https_without_a_certificate" {
  command = plan

  assert {
    condition     = length(aws_lb_listener.https) == 0 && length(aws_lb_listener_rule.to_https) == 0 && length(aws_vpc_security_group_ingress_rule.load_balancer_https) == 0
    error_message = "Without a certificate nothing listens on port 443."
  }
}

run "https" {
  command = apply

  variables {
    domain_name     = "www.example.com"
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/0123-4567"
  }

  assert {
    condition     = aws_lb_listener.https[0].port == 443 && aws_lb_listener.https[0].certificate_arn == var.certificate_arn && aws_lb_listener.https[0].default_action[0].target_group_arn == aws_lb_target_group.fleet.arn
    error_message = "The domain is served by HTTPS, with its certificate."
  }

  assert {
    condition     = one(aws_lb_listener_rule.to_https[0].condition).host_header[0].values == toset(["www.example.com"]) && aws_lb_listener_rule.to_https[0].action[0].redirect[0].protocol == "HTTPS"
    error_message = "Who types the domain is sent on to HTTPS."
  }

  assert {
    condition     = aws_lb_listener.http.default_action[0].type == "forward"
    error_message = "By its own name the load balancer answers by HTTP, too."
  }
}

run "role_by_its_arn" {
  command = plan

  variables {
    instance_profile = "arn:aws:iam::123456789012:instance-profile/web2py-test-app-us-east-1"
  }

  expect_failures = [var.instance_profile]
}

run "certificate_without_a_domain" {
  command = plan

  variables {
    certificate_arn = "arn:aws:acm:us-east-1:123456789012:certificate/0123-4567"
  }

  expect_failures = [var.domain_name]
}

run "certificate_of_another_service" {
  command = plan

  variables {
    domain_name     = "www.example.com"
    certificate_arn = "arn:aws:iam::123456789012:server-certificate/example"
  }

  expect_failures = [var.certificate_arn]
}

run "sticky" {
  command = plan

  variables {
    sticky = true
  }

  assert {
    condition     = aws_lb_target_group.fleet.stickiness[0].enabled && aws_lb_target_group.fleet.stickiness[0].cookie_duration == 86400
    error_message = "A visitor is sent to the same instance for a day."
  }
}

run "slow_start_of_what_has_none" {
  command = plan

  variables {
    slow_start = 30
  }

  expect_failures = [var.slow_start]
}

run "unknown_algorithm" {
  command = plan

  variables {
    load_balancing_algorithm = "random"
  }

  expect_failures = [var.load_balancing_algorithm]
}

# ---- Bad input -----------------------------------------------------------------

run "min_above_max" {
  command = plan

  variables {
    asg_min_size = 5
    asg_max_size = 4
  }

  expect_failures = [var.asg_min_size]
}

run "empty_fleet" {
  command = plan

  variables {
    asg_min_size = 0
  }

  expect_failures = [var.asg_min_size]
}

run "half_an_instance" {
  command = plan

  variables {
    asg_max_size = 1.5
  }

  expect_failures = [var.asg_max_size]
}

run "slow_start_too_short" {
  command = plan

  variables {
    slow_start               = 29
    load_balancing_algorithm = "round_robin"
  }

  expect_failures = [var.slow_start]
}

run "slow_start_too_long" {
  command = plan

  variables {
    slow_start               = 901
    load_balancing_algorithm = "round_robin"
  }

  expect_failures = [var.slow_start]
}

run "timeout_not_below_interval" {
  command = plan

  variables {
    health_check_interval = 10
    health_check_timeout  = 10
  }

  expect_failures = [var.health_check_timeout]
}

run "interval_too_short" {
  command = plan

  variables {
    health_check_interval = 4
    health_check_timeout  = 2
  }

  expect_failures = [var.health_check_interval]
}

run "threshold_of_one" {
  command = plan

  variables {
    healthy_threshold = 1
  }

  expect_failures = [var.healthy_threshold]
}

run "unhealthy_threshold_too_high" {
  command = plan

  variables {
    unhealthy_threshold = 11
  }

  expect_failures = [var.unhealthy_threshold]
}

run "path_without_slash" {
  command = plan

  variables {
    health_check_path = "health"
  }

  expect_failures = [var.health_check_path]
}

run "path_with_blank" {
  command = plan

  variables {
    health_check_path = "/he alth"
  }

  expect_failures = [var.health_check_path]
}

run "deregistration_too_long" {
  command = plan

  variables {
    deregistration_delay = 3601
  }

  expect_failures = [var.deregistration_delay]
}

run "target_tracking" {
  command = plan

  variables {
    scaling_policy = "target_tracking"
    target_cpu     = 50
  }

  assert {
    condition = (
      length(aws_autoscaling_policy.scale_out) + length(aws_autoscaling_policy.scale_in) == 0 &&
      length(aws_cloudwatch_metric_alarm.cpu_high) + length(aws_cloudwatch_metric_alarm.cpu_low) == 0
    )
    error_message = "AWS makes the alarms of target tracking itself."
  }

  assert {
    condition = (
      aws_autoscaling_policy.target[0].policy_type == "TargetTrackingScaling" &&
      aws_autoscaling_policy.target[0].target_tracking_configuration[0].target_value == 50 &&
      aws_autoscaling_policy.target[0].target_tracking_configuration[0].predefined_metric_specification[0].predefined_metric_type == "ASGAverageCPUUtilization"
    )
    error_message = "The group's average CPU is kept at 50 %."
  }
}

run "unknown_scaling_policy" {
  command = plan

  variables {
    scaling_policy = "luck"
  }

  expect_failures = [var.scaling_policy]
}

run "target_of_nothing" {
  command = plan

  variables {
    target_cpu = 0
  }

  expect_failures = [var.target_cpu]
}

run "thresholds_crossed" {
  command = plan

  variables {
    scale_in_cpu_threshold  = 50
    scale_out_cpu_threshold = 40
  }

  expect_failures = [var.scale_in_cpu_threshold]
}

run "more_than_all_cpu" {
  command = plan

  variables {
    scale_out_cpu_threshold = 101
  }

  expect_failures = [var.scale_out_cpu_threshold]
}

run "scale_in_adds" {
  command = plan

  variables {
    scale_in_adjustment = 5
  }

  expect_failures = [var.scale_in_adjustment]
}

run "scale_out_removes" {
  command = plan

  variables {
    scale_out_adjustment = -10
  }

  expect_failures = [var.scale_out_adjustment]
}

run "every_request_may_fail" {
  command = plan

  variables {
    refresh_error_percent = 100
  }

  expect_failures = [var.refresh_error_percent]
}

run "alarm_period_between" {
  command = plan

  variables {
    alarm_period = 45
  }

  expect_failures = [var.alarm_period]
}

run "alarm_faster_than_its_metric" {
  command = plan

  variables {
    alarm_period        = 60
    detailed_monitoring = false
  }

  expect_failures = [var.alarm_period]
}

run "alarm_over_more_than_a_day" {
  command = plan

  variables {
    alarm_period             = 3600
    alarm_evaluation_periods = 25
  }

  expect_failures = [var.alarm_evaluation_periods]
}

run "cooldown_negative" {
  command = plan

  variables {
    scaling_cooldown = -1
  }

  expect_failures = [var.scaling_cooldown]
}

run "image_by_name" {
  command = plan

  variables {
    ami_id = "web2py"
  }

  expect_failures = [var.ami_id]
}

run "arm_instance" {
  command = plan

  variables {
    instance_type = "c7gn.large"
  }

  expect_failures = [var.instance_type]
}

run "a_single_subnet" {
  command = plan

  variables {
    private_subnet_ids = ["subnet-1a"]
  }

  expect_failures = [var.private_subnet_ids]
}

run "name_that_load_balancers_refuse" {
  command = plan

  variables {
    name = "internal-web2py"
  }

  expect_failures = [var.name]
}
