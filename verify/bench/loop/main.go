// Command loop is the usual hand-written worker: it receives ten messages, and for each it puts a
// lock, works, writes the outcome, and deletes the message. It is the baseline of the benchmark,
// not an example: it does not renew locks, use fences, or check the owner of a lock.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/expression"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	sqstypes "github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/verify/bench/program"
)

// loop is the hand-written worker.
type loop struct {
	queue                     *sqs.Client
	table                     *dynamodb.Client
	queueURL, name, targetURL string
}

func main() { program.Main("CONCURRENCY", run) }

func run(ctx context.Context, cfg aws.Config, concurrency int) error {
	l := &loop{sqs.NewFromConfig(cfg), dynamodb.NewFromConfig(cfg), os.Getenv("QUEUE_URL"), os.Getenv("TABLE"), os.Getenv("TARGET_URL")}
	var pollers sync.WaitGroup
	for range (concurrency + 9) / 10 {
		pollers.Go(func() { l.poll(ctx) })
	}
	pollers.Wait()
	return nil
}

func (l *loop) poll(ctx context.Context) {
	for ctx.Err() == nil {
		out, err := l.queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{QueueUrl: &l.queueURL, MaxNumberOfMessages: 10, WaitTimeSeconds: 20})
		if err != nil {
			continue
		}
		var batch sync.WaitGroup
		for _, m := range out.Messages {
			batch.Go(func() {
				if err := l.handle(context.WithoutCancel(ctx), m); err != nil {
					fmt.Fprintln(os.Stderr, err)
				}
			})
		}
		batch.Wait()
	}
}

func (l *loop) handle(ctx context.Context, m sqstypes.Message) error {
	var body struct {
		Name string `json:"name"`
	}
	if err := json.Unmarshal([]byte(*m.Body), &body); err != nil {
		return err
	}
	done, err := l.lock(ctx, body.Name)
	if err != nil {
		return err
	}
	if !done {
		result, err := l.work(ctx, body.Name, *m.Body)
		if err != nil {
			return err
		}
		if err := l.complete(ctx, body.Name, result); err != nil {
			return err
		}
	}
	_, err = l.queue.DeleteMessage(ctx, &sqs.DeleteMessageInput{QueueUrl: &l.queueURL, ReceiptHandle: m.ReceiptHandle})
	return err
}

// lock takes the name. It returns true if its work has been done before.
func (l *loop) lock(ctx context.Context, name string) (done bool, err error) {
	now := time.Now().Unix()
	free := expression.AttributeNotExists(expression.Name("id")).Or(
		expression.Name("status").Equal(expression.Value("IN_PROGRESS")).And(expression.Name("until").LessThan(expression.Value(now))))
	e, err := expression.NewBuilder().WithCondition(free).Build()
	if err != nil {
		return false, err
	}
	_, err = l.table.PutItem(ctx, &dynamodb.PutItemInput{
		TableName: &l.name, ConditionExpression: e.Condition(), ExpressionAttributeNames: e.Names(), ExpressionAttributeValues: e.Values(),
		ReturnValuesOnConditionCheckFailure: types.ReturnValuesOnConditionCheckFailureAllOld,
		Item: map[string]types.AttributeValue{
			"id": text(name), "status": text("IN_PROGRESS"), "until": number(now + 30), "expires_at": number(now + 30*24*3600),
		},
	})
	if taken, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		if status, _ := taken.Item["status"].(*types.AttributeValueMemberS); status != nil && status.Value == "COMPLETED" {
			return true, nil
		}
		return false, fmt.Errorf("%s is in progress", name)
	}
	return false, err
}

func (l *loop) complete(ctx context.Context, name, result string) error {
	e, err := expression.NewBuilder().WithUpdate(
		expression.Set(expression.Name("status"), expression.Value("COMPLETED")).Set(expression.Name("result"), expression.Value(result))).Build()
	if err != nil {
		return err
	}
	_, err = l.table.UpdateItem(ctx, &dynamodb.UpdateItemInput{
		TableName: &l.name, Key: map[string]types.AttributeValue{"id": text(name)},
		UpdateExpression: e.Update(), ExpressionAttributeNames: e.Names(), ExpressionAttributeValues: e.Values(),
	})
	return err
}

func (l *loop) work(ctx context.Context, name, body string) (string, error) {
	if l.targetURL == "" {
		return fmt.Sprintf(`{"name":%q}`, name), nil
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.targetURL, bytes.NewReader([]byte(body)))
	if err != nil {
		return "", err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer func() { _ = resp.Body.Close() }()
	result, err := io.ReadAll(resp.Body)
	return string(result), err
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }

func number(n int64) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}
