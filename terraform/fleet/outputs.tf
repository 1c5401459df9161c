output "load_balancer_dns_name" {
  description = "DNS name of the load balancer."
  value       = aws_lb.this.dns_name
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

output "ami_id" {
  description = "Image that the newest launch template version names."
  value       = aws_launch_template.fleet.image_id
}

output "launch_template_version" {
  description = "Number of the launch template version that the fleet should run; when the group's differs, it needs a refresh."
  value       = aws_launch_template.fleet.latest_version
}

output "error_alarm_name" {
  description = "Alarm that takes back a version whose requests fail, while instances are replaced."
  value       = aws_cloudwatch_metric_alarm.errors.alarm_name
}
