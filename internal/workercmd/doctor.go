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

// errAssumptions is the error of "worker doctor" if an assumption does not hold.
var errAssumptions = errors.New("AWS does not behave as the worker assumes")

// runDoctor checks the worker's assumptions about AWS and prints the findings.
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

// schedules returns the scheduler of the producer's delayed messages; nil without --schedule-role.
func (e examination) schedules(cfg aws.Config) (schedule.Scheduler, error) {
	if e.ScheduleRole == "" {
		if e.ScheduleGroup+e.ScheduleDLQ == "" {
			return nil, nil //nolint:nilnil // nil means no schedules
		}
		return nil, &awsenv.SettingsError{Problems: []string{
			fmt.Sprintf("--schedule-group %q, --schedule-dlq %q: need --schedule-role", e.ScheduleGroup, e.ScheduleDLQ),
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

// mayBeSent reports whether --send allows a message. If it says "ask", mayBeSent asks the user; no
// answer means no.
func mayBeSent(e examination, stdin io.Reader, stdout io.Writer) bool {
	if e.Send != "ask" {
		return e.Send == "yes"
	}
	_, _ = fmt.Fprint(stdout, "Send one message to the dead-letter queue and delete it? "+
		"Other messages there are received too, and become visible again after a second. [y/N] ")
	answer, _ := bufio.NewReader(stdin).ReadString('\n') // the end of the input is a no
	_, _ = fmt.Fprintln(stdout)
	return strings.HasPrefix(strings.ToLower(strings.TrimSpace(answer)), "y")
}
