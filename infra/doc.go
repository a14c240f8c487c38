// Package infra puts sqsonce on AWS with the CDK: queue, dead-letter queue and table, the worker
// and, where it is wanted, the producer on Fargate; scaling, alarms and a dashboard. What is there
// already is used instead: see [Config].
//
// [NewStack] is the stack of the command in infra/app. [New] is the same as a construct, for a
// stack of your own:
//
//	config := infra.Defaults()
//	config.Target.URL = "https://orders.internal/work"
//	config.Worker.Image = "ghcr.io/example/sqsonce:1"
//	orders, err := infra.New(stack, "Orders", config)
package infra
