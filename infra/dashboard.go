package infra

import (
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/aws-cdk-go/awscdk/v2/interfaces/interfacesawscloudwatch"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const (
	halfWidth   = 12
	graphHeight = 6
)

type dashboardProps struct {
	Config   Config
	Metrics  *metrics
	Worker   *worker
	Producer *producer // nil: there is none
	Alarms   []interfacesawscloudwatch.IAlarmRef
}

type dashboard struct {
	URL *string
}

// newDashboard creates the dashboard: alarms first, then the backlog and the failures.
func newDashboard(scope constructs.Construct, id string, props *dashboardProps) *dashboard {
	m := props.Metrics
	// Dashboard names are unique in an account, across its Regions.
	stack := awscdk.Stack_Of(scope)
	name := props.Config.Name + "-" + *stack.Region()
	board := awscloudwatch.NewDashboard(scope, &id, &awscloudwatch.DashboardProps{
		DashboardName:   &name,
		PeriodOverride:  awscloudwatch.PeriodOverride_AUTO,
		DefaultInterval: seconds(3 * 60 * metricPeriod),
	})
	board.AddWidgets(awscloudwatch.NewAlarmStatusWidget(&awscloudwatch.AlarmStatusWidgetProps{
		Title: jsii.String("Is anything wrong?"), Alarms: &props.Alarms, Width: jsii.Number(2 * halfWidth), Height: jsii.Number(3),
	}))
	board.AddWidgets(
		graph("Do the workers keep up? Messages", m.Visible.series("waiting"), m.Flight.series("in flight"), m.DeadLetters.series("dead letters")),
		graph("Age of the oldest message, s", m.OldestAge.series("oldest")),
	)
	board.AddWidgets(
		graph("In and out, a minute", m.Sent.series("sent"), m.Deleted.series("done")),
		withTarget(m, props.Config),
	)
	addTold(board, m, props.Config)
	board.AddWidgets(
		graph("What fails? A minute", m.FailedAttempts.series("attempts failed"), m.LostLeases.series("leases lost"), m.Outages.series("outages begun")),
		graph("DynamoDB refuses, a minute", m.ReadThrottles.series("reads"), m.WriteThrottles.series("writes")),
	)
	board.AddWidgets(
		loadGraph("Worker: share of CPU and memory, %", props.Worker.Service),
		errorQuery("Worker: warnings and errors", *props.Worker.Logs.LogGroupName()),
	)
	if p := props.Producer; p != nil {
		minute := &awscloudwatch.MetricOptions{Period: seconds(metricPeriod)}
		board.AddWidgets(
			graph("API: requests a minute", p.Balancer.Metrics().RequestCount(minute)),
			graph("API: time to answer, s", p.Targets.Metrics().TargetResponseTime(&awscloudwatch.MetricOptions{
				Period: seconds(metricPeriod), Statistic: jsii.String("p99"), Label: jsii.String("p99"),
			})),
		)
	}
	for _, queue := range props.Config.Dashboard.Queues {
		addOther(board, queue)
	}
	return &dashboard{URL: jsii.String(fmt.Sprintf(
		"https://%[1]s.console.aws.amazon.com/cloudwatch/home?region=%[1]s#dashboards:name=%[2]s", *stack.Region(), name))}
}

// addOther adds another stack's service, by the metrics with the name of its queue.
func addOther(board awscloudwatch.Dashboard, queue string) {
	board.AddWidgets(
		graph(queue+": messages", ofQueue("ApproximateNumberOfMessagesVisible", "Average", &queue).series("waiting"),
			ofQueue("ApproximateNumberOfMessagesNotVisible", "Average", &queue).series("in flight")),
		graph(queue+": age of the oldest message, s", ofQueue("ApproximateAgeOfOldestMessage", "Maximum", &queue).series("oldest")),
	)
	board.AddWidgets(
		graph(queue+": attempts by outcome, a minute", search(queue, "Attempts", "Outcome")),
		graph(queue+": workers, held back, down", workerMetric(queue, "Workers", "Sum").series("workers"),
			workerMetric(queue, "Held", "Sum").series("messages held back"), workerMetric(queue, "Down", "Maximum").series("dependencies down")),
	)
}

