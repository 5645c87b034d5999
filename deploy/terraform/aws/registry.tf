resource "aws_ecr_repository" "this" {
  for_each = toset(["gateway", "command-service", "vehicle-connector", "vehicle-simulator", "vehicle-agent", "web"])

  name                 = "sovd-webapp/${each.key}"
  image_tag_mutability = "IMMUTABLE"

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
    kms_key         = aws_kms_key.this.arn
  }
}

resource "aws_ecr_lifecycle_policy" "this" {
  for_each = aws_ecr_repository.this

  repository = each.value.name
  # Enough to roll back to, for months.
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "The last 200"
      selection    = { tagStatus = "any", countType = "imageCountMoreThan", countNumber = 200 }
      action       = { type = "expire" }
    }]
  })
}
