package awsenv

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/logging"
	"github.com/aws/smithy-go/middleware"
)

// A message of the SDK during a call becomes a line of the log.
func TestSDKLog(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		_, _ = w.Write([]byte("{}"))
	}))
	defer server.Close()
	cleanEnv(t)
	for k, v := range map[string]string{
		"AWS_REGION": "eu-central-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_ENDPOINT_URL": server.URL,
	} {
		t.Setenv(k, v)
	}
	var log bytes.Buffer
	cfg, err := Load(t.Context(), slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	cfg.APIOptions = append(cfg.APIOptions, func(s *middleware.Stack) error {
		return s.Deserialize.Add(middleware.DeserializeMiddlewareFunc("complain", func(
			ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler,
		) (middleware.DeserializeOutput, middleware.Metadata, error) {
			middleware.GetLogger(ctx).Logf(logging.Warn, "odd %s", "answer")
			middleware.GetLogger(ctx).Logf(logging.Debug, "chatter")
			return next.HandleDeserialize(ctx, in)
		}), middleware.Before)
	})
	if _, err := sqs.NewFromConfig(cfg).ListQueues(t.Context(), &sqs.ListQueuesInput{}); err != nil {
		t.Fatal(err)
	}
	if got := log.String(); !strings.Contains(got, `level=WARN msg="the AWS SDK says" text="odd answer"`) || strings.Contains(got, "chatter") {
		t.Errorf("log is %q", got)
	}
}
