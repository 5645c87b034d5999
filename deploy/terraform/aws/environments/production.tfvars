# Give host and certificate_arn beside it: -var or TF_VAR_….
environment             = "production"
region                  = "eu-central-1"
zones                   = ["eu-central-1a", "eu-central-1b", "eu-central-1c"]
vpc_cidr                = "10.20.0.0/16"
nat_gateway_per_zone    = true
node_instance_types     = ["m7i.xlarge"]
node_count              = { min = 3, desired = 6, max = 24 }
database_instance_class = "db.m7g.xlarge"
database_storage_gb     = { initial = 200, max = 2000 }
backup_retention_days   = 30
cache_node_type         = "cache.m7g.large"
broker_instance_type    = "mq.m5.large"
broker_cluster          = true
