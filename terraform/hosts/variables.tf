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

# ---- From the network stage ------------------------------------------------------

variable "vpc_id" {
  description = "Id of the VPC."
  type        = string

  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "vpc_id \"${var.vpc_id}\" is not an id: type one that starts with vpc-, as the network stage puts it out."
  }
}

variable "public_subnet_ids" {
  description = "Ids of the public subnets; the hosts live in the first."
  type        = list(string)

  validation {
    condition     = length(distinct(var.public_subnet_ids)) >= 2 && alltrue([for id in var.public_subnet_ids : startswith(id, "subnet-")])
    error_message = "public_subnet_ids needs the ids of at least two different subnets: type [\"subnet-…\", \"subnet-…\"], as the network stage puts them out."
  }
}

variable "app_security_group_id" {
  description = "Id of the security group of the application's hosts, which lets them out and to the database."
  type        = string

  validation {
    condition     = startswith(var.app_security_group_id, "sg-")
    error_message = "app_security_group_id \"${var.app_security_group_id}\" is not an id: type one that starts with sg-, as the network stage puts it out."
  }
}

variable "instance_profile" {
  description = "Name of the hosts' instance profile; empty: they have none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{0,128}$", var.instance_profile))
    error_message = "instance_profile \"${var.instance_profile}\" can't name an instance profile: type its name, not its ARN, for example web2py-local-app-us-east-1."
  }
}

# ---- This stage --------------------------------------------------------------

variable "ssh_cidr" {
  description = "Address of the machine that runs the playbooks, as a /32: nobody else reaches SSH."
  type        = string

  validation {
    condition     = can(cidrnetmask(var.ssh_cidr)) && endswith(var.ssh_cidr, "/32")
    error_message = "ssh_cidr \"${var.ssh_cidr}\" is not a single IPv4 address: type the one of the machine that runs the playbooks, with /32, for example 203.0.113.7/32."
  }
}

variable "public_key" {
  description = "Public half of the deployer's SSH key, one line in OpenSSH's format."
  type        = string

  # The two kinds that EC2 imports.
  validation {
    condition     = can(regex("^(ssh-ed25519|ssh-rsa) [A-Za-z0-9+/]+=*( [^\n]*)?$", trimspace(var.public_key)))
    error_message = "public_key is not an OpenSSH public key that EC2 takes: type the line in the .pub file of an Ed25519 or RSA key, \"ssh-ed25519 AAAA… comment\"."
  }
}

variable "instance_type" {
  description = "Instance type; x86_64 only, because the base image is amd64."
  type        = string
  default     = "t3.micro"

  validation {
    condition     = can(regex("^[a-z0-9-]+[.][a-z0-9-]+$", var.instance_type))
    error_message = "instance_type \"${var.instance_type}\" is not the name of an instance type: type one like t3.micro."
  }

  # A g right after the generation's number is AWS's mark of a Graviton processor.
  validation {
    condition     = !can(regex("^([a-z]+[0-9]+g[a-z]*|a1)[.]", var.instance_type))
    error_message = "instance_type \"${var.instance_type}\" has an ARM processor and can't boot the amd64 image: type an Intel or AMD type like t3.micro or t3a.micro."
  }
}

variable "base_ami_owner" {
  description = "Account id of the base image's owner; the default is the Debian project's."
  type        = string
  default     = "136693071363"

  # Without the owner, anyone's image of the same name would do.
  validation {
    condition     = can(regex("^[0-9]{12}$", var.base_ami_owner))
    error_message = "base_ami_owner \"${var.base_ami_owner}\" is not an account id: type twelve digits, for example 136693071363 (Debian)."
  }
}

variable "base_ami_name" {
  description = "Name pattern of the base image; the newest that matches is taken."
  type        = string
  default     = "debian-13-amd64-*"

  validation {
    condition     = length(trimspace(var.base_ami_name)) >= 3
    error_message = "base_ami_name \"${var.base_ami_name}\" is too short: type a name pattern like debian-13-amd64-*."
  }
}
