package names

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/jmespath-community/go-jmespath/pkg/functions"
	"github.com/jmespath-community/go-jmespath/pkg/interpreter"
	"github.com/jmespath-community/go-jmespath/pkg/parsing"
)

// expression is a compiled JMESPath.
//
// A path (fields, indexes, multi-selects, pipes) is evaluated on the parsed document, which keeps
// every digit of a number. All other expressions are evaluated by the JMESPath community's
// interpreter on decoded values.
type expression struct {
	text string
	root parsing.ASTNode
	path bool // evaluated as a path; the fields below are unset

	fields    map[string]bool // field names in the expression
	wide      bool            // it reads all members of an object
	sensitive bool            // its result may depend on the digits of numbers
	decodes   bool            // it decodes JSON in a string
	exact     interpreter.FunctionCaller
	rounded   interpreter.FunctionCaller
}

// compile returns the expression, or an error that names the fault. With asPath a path is evaluated
// on the parsed document; without, by the interpreter.
func compile(text string, asPath bool) (*expression, error) {
	root, err := parsing.NewParser().Parse(text)
	if err != nil {
		return nil, fmt.Errorf("not a JMESPath: %w", err)
	}
	e := &expression{text: text, root: root, path: asPath && isPath(root), fields: make(map[string]bool)}
	if e.path {
		return e, nil
	}
	table := make(map[string]functions.FunctionEntry)
	for _, entry := range slices.Concat(functions.GetDefaultFunctions(), e.ownFunctions(exactNumbers)) {
		table[entry.Name] = entry
	}
	if err := e.inspect(root, table); err != nil {
		return nil, err
	}
	if err := checkLiterals(text); err != nil {
		return nil, err
	}
	e.root = inOrder(root)
	e.exact = interpreter.NewFunctionCaller(slices.Collect(maps.Values(table))...)
	e.rounded = interpreter.NewFunctionCaller(slices.Concat(functions.GetDefaultFunctions(), e.ownFunctions(roundedNumbers))...)
	return e, nil
}

// isPath reports whether an expression only selects values of the document.
func isPath(n parsing.ASTNode) bool {
	switch n.NodeType {
	case parsing.ASTField, parsing.ASTIndex, parsing.ASTIdentity, parsing.ASTCurrentNode, parsing.ASTSubexpression,
		parsing.ASTIndexExpression, parsing.ASTPipe, parsing.ASTMultiSelectList, parsing.ASTMultiSelectHash, parsing.ASTKeyValPair:
		return !slices.ContainsFunc(n.Children, func(c parsing.ASTNode) bool { return !isPath(c) })
	default:
		return false
	}
}

// numberBlind are the functions whose results do not depend on the representation of a number.
var numberBlind = map[string]bool{
	"ends_with": true, "from_items": true, "from_json": true, "items": true, "join": true, "keys": true, "length": true,
	"lower": true, "map": true, "merge": true, "nfc": true, "not_null": true, "pad_left": true, "pad_right": true,
	"powertools_base64": true, "powertools_base64_gzip": true, "powertools_json": true, "replace": true, "reverse": true,
	"split": true, "starts_with": true, "to_array": true, "to_string": true, "trim": true, "trim_left": true,
	"trim_right": true, "type": true, "upper": true, "values": true, "zip": true,
}

// wideFunctions are the functions that read all members of an object.
var wideFunctions = map[string]bool{
	"contains": true, "from_items": true, "items": true, "keys": true, "length": true, "merge": true, "to_string": true, "values": true,
}

// inspect sets fields, wide, sensitive and decodes. It fails for a call of an unknown function or
// with a wrong number of arguments.
func (e *expression) inspect(n parsing.ASTNode, table map[string]functions.FunctionEntry) error {
	switch n.NodeType {
	case parsing.ASTField:
		e.fields[fmt.Sprint(n.Value)] = true
	case parsing.ASTValueProjection:
		e.wide = true
	case parsing.ASTComparator:
		e.sensitive, e.wide = true, true // a comparison of objects reads all members
	case parsing.ASTArithmeticExpression, parsing.ASTArithmeticUnaryExpression:
		e.sensitive = true
	case parsing.ASTFunctionExpression:
		name := fmt.Sprint(n.Value)
		entry, ok := table[name]
		if !ok {
			return fmt.Errorf("%s() is not a function", name)
		}
		if err := checkArity(entry, len(n.Children)); err != nil {
			return err
		}
		e.sensitive = e.sensitive || !numberBlind[name]
		e.wide = e.wide || wideFunctions[name]
		e.decodes = e.decodes || name == "from_json" || name == "powertools_json"
	default: // only the children count
	}
	for _, c := range n.Children {
		if err := e.inspect(c, table); err != nil {
			return err
		}
	}
	return nil
}

