# policies/load_balancer_controller.json is the controller's own, for the version below.
resource "aws_iam_role_policy" "load_balancers" {
  name   = "manage"
  role   = aws_iam_role.workload["load-balancers"].id
  policy = replace(file("${path.module}/policies/load_balancer_controller.json"), "arn:aws:", "arn:${data.aws_partition.current.partition}:")
}

resource "helm_release" "load_balancer_controller" {
  name       = "aws-load-balancer-controller"
  namespace  = "kube-system"
  repository = "https://aws.github.io/eks-charts"
  chart      = "aws-load-balancer-controller"
  version    = "1.13.4"

  values = [yamlencode({
    clusterName = aws_eks_cluster.this.name
    region      = var.region
    vpcId       = aws_vpc.this.id
    serviceAccount = {
      name        = "aws-load-balancer-controller"
      annotations = { "eks.amazonaws.com/role-arn" = aws_iam_role.workload["load-balancers"].arn }
    }
  })]

  depends_on = [aws_eks_node_group.this]
}
