package names

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/jmespath-community/go-jmespath/pkg/parsing"
)

// selection is the result of a path: a value of the document, nothing, or a list or hash of
// selections.
type selection struct {
	node   int32 // of the document; -1: none
	list   []selection
	hash   map[string]selection
	isList bool
}

var nothing = selection{node: -1}

// find evaluates a path, see [isPath]. It fails if an object on the path repeats the key, because
// JSON parsers differ in the value that they take.
func (t *tree) find(n parsing.ASTNode, s selection) (selection, error) {
	var err error
	switch n.NodeType {
	case parsing.ASTField:
		return t.field(s, fmt.Sprint(n.Value))
	case parsing.ASTIndex:
		i, _ := n.Value.(int)
		return t.index(s, i), nil
	case parsing.ASTSubexpression, parsing.ASTIndexExpression, parsing.ASTPipe:
		for _, child := range n.Children {
			if s, err = t.find(child, s); err != nil {
				return nothing, err
			}
		}
		return s, nil
	case parsing.ASTMultiSelectList:
		if t.isNothing(s) {
			return nothing, nil
		}
		list := selection{node: -1, isList: true, list: make([]selection, len(n.Children))}
		for i, child := range n.Children {
			if list.list[i], err = t.find(child, s); err != nil {
				return nothing, err
			}
		}
		return list, nil
	case parsing.ASTMultiSelectHash:
		if t.isNothing(s) {
			return nothing, nil
		}
		hash := selection{node: -1, hash: make(map[string]selection, len(n.Children))}
		for _, pair := range n.Children {
			if hash.hash[fmt.Sprint(pair.Value)], err = t.find(pair.Children[0], s); err != nil {
				return nothing, err
			}
		}
		return hash, nil
	default: // the current node
		return s, nil
	}
}

func (t *tree) isNothing(s selection) bool {
	return s.node < 0 && !s.isList && s.hash == nil || s.node >= 0 && t.nodes[s.node].kind == null
}

func (t *tree) field(s selection, name string) (selection, error) {
	if s.hash != nil {
		if v, ok := s.hash[name]; ok {
			return v, nil
		}
		return nothing, nil
	}
	if s.node < 0 || t.nodes[s.node].kind != object {
		return nothing, nil
	}
	var few [64]byte
	key := appendQuoted(few[:0], name)
	found := nothing
	for c := t.nodes[s.node].child; c != 0; c = t.nodes[c].next {
		switch {
		case !bytes.Equal(t.nodes[c].key, key):
		case found.node >= 0:
			return nothing, repeated(t.nodes[c].key)
		default:
			found = selection{node: c}
		}
	}
	return found, nil
}

func (t *tree) index(s selection, i int) selection {
	if s.isList {
		if i < 0 {
			i += len(s.list)
		}
		if i < 0 || i >= len(s.list) {
			return nothing
		}
		return s.list[i]
	}
	if s.node < 0 || t.nodes[s.node].kind != array {
		return nothing
	}
	var elements []int32
	for c := t.nodes[s.node].child; c != 0; c = t.nodes[c].next {
		elements = append(elements, c)
	}
	if i < 0 {
		i += len(elements)
	}
	if i < 0 || i >= len(elements) {
		return nothing
	}
	return selection{node: elements[i]}
}

// appendSelection appends the canonical form of a selection. Nothing is written as null.
func (t *tree) appendSelection(dst []byte, s selection) ([]byte, error) {
	var err error
	switch {
	case s.node >= 0:
		return t.append(dst, s.node)
	case s.isList:
		dst = append(dst, '[')
		for i, element := range s.list {
			if i > 0 {
				dst = append(dst, ',')
			}
			if dst, err = t.appendSelection(dst, element); err != nil {
				return dst, err
			}
		}
		return append(dst, ']'), nil
	case s.hash != nil:
		keys := make([]string, 0, len(s.hash))
		for key := range s.hash {
			keys = append(keys, key)
		}
		slices.SortFunc(keys, func(a, b string) int { return strings.Compare(quote(a), quote(b)) })
		dst = append(dst, '{')
		for i, key := range keys {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(append(dst, quote(key)...), ':')
			if dst, err = t.appendSelection(dst, s.hash[key]); err != nil {
				return dst, err
			}
		}
		return append(dst, '}'), nil
	default:
		return append(dst, "null"...), nil
	}
}

// quote returns the canonical form of a string.
func quote(s string) string { return string(appendQuoted(nil, s)) }

func appendQuoted(b []byte, s string) []byte {
	b = append(b, '"')
	for _, r := range s {
		b = appendRune(b, r)
	}
	return append(b, '"')
}
