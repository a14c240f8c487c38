package dynamo

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// inOnePiece writes a batch of statements into memory of the right size. The
// SDK's serializer (smithy-go v1.28.8) begins every request with 1 KiB and grows
// from there, which for a full batch of some 20 KiB comes to five times that.
func inOnePiece(o *dynamodb.Options) { o.Protocol = wholeBatches{o.Protocol} }

// wholeBatches is the protocol of a client, but for how it writes the input of
// BatchExecuteStatement: the same JSON.
type wholeBatches struct{ smithyhttp.ClientProtocol }

// SerializeRequest implements [smithyhttp.ClientProtocol].
func (p wholeBatches) SerializeRequest(
	ctx context.Context, operation *smithy.OperationSchema, in smithy.Serializable, req *smithyhttp.Request,
) error {
	body, ok := batchBody(in)
	if !ok {
		return p.ClientProtocol.SerializeRequest(ctx, operation, in, req)
	}
	// All but the body is as for an input without statements.
	if err := p.ClientProtocol.SerializeRequest(ctx, operation, &dynamodb.BatchExecuteStatementInput{}, req); err != nil {
		return err
	}
	whole, err := req.SetStream(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("dynamo: batch of statements: %w", err)
	}
	*req = *whole
	return nil
}

// batchBody returns the JSON of a batch, or false when in holds something that
// this package does not send.
func batchBody(in smithy.Serializable) ([]byte, bool) {
	batch, ok := in.(*dynamodb.BatchExecuteStatementInput)
	if !ok || batch.ReturnConsumedCapacity != "" {
		return nil, false
	}
	b := append(make([]byte, 0, batchSize(batch.Statements)), `{"Statements":[`...)
	for i, s := range batch.Statements {
		if s.Statement == nil || s.ConsistentRead != nil || len(s.Parameters) == 0 {
			return nil, false
		}
		if i > 0 {
			b = append(b, ',')
		}
		b = appendText(append(b, `{"Statement":`...), *s.Statement)
		if b, ok = appendValues(append(b, `,"Parameters":`...), s.Parameters); !ok {
			return nil, false
		}
		if s.ReturnValuesOnConditionCheckFailure != "" {
			b = appendText(append(b, `,"ReturnValuesOnConditionCheckFailure":`...), string(s.ReturnValuesOnConditionCheckFailure))
		}
		b = append(b, '}')
	}
	return append(b, "]}"...), true
}

// Bytes beside the texts, about.
const (
	aroundStatement = 192 // keys, and what escapes the quotes in an UPDATE
	aroundValue     = 10  // {"S":""},
)

// batchSize is about what the JSON of statements takes, rather more than less.
func batchSize(statements []types.BatchStatementRequest) int {
	size := aroundStatement
	for i := range statements {
		size += aroundStatement + valuesSize(statements[i].Parameters)
		if text := statements[i].Statement; text != nil {
			size += len(*text)
		}
	}
	return size
}

func valuesSize(values []types.AttributeValue) (size int) {
	for _, v := range values {
		size += valueSize(v)
	}
	return size
}

func valueSize(v types.AttributeValue) int {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return aroundValue + len(v.Value)
	case *types.AttributeValueMemberN:
		return aroundValue + len(v.Value)
	case *types.AttributeValueMemberB:
		return aroundValue + base64.StdEncoding.EncodedLen(len(v.Value))
	case *types.AttributeValueMemberL:
		return aroundValue + valuesSize(v.Value)
	case *types.AttributeValueMemberM:
		size := aroundValue
		for key, element := range v.Value {
			size += len(key) + aroundValue + valueSize(element)
		}
		return size
	default:
		return 2 * aroundValue
	}
}

// appendValue appends a value as DynamoDB's JSON has it, or returns false for a
// set: no record has one.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html
func appendValue(b []byte, v types.AttributeValue) (_ []byte, ok bool) {
	ok = true
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		b = appendText(append(b, `{"S":`...), v.Value)
	case *types.AttributeValueMemberN:
		b = appendText(append(b, `{"N":`...), v.Value)
	case *types.AttributeValueMemberB:
		b = append(base64.StdEncoding.AppendEncode(append(b, `{"B":"`...), v.Value), '"')
	case *types.AttributeValueMemberBOOL:
		b = fmt.Appendf(b, `{"BOOL":%t`, v.Value)
	case *types.AttributeValueMemberNULL:
		b = fmt.Appendf(b, `{"NULL":%t`, v.Value)
	case *types.AttributeValueMemberL:
		b, ok = appendValues(append(b, `{"L":`...), v.Value)
	case *types.AttributeValueMemberM:
		b = append(b, `{"M":{`...)
		separator := ""
		for key, element := range v.Value {
			b = append(appendText(append(b, separator...), key), ':')
			if b, ok = appendValue(b, element); !ok {
				return b, false
			}
			separator = ","
		}
		b = append(b, '}')
	default:
		return b, false
	}
	return append(b, '}'), ok
}

func appendValues(b []byte, values []types.AttributeValue) (_ []byte, ok bool) {
	b = append(b, '[')
	for i, v := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if b, ok = appendValue(b, v); !ok {
			return b, false
		}
	}
	return append(b, ']'), true
}

// appendText appends a text in quotes.
func appendText(b []byte, s string) []byte {
	start, clean := len(b), 0 // clean: what of s is in b
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~':
			quoted, _ := json.Marshal(s) // every text has one
			return append(b[:start], quoted...)
		case c == '"' || c == '\\':
			b = append(append(b, s[clean:i]...), '\\')
			clean = i
		}
	}
	return append(append(b, s[clean:]...), '"')
}
