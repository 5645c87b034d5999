# What the pipeline (.github/workflows) may do: push images, and deploy into the one namespace.
locals {
  pipeline = var.github_repository == "" ? {} : { pipeline = var.github_repository }
}

data "aws_iam_policy_document" "pipeline_assume" {
  for_each = local.pipeline

  statement {
    actions = ["sts:AssumeRoleWithWebIdentity"]

    principals {
      type        = "Federated"
      identifiers = [var.github_oidc_provider_arn]
    }

    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:aud"
      values   = ["sts.amazonaws.com"]
    }

    # Its jobs of these environments only: the one that pushes images, and the one that deploys, which people approve.
    condition {
      test     = "StringEquals"
      variable = "token.actions.githubusercontent.com:sub"
      values = [
        "repo:${each.value}:environment:${var.environment}-images",
        "repo:${each.value}:environment:${var.environment}",
      ]
    }
  }
}

data "aws_iam_policy_document" "pipeline" {
  # checkov:skip=CKV_AWS_356:GetAuthorizationToken knows no resource
  statement {
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }

  statement {
    actions = [
      "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:CompleteLayerUpload", "ecr:DescribeImages",
      "ecr:GetDownloadUrlForLayer", "ecr:InitiateLayerUpload", "ecr:PutImage", "ecr:UploadLayerPart",
    ]
    resources = [for repository in aws_ecr_repository.this : repository.arn]
  }

  statement {
    actions   = ["eks:DescribeCluster"]
    resources = [aws_eks_cluster.this.arn]
  }
}

resource "aws_iam_role" "pipeline" {
  for_each = local.pipeline

  name               = "${local.name}-pipeline"
  assume_role_policy = data.aws_iam_policy_document.pipeline_assume[each.key].json
}

resource "aws_iam_role_policy" "pipeline" {
  for_each = local.pipeline

  name   = "push-and-deploy"
  role   = aws_iam_role.pipeline[each.key].id
  policy = data.aws_iam_policy_document.pipeline.json
}

resource "aws_eks_access_entry" "pipeline" {
  for_each = local.pipeline

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_iam_role.pipeline[each.key].arn
}

resource "aws_eks_access_policy_association" "pipeline" {
  for_each = local.pipeline

  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_iam_role.pipeline[each.key].arn

  # All kinds, operators' own too (AmazonEKSAdminPolicy knows those of Kubernetes only), in the one namespace.
  policy_arn = "arn:${data.aws_partition.current.partition}:eks::aws:cluster-access-policy/AmazonEKSClusterAdminPolicy"

  access_scope {
    type       = "namespace"
    namespaces = [var.namespace]
  }
}
