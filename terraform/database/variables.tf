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

variable "private_subnet_ids" {
  description = "Ids of the private subnets the database may live in, in at least two availability zones."
  type        = list(string)

  validation {
    condition     = length(distinct(var.private_subnet_ids)) >= 2 && alltrue([for id in var.private_subnet_ids : startswith(id, "subnet-")])
    error_message = "private_subnet_ids needs the ids of at least two different subnets: type [\"subnet-…\", \"subnet-…\"], as the network stage puts them out."
  }
}

variable "app_security_group_id" {
  description = "Id of the security group of the application's hosts, the only ones that may connect."
  type        = string

  validation {
    condition     = startswith(var.app_security_group_id, "sg-")
    error_message = "app_security_group_id \"${var.app_security_group_id}\" is not an id: type one that starts with sg-, as the network stage puts it out."
  }
}

# ---- This stage --------------------------------------------------------------

variable "engine_version" {
  description = "PostgreSQL version; the major version alone lets AWS choose and upgrade the minor one."
  type        = string
  default     = "17"

  # From 15 on RDS itself refuses connections without TLS (rds.force_ssl), which this stage relies on.
  validation {
    condition     = can(regex("^1[5-9]([.][0-9]+)?$", var.engine_version))
    error_message = "engine_version \"${var.engine_version}\" is not usable: type PostgreSQL 15 or later, as a major version like 17 or a full one like 17.5."
  }
}

variable "instance_class" {
  description = "Class (size) of the database instance."
  type        = string
  default     = "db.t4g.micro"

  validation {
    condition     = can(regex("^db[.][a-z0-9-]+[.][a-z0-9-]+$", var.instance_class))
    error_message = "instance_class \"${var.instance_class}\" is not a database instance class: type one like db.t4g.micro."
  }
}

variable "allocated_storage" {
  description = "Storage in GiB (gp3). It can grow later, never shrink."
  type        = number
  default     = 20

  validation {
    condition     = var.allocated_storage >= 20 && var.allocated_storage <= 65536 && floor(var.allocated_storage) == var.allocated_storage
    error_message = "allocated_storage is ${var.allocated_storage}: type a whole number of GiB from 20 (the least for gp3) to 65536."
  }
}

variable "max_connections" {
  description = "PostgreSQL's max_connections: the whole fleet's connections together must fit. Takes effect when the instance restarts."
  type        = number
  default     = 300

  # Below 20 there is nothing left beside RDS's own sessions; each connection is a process of some MiB.
  validation {
    condition     = var.max_connections >= 20 && var.max_connections <= 5000 && floor(var.max_connections) == var.max_connections
    error_message = "max_connections is ${var.max_connections}: type a whole number from 20 to 5000, for example 300."
  }
}

variable "database_name" {
  description = "Name of the database made in the instance. Changing it makes a new, empty instance."
  type        = string
  default     = "web2py"

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.database_name))
    error_message = "database_name \"${var.database_name}\" is not usable: type 1 to 63 lower-case letters, digits and underscores, starting with a letter, for example web2py."
  }
}

variable "master_username" {
  description = "Name of the master user, who only makes the application's role. Changing it makes a new, empty instance."
  type        = string
  default     = "dbadmin"

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.master_username)) && !can(regex("^(pg_|rds_)|^(admin|rdsadmin)$", var.master_username))
    error_message = "master_username \"${var.master_username}\" is not usable: type 1 to 63 lower-case letters, digits and underscores, starting with a letter; admin, rdsadmin and names starting with pg_ or rds_ are reserved; for example dbadmin."
  }
}

variable "app_username" {
  description = "Name of the application's own database role. It is made by the migration, not here; here it gets its password."
  type        = string
  default     = "web2py"

  validation {
    condition     = can(regex("^[a-z][a-z0-9_]{0,62}$", var.app_username)) && !can(regex("^(pg_|rds_)|^(admin|rdsadmin)$", var.app_username))
    error_message = "app_username \"${var.app_username}\" is not usable: type 1 to 63 lower-case letters, digits and underscores, starting with a letter; admin, rdsadmin and names starting with pg_ or rds_ are reserved; for example web2py."
  }

  validation {
    condition     = var.app_username != var.master_username
    error_message = "app_username and master_username are both \"${var.app_username}\": type two different names, so that the application is not the master user."
  }
}

variable "multi_az" {
  description = "Whether a standby in another zone takes over when the instance fails. Doubles the price."
  type        = bool
  default     = false
}

variable "backup_retention_days" {
  description = "Days that automatic backups are kept; 0 turns them off."
  type        = number
  default     = 1

  validation {
    condition     = var.backup_retention_days >= 0 && var.backup_retention_days <= 35 && floor(var.backup_retention_days) == var.backup_retention_days
    error_message = "backup_retention_days is ${var.backup_retention_days}: type a whole number from 0 (no backups) to 35."
  }
}

variable "deletion_protection" {
  description = "Whether AWS refuses to delete the instance; teardown fails while it is on."
  type        = bool
  default     = false
}

variable "skip_final_snapshot" {
  description = "Whether teardown deletes the data for good; false leaves a snapshot behind, which costs money."
  type        = bool
  default     = true
}
