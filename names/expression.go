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
// A path (fields, indexes, multi-selects, pipes) is evaluated on the parsed
// document itself, where every digit of a number is kept. The rest of the
// language is evaluated by the community's interpreter on decoded values.
type expression struct {
	text string
	root parsing.ASTNode
	path bool

	fields    map[string]bool // field names that occur in it
	wide      bool            // it looks at all members of an object
	sensitive bool            // it compares numbers or calculates
	decodes   bool            // it decodes JSON in a string
	exact     interpreter.FunctionCaller
	rounded   interpreter.FunctionCaller
}

// compile returns the expression, or an error that says what is wrong with it.
// asPath: where it is a path, it may be evaluated as one.
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

// isPath reports whether an expression only picks values, as they stand in the
// document.
func isPath(n parsing.ASTNode) bool {
	switch n.NodeType {
	case parsing.ASTField, parsing.ASTIndex, parsing.ASTIdentity, parsing.ASTCurrentNode, parsing.ASTSubexpression,
		parsing.ASTIndexExpression, parsing.ASTPipe, parsing.ASTMultiSelectList, parsing.ASTMultiSelectHash, parsing.ASTKeyValPair:
		return !slices.ContainsFunc(n.Children, func(c parsing.ASTNode) bool { return !isPath(c) })
	default:
		return false
	}
}

// numberBlind are the functions whose results do not depend on how a number is
// represented.
var numberBlind = map[string]bool{
	"ends_with": true, "from_items": true, "from_json": true, "items": true, "join": true, "keys": true, "length": true,
	"lower": true, "map": true, "merge": true, "nfc": true, "not_null": true, "pad_left": true, "pad_right": true,
	"powertools_base64": true, "powertools_base64_gzip": true, "powertools_json": true, "replace": true, "reverse": true,
	"split": true, "starts_with": true, "to_array": true, "to_string": true, "trim": true, "trim_left": true,
	"trim_right": true, "type": true, "upper": true, "values": true, "zip": true,
}

// wideFunctions look at all members of an object.
var wideFunctions = map[string]bool{
	"contains": true, "from_items": true, "items": true, "keys": true, "length": true, "merge": true, "to_string": true, "values": true,
}

// inspect notes what an expression does, and returns an error for a call that
// can only fail.
func (e *expression) inspect(n parsing.ASTNode, table map[string]functions.FunctionEntry) error {
	switch n.NodeType {
	case parsing.ASTField:
		e.fields[fmt.Sprint(n.Value)] = true
	case parsing.ASTValueProjection:
		e.wide = true
	case parsing.ASTComparator:
		e.sensitive, e.wide = true, true // objects are compared, too
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
	default: // of no interest by itself
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

// inOrder returns the expression with every projection over the values of an
// object made one over a list of them in the order of their keys. The
// interpreter takes them in the order of a Go map, which is another each time.
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

// errRounded says that an expression has no result that can be trusted.
var errRounded = errors.New("compares or calculates with a number of more digits than can be compared or calculated with")

// eval evaluates an expression that is no path.
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

// ambiguous returns one of the repeated keys that the expression may have looked
// at.
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
		return nil, errMissing // a function of a field that is not there
	}
	return value, err
}

// checkLiterals returns an error for a number in a JSON literal that a float64
// does not hold.
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
			continue // an escaped backtick, or a text without quotes: no number
		}
		d := decoder{tree: t, numbers: exactNumbers}
		d.value(0)
		t.release()
		if d.inexact {
			return fmt.Errorf("literal `%s`: holds a number of more digits than can be compared or calculated with", literal)
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

// yields are the types of a function's result.
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

// canYield returns what types an expression may yield, as far as it shows.
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
				return somethingElse // a member that is no text and no number
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
	case parsing.ASTAndExpression: // the left side only where that is false or empty
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

// looks reports whether an expression looks at the message at all.
func looks(n parsing.ASTNode) bool {
	switch n.NodeType {
	case parsing.ASTField, parsing.ASTCurrentNode, parsing.ASTRootNode, parsing.ASTIndex, parsing.ASTSlice,
		parsing.ASTFlatten, parsing.ASTProjection, parsing.ASTFilterProjection, parsing.ASTValueProjection:
		return true
	default:
		return slices.ContainsFunc(n.Children, looks)
	}
}

// checkKey returns why an expression cannot be the key of messages.
func (e *expression) checkKey() error {
	switch {
	case !looks(e.root):
		return errors.New("names every message alike: it does not look at the message (a field is written name or \"name\", not 'name')")
	case canYield(e.root)&nameable == 0:
		return errors.New("can never name a message: a name is a text, a number, or a list of these")
	}
	return nil
}
