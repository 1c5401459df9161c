# Alarms, dashboards and logs.

variable "changed" { type = bool }

resource "aws_sns_topic" "main" {
  name = "plans-alarms"
}

resource "aws_sns_topic_subscription" "main" {
  topic_arn = aws_sns_topic.main.arn
  protocol  = "email"
  endpoint  = "somebody@example.com"
}

resource "aws_cloudwatch_metric_alarm" "metric" {
  alarm_name          = "plans-metric"
  alarm_description   = var.changed ? "new" : "old"
  namespace           = "AWS/EC2"
  metric_name         = "CPUUtilization"
  statistic           = "Average"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = var.changed ? 70 : 80
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  treat_missing_data  = "notBreaching"
  unit                = "Percent"
  actions_enabled     = var.changed
  alarm_actions       = [aws_sns_topic.main.arn]
  dimensions          = { AutoScalingGroupName = "plans" }
  tags                = { Name = var.changed ? "new" : "old" }
}

resource "aws_cloudwatch_metric_alarm" "percentile" {
  alarm_name                            = "plans-percentile"
  namespace                             = "AWS/ApplicationELB"
  metric_name                           = "TargetResponseTime"
  extended_statistic                    = var.changed ? "p99.9" : "p90"
  comparison_operator                   = "GreaterThanThreshold"
  threshold                             = 0.5
  period                                = 60
  evaluation_periods                    = 1
  evaluate_low_sample_count_percentiles = "ignore"
}

resource "aws_cloudwatch_metric_alarm" "math" {
  alarm_name          = "plans-math"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  evaluation_periods  = 1

  metric_query {
    id          = "rate"
    expression  = var.changed ? "errors / requests" : "100 * errors / requests"
    label       = "Rate"
    return_data = true
  }

  dynamic "metric_query" {
    for_each = { errors = "HTTPCode_Target_5XX_Count", requests = "RequestCount" }
    content {
      id = metric_query.key
      metric {
        namespace   = "AWS/ApplicationELB"
        metric_name = metric_query.value
        period      = 60
        stat        = "Sum"
      }
    }
  }
}

resource "aws_cloudwatch_composite_alarm" "main" {
  alarm_name        = "plans-composite"
  alarm_description = var.changed ? "new" : "old"
  alarm_rule        = "ALARM(${aws_cloudwatch_metric_alarm.metric.alarm_name}) ${var.changed ? "AND" : "OR"} ALARM(${aws_cloudwatch_metric_alarm.math.alarm_name})"
  alarm_actions     = [aws_sns_topic.main.arn]
}

resource "aws_cloudwatch_dashboard" "main" {
  dashboard_name = "plans"
  dashboard_body = jsonencode({
    widgets = [{
      type       = "text"
      x          = 0
      y          = 0
      width      = 3
      height     = 3
      properties = { markdown = var.changed ? "new" : "old" }
    }]
  })
}

resource "aws_cloudwatch_log_group" "main" {
  name              = "plans-monitoring"
  retention_in_days = 7
}

resource "aws_cloudwatch_log_stream" "main" {
  name           = "plans"
  log_group_name = aws_cloudwatch_log_group.main.name
}

resource "aws_cloudwatch_log_metric_filter" "main" {
  name           = "plans"
  pattern        = var.changed ? "ERROR" : "WARNING"
  log_group_name = aws_cloudwatch_log_group.main.name

  metric_transformation {
    name      = "Errors"
    namespace = "Plans"
    value     = "1"
  }
}
