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

output "public_key" {
  description = "The deployer's public key; another deployer has another one, and needs this stage applied again, which makes other hosts."
  value       = aws_key_pair.deployer.public_key
}

output "ssh_cidr" {
  description = "Address that may open SSH connections; a deployer at another one needs this stage applied again."
  value       = aws_vpc_security_group_ingress_rule.ssh.cidr_ipv4
}

output "ssh_security_group_id" {
  description = "Id of the security group that the hosts wear for SSH; the fleet lets it in."
  value       = aws_security_group.ssh.id
}

output "key_name" {
  description = "Name of the deployer's key pair."
  value       = aws_key_pair.deployer.key_name
}
