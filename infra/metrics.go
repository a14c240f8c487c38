package infra

import (
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsapplicationautoscaling"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// metricPeriod is the period of alarms, graphs and scaling.
const metricPeriod = time.Minute

// backlogExpression is the backlog per task. It counts messages in flight, so that the last workers
// are not scaled in while they work. Without a task it divides by one. Missing data gives no value,
// and so no scaling.
const backlogExpression = "(visible + flight) / IF(running > 0, running, 1)"

type metricsProps struct {
	Config     Config
	Queues     *queues
	Table      table
	Cluster    awsecs.ICluster
	Worker     awsecs.FargateService
	WorkerLogs awslogs.LogGroup
}

// metrics are the metrics of scaling, alarms and dashboard.
type metrics struct {
	Visible, Flight, Running   metric // of the backlog
	OldestAge, Sent, Deleted   metric
	DeadLetters                metric
	ReadThrottles              metric
	WriteThrottles             metric
	FailedAttempts, LostLeases metric
	Outages, QueueOutages      metric
	// Reported by the workers, see telemetry.EMFNamespace.
	HandleTime, Dwell, Received, AWSCalls, Takeovers, Held, Down metric
}

// metric is one time series. The CDK's own type does not serve a scaling policy, which needs the
// parts.
type metric struct {
	Namespace, Name, Statistic string
	Dimensions                 map[string]*string
}

// newMetrics returns the metrics, and creates those that CloudWatch counts from the worker's log.
func newMetrics(scope constructs.Construct, id string, props *metricsProps) *metrics {
	here, config := constructs.NewConstruct(scope, &id), props.Config
	own := config.queueName()
	main, dead := props.Queues.Main.QueueName(), props.Queues.Dead.QueueName()
	ofTable := map[string]*string{"TableName": props.Table.TableName()}
	return &metrics{
		Visible:        ofQueue("ApproximateNumberOfMessagesVisible", "Average", main),
		Flight:         ofQueue("ApproximateNumberOfMessagesNotVisible", "Average", main),
		Running:        workerMetric(own, "Workers", "Sum"),
		HandleTime:     workerMetric(own, "HandleTime", "p99"),
		Dwell:          workerMetric(own, "Dwell", "p99"),
		Received:       workerMetric(own, "Received", "Sum"),
		AWSCalls:       workerMetric(own, "AwsCalls", "Sum"),
		Takeovers:      workerMetric(own, "Takeovers", "Sum"),
		Held:           workerMetric(own, "Held", "Sum"),
		Down:           workerMetric(own, "Down", "Maximum"),
		OldestAge:      ofQueue("ApproximateAgeOfOldestMessage", "Maximum", main),
		Sent:           ofQueue("NumberOfMessagesSent", "Sum", main),
		Deleted:        ofQueue("NumberOfMessagesDeleted", "Sum", main),
		DeadLetters:    ofQueue("ApproximateNumberOfMessagesVisible", "Maximum", dead),
		ReadThrottles:  metric{"AWS/DynamoDB", "ReadThrottleEvents", "Sum", ofTable},
		WriteThrottles: metric{"AWS/DynamoDB", "WriteThrottleEvents", "Sum", ofTable},
		FailedAttempts: countLines(here, config, "FailedAttempts", props.WorkerLogs, field("msg", notDone)),
		LostLeases: countLines(here, config, "LostLeases", props.WorkerLogs,
			awslogs.FilterPattern_All(field("msg", notDone), field("error", "*"+lostLease+"*"))),
		Outages:      countLines(here, config, "Outages", props.WorkerLogs, anyOf(outages)),
		QueueOutages: countLines(here, config, "QueueOutages", props.WorkerLogs, field("msg", queueDown+"*")),
	}
}

// Log message of a failed attempt, and the error of an attempt that lost its lease. A test compares
// them with the worker's sources.
const (
	notDone   = "not done"
	lostLease = "lease lost"
)

// outages are the beginnings of the lines that the worker logs once when it begins to hold messages
// back.
var outages = []string{"the store is down", "the target is suspect", "the target is not healthy"}

// queueDown is the beginning of the line that the worker logs once when receives have failed for a
// minute.
const queueDown = "the queue is down"

// ofQueue returns a metric of SQS.
func ofQueue(name, statistic string, queue *string) metric {
	return metric{"AWS/SQS", name, statistic, map[string]*string{"QueueName": queue}}
}

// workerMetric returns a metric that the workers of a queue write into their log.
func workerMetric(queue, name, statistic string) metric {
	return metric{emfNamespace, name, statistic, map[string]*string{"Queue": &queue}}
}

// emfNamespace is the namespace of the workers' metrics.
const emfNamespace = "sqsonce"

// as returns the metric with another statistic.
func (m metric) as(statistic string) metric {
	m.Statistic = statistic
	return m
}

// countLines creates a metric that counts the lines of a log that match a pattern.
func countLines(scope constructs.Construct, config Config, name string, logs awslogs.LogGroup, pattern awslogs.IFilterPattern) metric {
	namespace := "sqsonce/" + config.Name
	awslogs.NewMetricFilter(scope, &name, &awslogs.MetricFilterProps{
		LogGroup:        logs,
		FilterPattern:   pattern,
		MetricNamespace: &namespace,
		MetricName:      &name,
		MetricValue:     jsii.String("1"),
		DefaultValue:    jsii.Number(0),
	})
	return metric{namespace, name, "Sum", nil}
}

// field returns the pattern for JSON lines with a text in a field. A * matches any text.
func field(name, text string) awslogs.JsonPattern {
	return awslogs.FilterPattern_StringValue(jsii.String("$."+name), jsii.String("="), &text)
}

// anyOf returns the pattern for lines whose message begins with one of the texts.
func anyOf(beginnings []string) awslogs.IFilterPattern {
	patterns := make([]awslogs.JsonPattern, len(beginnings))
	for i, text := range beginnings {
		patterns[i] = field("msg", text+"*")
	}
	return awslogs.FilterPattern_Any(patterns...)
}

// series returns the metric for alarms and dashboards.
func (m metric) series(label string) awscloudwatch.Metric {
	props := &awscloudwatch.MetricProps{
		Namespace: &m.Namespace, MetricName: &m.Name, Statistic: &m.Statistic, Period: seconds(metricPeriod),
	}
	if label != "" {
		props.Label = &label
	}
	if len(m.Dimensions) > 0 {
		props.DimensionsMap = &m.Dimensions
	}
	return awscloudwatch.NewMetric(props)
}

// query returns the metric for a scaling policy.
func (m metric) query(id string) awsapplicationautoscaling.CfnScalingPolicy_TargetTrackingMetricDataQueryProperty {
	var dimensions []any
	for _, name := range sortedKeys(m.Dimensions) {
		dimensions = append(dimensions, awsapplicationautoscaling.CfnScalingPolicy_TargetTrackingMetricDimensionProperty{
			Name: &name, Value: m.Dimensions[name],
		})
	}
	return awsapplicationautoscaling.CfnScalingPolicy_TargetTrackingMetricDataQueryProperty{
		Id: &id,
		MetricStat: awsapplicationautoscaling.CfnScalingPolicy_TargetTrackingMetricStatProperty{
			Metric: awsapplicationautoscaling.CfnScalingPolicy_TargetTrackingMetricProperty{
				Namespace: &m.Namespace, MetricName: &m.Name, Dimensions: dimensions,
			},
			Stat: &m.Statistic,
		},
		ReturnData: false,
	}
}

// expression returns a metric math expression over metrics.
func expression(math, label string, of map[string]metric) awscloudwatch.MathExpression {
	using := make(map[string]awscloudwatch.IMetric, len(of))
	for id, m := range of {
		using[id] = m.series("")
	}
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: &math, Label: &label, UsingMetrics: &using, Period: seconds(metricPeriod),
	})
}

// backlog returns the backlog per task for alarms and graphs.
func (m *metrics) backlog() awscloudwatch.MathExpression {
	return expression(backlogExpression, "backlog per task", m.ofBacklog())
}

func (m *metrics) ofBacklog() map[string]metric {
	return map[string]metric{"visible": m.Visible, "flight": m.Flight, "running": m.Running}
}
