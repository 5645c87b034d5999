variable "environment" {
  description = "Which one: part of every name, and of the names of the secrets (sovd/<environment>/…)."
  type        = string

  validation {
    condition     = contains(["staging", "production"], var.environment)
    error_message = "environment must be staging or production."
  }
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "zones" {
  description = "Three availability zones of the region. In this order: another one would move subnets."
  type        = list(string)

  validation {
    condition     = length(var.zones) == 3 && length(distinct(var.zones)) == 3
    error_message = "zones must be three different ones."
  }
}

variable "vpc_cidr" {
  description = "Addresses of the VPC, a /16 to be divided by availability zone."
  type        = string
  default     = "10.20.0.0/16"

  validation {
    condition     = can(cidrhost(var.vpc_cidr, 0)) && endswith(var.vpc_cidr, "/16")
    error_message = "vpc_cidr must be a /16, as 10.20.0.0/16."
  }
}

variable "nat_gateway_per_zone" {
  description = "One NAT gateway for each zone rather than one for all: a zone that is away takes no other along."
  type        = bool
  default     = true
}

variable "kubernetes_version" {
  description = "Version of EKS, 1.30 or newer."
  type        = string
  default     = "1.33"
}

variable "api_server_cidrs" {
  description = "From where the cluster's API server can be reached; empty: only from the VPC."
  type        = list(string)
  default     = []

  validation {
    condition     = !contains(var.api_server_cidrs, "0.0.0.0/0")
    error_message = "api_server_cidrs must not be the whole world."
  }
}

variable "node_instance_types" {
  description = "Instance types of the nodes."
  type        = list(string)
  default     = ["m7i.large"]
}

variable "node_count" {
  description = "Nodes: fewest, at the start, most."
  type        = object({ min = number, desired = number, max = number })
  default     = { min = 3, desired = 3, max = 12 }
}

variable "database_instance_class" {
  description = "Instance class of RDS."
  type        = string
  default     = "db.m7g.large"
}

variable "database_storage_gb" {
  description = "Disk of RDS in GB: at the start, at most."
  type        = object({ initial = number, max = number })
  default     = { initial = 100, max = 1000 }
}

variable "database_password_version" {
  description = "Raise it by one to make RDS take a password that was changed in sovd/<environment>/database."
  type        = number
  default     = 1
}

variable "backup_retention_days" {
  description = "How long backups of RDS and ElastiCache are kept."
  type        = number
  default     = 14
}

variable "cache_node_type" {
  description = "Node type of ElastiCache."
  type        = string
  default     = "cache.m7g.large"
}

variable "cache_password_version" {
  description = "Raise it by one to make ElastiCache take a password that was changed in sovd/<environment>/redis."
  type        = number
  default     = 1
}

variable "broker_instance_type" {
  description = "Instance type of Amazon MQ. A cluster over three zones needs mq.m5.large or larger."
  type        = string
  default     = "mq.m5.large"
}

variable "broker_cluster" {
  description = "Three brokers in three zones (quorum queues live on) rather than one."
  type        = bool
  default     = true
}

variable "host" {
  description = "Public name of the web interface and the API, as sovd.example.com."
  type        = string
}

variable "certificate_arn" {
  description = "ARN of the ACM certificate of `host`."
  type        = string
}

variable "namespace" {
  description = "Kubernetes namespace of sovd-webapp."
  type        = string
  default     = "sovd"
}

variable "github_repository" {
  description = "owner/name of the repository whose pipeline pushes images and deploys; empty: none."
  type        = string
  default     = ""
}

variable "github_oidc_provider_arn" {
  description = "ARN of the account's OIDC provider of GitHub Actions; needed with github_repository."
  type        = string
  default     = ""
}