func checkArity(f functions.FunctionEntry, got int) error {
	least, most := 0, len(f.Arguments)
	for _, a := range f.Arguments {
		if !a.Optional {
			least++
		}
		if a.Variadic {
			most = max(got, most)
		}
	}
	if got < least || got > most {
		return fmt.Errorf("%s() with %d arguments: takes %d to %d", f.Name, got, least, max(least, len(f.Arguments)))
	}
	return nil
}

// inOrder replaces every projection over the values of an object by a projection over the list of
// its values in key order. The interpreter would take the random order of a Go map.
func inOrder(n parsing.ASTNode) parsing.ASTNode {
	children := make([]parsing.ASTNode, len(n.Children))
	for i, c := range n.Children {
		children[i] = inOrder(c)
	}
	n.Children = children
	if n.NodeType == parsing.ASTValueProjection {
		n.NodeType = parsing.ASTProjection
		n.Children[0] = parsing.ASTNode{
			NodeType: parsing.ASTFunctionExpression, Value: valuesOf, Children: []parsing.ASTNode{n.Children[0]},
		}
	}
	return n
}

// errRounded says that the result of an expression depends on digits that a float64 loses.
var errRounded = errors.New("compares or calculates with a number that has more digits than a float64 keeps")

// eval evaluates an expression in the interpreter. The interpreter compares and calculates in
// float64. Where that may matter, eval evaluates twice, with exact and with rounded numbers, and
// fails with errRounded if the results differ.
func (e *expression) eval(t *tree) (any, error) {
	d := decoder{tree: t, numbers: exactNumbers}
	value, err := e.run(&d, e.exact)
	if e.sensitive && (d.inexact || e.decodes) {
		other := decoder{tree: t, numbers: roundedNumbers}
		rounded, roundedErr := e.run(&other, e.rounded)
		if (err == nil) != (roundedErr == nil) || err == nil && !sameValue(value, rounded) {
			return nil, errRounded
		}
	}
	if err != nil {
		return nil, err
	}
	if key, ok := e.ambiguous(d.repeated); ok {
		return nil, repeated([]byte(key))
	}
	if d.lossy && hasReplacement(value) {
		return nil, errors.New("has half of a surrogate pair")
	}
	return value, nil
}

// ambiguous returns a repeated key that the expression may have read, and whether there is one.
func (e *expression) ambiguous(keys []string) (string, bool) {
	for _, key := range keys {
		if e.wide || e.fields[unquote([]byte(key))] {
			return key, true
		}
	}
	return "", false
}

func (e *expression) run(d *decoder, caller interpreter.FunctionCaller) (value any, err error) {
	defer func() {
		if p := recover(); p != nil {
			value, err = nil, fmt.Errorf("cannot be evaluated: %v", p)
		}
	}()
	doc := d.value(0)
	value, err = interpreter.NewInterpreter(doc, caller, nil).Execute(e.root, doc)
	if err != nil && strings.HasPrefix(err.Error(), "invalid type for: <nil>") {
		return nil, errMissing // a function was called on a missing field
	}
	if err != nil {
		return nil, shortened(err)
	}
	return value, nil
}

// shortened returns err with at most 200 bytes of text: some errors of the interpreter hold the
// whole value, which may be the whole message.
func shortened(err error) error {
	const most = 200
	text := err.Error()
	if len(text) <= most {
		return err
	}
	return errors.New(strings.ToValidUTF8(text[:most], "") + "…")
}

// checkLiterals fails for a number in a JSON literal that has more digits than a float64 keeps.
func checkLiterals(text string) error {
	for i := 0; i < len(text); i++ {
		quote := text[i]
		if quote != '\'' && quote != '"' && quote != '`' {
			continue
		}
		start := i + 1
		for i++; i < len(text) && text[i] != quote; i++ {
			if text[i] == '\\' {
				i++
			}
		}
		if quote != '`' || i >= len(text) {
			continue
		}
		literal := text[start:i]
		t, err := trees.Get().(*tree).parse([]byte(literal))
		if err != nil {
			continue // an escaped backtick, or a text without quotes, which holds no number
		}
		d := decoder{tree: t, numbers: exactNumbers}
		d.value(0)
		t.release()
		if d.inexact {
			return fmt.Errorf("literal `%s`: has a number with more digits than a float64 keeps", literal)
		}
	}
	return nil
}

