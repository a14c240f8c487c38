package infra

import (
	"time"

	scaling "github.com/aws/aws-cdk-go/awscdk/v2/awsapplicationautoscaling"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsecs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

const (
	scaleOutCooldown = time.Minute
	// The cooldown is longer than the start of a task, so that bursts of messages do not start and
	// stop tasks each time.
	scaleInCooldown = 5 * time.Minute
	wakeCooldown    = 3 * time.Minute
)

type scalingProps struct {
	Config  Config
	Cluster awsecs.ICluster
	Worker  awsecs.FargateService
	Metrics *metrics
}

// newScaling keeps the backlog of a task near its target. It uses the CloudFormation resources,
// because the CDK's target tracking supports no expressions. The CDK's queue pattern does not fit:
// it scales by CPU, which is low in a worker that waits for its target, and in steps by the visible
// messages alone.
func newScaling(scope constructs.Construct, id string, props *scalingProps) {
	here := constructs.NewConstruct(scope, &id)
	config := props.Config.Scaling
	target := scaling.NewCfnScalableTarget(here, jsii.String("Tasks"), &scaling.CfnScalableTargetProps{
		MinCapacity:       jsii.Number(config.MinTasks),
		MaxCapacity:       jsii.Number(config.MaxTasks),
		ResourceId:        jsii.String("service/" + *props.Cluster.ClusterName() + "/" + *props.Worker.ServiceName()),
		ScalableDimension: jsii.String("ecs:service:DesiredCount"),
		ServiceNamespace:  jsii.String("ecs"),
	})
	target.Node().AddDependency(props.Worker)

	scaling.NewCfnScalingPolicy(here, jsii.String("Backlog"), &scaling.CfnScalingPolicyProps{
		PolicyName:      jsii.String("backlog-per-task"),
		PolicyType:      jsii.String("TargetTrackingScaling"),
		ScalingTargetId: target.Ref(),
		TargetTrackingScalingPolicyConfiguration: &scaling.CfnScalingPolicy_TargetTrackingScalingPolicyConfigurationProperty{
			TargetValue:      jsii.Number(props.Config.backlogPerTask()),
			ScaleOutCooldown: jsii.Number(scaleOutCooldown.Seconds()),
			ScaleInCooldown:  jsii.Number(scaleInCooldown.Seconds()),
			CustomizedMetricSpecification: &scaling.CfnScalingPolicy_CustomizedMetricSpecificationProperty{
				Metrics: backlogQueries(props.Metrics),
			},
		},
	})
	if config.MinTasks == 0 {
		wakeUp(here, target, props.Metrics)
	}
}

// backlogQueries returns the metrics of the backlog and the expression over them. Only the
// expression returns data to the policy.
func backlogQueries(m *metrics) []any {
	var queries []any
	for _, id := range sortedKeys(m.ofBacklog()) {
		queries = append(queries, m.ofBacklog()[id].query(id))
	}
	return append(queries, scaling.CfnScalingPolicy_TargetTrackingMetricDataQueryProperty{
		Id: jsii.String("backlog"), Expression: jsii.String(backlogExpression), ReturnData: true,
	})
}

// wakeUp starts the first task, which target tracking cannot: it multiplies the number of tasks.
// One message is enough. The policy adds a task instead of setting the number to one, so that a gap
// in the data, which looks like no task, does not scale in working tasks. Without tasks there is no
// data, hence FILL.
func wakeUp(scope constructs.Construct, target scaling.CfnScalableTarget, m *metrics) {
	policy := scaling.NewCfnScalingPolicy(scope, jsii.String("Wake"), &scaling.CfnScalingPolicyProps{
		PolicyName:      jsii.String("wake-up"),
		PolicyType:      jsii.String("StepScaling"),
		ScalingTargetId: target.Ref(),
		StepScalingPolicyConfiguration: &scaling.CfnScalingPolicy_StepScalingPolicyConfigurationProperty{
			AdjustmentType:        jsii.String("ChangeInCapacity"),
			Cooldown:              jsii.Number(wakeCooldown.Seconds()),
			MetricAggregationType: jsii.String("Maximum"),
			StepAdjustments: []any{scaling.CfnScalingPolicy_StepAdjustmentProperty{
				MetricIntervalLowerBound: jsii.Number(0), ScalingAdjustment: jsii.Number(1),
			}},
		},
	})
	alarm := awscloudwatch.NewAlarm(scope, jsii.String("WakeAlarm"), &awscloudwatch.AlarmProps{
		AlarmDescription: jsii.String("Not for people: messages wait and no worker runs, so the first is started."),
		Metric: expression("IF(visible > 0 AND FILL(running, 0) < 1, 1, 0)", "messages without a worker",
			map[string]metric{"visible": m.Visible, "running": m.Running}),
		Threshold:          jsii.Number(1),
		ComparisonOperator: awscloudwatch.ComparisonOperator_GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
		EvaluationPeriods:  jsii.Number(1),
		TreatMissingData:   awscloudwatch.TreatMissingData_NOT_BREACHING,
	})
	alarm.Node().DefaultChild().(awscloudwatch.CfnAlarm).SetAlarmActions(&[]*string{policy.AttrArn()})
}
