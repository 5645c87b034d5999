# scripts/create_aws_secrets.sh makes the secrets, before this is applied: their values pass through nobody's hands.
locals {
  secrets = toset(["database", "jwt", "redis", "rabbitmq"])
}

data "aws_secretsmanager_secret" "this" {
  for_each = local.secrets

  name = "sovd/${var.environment}/${each.key}"
}

# Ephemeral: read while it is needed, and not kept in the state.
ephemeral "aws_secretsmanager_secret_version" "database" {
  secret_id = data.aws_secretsmanager_secret.this["database"].id
}

ephemeral "aws_secretsmanager_secret_version" "redis" {
  secret_id = data.aws_secretsmanager_secret.this["redis"].id
}

# Amazon MQ has no write-only arguments: what it was given first is in the state, which is encrypted.
data "aws_secretsmanager_secret_version" "rabbitmq" {
  secret_id = data.aws_secretsmanager_secret.this["rabbitmq"].id
}

resource "aws_iam_role_policy" "secrets" {
  name   = "read"
  role   = aws_iam_role.workload["secrets"].id
  policy = data.aws_iam_policy_document.secrets.json
}

data "aws_iam_policy_document" "secrets" {
  statement {
    actions = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
    resources = concat(
      [for secret in data.aws_secretsmanager_secret.this : secret.arn],
      # Those of vehicleTls, where they are kept here: they need not be there.
      ["arn:${data.aws_partition.current.partition}:secretsmanager:${var.region}:${data.aws_caller_identity.current.account_id}:secret:sovd/${var.environment}/vehicle-*"],
    )
  }
}

resource "helm_release" "external_secrets" {
  name             = "external-secrets"
  namespace        = "external-secrets"
  create_namespace = true
  repository       = "https://charts.external-secrets.io"
  chart            = "external-secrets"
  version          = "0.20.1"

  depends_on = [aws_eks_node_group.this]
}
