package sim

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe/dynamo"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// Table is a table of a DynamoDB server, for one run after the other. Each run has its own records.
type Table struct {
	name string
	line *emulators.Line
	runs atomic.Uint64
}

// NewTable creates a table on the server at endpoint (plain HTTP). It must be called outside of a
// bubble. The table has no time to live, because virtual time is in the past for the server.
func NewTable(ctx context.Context, endpoint, name string) (*Table, error) {
	_, err := dynamodb.NewFromConfig(emulators.Config(endpoint)).CreateTable(ctx, &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String(dynamo.AttrID), AttributeType: types.ScalarAttributeTypeS}},
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String(dynamo.AttrID), KeyType: types.KeyTypeHash}},
	})
	if err != nil {
		return nil, fmt.Errorf("sim: create table: %w", err)
	}
	line, err := emulators.Dial(ctx, endpoint)
	if err != nil {
		return nil, fmt.Errorf("sim: %w", err)
	}
	return &Table{name: name, line: line}, nil
}

// Close closes the connection. The table stays on the server.
func (t *Table) Close() { t.line.Close() }

// exchange sends one request, and returns its answer.
func (t *Table) exchange(header http.Header, body []byte) *answer {
	resp, err := t.line.Post(header, body)
	if err != nil {
		panic(fmt.Errorf("sim: DynamoDB: %w", err))
	}
	defer func() { _ = resp.Body.Close() }()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		panic(fmt.Errorf("sim: DynamoDB: %w", err))
	}
	return &answer{status: resp.StatusCode, body: text, date: time.Now()}
}

// answer is an answer of DynamoDB.
type answer struct {
	status int
	body   []byte
	date   time.Time
}

// failure returns an error answer.
func failure(status int, code string) *answer {
	return &answer{status: status, date: time.Now(), body: fmt.Appendf(nil,
		`{"__type":"com.amazonaws.dynamodb.v20120810#%s","message":"sim"}`, code)}
}

func (a *answer) members() map[string]any {
	var m map[string]any
	if err := json.Unmarshal(a.body, &m); err != nil {
		panic(fmt.Errorf("sim: answer of DynamoDB %q: %w", a.body, err))
	}
	return m
}

func (a *answer) get(member string) any { return a.members()[member] }

// set sets a member; nil removes it.
func (a *answer) set(member string, value any) {
	m := a.members()
	if m[member] = value; value == nil {
		delete(m, member)
	}
	body, err := json.Marshal(m)
	if err != nil {
		panic(fmt.Errorf("sim: answer of DynamoDB: %w", err))
	}
	a.body = body
}

func (a *answer) response(req *http.Request) *http.Response {
	return &http.Response{
		StatusCode: a.status, Status: http.StatusText(a.status), Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
		Header: http.Header{
			"Content-Type": {"application/x-amz-json-1.0"}, "Date": {a.date.UTC().Format(http.TimeFormat)},
		},
		ContentLength: int64(len(a.body)), Body: io.NopCloser(bytes.NewReader(a.body)),
	}
}
