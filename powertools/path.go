package powertools

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/jmespath-community/go-jmespath/pkg/functions"
	"github.com/jmespath-community/go-jmespath/pkg/interpreter"
	"github.com/jmespath-community/go-jmespath/pkg/parsing"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/unzip"
)

// path is a compiled JMESPath. Numbers stay as they are written, because Python tells 1 from 1.0.
type path struct {
	root   parsing.ASTNode
	caller interpreter.FunctionCaller
}

// ordered are the functions whose results depend on the order of an object's members, which the
// languages keep and a Go map does not, or on the form of a number.
var ordered = map[string]bool{"items": true, "keys": true, "to_string": true, "values": true}

func compile(text string) (*path, error) {
	root, err := parsing.NewParser().Parse(text)
	if err != nil {
		return nil, fmt.Errorf("not a JMESPath: %w", err)
	}
	input := []functions.ArgSpec{{Types: []functions.JpType{functions.JpString}}}
	own := []functions.FunctionEntry{
		{Name: "powertools_json", Arguments: input, Handler: func(args []any) (any, error) { return decode([]byte(args[0].(string))) }},
		{Name: "powertools_base64", Arguments: input, Handler: func(args []any) (any, error) {
			data, err := base64.StdEncoding.DecodeString(args[0].(string))
			return string(data), err
		}},
		{Name: "powertools_base64_gzip", Arguments: input, Handler: func(args []any) (any, error) { return fromGzip(args[0].(string)) }},
	}
	table := make(map[string]functions.FunctionEntry)
	for _, entry := range slices.Concat(functions.GetDefaultFunctions(), own) {
		table[entry.Name] = entry
	}
	if err := check(root, table); err != nil {
		return nil, err
	}
	return &path{root, interpreter.NewFunctionCaller(slices.Collect(maps.Values(table))...)}, nil
}

// check refuses expressions whose values could differ from Powertools'.
func check(n parsing.ASTNode, table map[string]functions.FunctionEntry) error {
	if n.NodeType == parsing.ASTValueProjection {
		return errors.New("depends on the order of an object's members (*)")
	}
	if n.NodeType == parsing.ASTFunctionExpression {
		name := fmt.Sprint(n.Value)
		if _, ok := table[name]; !ok {
			return fmt.Errorf("%s() is not a function", name)
		}
		if ordered[name] {
			return fmt.Errorf("%s() depends on the order of an object's members", name)
		}
	}
	for _, c := range n.Children {
		if err := check(c, table); err != nil {
			return err
		}
	}
	return nil
}

// find returns the value of the path in an SQS record; nil when there is none.
func (p *path) find(m consumer.Message) (value any, err error) {
	defer func() {
		if r := recover(); r != nil {
			value, err = nil, fmt.Errorf("cannot be evaluated: %v", r)
		}
	}()
	record := recordOf(m)
	return interpreter.NewInterpreter(record, p.caller, nil).Execute(p.root, record)
}

// recordOf returns the message as Lambda hands it to a function, without what changes from receive
// to receive.
func recordOf(m consumer.Message) map[string]any {
	attributes := map[string]any{}
	for name, value := range map[string]string{
		"MessageGroupId": m.GroupID, "MessageDeduplicationId": m.DedupID, "SequenceNumber": m.SequenceNumber,
		"SenderId": m.SenderID, "AWSTraceHeader": m.TraceHeader,
	} {
		if value != "" {
			attributes[name] = value
		}
	}
	if !m.SentAt.IsZero() {
		attributes["SentTimestamp"] = fmt.Sprint(m.SentAt.UnixMilli())
	}
	messageAttributes := map[string]any{}
	for name, a := range m.Attributes {
		v := map[string]any{"stringListValues": []any{}, "binaryListValues": []any{}}
		if a.DataType != nil {
			v["dataType"] = *a.DataType
		}
		if a.StringValue != nil {
			v["stringValue"] = *a.StringValue
		}
		if a.BinaryValue != nil {
			v["binaryValue"] = base64.StdEncoding.EncodeToString(a.BinaryValue)
		}
		messageAttributes[name] = v
	}
	return map[string]any{
		"messageId": m.ID, "body": m.Body, "attributes": attributes, "messageAttributes": messageAttributes, "eventSource": "aws:sqs",
	}
}

// decode reads a JSON document whose numbers stay as they are written.
func decode(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	if err := d.Decode(&v); err != nil {
		return nil, err
	}
	if d.More() {
		return nil, errors.New("text after the value")
	}
	return v, nil
}

func fromGzip(encoded string) (string, error) {
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return "", err
	}
	return unzip.Text(data, unzip.Bound)
}
