output "instance_id" {
  description = "Identifier of the database instance."
  value       = aws_db_instance.this.identifier
}

output "address" {
  description = "Host name of the database; it resolves to a private address."
  value       = aws_db_instance.this.address
}

output "port" {
  description = "TCP port of the database."
  value       = aws_db_instance.this.port
}

output "database_name" {
  description = "Name of the database."
  value       = aws_db_instance.this.db_name
}

output "master_username" {
  description = "Name of the master user."
  value       = aws_db_instance.this.username
}

output "app_username" {
  description = "Name of the application's role."
  value       = var.app_username
}

# Names only: the passwords themselves are in no output, plan or state.

output "master_password_parameter" {
  description = "Name of the SSM parameter that holds the master user's password."
  value       = aws_ssm_parameter.master_password.name
}

output "app_password_parameter" {
  description = "Name of the SSM parameter that holds the application role's password."
  value       = aws_ssm_parameter.app_password.name
}
