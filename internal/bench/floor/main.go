// Floor makes the calls that are left of a message when everything is batched,
// and nothing else: the SDK alone. For each hundred messages it receives ten
// times ten, executes four statements of 25 inserts and four of 25 updates, and
// deletes ten times ten.
package main

import (
	"context"
	"os"
	"strconv"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/bench/program"
)

// callers is how many calls are out at a time.
const callers = 8

func main() { program.Main("MESSAGES", run) }

func run(ctx context.Context, cfg aws.Config, messages int) error {
	f := &floor{sqs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg), aws.String(os.Getenv("QUEUE_URL"))}
	var left atomic.Int64
	left.Store(int64(messages))
	var group sync.WaitGroup
	errs := make(chan error, callers)
	for range callers {
		group.Go(func() {
			for left.Add(-100) >= 0 {
				if err := f.hundred(ctx); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	group.Wait()
	close(errs)
	return <-errs
}

type floor struct {
	queue    *sqs.Client
	table    *dynamodb.Client
	queueURL *string
}

func (f *floor) hundred(ctx context.Context) error {
	var receipts []*string
	for range 10 {
		out, err := f.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: f.queueURL, MaxNumberOfMessages: 10, WaitTimeSeconds: 20})
		if err != nil {
			return err
		}
		for _, m := range out.Messages {
			receipts = append(receipts, m.ReceiptHandle)
		}
	}
	for range 4 {
		if err := f.execute(ctx, insert); err != nil {
			return err
		}
	}
	for range 4 {
		if err := f.execute(ctx, update); err != nil {
			return err
		}
	}
	for i := 0; i < len(receipts); i += 10 {
		entries := make([]sqstypes.DeleteMessageBatchRequestEntry, 10)
		for j := range entries {
			entries[j] = sqstypes.DeleteMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(j)), ReceiptHandle: receipts[i+j]}
		}
		if _, err := f.queue.DeleteMessageBatch(ctx, &sqs.DeleteMessageBatchInput{QueueUrl: f.queueURL, Entries: entries}); err != nil {
			return err
		}
	}
	return nil
}

// What a claim and a completion have to carry at least: the name, who has it
// until when, and what came of it.
const (
	insert = `INSERT INTO "t" VALUE {'id':?,'version':?,'status':?,'token':?,'lease_until':?,'expires_at':?,'fingerprint':?}`
	update = `UPDATE "t" SET "version"=?,"status"=?,"result"=?,"expires_at"=?,"updated_at"=? WHERE "id"=? AND "version"=?`
)

func (f *floor) execute(ctx context.Context, statement string) error {
	statements := make([]types.BatchStatementRequest, 25)
	for i := range statements {
		statements[i] = types.BatchStatementRequest{Statement: aws.String(statement), Parameters: []types.AttributeValue{
			&types.AttributeValueMemberS{Value: "work#order-4711"}, &types.AttributeValueMemberN{Value: "1795606012476"},
			&types.AttributeValueMemberS{Value: "IN_PROGRESS"}, &types.AttributeValueMemberB{Value: make([]byte, 16)},
			&types.AttributeValueMemberN{Value: "1795606012476"}, &types.AttributeValueMemberN{Value: "1795606012"},
			&types.AttributeValueMemberB{Value: make([]byte, 32)},
		}}
	}
	_, err := f.table.BatchExecuteStatement(ctx, &dynamodb.BatchExecuteStatementInput{Statements: statements})
	return err
}
