# Only the cluster's pods reach the stores, and only on their ports.
locals {
  stores = { database = [5432], redis = [6379], rabbitmq = [5671, 443] }
}

resource "aws_security_group" "store" {
  for_each = local.stores

  name        = "${local.name}-${each.key}"
  description = "${each.key} of sovd-webapp ${var.environment}"
  vpc_id      = aws_vpc.this.id
}

resource "aws_vpc_security_group_ingress_rule" "store" {
  for_each = { for pair in flatten([for store, ports in local.stores : [for port in ports : { store = store, port = port }]]) :
  "${pair.store}-${pair.port}" => pair }

  description                  = "From the cluster's nodes and pods"
  security_group_id            = aws_security_group.store[each.value.store].id
  referenced_security_group_id = aws_eks_cluster.this.vpc_config[0].cluster_security_group_id
  ip_protocol                  = "tcp"
  from_port                    = each.value.port
  to_port                      = each.value.port
}

# PostgreSQL

resource "aws_db_subnet_group" "this" {
  name       = local.name
  subnet_ids = [for subnet in aws_subnet.stores : subnet.id]
}

resource "aws_db_parameter_group" "this" {
  name_prefix = "${local.name}-"
  family      = "postgres16"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "log_statement"
    value = "ddl"
  }

  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  parameter {
    name  = "log_lock_waits"
    value = "1"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_iam_role" "database_monitoring" {
  name               = "${local.name}-database-monitoring"
  assume_role_policy = data.aws_iam_policy_document.assume["monitoring.rds"].json
}

resource "aws_iam_role_policy_attachment" "database_monitoring" {
  role       = aws_iam_role.database_monitoring.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/service-role/AmazonRDSEnhancedMonitoringRole"
}

resource "aws_db_instance" "this" {
  identifier     = local.name
  engine         = "postgres"
  engine_version = "16"
  instance_class = var.database_instance_class
  multi_az       = true

  db_name             = "sovd"
  username            = "sovd"
  password_wo         = jsondecode(ephemeral.aws_secretsmanager_secret_version.database.secret_string)["password"]
  password_wo_version = var.database_password_version

  storage_type          = "gp3"
  allocated_storage     = var.database_storage_gb.initial
  max_allocated_storage = var.database_storage_gb.max
  storage_encrypted     = true
  kms_key_id            = aws_kms_key.this.arn

  db_subnet_group_name   = aws_db_subnet_group.this.name
  vpc_security_group_ids = [aws_security_group.store["database"].id]
  parameter_group_name   = aws_db_parameter_group.this.name

  backup_retention_period   = var.backup_retention_days
  backup_window             = "02:00-03:00"
  maintenance_window        = "sun:03:30-sun:04:30"
  copy_tags_to_snapshot     = true
  deletion_protection       = true
  final_snapshot_identifier = "${local.name}-final"

  iam_database_authentication_enabled = true
  auto_minor_version_upgrade          = true
  enabled_cloudwatch_logs_exports     = ["postgresql", "upgrade"]
  monitoring_interval                 = 60
  monitoring_role_arn                 = aws_iam_role.database_monitoring.arn
  performance_insights_enabled        = true
  performance_insights_kms_key_id     = aws_kms_key.this.arn
}

# Redis

resource "aws_elasticache_subnet_group" "this" {
  name       = local.name
  subnet_ids = [for subnet in aws_subnet.stores : subnet.id]
}

resource "aws_elasticache_replication_group" "this" {
  # checkov:skip=CKV_AWS_31:encrypted, and its token is auth_token_wo, which the rule does not know
  replication_group_id = local.name
  description          = "Live events and rate limits of sovd-webapp ${var.environment}"
  engine               = "redis"
  engine_version       = "7.1"
  node_type            = var.cache_node_type

  num_cache_clusters         = 2
  automatic_failover_enabled = true
  multi_az_enabled           = true

  # Old and new one are good until the next change.
  auth_token_wo              = jsondecode(ephemeral.aws_secretsmanager_secret_version.redis.secret_string)["password"]
  auth_token_wo_version      = var.cache_password_version
  auth_token_update_strategy = "ROTATE"
  transit_encryption_enabled = true
  at_rest_encryption_enabled = true
  kms_key_id                 = aws_kms_key.this.arn

  subnet_group_name        = aws_elasticache_subnet_group.this.name
  security_group_ids       = [aws_security_group.store["redis"].id]
  snapshot_retention_limit = var.backup_retention_days
  maintenance_window       = "sun:04:30-sun:05:30"
}

# RabbitMQ

resource "aws_mq_broker" "this" {
  # checkov:skip=CKV_AWS_48:RabbitMQ has no audit log; its general log is kept
  # checkov:skip=CKV_AWS_197:RabbitMQ has no audit log; its general log is kept
  # checkov:skip=CKV_AWS_209:RabbitMQ brokers take no key of one's own; AWS's own encrypts them
  broker_name                = local.name
  engine_type                = "RabbitMQ"
  engine_version             = "3.13"
  host_instance_type         = var.broker_instance_type
  deployment_mode            = var.broker_cluster ? "CLUSTER_MULTI_AZ" : "SINGLE_INSTANCE"
  subnet_ids                 = var.broker_cluster ? [for subnet in aws_subnet.stores : subnet.id] : [aws_subnet.stores[var.zones[0]].id]
  security_groups            = [aws_security_group.store["rabbitmq"].id]
  publicly_accessible        = false
  auto_minor_version_upgrade = true

  user {
    username = "sovd"
    password = jsondecode(data.aws_secretsmanager_secret_version.rabbitmq.secret_string)["password"]
  }

  logs {
    general = true
  }

  maintenance_window_start_time {
    day_of_week = "SUNDAY"
    time_of_day = "05:30"
    time_zone   = "UTC"
  }

  lifecycle {
    # Another user here would be another broker: RabbitMQ's users are changed in its management interface.
    ignore_changes = [user]
  }
}
