package workercmd

import (
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
	"github.com/sqsonce/sqsonce/internal/schedule/scheduletest"
)

// The emulators are not AWS, and doctor reports that.
func TestDoctor(t *testing.T) {
	t.Setenv(emulators.Fauxqs.Env, emulators.SQS(t))
	t.Setenv(emulators.Dynoxide.Env, emulators.DynamoDB(t))
	t.Setenv("AWS_REGION", emulators.Region)
	t.Setenv("AWS_ACCESS_KEY_ID", emulators.AccessKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", emulators.SecretKey)
	name := unique(t)
	queueURL, dlqURL, err := awsenv.CreateQueue(t.Context(), emulators.SQSClient(t), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := dynamo.CreateTable(t.Context(), emulators.DynamoDBClient(t), name); err != nil {
		t.Fatal(err)
	}
	later := scheduletest.New(t)
	t.Setenv("AWS_ENDPOINT_URL_SCHEDULER", later.URL)
	var cfg aws.Config
	if cfg, err = awsenv.Load(t.Context(), slog.Default()); err != nil {
		t.Fatal(err)
	}
	e := examination{QueueURL: queueURL, DLQURL: dlqURL, Table: name, Skew: 2 * time.Second, Send: "ask"}
	for answer, sent := range map[string]bool{"y\n": true, "n\n": false, "": false} {
		var told strings.Builder
		err := examine(t.Context(), e, cfg, strings.NewReader(answer), &told)
		if !errors.Is(err, errAssumptions) || !strings.Contains(told.String(), "ok  statements in a batch") {
			t.Errorf("%v:\n%s", err, &told)
		}
		if skipped := strings.Contains(told.String(), "-   dead-letter send"); skipped == sent {
			t.Errorf("answered %q:\n%s", answer, &told)
		}
		if !strings.Contains(told.String(), "-   a schedule can be made") {
			t.Errorf("without --schedule-role:\n%s", &told)
		}
	}
	e.ScheduleRole = "arn:aws:iam::123456789012:role/schedules"
	var told strings.Builder
	_ = examine(t.Context(), e, cfg, strings.NewReader(""), &told) // the local servers differ
	for _, want := range []string{"ok  a schedule can be made", "ok  a second schedule of a name", "ok  a schedule reads back", "ok  a deleted schedule"} {
		if !strings.Contains(told.String(), want) {
			t.Errorf("%s is missing:\n%s", want, &told)
		}
	}
	if left := later.Schedules(); len(left) != 0 {
		t.Errorf("schedules are left: %v", left)
	}
}

func TestDoctorsSettings(t *testing.T) {
	for want, e := range map[string]examination{
		`--schedule-role "x": must be the ARN of a role`:                {ScheduleRole: "x"},
		`--schedule-group "g", --schedule-dlq "": need --schedule-role`: {ScheduleGroup: "g"},
	} {
		err := examine(t.Context(), e, aws.Config{}, strings.NewReader(""), io.Discard)
		if _, ok := errors.AsType[*awsenv.SettingsError](err); !ok || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}