// kinds is a set of types that an expression can yield.
type kinds uint8

const (
	aText kinds = 1 << iota
	aNumber
	aList
	somethingElse // a boolean, null, an object, a list in a list, a function

	anything = aText | aNumber | aList | somethingElse
	nameable = aText | aNumber | aList
)

// yields are the types that a function can return. Functions that are missing here can return any
// type.
var yields = map[string]kinds{
	"abs": aNumber, "avg": aNumber, "ceil": aNumber, "contains": somethingElse, "ends_with": somethingElse,
	"find_first": aNumber, "find_last": aNumber, "floor": aNumber, "from_items": somethingElse, "group_by": somethingElse,
	"items": somethingElse, "join": aText, "keys": aList, "length": aNumber, "lower": aText, "map": aList,
	"max": aNumber | aText, "merge": somethingElse, "min": aNumber | aText, "nfc": aText, "pad_left": aText, "pad_right": aText,
	"powertools_base64": aText, "powertools_base64_gzip": aText, "replace": aText, "reverse": aList | aText, "sort": aList,
	"sort_by": aList, "split": aList, "starts_with": somethingElse, "sum": aNumber, "to_array": aList,
	"to_number": aNumber, "to_string": aText, "trim": aText, "trim_left": aText, "trim_right": aText, "type": aText,
	"upper": aText, "values": aList, "zip": somethingElse,
}

// canYield returns the types that an expression may yield, as far as its syntax tells.
func canYield(n parsing.ASTNode) kinds {
	last := func() kinds { return canYield(n.Children[len(n.Children)-1]) }
	switch n.NodeType {
	case parsing.ASTComparator, parsing.ASTNotExpression, parsing.ASTExpRef, parsing.ASTMultiSelectHash:
		return somethingElse
	case parsing.ASTArithmeticExpression, parsing.ASTArithmeticUnaryExpression:
		return aNumber
	case parsing.ASTLiteral:
		return kindOf(n.Value)
	case parsing.ASTMultiSelectList:
		for _, c := range n.Children {
			if canYield(c)&(aText|aNumber) == 0 {
				return somethingElse // a member that is neither a text nor a number
			}
		}
		return aList
	case parsing.ASTFunctionExpression:
		if k, ok := yields[fmt.Sprint(n.Value)]; ok {
			return k
		}
		return anything
	case parsing.ASTPipe, parsing.ASTLetExpression, parsing.ASTSubexpression:
		return last()
	case parsing.ASTAndExpression: // it yields the left side only if that is false or empty
		return last()
	case parsing.ASTOrExpression:
		return canYield(n.Children[0]) | canYield(n.Children[1])
	case parsing.ASTFilterProjection, parsing.ASTValueProjection:
		return aList
	default:
		return anything
	}
}

func kindOf(v any) kinds {
	switch v := v.(type) {
	case string:
		return aText
	case float64, json.Number:
		return aNumber
	case []any:
		for _, m := range v {
			if kindOf(m)&(aText|aNumber) == 0 {
				return somethingElse
			}
		}
		return aList
	default:
		return somethingElse
	}
}

// looks reports whether an expression reads anything of the message.
func looks(n parsing.ASTNode) bool {
	switch n.NodeType {
	case parsing.ASTField, parsing.ASTCurrentNode, parsing.ASTRootNode, parsing.ASTIndex, parsing.ASTSlice,
		parsing.ASTFlatten, parsing.ASTProjection, parsing.ASTFilterProjection, parsing.ASTValueProjection:
		return true
	default:
		return slices.ContainsFunc(n.Children, looks)
	}
}

// checkKey fails for an expression that gives every message the same name, or none a name.
func (e *expression) checkKey() error {
	switch {
	case !looks(e.root):
		return errors.New("names every message alike: it reads no field of the message (a field is written name or \"name\", not 'name')")
	case canYield(e.root)&nameable == 0:
		return errors.New("can never name a message: a name is a text, a number, or a list of texts and numbers")
	}
	return nil
}