// addTold adds the metrics that the workers report.
func addTold(board awscloudwatch.Dashboard, m *metrics, config Config) {
	board.AddWidgets(
		graph("Duplicates that did not run the work, by kind, a minute", search(config.queueName(), "Duplicates", "Kind")),
		graph("Attempts by outcome, a minute", search(config.queueName(), "Attempts", "Outcome")),
	)
	board.AddWidgets(
		graph("Time in the handler, s", m.HandleTime.as("p50").series("p50"), m.HandleTime.series("p99")),
		graph("From sending to handling, s", m.Dwell.as("p50").series("p50"), m.Dwell.series("p99")),
	)
	board.AddWidgets(
		graph("Calls to AWS a message", expression("calls / IF(received > 0, received, 1)", "calls a message",
			map[string]metric{"calls": m.AWSCalls, "received": m.Received})),
		graph("Held back, down, taken over", m.Held.series("messages held back"), m.Down.series("dependencies down"), m.Takeovers.series("takeovers")),
	)
}

// search returns a metric with one line for each value of a dimension.
func search(queue, name, dimension string) awscloudwatch.IMetric {
	return awscloudwatch.NewMathExpression(&awscloudwatch.MathExpressionProps{
		Expression: jsii.String(fmt.Sprintf(
			`SEARCH('{%s,Queue,%s} MetricName="%s" Queue="%s"', 'Sum', %.0f)`, emfNamespace, dimension, name, queue, metricPeriod.Seconds())),
		Label: jsii.String(""), UsingMetrics: &map[string]awscloudwatch.IMetric{}, Period: seconds(metricPeriod),
	})
}

func graph(title string, lines ...awscloudwatch.IMetric) awscloudwatch.GraphWidget {
	return awscloudwatch.NewGraphWidget(&awscloudwatch.GraphWidgetProps{
		Title: &title, Left: &lines, Width: jsii.Number(halfWidth), Height: jsii.Number(graphHeight),
		LeftYAxis: &awscloudwatch.YAxisProps{Min: jsii.Number(0), ShowUnits: jsii.Bool(false)},
	})
}

// withTarget returns a graph of the backlog per task with its scaling target, and of the number of
// tasks.
func withTarget(m *metrics, config Config) awscloudwatch.GraphWidget {
	return awscloudwatch.NewGraphWidget(&awscloudwatch.GraphWidgetProps{
		Title: jsii.String("Backlog per task, and tasks"), Width: jsii.Number(halfWidth), Height: jsii.Number(graphHeight),
		Left:  &[]awscloudwatch.IMetric{m.backlog()},
		Right: &[]awscloudwatch.IMetric{m.Running.series("tasks")},
		LeftAnnotations: &[]*awscloudwatch.HorizontalAnnotation{{
			Value: jsii.Number(config.backlogPerTask()), Label: jsii.String("aimed at"),
		}},
		LeftYAxis:  &awscloudwatch.YAxisProps{Min: jsii.Number(0), ShowUnits: jsii.Bool(false)},
		RightYAxis: &awscloudwatch.YAxisProps{Min: jsii.Number(0), ShowUnits: jsii.Bool(false)},
	})
}

func loadGraph(title string, service awsecs.FargateService) awscloudwatch.GraphWidget {
	options := &awscloudwatch.MetricOptions{Period: seconds(metricPeriod), Statistic: jsii.String("Maximum")}
	return graph(title, service.MetricCpuUtilization(options), service.MetricMemoryUtilization(options))
}

// errorQuery lists the last lines of a log above level INFO.
func errorQuery(title, group string) awscloudwatch.LogQueryWidget {
	return awscloudwatch.NewLogQueryWidget(&awscloudwatch.LogQueryWidgetProps{
		Title: &title, LogGroupNames: jsii.Strings(group), Width: jsii.Number(halfWidth), Height: jsii.Number(graphHeight),
		QueryLines: jsii.Strings(
			"fields @timestamp, level, msg, name, error",
			`filter level = "WARN" or level = "ERROR"`,
			"sort @timestamp desc",
			"limit 50",
		),
	})
}
