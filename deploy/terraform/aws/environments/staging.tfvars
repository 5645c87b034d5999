# Give host and certificate_arn beside it: -var or TF_VAR_….
environment             = "staging"
region                  = "eu-central-1"
zones                   = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
vpc_cidr                = "10.30.0.0/16"
nat_gateway_per_zone    = false
node_instance_types     = ["m7i.large"]
node_count              = { min = 2, desired = 3, max = 6 }
database_instance_class = "db.t4g.medium"
database_storage_gb     = { initial = 20, max = 100 }
backup_retention_days   = 7
cache_node_type         = "cache.t4g.small"
broker_instance_type    = "mq.m5.large"
broker_cluster          = false
