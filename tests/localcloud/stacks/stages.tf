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

module "network" {
  source = "TERRAFORM_DIRECTORY/network"

  name                    = local.common.name
  region                  = local.common.region
  tags                    = local.common.tags
  vpc_cidr                = var.cidr
  availability_zone_count = 2
  private_subnet_egress   = "nat"
  uploads_bucket          = true
}

module "database" {
  source = "TERRAFORM_DIRECTORY/database"

  name                  = local.common.name
  region                = local.common.region
  tags                  = local.common.tags
  vpc_id                = module.network.vpc_id
  private_subnet_ids    = module.network.private_subnet_ids
  app_security_group_id = module.network.app_security_group_id
}

module "hosts" {
  source = "TERRAFORM_DIRECTORY/hosts"

  name                  = local.common.name
  region                = local.common.region
  tags                  = local.common.tags
  vpc_id                = module.network.vpc_id
  public_subnet_ids     = module.network.public_subnet_ids
  app_security_group_id = module.network.app_security_group_id
  instance_profile      = module.network.instance_profile
  ssh_cidr              = "${cidrhost(var.cidr, 1)}/32"
  public_key            = var.public_key
}

module "fleet" {
  source = "TERRAFORM_DIRECTORY/fleet"

  name                  = local.common.name
  region                = local.common.region
  tags                  = local.common.tags
  vpc_id                = module.network.vpc_id
  public_subnet_ids     = module.network.public_subnet_ids
  private_subnet_ids    = module.network.private_subnet_ids
  app_security_group_id = module.network.app_security_group_id
  instance_profile      = module.network.instance_profile
  ssh_security_group_id = module.hosts.ssh_security_group_id
  key_name              = module.hosts.key_name
  ami_id                = module.hosts.base_ami_id
  asg_max_size          = 2

  # The base image serves nothing, and shall not be replaced for that; nor shall a busy machine change the fleet's size.
  health_check_grace_period = 7200
  scale_out_cpu_threshold   = 100
}

output "url" {
  value = module.fleet.url
}

output "migration_instance_id" {
  value = module.hosts.migration_instance_id
}

output "database_id" {
  value = module.database.instance_id
}

output "autoscaling_group_name" {
  value = module.fleet.autoscaling_group_name
}
