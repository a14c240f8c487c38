package dynamo

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// prepared makes a BatchExecuteStatement call use a body that is already JSON. The SDK's serializer
// (smithy-go v1.28.8) grows every body from 1 KiB, and so allocates five times the size of a full
// batch of about 20 KiB. It also needs a separate allocation per parameter.
func prepared(body []byte) func(*dynamodb.Options) {
	return func(o *dynamodb.Options) { o.Protocol = preparedBody{o.Protocol, body} }
}

type preparedBody struct {
	smithyhttp.ClientProtocol
	body []byte
}

// SerializeRequest implements [smithyhttp.ClientProtocol].
func (p preparedBody) SerializeRequest(
	ctx context.Context, operation *smithy.OperationSchema, _ smithy.Serializable, req *smithyhttp.Request,
) error {
	// The request is otherwise that of an input without statements.
	if err := p.ClientProtocol.SerializeRequest(ctx, operation, &dynamodb.BatchExecuteStatementInput{}, req); err != nil {
		return err
	}
	whole, err := req.SetStream(bytes.NewReader(p.body))
	if err != nil {
		return fmt.Errorf("dynamo: batch of statements: %w", err)
	}
	*req = *whole
	return nil
}

// json returns the body of a request for writes, as the SDK would encode it. It also fills shown
// with the statements.
func (s *statements) json(writes []*write, shown []types.BatchStatementRequest) []byte {
	const end = `],"ReturnValuesOnConditionCheckFailure":"` + string(allOld) + `"}`
	size := 0
	for i, w := range writes {
		of := s.of(w)
		shown[i].Statement = &of.text
		size += len(of.json) + w.size + len(end)
	}
	b := append(make([]byte, 0, size), `{"Statements":[`...)
	for i, w := range writes {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, s.of(w).json...)
		if w.old == 0 {
			b = append(appendString(b, w.id), ',')
		}
		for col := range columns {
			b = append(w.append(b, col), ',')
		}
		if w.form() == formList {
			b = append(w.append(append(appendString(b, w.attention), ','), colVersion), ',')
		}
		if w.old != 0 {
			b = append(appendNumber(append(appendString(b, w.id), ','), int64(w.old)), ',')
		}
		b = append(b[:len(b)-1], end...) // without the last comma
	}
	return append(b, "]}"...)
}

// append appends the value of a column in DynamoDB's JSON.
func (w *row) append(b []byte, col int) []byte {
	switch {
	case col == colOwner && w.owner == protocol.Token{}:
		return append(b, `{"S":""}`...)
	case col == colOwner:
		return append(hex.AppendEncode(append(b, `{"S":"`...), w.owner[:]), `"}`...)
	case col < colFormat:
		return appendString(b, w.texts[col])
	case col < colFingerprint:
		return appendNumber(b, w.numbers[col-colFormat])
	case col == colFingerprint && w.print == protocol.Fingerprint{}:
		return append(b, `{"B":""}`...)
	case col == colFingerprint:
		return appendBytes(b, w.print[:])
	case utf8.Valid(w.result):
		return appendString(b, w.result)
	default:
		return appendBytes(b, w.result)
	}
}

func appendString[T string | []byte](b []byte, s T) []byte {
	return append(appendText(append(b, `{"S":`...), s), '}')
}

func appendNumber(b []byte, n int64) []byte {
	return append(strconv.AppendInt(append(b, `{"N":"`...), n, 10), `"}`...)
}

func appendBytes(b, value []byte) []byte {
	return append(base64.StdEncoding.AppendEncode(append(b, `{"B":"`...), value), `"}`...)
}

// appendText appends a text in quotes.
func appendText[T string | []byte](b []byte, s T) []byte {
	start, clean := len(b), 0 // clean is the part of s that is in b
	b = append(b, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c > '~':
			quoted, _ := json.Marshal(string(s)) // never fails for a string
			return append(b[:start], quoted...)
		case c == '"' || c == '\\':
			b = append(append(b, s[clean:i]...), '\\')
			clean = i
		}
	}
	return append(append(b, s[clean:]...), '"')
}
