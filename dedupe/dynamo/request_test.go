package dynamo

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"pgregory.net/rapid"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/emulators"
)

// sentRequest keeps the last request, and answers nothing.
type sentRequest struct {
	header http.Header
	body   []byte
}

var errNothingSent = errors.New("sent nowhere")

func (s *sentRequest) Do(r *http.Request) (*http.Response, error) {
	s.header = r.Header
	var err error
	if s.body, err = io.ReadAll(r.Body); err != nil {
		return nil, err
	}
	return nil, errNothingSent
}

// requestOf returns what the SDK sends for a batch.
func requestOf(t require, in *dynamodb.BatchExecuteStatementInput, options ...func(*dynamodb.Options)) (body any, header string) {
	t.Helper()
	cfg := emulators.Config("http://127.0.0.1:1")
	sent := &sentRequest{}
	cfg.HTTPClient = sent
	_, err := dynamodb.NewFromConfig(cfg).BatchExecuteStatement(context.Background(), in, append(options, once)...)
	if !errors.Is(err, errNothingSent) {
		t.Fatal(err)
	}
	if err := json.Unmarshal(sent.body, &body); err != nil {
		t.Fatalf("%v in %q", err, sent.body)
	}
	return body, sent.header.Get("X-Amz-Target") + " " + sent.header.Get("Content-Type")
}

type require interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

func anyValue(depth int) *rapid.Generator[types.AttributeValue] {
	return rapid.Custom(func(t *rapid.T) types.AttributeValue {
		kinds := 5
		if depth > 0 {
			kinds = 7
		}
		if rapid.IntRange(0, 49).Draw(t, "set") == 0 {
			return &types.AttributeValueMemberSS{Value: []string{anyText(t)}} // left to the SDK
		}
		switch rapid.IntRange(1, kinds).Draw(t, "kind") {
		case 1:
			return &types.AttributeValueMemberS{Value: anyText(t)}
		case 2:
			return &types.AttributeValueMemberN{Value: rapid.StringMatching(`-?[1-9][0-9]{0,37}`).Draw(t, "number")}
		case 3:
			return &types.AttributeValueMemberB{Value: append([]byte{}, rapid.SliceOf(rapid.Byte()).Draw(t, "bytes")...)}
		case 4:
			return &types.AttributeValueMemberBOOL{Value: rapid.Bool().Draw(t, "bool")}
		case 5:
			return &types.AttributeValueMemberNULL{Value: true}
		case 6:
			list := []types.AttributeValue{}
			for range rapid.IntRange(0, 3).Draw(t, "elements") {
				list = append(list, anyValue(depth-1).Draw(t, "element"))
			}
			return &types.AttributeValueMemberL{Value: list}
		default:
			m := map[string]types.AttributeValue{}
			for range rapid.IntRange(0, 3).Draw(t, "members") {
				// Keys of bad bytes become the same one.
				m[rapid.String().Draw(t, "key")] = anyValue(depth-1).Draw(t, "member")
			}
			return &types.AttributeValueMemberM{Value: m}
		}
	})
}

// anyText draws texts that are valid and, by the byte, ones that are not.
func anyText(t *rapid.T) string {
	if rapid.Bool().Draw(t, "by the byte") {
		return string(rapid.SliceOf(rapid.Byte()).Draw(t, "text"))
	}
	return rapid.String().Draw(t, "text")
}

func TestABatchIsWrittenAsTheSDKWouldWriteIt(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := &dynamodb.BatchExecuteStatementInput{}
		for range rapid.IntRange(1, 4).Draw(t, "statements") {
			s := types.BatchStatementRequest{Statement: aws.String(anyText(t))}
			if *s.Statement == "" {
				s.Statement = aws.String("-")
			}
			for range rapid.IntRange(1, 4).Draw(t, "parameters") {
				s.Parameters = append(s.Parameters, anyValue(2).Draw(t, "parameter"))
			}
			if rapid.Bool().Draw(t, "returns") {
				s.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
			}
			in.Statements = append(in.Statements, s)
		}
		want, wantHeader := requestOf(t, in)
		got, header := requestOf(t, in, inOnePiece)
		if !reflect.DeepEqual(got, want) || header != wantHeader {
			t.Fatalf("written %v under %q\nby the SDK %v under %q", got, header, want, wantHeader)
		}
	})
}

func TestABatchWithMoreThanThisPackageSendsIsLeftToTheSDK(t *testing.T) {
	statement := types.BatchStatementRequest{Statement: aws.String("s"), Parameters: []types.AttributeValue{&types.AttributeValueMemberS{Value: "v"}}}
	for what, change := range map[string]func(*dynamodb.BatchExecuteStatementInput){
		"capacity": func(in *dynamodb.BatchExecuteStatementInput) {
			in.ReturnConsumedCapacity = types.ReturnConsumedCapacityTotal
		},
		"consistent":    func(in *dynamodb.BatchExecuteStatementInput) { in.Statements[0].ConsistentRead = aws.Bool(true) },
		"no parameters": func(in *dynamodb.BatchExecuteStatementInput) { in.Statements[0].Parameters = nil },
	} {
		in := &dynamodb.BatchExecuteStatementInput{Statements: []types.BatchStatementRequest{statement}}
		change(in)
		want, _ := requestOf(t, in)
		if got, _ := requestOf(t, in, inOnePiece); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: written %v, by the SDK %v", what, got, want)
		}
	}
}

// A full batch of ordinary records is written without growing.
func TestAFullBatchIsOnePieceOfMemory(t *testing.T) {
	s := newStatements("sqsonce-records")
	var requests []types.BatchStatementRequest
	for i := range maxStatements {
		r := completedRecord()
		old := dedupe.Version(0)
		if i%2 == 0 {
			old = r.Version - 1
			r.Result = []byte(`{"text":"` + strings.Repeat("x", 1000) + `"}`)
		}
		requests = append(requests, s.request(newWrite(old, r)))
	}
	reserved := batchSize(requests)
	body, ok := batchBody(&dynamodb.BatchExecuteStatementInput{Statements: requests})
	t.Logf("%d bytes, %d reserved", len(body), reserved)
	if !ok || len(body) > reserved || reserved > len(body)*5/4 {
		t.Errorf("%d bytes (%t), reserved were %d", len(body), ok, reserved)
	}
}
