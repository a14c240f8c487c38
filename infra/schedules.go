package infra

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsscheduler"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// schedulerService is the service that sends delayed messages.
const schedulerService = "scheduler.amazonaws.com"

type schedulesProps struct {
	Config Config
	Queues *queues
}

// schedules are the resources of messages that are delayed by EventBridge Scheduler.
type schedules struct {
	// Group is the name of the group, All the ARN of every schedule in it.
	Group, All *string
	// Role is the role that EventBridge Scheduler sends with.
	Role awsiam.Role
	// Unsent gets the messages that EventBridge Scheduler could not send for a day.
	Unsent awssqs.Queue
}

// newSchedules creates the group of the schedules, the role that sends, and the queue for messages
// that could not be sent. All three are kept when the stack is deleted, because a schedule is a
// message, and its queue is kept, too.
func newSchedules(scope constructs.Construct, id string, props *schedulesProps) *schedules {
	here := constructs.NewConstruct(scope, &id)
	config, stack := props.Config, awscdk.Stack_Of(here)
	group := awsscheduler.NewCfnScheduleGroup(here, jsii.String("Group"), nil)
	group.ApplyRemovalPolicy(config.keep(), nil)

	// A dead-letter queue of EventBridge Scheduler is a standard queue, also for a FIFO queue.
	// https://docs.aws.amazon.com/scheduler/latest/UserGuide/configuring-schedule-dlq.html
	unsent := &awssqs.QueueProps{
		QueueName:       jsii.String(config.Name + "-unsent"),
		Encryption:      awssqs.QueueEncryption_SQS_MANAGED,
		EnforceSSL:      jsii.Bool(true),
		RetentionPeriod: seconds(dlqRetention),
		RemovalPolicy:   config.keep(),
	}
	s := &schedules{
		Group:  group.Ref(),
		Unsent: awssqs.NewQueue(here, jsii.String("Unsent"), unsent),
		All: stack.FormatArn(&awscdk.ArnComponents{
			Service: jsii.String("scheduler"), Resource: jsii.String("schedule"), ResourceName: jsii.String(*group.Ref() + "/*"),
		}),
	}
	suppress(s.Unsent, "AwsSolutions-SQS3", "It is a dead-letter queue itself, of EventBridge Scheduler, which no redrive policy shows")
	s.Role = scheduleRole(here, props, group, s.Unsent)
	return s
}

// scheduleRole creates the role that EventBridge Scheduler assumes for the schedules of this group
// only. Its rights are inline, because they must outlive the stack with it.
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/cross-service-confused-deputy-prevention.html
func scheduleRole(scope constructs.Construct, props *schedulesProps, group awsscheduler.CfnScheduleGroup, unsent awssqs.Queue) awsiam.Role {
	statements := []awsiam.PolicyStatement{
		allow("SendDelayedMessages", scheduleSendActions, props.Queues.Main.QueueArn()),
		allow("KeepUnsentMessages", scheduleSendActions, unsent.QueueArn()),
	}
	statements = append(statements, allowKeys(props.Config)...)
	role := awsiam.NewRole(scope, jsii.String("Role"), &awsiam.RoleProps{
		Description: jsii.String("sqsonce: EventBridge Scheduler sends delayed messages"),
		AssumedBy: awsiam.NewServicePrincipal(jsii.String(schedulerService), &awsiam.ServicePrincipalOpts{
			Conditions: &map[string]any{
				"StringEquals": map[string]any{"aws:SourceAccount": awscdk.Stack_Of(scope).Account()},
				"ArnEquals":    map[string]any{"aws:SourceArn": group.AttrArn()},
			},
		}),
		InlinePolicies: &map[string]awsiam.PolicyDocument{
			"Send": awsiam.NewPolicyDocument(&awsiam.PolicyDocumentProps{Statements: &statements}),
		},
	})
	role.ApplyRemovalPolicy(props.Config.keep())
	return role
}

// statements returns the rights to schedule messages, to look at their schedules and to cancel
// them. Who creates a schedule passes its role to EventBridge Scheduler.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazoneventbridgescheduler.html
func (s *schedules) statements() []awsiam.PolicyStatement {
	if s == nil {
		return nil
	}
	passRole := allow("PassTheRoleOfSchedules", passActions, s.Role.RoleArn())
	passRole.AddCondition(jsii.String("StringEquals"), map[string]any{"iam:PassedToService": schedulerService})
	return []awsiam.PolicyStatement{allow("ScheduleMessages", scheduleActions, s.All), passRole}
}

// outputs adds the outputs of the stack.
func (s *schedules) outputs(scope constructs.Construct) {
	if s == nil {
		return
	}
	output(scope, "ScheduleRoleArn", "--schedule-role of the producer's command line", s.Role.RoleArn())
	output(scope, "ScheduleGroup", "--schedule-group of the producer's command line", s.Group)
	output(scope, "UnsentQueueUrl", "Delayed messages that could not be sent", s.Unsent.QueueUrl())
}

// variables adds the producer's settings.
func (s *schedules) variables(to map[string]string) {
	if s == nil {
		return
	}
	to["SQSONCE_SCHEDULE_ROLE"] = *s.Role.RoleArn()
	to["SQSONCE_SCHEDULE_GROUP"] = *s.Group
	to["SQSONCE_SCHEDULE_DLQ"] = *s.Unsent.QueueArn()
}

// suppressSchedules suppresses the rule about wildcards for the schedules of the group.
func suppressSchedules(construct constructs.IConstruct) {
	suppress(construct, "AwsSolutions-IAM5", "A schedule is named after its message; the resource names the group of this stack",
		map[string]string{"regex": `/^Resource::arn:.*:schedule\/.*\/\*$/g`})
}
