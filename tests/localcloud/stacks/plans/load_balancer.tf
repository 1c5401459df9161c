# An application load balancer with all that it may say.

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
  cidr_block = "10.7.0.0/16"
}

resource "aws_subnet" "main" {
  count             = 2
  vpc_id            = aws_vpc.main.id
  cidr_block        = cidrsubnet(aws_vpc.main.cidr_block, 8, count.index)
  availability_zone = "us-east-1${["a", "b"][count.index]}"
}

resource "aws_security_group" "main" {
  count  = 2
  name   = "plans-balancer-${count.index}"
  vpc_id = aws_vpc.main.id
}

resource "aws_lb" "main" {
  name                             = "plans"
  internal                         = true
  subnets                          = aws_subnet.main[*].id
  security_groups                  = [aws_security_group.main[var.changed ? 1 : 0].id]
  idle_timeout                     = var.changed ? 30 : 90
  client_keep_alive                = 1800
  drop_invalid_header_fields       = var.changed
  preserve_host_header             = !var.changed
  enable_xff_client_port           = var.changed
  xff_header_processing_mode       = var.changed ? "preserve" : "append"
  desync_mitigation_mode           = "strictest"
  enable_waf_fail_open             = false
  enable_deletion_protection       = false
  enable_http2                     = true
  enable_cross_zone_load_balancing = true
  tags                             = { Name = var.changed ? "new" : "old" }
}

resource "aws_lb" "short" {
  name_prefix = "plans-"
  internal    = true
  subnets     = aws_subnet.main[*].id
}

resource "aws_lb_target_group" "main" {
  name                              = "plans"
  port                              = 80
  protocol                          = "HTTP"
  vpc_id                            = aws_vpc.main.id
  deregistration_delay              = var.changed ? 5 : 10
  slow_start                        = var.changed ? 0 : 40
  load_balancing_algorithm_type     = "round_robin"
  load_balancing_cross_zone_enabled = "use_load_balancer_configuration"
  tags                              = { Name = var.changed ? "new" : "old" }

  health_check {
    path                = var.changed ? "/new" : "/old"
    port                = "traffic-port"
    protocol            = "HTTP"
    matcher             = "200-299"
    interval            = 6
    timeout             = 2
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }

  stickiness {
    type            = "lb_cookie"
    enabled         = var.changed
    cookie_duration = 600
  }
}

resource "aws_lb_target_group" "addresses" {
  name        = "plans-addresses"
  port        = 8080
  protocol    = "HTTP"
  vpc_id      = aws_vpc.main.id
  target_type = "ip"
}

resource "aws_instance" "main" {
  ami           = data.aws_ami.base.id
  instance_type = "t3.micro"
  subnet_id     = aws_subnet.main[0].id
}

resource "aws_lb_target_group_attachment" "instance" {
  target_group_arn = aws_lb_target_group.main.arn
  target_id        = aws_instance.main.id
  port             = var.changed ? 81 : 80
}

resource "aws_lb_target_group_attachment" "address" {
  target_group_arn = aws_lb_target_group.addresses.arn
  target_id        = aws_instance.main.private_ip
}

resource "aws_lb_listener" "main" {
  load_balancer_arn = aws_lb.main.arn
  port              = 80
  protocol          = "HTTP"
  tags              = { Name = var.changed ? "new" : "old" }

  default_action {
    type = "forward"
    forward {
      target_group {
        arn    = aws_lb_target_group.main.arn
        weight = var.changed ? 1 : 3
      }
      target_group {
        arn    = aws_lb_target_group.addresses.arn
        weight = 1
      }
    }
  }
}

resource "aws_lb_listener" "redirect" {
  load_balancer_arn = aws_lb.main.arn
  port              = var.changed ? 82 : 81
  protocol          = "HTTP"

  default_action {
    type = "redirect"
    redirect {
      port        = "80"
      protocol    = "HTTP"
      path        = "/#{path}"
      status_code = var.changed ? "HTTP_302" : "HTTP_301"
    }
  }
}

resource "aws_lb_listener_rule" "main" {
  listener_arn = aws_lb_listener.main.arn
  priority     = var.changed ? 20 : 10
  tags         = { Name = var.changed ? "new" : "old" }

  action {
    type = "fixed-response"
    fixed_response {
      content_type = "text/plain"
      message_body = var.changed ? "new" : "old"
      status_code  = "503"
    }
  }

  condition {
    path_pattern {
      values = ["/closed/*"]
    }
  }

  condition {
    http_header {
      http_header_name = "X-Test"
      values           = ["a", "b"]
    }
  }
}

resource "aws_lb_listener_rule" "forward" {
  listener_arn = aws_lb_listener.main.arn

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.addresses.arn
  }

  condition {
    query_string {
      key   = "version"
      value = var.changed ? "new" : "old"
    }
  }

  condition {
    source_ip {
      values = ["10.0.0.0/8"]
    }
  }
}
