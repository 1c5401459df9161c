# HTTPS, for a domain of your own and its certificate. Without a certificate nothing of this exists.

locals {
  https_port = 443
  https      = var.certificate_arn == "" ? 0 : 1
}

resource "aws_vpc_security_group_ingress_rule" "load_balancer_https" {
  count = local.https

  security_group_id = aws_security_group.load_balancer.id
  description       = "HTTPS from everywhere"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = local.https_port
  to_port           = local.https_port

  tags = { Name = "${var.name}-load-balancer-in-https" }
}

resource "aws_lb_listener" "https" {
  count = local.https

  load_balancer_arn = aws_lb.this.arn
  protocol          = "HTTPS"
  port              = local.https_port
  certificate_arn   = var.certificate_arn
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.fleet.arn
  }

  tags = { Name = "${var.name}-https" }
}

# Who types the domain without https:// is sent on. By its own name the load balancer still answers on port 80, for the
# playbooks' requests: the certificate is not for that name.
resource "aws_lb_listener_rule" "to_https" {
  count = local.https

  listener_arn = aws_lb_listener.http.arn
  priority     = 1

  condition {
    host_header {
      values = [var.domain_name]
    }
  }

  action {
    type = "redirect"

    redirect {
      protocol    = "HTTPS"
      port        = local.https_port
      status_code = "HTTP_301"
    }
  }

  tags = { Name = "${var.name}-to-https" }

  # Nobody is sent to a listener that isn't there yet.
  depends_on = [aws_lb_listener.https]
}
