output "migration_instance_id" {
  description = "Id of the instance that changes the database's schema."
  value       = aws_instance.builder["migration"].id
}

output "template_instance_id" {
  description = "Id of the instance that becomes the fleet's image."
  value       = aws_instance.builder["template"].id
}

output "base_ami_id" {
  description = "Id of the base image that the template instance was really launched from, which is not always the newest."
  value       = aws_instance.builder["template"].ami
}

output "key_name" {
  description = "Name of the deployer's key pair."
  value       = aws_key_pair.deployer.key_name
}
