// Package infra deploys sqsonce on AWS with the CDK: queue, dead-letter queue and table, the worker
// and optionally the producer on Fargate, scaling, alarms and a dashboard. It can use existing
// queues, tables, clusters and VPCs: see [Config].
//
// [NewStack] creates the stack of the command infra/app. [New] adds the same resources to a stack
// of your own:
//
//	config := infra.Defaults()
//	config.Target.URL = "https://orders.internal/work"
//	config.Worker.Image = "ghcr.io/example/sqsonce:1"
//	orders, err := infra.New(stack, "Orders", config)
package infra
