package names

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Canonical appends the canonical form of the JSON document src to dst: no white space, keys in
// byte order, one spelling for each string and each number. Two documents have the same form if and
// only if they hold the same values; numbers are compared exactly. The form is JSON, and its own
// canonical form.
//
// It fails if src is not JSON, if an object repeats a key, or if arrays and objects nest more than
// 512 deep. The error gives the byte offset or the key, and the appended form is incomplete.
func Canonical(dst, src []byte) ([]byte, error) {
	t, err := trees.Get().(*tree).parse(src)
	if err != nil {
		return dst, err
	}
	defer t.release()
	return t.append(dst, 0)
}

// append writes the canonical form of node i.
func (t *tree) append(dst []byte, i int32) ([]byte, error) {
	n := &t.nodes[i]
	switch n.kind {
	case array:
		return t.appendArray(dst, n)
	case object:
		return t.appendObject(dst, n)
	default:
		return append(dst, n.canonical...), nil
	}
}

func (t *tree) appendArray(dst []byte, n *node) ([]byte, error) {
	dst = append(dst, '[')
	for c := n.child; c != 0; c = t.nodes[c].next {
		if c != n.child {
			dst = append(dst, ',')
		}
		var err error
		if dst, err = t.append(dst, c); err != nil {
			return dst, err
		}
	}
	return append(dst, ']'), nil
}

func (t *tree) appendObject(dst []byte, n *node) ([]byte, error) {
	begin := len(t.order)
	if err := t.sort(n); err != nil {
		return dst, err
	}
	end := len(t.order)
	dst = append(dst, '{')
	for i := begin; i < end; i++ {
		if i > begin {
			dst = append(dst, ',')
		}
		m := t.order[i]
		dst = append(append(dst, t.nodes[m].key...), ':')
		var err error
		if dst, err = t.append(dst, m); err != nil {
			return dst, err
		}
	}
	return append(dst, '}'), nil
}

// sort appends an object's members to t.order in key order. It fails for a repeated key.
func (t *tree) sort(n *node) error {
	begin := len(t.order)
	for c := n.child; c != 0; c = t.nodes[c].next {
		t.order = append(t.order, c)
	}
	members := t.order[begin:]
	slices.SortFunc(members, func(a, b int32) int { return bytes.Compare(t.nodes[a].key, t.nodes[b].key) })
	for i := 1; i < len(members); i++ {
		if key := t.nodes[members[i]].key; bytes.Equal(key, t.nodes[members[i-1]].key) {
			return repeated(key)
		}
	}
	return nil
}

// repeatedError says that an object repeats a key.
type repeatedError struct{ key string } // in its canonical form

func (e *repeatedError) Error() string { return fmt.Sprintf("key %s is repeated", e.key) }

func isRepeated(err error) bool {
	_, ok := errors.AsType[*repeatedError](err)
	return ok
}

// repeated returns a [repeatedError] of a key in its canonical form.
func repeated(key []byte) error { return &repeatedError{string(key)} }
