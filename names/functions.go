package names

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"slices"
	"strconv"

	"github.com/jmespath-community/go-jmespath/pkg/functions"
	"golang.org/x/text/unicode/norm"

	"github.com/sqsonce/sqsonce/internal/unzip"
)

// valuesOf is the function that inOrder puts into expressions. The space keeps it out of reach of a
// written expression.
const valuesOf = "values of"

// ownFunctions returns the functions that this package adds to JMESPath, and those that it replaces
// because they depend on the decoding of numbers or on the order of an object's members.
//
// The functions with the prefix powertools_ are those of Powertools for AWS Lambda:
// https://docs.powertools.aws.dev/lambda/python/latest/utilities/jmespath_functions/
func (e *expression) ownFunctions(n numbers) []functions.FunctionEntry {
	object := []functions.ArgSpec{{Types: []functions.JpType{functions.JpObject}}}
	text := []functions.ArgSpec{{Types: []functions.JpType{functions.JpString}}}
	value := []functions.ArgSpec{{Types: []functions.JpType{functions.JpAny}}}
	fromJSON := func(args []any) (any, error) { return e.fromJSON(args[0].(string), n) }
	return []functions.FunctionEntry{
		{Name: "from_json", Arguments: text, Handler: fromJSON},
		{Name: "powertools_json", Arguments: text, Handler: fromJSON},
		{Name: "powertools_base64", Arguments: text, Handler: fromBase64},
		{Name: "powertools_base64_gzip", Arguments: text, Handler: fromGzip},
		{Name: "nfc", Arguments: text, Handler: func(args []any) (any, error) { return norm.NFC.String(args[0].(string)), nil }},
		{Name: "type", Arguments: value, Handler: func(args []any) (any, error) { return typeName(args[0]), nil }},
		{Name: "to_number", Arguments: value, Handler: func(args []any) (any, error) { return toNumber(args[0], n), nil }},
		{Name: "keys", Arguments: object, Handler: func(args []any) (any, error) {
			return members(args[0], func(key string, _ any) any { return key }), nil
		}},
		{Name: "values", Arguments: object, Handler: func(args []any) (any, error) {
			return members(args[0], func(_ string, v any) any { return v }), nil
		}},
		{Name: "items", Arguments: object, Handler: func(args []any) (any, error) {
			return members(args[0], func(key string, v any) any { return []any{key, v} }), nil
		}},
		{Name: valuesOf, Arguments: value, Handler: func(args []any) (any, error) {
			if _, ok := args[0].(map[string]any); !ok {
				return nil, nil
			}
			return members(args[0], func(_ string, v any) any { return v }), nil
		}},
	}
}

// members returns the results of of for an object's members, in key order.
func members(object any, of func(key string, value any) any) []any {
	m, _ := object.(map[string]any)
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	list := make([]any, len(keys))
	for i, key := range keys {
		list[i] = of(key, m[key])
	}
	return list
}

// fromJSON decodes the JSON document in a string. It fails for a repeated key that the expression
// may read.
func (e *expression) fromJSON(s string, n numbers) (any, error) {
	t, err := trees.Get().(*tree).parse([]byte(s))
	if err != nil {
		return nil, err
	}
	defer t.release()
	d := decoder{tree: t, numbers: n}
	v := d.value(0)
	if key, ok := e.ambiguous(d.repeated); ok {
		return nil, repeated([]byte(key))
	}
	if d.lossy {
		return nil, errors.New("half of a surrogate pair")
	}
	return v, nil
}

func fromBase64(args []any) (any, error) {
	data, err := base64.StdEncoding.DecodeString(args[0].(string))
	return string(data), err
}

func fromGzip(args []any) (any, error) {
	data, err := base64.StdEncoding.DecodeString(args[0].(string))
	if err != nil {
		return nil, err
	}
	return unzip.Text(data, unzip.Bound)
}

func typeName(v any) string {
	switch v.(type) {
	case string:
		return "string"
	case bool:
		return "boolean"
	case []any:
		return "array"
	case map[string]any:
		return "object"
	case nil:
		return "null"
	default:
		return "number"
	}
}

// toNumber is JMESPath's to_number: null for a text that is not a JSON number.
func toNumber(v any, n numbers) any {
	switch v := v.(type) {
	case float64, json.Number:
		return v
	case string:
		p := &parser{tree: new(tree), src: []byte(v)}
		if v == "" || v[0] != '-' && !isDigit(v[0]) {
			return nil
		}
		form, err := p.number()
		if err != nil || p.at < len(v) {
			return nil
		}
		d := decoder{numbers: n}
		return d.number(form)
	default:
		return nil
	}
}

// describe names the type of a value for an error text, and the value of a boolean.
func describe(v any) string {
	switch v := v.(type) {
	case bool:
		return "a boolean (" + strconv.FormatBool(v) + ")"
	case []any:
		return "a list"
	case map[string]any:
		return "an object"
	case nil:
		return "null"
	case string:
		return "a text"
	default:
		return "a number"
	}
}
