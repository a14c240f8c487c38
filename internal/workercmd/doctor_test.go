package workercmd

import (
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// The local servers are not AWS, which doctor says.
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
	}
}
