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
  description = "Ids of the public subnets, where the load balancer listens."
  type        = list(string)

  validation {
    condition     = length(distinct(var.public_subnet_ids)) >= 2 && alltrue([for id in var.public_subnet_ids : startswith(id, "subnet-")])
    error_message = "public_subnet_ids needs the ids of at least two different subnets: type [\"subnet-…\", \"subnet-…\"], as the network stage puts them out."
  }
}

variable "private_subnet_ids" {
  description = "Ids of the private subnets, over which the fleet is spread."
  type        = list(string)

  validation {
    condition     = length(distinct(var.private_subnet_ids)) >= 2 && alltrue([for id in var.private_subnet_ids : startswith(id, "subnet-")])
    error_message = "private_subnet_ids needs the ids of at least two different subnets: type [\"subnet-…\", \"subnet-…\"], as the network stage puts them out."
  }
}

variable "app_security_group_id" {
  description = "Id of the security group of the application's hosts, which lets them to the database."
  type        = string

  validation {
    condition     = startswith(var.app_security_group_id, "sg-")
    error_message = "app_security_group_id \"${var.app_security_group_id}\" is not an id: type one that starts with sg-, as the network stage puts it out."
  }
}

variable "instance_profile" {
  description = "Name of the instances' instance profile; empty: they have none."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[A-Za-z0-9+=,.@_-]{0,128}$", var.instance_profile))
    error_message = "instance_profile \"${var.instance_profile}\" can't name an instance profile: type its name, not its ARN, for example web2py-local-app-us-east-1."
  }
}

# ---- From the hosts stage ------------------------------------------------------

variable "ssh_security_group_id" {
  description = "Id of the security group of the builder hosts, from which the fleet's instances are logged in to."
  type        = string

  validation {
    condition     = startswith(var.ssh_security_group_id, "sg-")
    error_message = "ssh_security_group_id \"${var.ssh_security_group_id}\" is not an id: type one that starts with sg-, as the hosts stage puts it out."
  }
}

variable "key_name" {
  description = "Name of the deployer's key pair, which the fleet's instances let in."
  type        = string

  validation {
    condition     = trimspace(var.key_name) != ""
    error_message = "key_name is empty: type the name of a key pair, as the hosts stage puts it out."
  }
}

# ---- Fleet -------------------------------------------------------------------

