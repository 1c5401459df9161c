# ---- Shared by all stages ----------------------------------------------------

variable "name" {
  description = "Prefix of every resource's name, for example web2py-local. Changing it makes everything anew."
  type        = string

  # The strictest limits of all four stages (load balancers and target groups: 32 characters, databases: no double hyphen)
  # are checked in each of them, so that a bad name fails in the first stage and not in the last.
  validation {
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) <= 32 && !startswith(var.name, "internal-")
    error_message = "name \"${var.name}\" can't name AWS resources: type at most 32 lower-case letters, digits and single hyphens, starting with a letter and not with \"internal-\", for example web2py-local."
  }
}

variable "region" {
  description = "AWS region, for example us-east-1."
  type        = string

  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]+$", var.region))
    error_message = "region \"${var.region}\" is not the name of a region: type one like us-east-1 or eu-central-1."
  }
}

variable "tags" {
  description = "Tags of every resource; Project and Environment must be among them, because inventory and teardown find things by these two."
  type        = map(string)

  validation {
    condition     = alltrue([for key in ["Project", "Environment"] : trimspace(lookup(var.tags, key, "")) != ""])
    error_message = "tags lacks Project or Environment: type for example { Project = \"web2py\", Environment = \"local\" }."
  }
}

# ---- This stage --------------------------------------------------------------

variable "vpc_cidr" {
  description = "Address range of the VPC. It is cut into 16 equal parts: one public and one private subnet for each availability zone, the rest stays free."
  type        = string
  default     = "10.80.0.0/16"

  validation {
    condition     = can(cidrnetmask(var.vpc_cidr)) && try("${cidrhost(var.vpc_cidr, 0)}/${split("/", var.vpc_cidr)[1]}" == var.vpc_cidr, false)
    error_message = "vpc_cidr \"${var.vpc_cidr}\" is not an IPv4 network address: type one whose host bits are zero, for example 10.80.0.0/16."
  }

  # AWS: a VPC is /16 to /28, and a load balancer's subnet is /27 at least, which is a sixteenth of a /23.
  validation {
    condition     = try(tonumber(split("/", var.vpc_cidr)[1]) >= 16 && tonumber(split("/", var.vpc_cidr)[1]) <= 23, false)
    error_message = "vpc_cidr \"${var.vpc_cidr}\" can't be split into the subnets: type a prefix length between /16 (the largest VPC) and /23 (subnets of /27, the smallest a load balancer takes), for example 10.80.0.0/16."
  }
}

variable "availability_zone_count" {
  description = "Number of availability zones that get a public and a private subnet."
  type        = number
  default     = 3

  validation {
    condition     = contains([2, 3, 4, 5, 6], var.availability_zone_count)
    error_message = "availability_zone_count is ${var.availability_zone_count}: type a whole number from 2 (the least that a load balancer and a database subnet group accept) to 6."
  }
}

variable "private_subnet_egress" {
  description = "What private subnets reach outside of the VPC: none, s3 (through a gateway endpoint) or nat (S3 and the Internet, through a NAT gateway, which costs more than the rest of the network)."
  type        = string
  default     = "none"

  validation {
    condition     = contains(["none", "s3", "nat"], var.private_subnet_egress)
    error_message = "private_subnet_egress is \"${var.private_subnet_egress}\": type none, s3 or nat."
  }
}

variable "uploads_bucket" {
  description = "Whether there is a bucket for the application's uploads, and a role with which hosts use it."
  type        = bool
  default     = false
}
