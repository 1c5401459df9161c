output "load_balancer_dns_name" {
  description = "DNS name of the load balancer."
  value       = aws_lb.this.dns_name
}

output "load_balancer_arn" {
  description = "ARN of the load balancer."
  value       = aws_lb.this.arn
}

output "url" {
  description = "Where the application is served."
  value       = "http://${aws_lb.this.dns_name}"
}

output "target_group_arn" {
  description = "ARN of the fleet's target group, for asking about its health."
  value       = aws_lb_target_group.fleet.arn
}

output "autoscaling_group_name" {
  description = "Name of the autoscaling group."
  value       = aws_autoscaling_group.fleet.name
}

output "launch_template_id" {
  description = "Id of the fleet's launch template."
  value       = aws_launch_template.fleet.id
}

output "launch_template_version" {
  description = "Number of the launch template version that the fleet should run; instances with another one need a refresh."
  value       = aws_launch_template.fleet.latest_version
}
