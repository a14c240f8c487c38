package infra

import (
	"fmt"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatchactions"
	elb "github.com/aws/aws-cdk-go/awscdk/v2/awselasticloadbalancingv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssns"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssnssubscriptions"
	"github.com/aws/aws-cdk-go/awscdk/v2/interfaces/interfacesawscloudwatch"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const (
	// backlogAlarm is how many times its target the backlog of a task may be
	// before it is an alarm.
	backlogAlarm = 10
	// errorAlarm is how many failed attempts, or answers 5xx of the producer,
	// within five minutes are an alarm.
	errorAlarm = 50
)

type alarmsProps struct {
	Config   Config
	Metrics  *metrics
	Producer *producer // nil: there is none
}

// alarms are the alarms, and the topic that they speak to.
type alarms struct {
	Topic awssns.Topic
	All   []interfacesawscloudwatch.IAlarmRef
}

// alarm says when something is wrong. Its name is that of its section in
// docs/runbook.md.
type alarm struct {
	name, says string
	metric     awscloudwatch.IMetric
	comparison awscloudwatch.ComparisonOperator
	threshold  float64
	bad, of    int // so many bad periods of so many
	missing    awscloudwatch.TreatMissingData
}

// newAlarms makes the alarms that somebody should get up for.
func newAlarms(scope constructs.Construct, id string, props *alarmsProps) *alarms {
	here := constructs.NewConstruct(scope, &id)
	a := &alarms{Topic: newTopic(here, props.Config)}
	list := workAlarms(props)
	if props.Producer != nil {
		list = append(list, producerAlarms(props.Producer)...)
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
		a.All = append(a.All, made)
	}
	return a
}

// workAlarms watch the queue, the worker and the table.
func workAlarms(props *alarmsProps) []alarm {
	const (
		above = awscloudwatch.ComparisonOperator_GREATER_THAN_THRESHOLD
		quiet = awscloudwatch.TreatMissingData_NOT_BREACHING // no data: nothing happens
	)
	m, config := props.Metrics, props.Config
	throttles := expression("FILL(reads, 0) + FILL(writes, 0)", "throttled", map[string]metric{
		"reads": m.ReadThrottles, "writes": m.WriteThrottles,
	})
	return []alarm{
		{"dead-letter-queue-not-empty", "Messages were given up.", m.DeadLetters.series(""), above, 0, 1, 1, quiet},
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
		{"attempts-fail", "Attempts fail in numbers.", fiveMinutes(m.FailedAttempts), above, errorAlarm, 1, 1, quiet},
		{"leases-lost", "Attempts lost their lease while they ran.", fiveMinutes(m.LostLeases), above, 0, 1, 1, quiet},
		// It is logged once, so that the alarm would be over long before the
		// outage: it looks back an hour.
		{"work-held-back", "The target or the table is down: messages are held back.", fiveMinutes(m.Outages), above, 0, 1, 12, quiet},
		{"queue-down", "Workers cannot receive from the queue.", fiveMinutes(m.QueueOutages), above, 0, 1, 12, quiet},
	}
}

// noWorkerAlarm speaks when no worker runs: at all, or, where there need not
// be one, while messages wait.
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

// producerAlarms watch the HTTP front.
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

// fiveMinutes is the metric summed over five minutes.
func fiveMinutes(m metric) awscloudwatch.IMetric {
	return m.series("").With(&awscloudwatch.MetricOptions{Period: seconds(5 * time.Minute)})
}

// newTopic is where alarms go. The policy that closes it to plain HTTP
// replaces the one that let this account's alarms in, so they are let in by
// name.
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
