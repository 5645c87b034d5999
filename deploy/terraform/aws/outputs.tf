output "helm_values" {
  description = "What values-production.yaml asks for: terraform output -raw helm_values > endpoints.yaml"
  value = yamlencode({
    image = { registry = split("/", aws_ecr_repository.this["gateway"].repository_url)[0] }
    config = {
      environment = var.environment
      database    = { host = aws_db_instance.this.address, port = aws_db_instance.this.port }
      redis       = { host = aws_elasticache_replication_group.this.primary_endpoint_address, port = 6379 }
      rabbitmq    = { host = regex("^amqps://([^:/]+)", aws_mq_broker.this.instances[0].endpoints[0])[0] }
    }
    externalSecrets = { region = var.region, roleArn = aws_iam_role.workload["secrets"].arn }
    ingress = {
      host        = var.host
      alb         = { certificateArn = var.certificate_arn }
      sourceCidrs = values(local.public_cidrs)
    }
    networkPolicy = { storeCidrs = values(local.store_cidrs) }
  })
}

output "cluster_name" {
  description = "aws eks update-kubeconfig --name …"
  value       = aws_eks_cluster.this.name
}

output "pipeline_role_arn" {
  description = "AWS_ROLE_ARN of the environment in GitHub; empty without github_repository."
  value       = join("", [for role in aws_iam_role.pipeline : role.arn])
}
