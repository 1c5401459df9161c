"""A second `terraform plan` is empty for what belongs to a load balancer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from balancing import SelfSigned
from running_cloud import Cloud
from terraform_stack import terraform_stack

CONFIGURATION = """
variable "vpc_id" { default = "%(vpc_id)s" }

resource "aws_lb" "this" {
  name                       = "drift"
  internal                   = true
  subnets                    = %(subnet_ids)s
  security_groups            = ["%(security_group_id)s"]
  idle_timeout               = 75
  drop_invalid_header_fields = true
  xff_header_processing_mode = "preserve"
  enable_xff_client_port     = true
  client_keep_alive          = 1800

  access_logs {
    bucket  = aws_s3_bucket.logs.bucket
    prefix  = "web"
    enabled = true
  }

  tags = { Name = "drift" }
}

resource "aws_s3_bucket" "logs" {
  bucket        = "drift-access-logs"
  force_destroy = true
}

resource "aws_lb" "plain" {
  name    = "drift-plain"
  subnets = %(subnet_ids)s
}

resource "aws_lb_target_group" "sticky" {
  name                          = "drift-sticky"
  vpc_id                        = var.vpc_id
  protocol                      = "HTTP"
  port                          = 80
  deregistration_delay          = 3600
  load_balancing_algorithm_type = "least_outstanding_requests"

  stickiness {
    type            = "lb_cookie"
    cookie_duration = 600
  }

  health_check {
    path                = "/health"
    matcher             = "200,302"
    interval            = 10
    timeout             = 3
    healthy_threshold   = 2
    unhealthy_threshold = 3
  }
}

resource "aws_lb_target_group" "application_cookie" {
  name       = "drift-app-cookie"
  vpc_id     = var.vpc_id
  protocol   = "HTTP"
  port       = 80
  slow_start = 30

  stickiness {
    type        = "app_cookie"
    cookie_name = "SESSION"
  }
}

resource "aws_lb_target_group" "plain" {
  name        = "drift-plain"
  vpc_id      = var.vpc_id
  target_type = "ip"
  protocol    = "HTTPS"
  port        = 443
}

resource "aws_acm_certificate" "this" {
  for_each         = toset(["www", "other"])
  certificate_body = file("${path.module}/${each.key}.crt")
  private_key      = file("${path.module}/${each.key}.key")
  tags             = { Name = each.key }
}

resource "aws_lb_listener" "http" {
  load_balancer_arn = aws_lb.this.arn
  port              = 80
  protocol          = "HTTP"

  default_action {
    type = "redirect"
    redirect {
      port        = "443"
      protocol    = "HTTPS"
      status_code = "HTTP_301"
    }
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = aws_acm_certificate.this["www"].arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.sticky.arn
  }

  tags = { Name = "drift" }
}

resource "aws_lb_listener" "default_policy" {
  load_balancer_arn = aws_lb.this.arn
  port              = 8443
  protocol          = "HTTPS"
  certificate_arn   = aws_acm_certificate.this["www"].arn

  default_action {
    type = "fixed-response"
    fixed_response {
      content_type = "text/plain"
      message_body = "none"
      status_code  = "404"
    }
  }
}

resource "aws_lb_listener_certificate" "other" {
  listener_arn    = aws_lb_listener.https.arn
  certificate_arn = aws_acm_certificate.this["other"].arn
}

resource "aws_lb_listener_rule" "weighted" {
  listener_arn = aws_lb_listener.https.arn
  priority     = 10

  action {
    type = "forward"
    forward {
      target_group {
        arn    = aws_lb_target_group.application_cookie.arn
        weight = 3
      }
      target_group {
        arn    = aws_lb_target_group.plain.arn
        weight = 1
      }
      stickiness {
        enabled  = true
        duration = 600
      }
    }
  }

  condition {
    host_header { values = ["www.example", "*.example.org"] }
  }
  condition {
    path_pattern { values = ["/a/*"] }
  }
}

resource "aws_lb_listener_rule" "conditions" {
  listener_arn = aws_lb_listener.https.arn
  priority     = 20

  action {
    type = "redirect"
    redirect {
      host        = "new.#{host}"
      query       = "from=#{port}"
      status_code = "HTTP_302"
    }
  }

  condition {
    http_header {
      http_header_name = "User-Agent"
      values           = ["*Mobile*"]
    }
  }
  condition {
    query_string {
      key   = "v"
      value = "1"
    }
    query_string { value = "beta" }
  }
  condition {
    http_request_method { values = ["GET", "HEAD"] }
  }
  condition {
    source_ip { values = ["10.0.0.0/8"] }
  }
}
"""


@pytest.fixture
def configuration(cloud: Cloud, tmp_path: Path) -> str:
    for name in ("www", "other"):
        own = SelfSigned.for_names(f"{name}.example")
        (tmp_path / f"{name}.crt").write_bytes(own.certificate)
        (tmp_path / f"{name}.key").write_bytes(own.key)
    return (
        CONFIGURATION.replace("%(vpc_id)s", cloud.vpc_id)
        .replace("%(subnet_ids)s", json.dumps(cloud.subnet_ids[:2]))
        .replace("%(security_group_id)s", cloud.security_group_id)
    )


def test_second_plan_of_a_load_balancer_is_empty(cloud: Cloud, tmp_path: Path, configuration: str) -> None:
    with terraform_stack(cloud, tmp_path, configuration) as stack:
        stack.apply()
        stack.assert_no_drift()
        # A certificate that is imported again changes nothing but itself.
        own = SelfSigned.for_names("www.example")
        (tmp_path / "www.crt").write_bytes(own.certificate)
        (tmp_path / "www.key").write_bytes(own.key)
        assert "1 changed, 0 destroyed" in stack.apply()
        stack.assert_no_drift()