variable "ami_id" {
  description = "Id of the baked image that the fleet runs."
  type        = string

  validation {
    condition     = can(regex("^ami-[0-9a-f]+$", var.ami_id))
    error_message = "ami_id \"${var.ami_id}\" is not the id of an image: type one like ami-0123456789abcdef0, as the bake chapter made it."
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

variable "asg_min_size" {
  description = "Least number of instances, and the number the group starts with."
  type        = number
  default     = 1

  validation {
    condition     = var.asg_min_size >= 1 && floor(var.asg_min_size) == var.asg_min_size
    error_message = "asg_min_size is ${var.asg_min_size}: type a whole number of at least 1; a group of none serves nothing."
  }

  validation {
    condition     = var.asg_min_size <= var.asg_max_size
    error_message = "asg_min_size (${var.asg_min_size}) is greater than asg_max_size (${var.asg_max_size}): type a smaller asg_min_size or a greater asg_max_size."
  }
}

variable "asg_max_size" {
  description = "Greatest number of instances, which bounds the bill."
  type        = number
  default     = 20

  validation {
    condition     = var.asg_max_size >= 1 && floor(var.asg_max_size) == var.asg_max_size
    error_message = "asg_max_size is ${var.asg_max_size}: type a whole number of at least 1, for example 20."
  }
}

variable "health_check_grace_period" {
  description = "Seconds after launch in which a failing health check does not get an instance replaced; longer than it takes to boot and pass."
  type        = number
  default     = 180

  validation {
    condition     = var.health_check_grace_period >= 0 && var.health_check_grace_period <= 7200 && floor(var.health_check_grace_period) == var.health_check_grace_period
    error_message = "health_check_grace_period is ${var.health_check_grace_period}: type a whole number of seconds from 0 to 7200."
  }
}

variable "detailed_monitoring" {
  description = "Whether instances report their CPU every minute (costs a little) and not every five minutes (free)."
  type        = bool
  default     = true
}

# ---- Health check of the load balancer ---------------------------------------

variable "health_check_path" {
  description = "Path that must answer 200; a cheap one that needs no database, or a busy instance gets killed for being busy."
  type        = string
  default     = "/health"

  validation {
    condition     = can(regex("^/[!-~]*$", var.health_check_path)) && length(var.health_check_path) <= 1024
    error_message = "health_check_path \"${var.health_check_path}\" is not a path: type one that starts with a slash and has no blanks, for example /health."
  }
}

variable "health_check_interval" {
  description = "Seconds between two checks of an instance."
  type        = number
  default     = 5

  validation {
    condition     = var.health_check_interval >= 5 && var.health_check_interval <= 300 && floor(var.health_check_interval) == var.health_check_interval
    error_message = "health_check_interval is ${var.health_check_interval}: type a whole number of seconds from 5 to 300."
  }
}

variable "health_check_timeout" {
  description = "Seconds after which a check without an answer counts as failed."
  type        = number
  default     = 4

  validation {
    condition     = var.health_check_timeout >= 2 && var.health_check_timeout <= 120 && floor(var.health_check_timeout) == var.health_check_timeout
    error_message = "health_check_timeout is ${var.health_check_timeout}: type a whole number of seconds from 2 to 120."
  }

  validation {
    condition     = var.health_check_timeout < var.health_check_interval
    error_message = "health_check_timeout (${var.health_check_timeout} s) must be smaller than health_check_interval (${var.health_check_interval} s): type a smaller timeout or a greater interval."
  }
}

variable "healthy_threshold" {
  description = "Successful checks in a row that make an instance healthy."
  type        = number
  default     = 2

  validation {
    condition     = var.healthy_threshold >= 2 && var.healthy_threshold <= 10 && floor(var.healthy_threshold) == var.healthy_threshold
    error_message = "healthy_threshold is ${var.healthy_threshold}: type a whole number from 2 to 10."
  }
}

variable "unhealthy_threshold" {
  description = "Failed checks in a row that make an instance unhealthy, and get it replaced."
  type        = number
  default     = 3

  validation {
    condition     = var.unhealthy_threshold >= 2 && var.unhealthy_threshold <= 10 && floor(var.unhealthy_threshold) == var.unhealthy_threshold
    error_message = "unhealthy_threshold is ${var.unhealthy_threshold}: type a whole number from 2 to 10."
  }
}

# ---- Target group ------------------------------------------------------------

variable "domain_name" {
  description = "Domain of your own that leads to the load balancer. Requests for it by HTTP are sent on to HTTPS."
  type        = string
  default     = ""

  validation {
    condition     = (var.domain_name == "") == (var.certificate_arn == "")
    error_message = "domain_name is \"${var.domain_name}\" and certificate_arn is \"${var.certificate_arn}\": type both, or neither."
  }
}

variable "certificate_arn" {
  description = "Certificate of that domain in ACM, in the same region. Empty: no HTTPS."
  type        = string
  default     = ""

  validation {
    condition     = var.certificate_arn == "" || can(regex("^arn:[^:]+:acm:", var.certificate_arn))
    error_message = "certificate_arn is \"${var.certificate_arn}\": type the ARN of a certificate in ACM, for example arn:aws:acm:us-east-1:123456789012:certificate/0123-4567."
  }
}

variable "load_balancing_algorithm" {
  description = "Which instance gets a request: the one with the fewest open ones, or one after the other."
  type        = string
  default     = "least_outstanding_requests"

  validation {
    condition     = contains(["least_outstanding_requests", "round_robin"], var.load_balancing_algorithm)
    error_message = "load_balancing_algorithm is ${var.load_balancing_algorithm}: type least_outstanding_requests or round_robin."
  }
}

variable "slow_start" {
  description = "Seconds over which a newly healthy instance's share of the requests grows to its full size; 0 gives it a full share at once. With round_robin only."
  type        = number
  default     = 0

  validation {
    condition     = var.slow_start == 0 || (var.slow_start >= 30 && var.slow_start <= 900 && floor(var.slow_start) == var.slow_start)
    error_message = "slow_start is ${var.slow_start}: type 0 (off) or a whole number of seconds from 30 to 900."
  }

  validation {
    condition     = var.slow_start == 0 || var.load_balancing_algorithm == "round_robin"
    error_message = "slow_start is ${var.slow_start}, which AWS has with round_robin only: type 0, or load_balancing_algorithm = \"round_robin\"."
  }
}

variable "deregistration_delay" {
  description = "Seconds that an instance which leaves may take to finish its requests."
  type        = number
  default     = 30

  validation {
    condition     = var.deregistration_delay >= 0 && var.deregistration_delay <= 3600 && floor(var.deregistration_delay) == var.deregistration_delay
    error_message = "deregistration_delay is ${var.deregistration_delay}: type a whole number of seconds from 0 to 3600."
  }
}

variable "sticky" {
  description = "Whether a visitor is sent to the same instance for a day, by a cookie of the load balancer: for an application whose sessions are files of the instance."
  type        = bool
  default     = false
}

# ---- Scaling -----------------------------------------------------------------

variable "scaling_policy" {
  description = "How the group follows its CPU: thresholds (an alarm adds a fixed number of instances, another removes some) or target_tracking (AWS adds and removes as many as keep it at target_cpu)."
  type        = string
  default     = "thresholds"

  validation {
    condition     = contains(["thresholds", "target_tracking"], var.scaling_policy)
    error_message = "scaling_policy is ${var.scaling_policy}: type thresholds or target_tracking."
  }
}

variable "target_cpu" {
  description = "Average CPU of the fleet in percent that target_tracking keeps."
  type        = number
  default     = 40

  validation {
    condition     = var.target_cpu > 0 && var.target_cpu <= 100
    error_message = "target_cpu is ${var.target_cpu}: type a percentage above 0, at most 100, for example 40."
  }
}

variable "scale_out_cpu_threshold" {
  description = "Average CPU of the fleet in percent, at or above which instances are added."
  type        = number
  default     = 40

  validation {
    condition     = var.scale_out_cpu_threshold > 0 && var.scale_out_cpu_threshold <= 100
    error_message = "scale_out_cpu_threshold is ${var.scale_out_cpu_threshold}: type a percentage above 0, at most 100, for example 40."
  }
}

variable "scale_out_adjustment" {
  description = "Number of instances added at a time."
  type        = number
  default     = 10

  validation {
    condition     = var.scale_out_adjustment >= 1 && floor(var.scale_out_adjustment) == var.scale_out_adjustment
    error_message = "scale_out_adjustment is ${var.scale_out_adjustment}: type a whole number of at least 1, for example 10."
  }
}

variable "scale_in_cpu_threshold" {
  description = "Average CPU of the fleet in percent, at or below which instances are removed."
  type        = number
  default     = 10

  validation {
    condition     = var.scale_in_cpu_threshold >= 0 && var.scale_in_cpu_threshold <= 100
    error_message = "scale_in_cpu_threshold is ${var.scale_in_cpu_threshold}: type a percentage from 0 to 100, for example 10."
  }

  # The other way round both alarms fire at once, and the fleet swings for ever.
  validation {
    condition     = var.scale_in_cpu_threshold < var.scale_out_cpu_threshold
    error_message = "scale_in_cpu_threshold (${var.scale_in_cpu_threshold} %) must be smaller than scale_out_cpu_threshold (${var.scale_out_cpu_threshold} %): type a smaller one, for example 10."
  }
}

variable "scale_in_adjustment" {
  description = "Number of instances removed at a time, as a negative number."
  type        = number
  default     = -5

  validation {
    condition     = var.scale_in_adjustment <= -1 && floor(var.scale_in_adjustment) == var.scale_in_adjustment
    error_message = "scale_in_adjustment is ${var.scale_in_adjustment}: type a negative whole number, for example -5."
  }
}

variable "alarm_period" {
  description = "Seconds over which the fleet's CPU is averaged. On AWS 60 is the least that makes sense, since instances report once a minute; 10 and 30 are for the local cloud."
  type        = number
  default     = 60

  validation {
    condition     = contains([10, 30], var.alarm_period) || (var.alarm_period >= 60 && var.alarm_period % 60 == 0)
    error_message = "alarm_period is ${var.alarm_period}: type 10, 30 or a multiple of 60 (seconds), for example 60."
  }

  validation {
    condition     = var.detailed_monitoring || var.alarm_period >= 300
    error_message = "alarm_period is ${var.alarm_period} s, but without detailed_monitoring instances report every 300 s only: type an alarm_period of 300 or more, or detailed_monitoring = true."
  }
}

variable "alarm_evaluation_periods" {
  description = "Number of periods in a row that must be beyond the threshold."
  type        = number
  default     = 2

  validation {
    condition     = var.alarm_evaluation_periods >= 1 && floor(var.alarm_evaluation_periods) == var.alarm_evaluation_periods
    error_message = "alarm_evaluation_periods is ${var.alarm_evaluation_periods}: type a whole number of at least 1, for example 2."
  }

  validation {
    condition     = var.alarm_evaluation_periods * var.alarm_period <= 86400
    error_message = "alarm_evaluation_periods (${var.alarm_evaluation_periods}) times alarm_period (${var.alarm_period} s) is more than a day, which CloudWatch refuses: type a smaller one of the two."
  }
}

variable "scaling_cooldown" {
  description = "Seconds after a scaling step in which no further step begins; time for new instances to take their share."
  type        = number
  default     = 120

  validation {
    condition     = var.scaling_cooldown >= 0 && var.scaling_cooldown <= 3600 && floor(var.scaling_cooldown) == var.scaling_cooldown
    error_message = "scaling_cooldown is ${var.scaling_cooldown}: type a whole number of seconds from 0 to 3600."
  }
}

variable "refresh_error_percent" {
  description = "Percentage of requests answered with 5xx above which a version that is being rolled out is taken back."
  type        = number
  default     = 5

  validation {
    condition     = var.refresh_error_percent > 0 && var.refresh_error_percent < 100
    error_message = "refresh_error_percent is ${var.refresh_error_percent}: type a percentage above 0 and below 100, for example 5."
  }
}
