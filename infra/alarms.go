package infra

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	elb "github.com/aws/aws-cdk-go/awscdk/v2/awselasticloadbalancingv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsevents"
	"github.com/aws/aws-cdk-go/awscdk/v2/awseventstargets"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/aws-cdk-go/awscdk/v2/interfaces/interfacesawscloudwatch"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const (
	// backlogAlarm is the multiple of its target above which the backlog of a task is an alarm.
	backlogAlarm = 10
	// errorAlarm is the number of 5xx answers of the producer in five minutes above which there is
	// an alarm.
	errorAlarm = 50
	// leastAttempts is the number of attempts in five minutes below which failures are no alarm.
	leastAttempts = 20
	// flightAlarm is 80 % of SQS's limit of messages in flight.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-queues.html
	flightAlarm = 96_000
)

type alarmsProps struct {
	Config   Config
	Metrics  *metrics
	Worker   awsecs.FargateService
	Producer *producer // nil: there is none
	// Schedules is nil if there are none.
	Schedules *schedules
}

// alarms are the alarms and their topic.
type alarms struct {
	Topic awssns.Topic
	All   []interfacesawscloudwatch.IAlarmRef
}

// alarm is the definition of an alarm. Its name is a heading in docs/runbook.md.
type alarm struct {
	name, says string
	metric     awscloudwatch.IMetric
	comparison awscloudwatch.ComparisonOperator
	threshold  float64
	bad, of    int // the alarm needs bad of the last of periods above the threshold
	missing    awscloudwatch.TreatMissingData
}

// newAlarms creates the alarms and their topic.
func newAlarms(scope constructs.Construct, id string, props *alarmsProps) *alarms {
	here := constructs.NewConstruct(scope, &id)
	a := &alarms{Topic: newTopic(here, props.Config)}
	list := workAlarms(props)
	if props.Producer != nil {
		list = append(list, producerAlarms(props.Producer)...)
	}
	if props.Schedules != nil {
		unsent := ofQueue("ApproximateNumberOfMessagesVisible", "Maximum", props.Schedules.Unsent.QueueName())
		list = append(list, alarm{
			"delayed-messages-unsent", "EventBridge Scheduler could not send delayed messages for a day.", unsent.series(""),
			awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD, 0, 1, 1, awscloudwatch.TreatMissingData_NOT_BREACHING,
		})
	}
	for _, spec := range list {
		made := awscloudwatch.NewAlarm(here, &spec.name, &awscloudwatch.AlarmProps{
			AlarmName:          jsii.String(props.Config.Name + "-" + spec.name),
			AlarmDescription:   jsii.String(fmt.Sprintf("%s What to do: docs/runbook.md#%s", spec.says, spec.name)),
			Metric:             spec.metric,
			Threshold:          &spec.threshold,
			ComparisonOperator: spec.comparison,
			DatapointsToAlarm:  jsii.Number(spec.bad),
			EvaluationPeriods:  jsii.Number(spec.of),
			TreatMissingData:   spec.missing,
		})
		action := awscloudwatchactions.NewSnsAction(a.Topic)
		made.AddAlarmAction(action)
		made.AddOkAction(action)
		// Before the first task runs there is no data, which some alarms treat as breaching.
		made.Node().AddDependency(props.Worker)
		a.All = append(a.All, made)
	}
	tellOfFailedDeployments(here, props, a.Topic)
	return a
}

// tellOfFailedDeployments sends ECS's event of a failed deployment to the topic. No alarm shows it,
// because a rollback leaves the old version running.
// https://docs.aws.amazon.com/AmazonECS/latest/developerguide/ecs_service_deployment_events.html
func tellOfFailedDeployments(scope constructs.Construct, props *alarmsProps, topic awssns.Topic) {
	services := []*string{props.Worker.ServiceArn()}
	if props.Producer != nil {
		services = append(services, props.Producer.Service.ServiceArn())
	}
	rule := awsevents.NewRule(scope, jsii.String("DeploymentFailed"), &awsevents.RuleProps{
		Description: jsii.String("A deployment failed. What to do: docs/runbook.md#deployment-failed"),
		EventPattern: &awsevents.EventPattern{
			Source: jsii.Strings("aws.ecs"), DetailType: jsii.Strings("ECS Deployment State Change"),
			Resources: &services,
			Detail:    &map[string]any{"eventName": []string{"SERVICE_DEPLOYMENT_FAILED"}},
		},
	})
	rule.AddTarget(awseventstargets.NewSnsTopic(topic, nil))
}

