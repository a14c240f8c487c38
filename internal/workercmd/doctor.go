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
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/doctor"
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
	findings, left := doctor.Run(ctx, doctor.Config{
		Queue: sqs.NewFromConfig(cfg), Table: dynamodb.NewFromConfig(cfg), Region: cfg.Region,
		QueueURL: e.QueueURL, DLQURL: e.DLQURL, Name: e.Table, TTL: e.TTL, Skew: e.Skew, Send: mayBeSent(e, stdin, stdout),
	})
	err := doctor.Print(stdout, findings)
	if sick := doctor.Sick(findings); sick > 0 {
		err = errors.Join(err, fmt.Errorf("%w: %d of %d assumptions do not hold", errAssumptions, sick, len(findings)))
	}
	return errors.Join(err, left)
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
