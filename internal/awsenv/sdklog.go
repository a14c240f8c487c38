package awsenv

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aws/smithy-go/logging"
)

// sdkLogger forwards the SDK's messages to a logger. By default the SDK prints them to standard
// error in its own format, between the lines of the log.
type sdkLogger struct{ log *slog.Logger }

// Logf implements [logging.Logger].
func (l sdkLogger) Logf(classification logging.Classification, format string, args ...any) {
	level := slog.LevelWarn
	if classification == logging.Debug {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "the AWS SDK says", "text", fmt.Sprintf(format, args...))
}