// workAlarms watch the queue, the worker and the table.
func workAlarms(props *alarmsProps) []alarm {
	const (
		above = awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD
		quiet = awscloudwatch.TreatMissingData_NOT_BREACHING // no data means no messages
	)
	m, config := props.Metrics, props.Config
	throttles := expression("FILL(reads, 0) + FILL(writes, 0)", "throttled", map[string]metric{
		"reads": m.ReadThrottles, "writes": m.WriteThrottles,
	})
	return []alarm{
		{"dead-letter-queue-not-empty", "Messages were dead-lettered.", m.DeadLetters.series(""), above, 0, 1, 1, quiet},
		{
			"oldest-message-too-old", "A message waits too long.",
			m.OldestAge.series(""), above, config.Queue.OldestMessage.Seconds(), 3, 5, quiet,
		},
		{
			"backlog-per-task-too-high", "The workers do not keep up, and scaling does not help.",
			m.backlog(), above, backlogAlarm * config.backlogPerTask(), 15, 15, quiet,
		},
		noWorkerAlarm(m, config),
		{"table-throttled", "DynamoDB refuses calls.", throttles, above, 0, 3, 5, quiet},
		{
			"attempts-fail", "Too many attempts fail.", failureShare(m), above, float64(config.FailurePercent), 1, 1, quiet,
		},
		// One takeover may be due to a killed task. Repeated ones mean that leases are too short.
		{"takeovers", "Attempts take over names whose lease has lapsed.", fiveMinutes(m.Takeovers), above, 0, 3, 12, quiet},
		{
			"max-tasks-reached", "The largest allowed number of workers runs.", m.Running.series(""),
			awscloudwatch.ComparisonOperator_GREATER_THAN_OR_EQUAL_TO_THRESHOLD, float64(config.Scaling.MaxTasks), 15, 15, quiet,
		},
		{"messages-in-flight", "The queue is close to SQS's limit of messages in flight.", m.Flight.series(""), above, flightAlarm, 3, 5, quiet},
		{"leases-lost", "Attempts lost their lease while they ran.", fiveMinutes(m.LostLeases), above, 0, 1, 1, quiet},
		// The line is logged once, at the beginning of an outage. The alarm therefore looks back an
		// hour, so that it does not end before the outage.
		{"work-held-back", "The target or the table is down: messages are held back.", fiveMinutes(m.Outages), above, 0, 1, 12, quiet},
		{"queue-down", "Workers cannot receive from the queue.", fiveMinutes(m.QueueOutages), above, 0, 1, 12, quiet},
	}
}

// failureShare is the percentage of failed attempts in five minutes, 0 for fewer than
// leastAttempts.
func failureShare(m *metrics) awscloudwatch.IMetric {
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String(fmt.Sprintf("IF(all >= %d, 100 * FILL(failed, 0) / all, 0)", leastAttempts)),
		Label:      jsii.String("failed attempts, %"),
		UsingMetrics: &map[string]awscloudwatch.IMetric{
			"failed": fiveMinutes(m.FailedAttempts), "all": fiveMinutes(m.HandleTime.as("SampleCount")),
		},
		Period: seconds(5 * time.Minute),
	})
}

// noWorkerAlarm is on while no worker runs. If MinTasks is 0, it is on only while messages wait.
func noWorkerAlarm(m *metrics, config Config) alarm {
	if config.Scaling.MinTasks > 0 {
		return alarm{
			"no-worker-running", "No worker runs.", m.Running.series(""),
			awscloudwatch.ComparisonOperator_LESS_THAN_THRESHOLD, 1, 5, 5, awscloudwatch.TreatMissingData_BREACHING,
		}
	}
	return alarm{
		"no-worker-running", "Messages wait and no worker runs.",
		expression("IF(visible > 0 AND FILL(running, 0) < 1, 1, 0)", "messages without a worker",
			map[string]metric{"visible": m.Visible, "running": m.Running}),
		awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD, 0, 10, 10, awscloudwatch.TreatMissingData_NOT_BREACHING,
	}
}

// producerAlarms watch the producer.
func producerAlarms(p *producer) []alarm {
	sum := &awscloudwatch.MetricOptions{Statistic: jsii.String("Sum"), Period: seconds(5 * time.Minute)}
	lowest := &awscloudwatch.MetricOptions{Statistic: jsii.String("Minimum"), Period: seconds(metricPeriod)}
	errors := awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String("FILL(own, 0) + FILL(balancer, 0)"),
		Label:      jsii.String("answers 5xx"),
		UsingMetrics: &map[string]awscloudwatch.IMetric{
			"own":      p.Targets.Metrics().HttpCodeTarget(elb.HttpCodeTarget_TARGET_5XX_COUNT, sum),
			"balancer": p.Balancer.Metrics().HttpCodeElb(elb.HttpCodeElb_ELB_5XX_COUNT, sum),
		},
		Period: seconds(5 * time.Minute),
	})
	return []alarm{
		{
			"producer-fails", "The API answers with errors of its own.", errors,
			awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD, errorAlarm, 1, 1, awscloudwatch.TreatMissingData_NOT_BREACHING,
		},
		{
			"no-producer-healthy", "Nobody takes requests.", p.Targets.Metrics().HealthyHostCount(lowest),
			awscloudwatch.ComparisonOperator_LESS_THAN_THRESHOLD, 1, 3, 3, awscloudwatch.TreatMissingData_BREACHING,
		},
	}
}

// fiveMinutes returns the metric with a period of five minutes.
func fiveMinutes(m metric) awscloudwatch.IMetric {
	return m.series("").With(&awscloudwatch.MetricOptions{Period: seconds(5 * time.Minute)})
}

// newTopic creates the topic of the alarms. EnforceSSL gives it a policy, which replaces the
// default policy that allows alarms of this account to publish. So they are allowed explicitly.
func newTopic(scope constructs.Construct, config Config) awssns.Topic {
	topic := awssns.NewTopic(scope, jsii.String("Topic"), &awssns.TopicProps{EnforceSSL: jsii.Bool(true)})
	stack := awscdk.Stack_Of(scope)
	topic.AddToResourcePolicy(awsiam.NewPolicyStatement(&awsiam.PolicyStatementProps{
		Sid:        jsii.String("AlarmsSpeakHere"),
		Principals: &[]awsiam.IPrincipal{awsiam.NewServicePrincipal(jsii.String("cloudwatch.amazonaws.com"), nil)},
		Actions:    jsii.Strings("sns:Publish"),
		Resources:  &[]*string{topic.TopicArn()},
		Conditions: &map[string]any{"StringEquals": map[string]any{"aws:SourceAccount": stack.Account()}},
	}))
	if config.AlarmEmail != "" {
		topic.AddSubscription(awssnssubscriptions.NewEmailSubscription(&config.AlarmEmail, nil))
	}
	return topic
}
