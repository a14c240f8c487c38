// Command floor makes only the calls that remain for messages with full batching, with the SDK
// alone. For each hundred messages it receives ten times ten, executes four statements of 25
// inserts and four of 25 updates, and deletes ten times ten. It ends after a given number of
// messages.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/verify/bench/program"
)

const (
	callers    = 8   // concurrent callers
	together   = 100 // messages that a caller holds
	statements = 25  // per call
	entries    = 10  // per call
)

func main() { program.Main("MESSAGES", run) }

func run(ctx context.Context, cfg aws.Config, messages int) error {
	table := os.Getenv("TABLE")
	f := &floor{
		queue: sqs.NewFromConfig(cfg), table: dynamodb.NewFromConfig(cfg), queueURL: aws.String(os.Getenv("QUEUE_URL")),
		insert: fmt.Sprintf(insert, table), update: fmt.Sprintf(update, table),
	}
	var taken atomic.Int64
	var group sync.WaitGroup
	errs := make([]error, callers)
	for i := range errs {
		group.Go(func() {
			for errs[i] == nil {
				n := min(together, messages+together-int(taken.Add(together)))
				if n <= 0 {
					return
				}
				errs[i] = f.drain(ctx, n)
			}
		})
	}
	group.Wait()
	return errors.Join(errs...)
}

type floor struct {
	queue          *sqs.Client
	table          *dynamodb.Client
	queueURL       *string
	insert, update string
}

// drain receives, records and deletes n messages.
func (f *floor) drain(ctx context.Context, n int) error {
	var messages []sqstypes.Message
	for len(messages) < n {
		out, err := f.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: f.queueURL, MaxNumberOfMessages: int32(min(entries, n-len(messages))), WaitTimeSeconds: 20,
		})
		if err != nil {
			return err
		}
		messages = append(messages, out.Messages...)
	}
	for _, statement := range []func(id string) types.BatchStatementRequest{f.claim, f.complete} {
		for part := range slices.Chunk(messages, statements) {
			if err := f.execute(ctx, part, statement); err != nil {
				return err
			}
		}
	}
	for part := range slices.Chunk(messages, entries) {
		ends := make([]sqstypes.DeleteMessageBatchRequestEntry, len(part))
		for i, m := range part {
			ends[i] = sqstypes.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), ReceiptHandle: m.ReceiptHandle}
		}
		if _, err := f.queue.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: f.queueURL, Entries: ends}); err != nil {
			return err
		}
	}
	return nil
}

func (f *floor) execute(ctx context.Context, messages []sqstypes.Message, statement func(id string) types.BatchStatementRequest) error {
	in := &dynamodb.BatchExecuteStatementInput{Statements: make([]types.BatchStatementRequest, len(messages))}
	for i, m := range messages {
		in.Statements[i] = statement(*m.MessageId)
	}
	out, err := f.table.BatchExecuteStatement(ctx, in)
	if err != nil {
		return err
	}
	for _, r := range out.Responses {
		if r.Error != nil {
			return fmt.Errorf("%s: %s", r.Error.Code, aws.ToString(r.Error.Message))
		}
	}
	return nil
}

// The least content of a claim and a completion: the name, the owner, the end of the lease, and the
// outcome.
const (
	insert  = `INSERT INTO "%s" VALUE {'id':?,'version':?,'status':?,'token':?,'lease_until':?,'expires_at':?,'fingerprint':?}`
	update  = `UPDATE "%s" SET "version"=?,"status"=?,"result"=?,"expires_at"=?,"updated_at"=? WHERE "id"=? AND "version"=?`
	claimed = "1795606012476"
	later   = "1795606012477"
)

func (f *floor) claim(id string) types.BatchStatementRequest {
	return types.BatchStatementRequest{Statement: &f.insert, Parameters: []types.AttributeValue{
		text(id), number(claimed), text("IN_PROGRESS"), bytes(16), number(later), number("1895606012"), bytes(32),
	}}
}

func (f *floor) complete(id string) types.BatchStatementRequest {
	return types.BatchStatementRequest{Statement: &f.update, Parameters: []types.AttributeValue{
		number(later), text("COMPLETED"), bytes(16), number("1895606012"), number(later), text(id), number(claimed),
	}}
}

func text(s string) types.AttributeValue   { return &types.AttributeValueMemberS{Value: s} }
func number(n string) types.AttributeValue { return &types.AttributeValueMemberN{Value: n} }
func bytes(n int) types.AttributeValue     { return &types.AttributeValueMemberB{Value: make([]byte, n)} }
