terraform {
  # Write-only arguments: the passwords of the database and of Redis are in no state.
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 6.0"
    }
    helm = {
      source  = "hashicorp/helm"
      version = "~> 3.0"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "~> 2.38"
    }
    tls = {
      source  = "hashicorp/tls"
      version = "~> 4.0"
    }
  }

  # Bucket, key and region are given to terraform init.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

provider "aws" {
  region = var.region

  default_tags {
    tags = {
      Project     = "sovd-webapp"
      Environment = var.environment
      ManagedBy   = "terraform"
    }
  }
}

locals {
  cluster_ca = base64decode(aws_eks_cluster.this.certificate_authority[0].data)
  cluster_token = {
    api_version = "client.authentication.k8s.io/v1beta1"
    command     = "aws"
    args        = ["eks", "get-token", "--region", var.region, "--cluster-name", aws_eks_cluster.this.name]
  }
}

provider "helm" {
  kubernetes = {
    host                   = aws_eks_cluster.this.endpoint
    cluster_ca_certificate = local.cluster_ca
    exec                   = local.cluster_token
  }
}

provider "kubernetes" {
  host                   = aws_eks_cluster.this.endpoint
  cluster_ca_certificate = local.cluster_ca

  exec {
    api_version = local.cluster_token.api_version
    command     = local.cluster_token.command
    args        = local.cluster_token.args
  }
}
