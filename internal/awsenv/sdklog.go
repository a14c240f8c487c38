package awsenv

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/aws/smithy-go/logging"
)

// sdkLogger sends what the SDK has to say to a logger. By default the SDK prints it to
// standard error, between the lines of the log and in a form of its own.
type sdkLogger struct{ log *slog.Logger }

// Logf implements [logging.Logger].
func (l sdkLogger) Logf(classification logging.Classification, format string, args ...any) {
	level := slog.LevelWarn
	if classification == logging.Debug {
		level = slog.LevelDebug
	}
	l.log.Log(context.Background(), level, "the AWS SDK says", "text", fmt.Sprintf(format, args...))
}
