package schedule

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/scheduler/types"
)

// Config says how schedules are made.
type Config struct {
	// RoleARN is the role that EventBridge Scheduler sends the messages with: it needs
	// sqs:SendMessage on the queue, and who makes schedules iam:PassRole on it. Required.
	RoleARN string
	// Group is the schedule group. Default: the account's default group.
	Group string
	// DLQARN is a standard queue for invocations that have failed for a day. Default: none.
	DLQARN string
}

// Forms of the settings.
// https://docs.aws.amazon.com/scheduler/latest/APIReference/API_Target.html
// https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html
// https://docs.aws.amazon.com/scheduler/latest/APIReference/API_DeadLetterConfig.html
var (
	roleARN   = regexp.MustCompile(`^arn:(aws(?:-[a-z]+)*):iam::\d{12}:role/[\w+=,.@/-]+$`)
	groupName = regexp.MustCompile(`^[0-9A-Za-z_.-]{1,64}$`)
	queueARN  = regexp.MustCompile(`^arn:aws(?:-[a-z]+)*:sqs:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]+$`)
)

// Validate returns an error that lists everything that is wrong with c.
func (c Config) Validate() error {
	var errs []error
	if !roleARN.MatchString(c.RoleARN) {
		errs = append(errs, fmt.Errorf("RoleARN %q: must be the ARN of a role, as arn:aws:iam::123456789012:role/NAME", c.RoleARN))
	}
	if c.Group != "" && !groupName.MatchString(c.Group) {
		errs = append(errs, fmt.Errorf("Group %q: must be 1 to 64 letters, digits, -, _ and .", c.Group))
	}
	if c.DLQARN != "" && !queueARN.MatchString(c.DLQARN) {
		errs = append(errs, fmt.Errorf("DLQARN %q: must be the ARN of a standard queue", c.DLQARN))
	}
	return errors.Join(errs...)
}

// AWS keeps schedules in EventBridge Scheduler. Use [New].
type AWS struct {
	client *scheduler.Client
	cfg    Config
	target string // ARN
}

var _ Scheduler = (*AWS)(nil)

// New returns a scheduler, or an error that lists everything that is wrong with cfg. It makes
// no call.
func New(client *scheduler.Client, cfg Config) (*AWS, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("schedule: %w", err)
	}
	// A universal target: the templated one for SQS sends no message attributes, as its
	// parameters are the message group alone.
	// https://docs.aws.amazon.com/scheduler/latest/APIReference/API_SqsParameters.html
	partition := roleARN.FindStringSubmatch(cfg.RoleARN)[1]
	return &AWS{client: client, cfg: cfg, target: "arn:" + partition + ":scheduler:::aws-sdk:sqs:sendMessage"}, nil
}

// Schedules run with a precision of 60 seconds: one for 1:00 runs between 1:00:00 and 1:00:59.
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/schedule-types.html
const precision = time.Minute

// expression is the form of a one-time schedule, in UTC.
const expression = "at(2006-01-02T15:04:05)"

// due is the time of a schedule that must not run before at: the next whole minute.
func due(at time.Time) time.Time {
	whole := at.Truncate(precision)
	if whole.Before(at) {
		whole = whole.Add(precision)
	}
	return whole.UTC()
}

// Create implements [Scheduler]. The schedule deletes itself once it has run.
func (s *AWS) Create(ctx context.Context, name string, what Schedule) (time.Time, error) {
	input, err := what.Message.input()
	if err != nil {
		return time.Time{}, err
	}
	at := due(what.At)
	target := &types.Target{Arn: &s.target, RoleArn: &s.cfg.RoleARN, Input: &input}
	if s.cfg.DLQARN != "" {
		target.DeadLetterConfig = &types.DeadLetterConfig{Arn: &s.cfg.DLQARN}
	}
	_, err = s.client.CreateSchedule(ctx, &scheduler.CreateScheduleInput{
		Name: &name, GroupName: s.group(), Target: target,
		ScheduleExpression: aws.String(at.Format(expression)), ScheduleExpressionTimezone: aws.String("UTC"),
		FlexibleTimeWindow:    &types.FlexibleTimeWindow{Mode: types.FlexibleTimeWindowModeOff},
		ActionAfterCompletion: types.ActionAfterCompletionDelete,
	})
	if _, exists := errors.AsType[*types.ConflictException](err); exists {
		return time.Time{}, fmt.Errorf("%w: %w", ErrExists, err)
	}
	if err != nil {
		return time.Time{}, fmt.Errorf("schedule: create: %w", err)
	}
	return at, nil
}

// Get implements [Scheduler].
func (s *AWS) Get(ctx context.Context, name string) (Schedule, error) {
	out, err := s.client.GetSchedule(ctx, &scheduler.GetScheduleInput{Name: &name, GroupName: s.group()})
	if err != nil {
		return Schedule{}, s.failed("get", err)
	}
	var found Schedule
	if found.At, err = time.Parse(expression, aws.ToString(out.ScheduleExpression)); err != nil {
		return Schedule{}, fmt.Errorf("schedule: %s: %w", name, err)
	}
	if out.Target == nil || json.Unmarshal([]byte(aws.ToString(out.Target.Input)), &found.Message) != nil {
		return Schedule{}, fmt.Errorf("schedule: %s: its input is no message", name)
	}
	return found, nil
}

// Delete implements [Scheduler].
func (s *AWS) Delete(ctx context.Context, name string) error {
	_, err := s.client.DeleteSchedule(ctx, &scheduler.DeleteScheduleInput{Name: &name, GroupName: s.group()})
	return s.failed("delete", err)
}

// failed is the error of a call about one schedule.
func (s *AWS) failed(call string, err error) error {
	if err == nil {
		return nil
	}
	// A group that is missing is not found either: its name is in the message then.
	if missing, ok := errors.AsType[*types.ResourceNotFoundException](err); ok && !strings.Contains(missing.ErrorMessage(), "Schedule group") {
		return fmt.Errorf("%w: %w", ErrNone, err)
	}
	return fmt.Errorf("schedule: %s: %w", call, err)
}

func (s *AWS) group() *string {
	if s.cfg.Group == "" {
		return nil
	}
	return &s.cfg.Group
}
