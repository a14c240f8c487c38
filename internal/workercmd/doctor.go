package workercmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/doctor"
	"github.com/sqsonce/sqsonce/internal/schedule"
)

// errAssumptions is what "worker doctor" fails with.
var errAssumptions = errors.New("AWS is not as assumed")

// runDoctor checks what the worker assumes of AWS and prints what it has seen.
func runDoctor(ctx context.Context, e examination, stdout io.Writer) error {
	cfg, err := awsenv.Load(ctx, slog.Default())
	if err != nil {
		return err
	}
	return examine(ctx, e, cfg, os.Stdin, stdout)
}

func examine(ctx context.Context, e examination, cfg aws.Config, stdin io.Reader, stdout io.Writer) error {
	schedules, err := e.schedules(cfg)
	if err != nil {
		return err
	}
	findings, left := doctor.Run(ctx, doctor.Config{
		Schedules: schedules, Queue: sqs.NewFromConfig(cfg), Table: dynamodb.NewFromConfig(cfg), Region: cfg.Region,
		QueueURL: e.QueueURL, DLQURL: e.DLQURL, Name: e.Table, TTL: e.TTL, Skew: e.Skew, Send: mayBeSent(e, stdin, stdout),
	})
	err = doctor.Print(stdout, findings)
	if sick := doctor.Sick(findings); sick > 0 {
		err = errors.Join(err, fmt.Errorf("%w: %d of %d assumptions do not hold", errAssumptions, sick, len(findings)))
	}
	return errors.Join(err, left)
}

// schedules are where the producer keeps delayed messages; nil without --schedule-role.
func (e examination) schedules(cfg aws.Config) (schedule.Scheduler, error) {
	if e.ScheduleRole == "" {
		if e.ScheduleGroup+e.ScheduleDLQ == "" {
			return nil, nil //nolint:nilnil // no schedules are no error
		}
		return nil, &awsenv.SettingsError{Problems: []string{
			fmt.Sprintf("--schedule-group %q, --schedule-dlq %q: there is no --schedule-role", e.ScheduleGroup, e.ScheduleDLQ),
		}}
	}
	made, err := schedule.New(scheduler.NewFromConfig(cfg), schedule.Config{RoleARN: e.ScheduleRole, Group: e.ScheduleGroup, DLQARN: e.ScheduleDLQ})
	if err != nil {
		return nil, &awsenv.SettingsError{Problems: []string{
			strings.NewReplacer("RoleARN", "--schedule-role", "DLQARN", "--schedule-dlq", "Group", "--schedule-group").Replace(err.Error()),
		}}
	}
	return made, nil
}

// mayBeSent asks for leave to send a message, where that is left open. No answer is
// a no.
func mayBeSent(e examination, stdin io.Reader, stdout io.Writer) bool {
	if e.Send != "ask" {
		return e.Send == "yes"
	}
	_, _ = fmt.Fprint(stdout, "Send one message to the dead-letter queue, and remove it? "+
		"Others there are received, and visible again after a second. [y/N] ")
	answer, _ := bufio.NewReader(stdin).ReadString('\n') // its end is an answer, too
	_, _ = fmt.Fprintln(stdout)
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y")
}
