# A worker for a queue, a table and a cluster that Terraform has: the stack of
# deploy/cloudformation/worker.json, so that rights, scaling and alarms have one source.
terraform {
  required_version = ">= 1.3"
  required_providers {
    aws = { source = "hashicorp/aws", version = ">= 5.0" }
  }
}

variable "name" {
  type        = string
  description = "Name of the stack"
}

variable "parameters" {
  type        = map(string)
  description = "Parameters of the template: Image, QueueArn, DlqArn, TableName, ClusterName, VpcId, Subnets (with commas), TargetImage or TargetUrl, ..."
}

resource "aws_cloudformation_stack" "worker" {
  name          = var.name
  template_body = file("${path.module}/../cloudformation/worker.json")
  parameters    = var.parameters
  capabilities  = ["CAPABILITY_IAM"]
}

output "outputs" {
  value       = aws_cloudformation_stack.worker.outputs
  description = "DashboardUrl, AlarmTopicArn, WorkerLogGroup, OperatorPolicyArn, ..."
}
