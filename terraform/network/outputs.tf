output "vpc_id" {
  description = "Id of the VPC."
  value       = aws_vpc.this.id
}

output "vpc_cidr" {
  description = "Address range of the VPC."
  value       = aws_vpc.this.cidr_block
}

output "availability_zones" {
  description = "Names of the availability zones in use, in the order of the subnets."
  value       = local.availability_zones
}

output "public_subnet_ids" {
  description = "Ids of the public subnets, one for each availability zone."
  value       = [for zone in local.availability_zones : aws_subnet.public[zone].id]
}

output "private_subnet_ids" {
  description = "Ids of the private subnets, one for each availability zone."
  value       = [for zone in local.availability_zones : aws_subnet.private[zone].id]
}

output "app_security_group_id" {
  description = "Id of the security group worn by every host of the application; the database's rule names it."
  value       = aws_security_group.app.id
}

output "uploads_bucket" {
  description = "Name of the bucket for uploads; empty: there is none."
  value       = one(aws_s3_bucket.uploads[*].bucket) != null ? aws_s3_bucket.uploads[0].bucket : ""
}

output "instance_profile" {
  description = "Name of the instance profile of the application's hosts; empty: they need none."
  value       = one(aws_iam_instance_profile.app[*].name) != null ? aws_iam_instance_profile.app[0].name : ""
}
