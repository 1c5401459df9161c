# The four stages of the project in one; the test puts in where they are.

variable "cidr" {
  type = string
}

variable "public_key" {
  type = string
}

locals {
  common = {
    name   = "all-stages"
    region = "us-east-1"
    tags   = { Project = "web2py", Environment = "test" }
  }
}

module "vpc" {
  source = "TERRAFORM_DIRECTORY/vpc"

  name                    = local.common.name
  region                  = local.common.region
  tags                    = local.common.tags
  vpc_cidr                = var.cidr
  availability_zone_count = 2
  private_subnet_egress   = "nat"
  uploads_bucket          = true
}

module "db" {
  source = "TERRAFORM_DIRECTORY/db"

  name                  = local.common.name
  region                = local.common.region
  tags                  = local.common.tags
  vpc_id                = module.vpc.vpc_id
  private_subnet_ids    = module.vpc.private_subnet_ids
  app_security_group_id = module.vpc.app_security_group_id
}

module "ec2" {
  source = "TERRAFORM_DIRECTORY/ec2"

  name                  = local.common.name
  region                = local.common.region
  tags                  = local.common.tags
  vpc_id                = module.vpc.vpc_id
  public_subnet_ids     = module.vpc.public_subnet_ids
  app_security_group_id = module.vpc.app_security_group_id
  instance_profile      = module.vpc.instance_profile
  ssh_cidr              = "${cidrhost(var.cidr, 1)}/32"
  public_key            = var.public_key
}

module "elb" {
  source = "TERRAFORM_DIRECTORY/elb"

  name                  = local.common.name
  region                = local.common.region
  tags                  = local.common.tags
  vpc_id                = module.vpc.vpc_id
  public_subnet_ids     = module.vpc.public_subnet_ids
  private_subnet_ids    = module.vpc.private_subnet_ids
  app_security_group_id = module.vpc.app_security_group_id
  instance_profile      = module.vpc.instance_profile
  ssh_security_group_id = module.ec2.ssh_security_group_id
  key_name              = module.ec2.key_name
  ami_id                = module.ec2.base_ami_id
  asg_max_size          = 2

  # The base image serves nothing, and shall not be replaced for that; nor shall a busy machine change the fleet's size.
  health_check_grace_period = 7200
  scale_out_cpu_threshold   = 100
}

output "url" {
  value = module.elb.url
}

output "migration_instance_id" {
  value = module.ec2.migration_instance_id
}

output "database_id" {
  value = module.db.instance_id
}

output "autoscaling_group_name" {
  value = module.elb.autoscaling_group_name
}
