package names

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"unicode/utf8"
)

// maxDepth bounds the nesting of arrays and objects.
const maxDepth = 512

// kind is the type of a JSON value.
type kind byte

const (
	null kind = iota
	boolean
	number
	text
	array
	object
)

// mostValues bounds the values of a document, because each takes some 100 bytes of memory. A
// message of 1 MiB has at most a quarter as many. A body that is unpacked or fetched from S3 may
// have more.
const mostValues = 2 << 20

// tree is a parsed JSON document. Its nodes are in document order.
type tree struct {
	nodes []node
	arena []byte // canonical forms that differ from the source text

	body, form []byte  // buffers of [Extractor.Extract]
	order      []int32 // members of the objects written so far, each object's in key order
}

// node is one value. The canonical form of a scalar is computed while parsing, that of an array or
// object while writing.
type node struct {
	kind      kind
	canonical []byte // scalars only
	key       []byte // canonical form of the key of an object's member
	child     int32  // first element or member; 0: none
	next      int32  // next sibling; 0: none
}

// parser reads one document into a tree.
type parser struct {
	*tree
	src []byte
	at  int
}

// parse reads a document into the empty tree. The tree keeps references into src. After an error
// the tree is released.
func (t *tree) parse(src []byte) (*tree, error) {
	err := errNotUTF8
	if utf8.Valid(src) {
		p := &parser{src: src, tree: t}
		err = p.document()
	}
	if err != nil {
		t.release()
		return nil, err
	}
	return t, nil
}

var errNotUTF8 = errors.New("not valid UTF-8")

func (p *parser) document() error {
	if _, err := p.value(0); err != nil {
		return err
	}
	p.space()
	if p.at < len(p.src) {
		return p.wrong("text after the value")
	}
	return nil
}

// trees keeps released trees for the next document.
var trees = sync.Pool{New: func() any { return new(tree) }}

// mostKept bounds each of the buffers body and form that a released tree keeps, in bytes.
const mostKept = 64 << 10

// mostNodes bounds the nodes that a released tree keeps. A message of 1 MiB has at most as many.
const mostNodes = 512 << 10

// release returns the tree to the pool. Neither the tree nor its bytes may be used afterwards.
func (t *tree) release() {
	clear(t.nodes) // drops the references to the document
	t.nodes, t.arena, t.order = t.nodes[:0], t.arena[:0], t.order[:0]
	if cap(t.body) > mostKept || cap(t.form) > mostKept {
		t.body, t.form = nil, nil
	}
	if cap(t.nodes) > mostNodes {
		t.nodes, t.arena, t.order = nil, nil, nil
	}
	trees.Put(t)
}

// wrong returns the error for a fault at the current byte, or for the end of the document if that
// is reached.
func (p *parser) wrong(problem string) error {
	if p.at >= len(p.src) {
		return fmt.Errorf("not JSON: unexpected end after %d bytes", len(p.src))
	}
	return p.bad(problem)
}

// bad is wrong for faults that are faults at the end of the document, too.
func (p *parser) bad(problem string) error {
	return fmt.Errorf("not JSON: %s at byte %d", problem, p.at)
}

func (p *parser) space() {
	for p.at < len(p.src) {
		switch p.src[p.at] {
		case ' ', '\t', '\n', '\r':
			p.at++
		default:
			return
		}
	}
}

// peek skips white space and returns the next byte, 0 at the end.
func (p *parser) peek() byte {
	p.space()
	if p.at < len(p.src) {
		return p.src[p.at]
	}
	return 0
}

// add appends a node and returns its index.
func (p *parser) add(n node) int32 {
	p.nodes = append(p.nodes, n)
	return int32(len(p.nodes) - 1) // a payload has at most 1 GiB
}

// value reads one value and returns its index.
func (p *parser) value(depth int) (int32, error) {
	if len(p.nodes) >= mostValues {
		return 0, fmt.Errorf("has more than %d values", mostValues)
	}
	switch c := p.peek(); {
	case c == '{':
		return p.object(depth)
	case c == '[':
		return p.array(depth)
	case c == '"':
		s, err := p.str()
		return p.add(node{kind: text, canonical: s}), err
	case c == '-' || c >= '0' && c <= '9':
		n, err := p.number()
		return p.add(node{kind: number, canonical: n}), err
	case c == 't':
		return p.word("true", boolean)
	case c == 'f':
		return p.word("false", boolean)
	case c == 'n':
		return p.word("null", null)
	default:
		return 0, p.wrong("no value")
	}
}

func (p *parser) word(word string, k kind) (int32, error) {
	if !bytes.HasPrefix(p.src[p.at:], []byte(word)) {
		return 0, p.wrong("no value")
	}
	start := p.at
	p.at += len(word)
	return p.add(node{kind: k, canonical: p.src[start:p.at]}), nil
}

func (p *parser) array(depth int) (int32, error) {
	return p.container(array, ']', depth, func() (int32, error) { return p.value(depth + 1) })
}

func (p *parser) object(depth int) (int32, error) {
	return p.container(object, '}', depth, func() (int32, error) {
		if p.peek() != '"' {
			return 0, p.wrong("no key")
		}
		key, err := p.str()
		if err != nil {
			return 0, err
		}
		if p.peek() != ':' {
			return 0, p.wrong("no colon")
		}
		p.at++
		i, err := p.value(depth + 1)
		if err == nil {
			p.nodes[i].key = key
		}
		return i, err
	})
}

// container reads the elements between brackets, separated by commas.
func (p *parser) container(k kind, end byte, depth int, element func() (int32, error)) (int32, error) {
	if depth >= maxDepth {
		return 0, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	p.at++
	self := p.add(node{kind: k})
	if p.peek() == end {
		p.at++
		return self, nil
	}
	for last := int32(0); ; {
		i, err := element()
		if err != nil {
			return 0, err
		}
		if last == 0 {
			p.nodes[self].child = i
		} else {
			p.nodes[last].next = i
		}
		last = i
		switch p.peek() {
		case end:
			p.at++
			return self, nil
		case ',':
			p.at++
		default:
			return 0, p.wrong("no comma or end")
		}
	}
}

// str reads a string and returns its canonical form, quotes included. Quotes, backslashes, control
// characters and lone surrogates are escaped; all other characters are literal.
func (p *parser) str() ([]byte, error) {
	start := p.at
	if end := bytes.IndexByte(p.src[start+1:], '"'); end >= 0 && plain(p.src[start+1:start+1+end]) {
		p.at = start + end + 2
		return p.src[start:p.at], nil
	}
	for p.at++; p.at < len(p.src); p.at++ {
		switch c := p.src[p.at]; {
		case c == '"':
			p.at++
			return p.src[start:p.at], nil
		case c == '\\':
			return p.escaped(start)
		case c < 0x20:
			return nil, p.wrong("control character in a string")
		}
	}
	return nil, p.wrong("")
}

// plain reports whether a text has neither a backslash nor a control character. It checks eight
// bytes at a time, because a large message consists mostly of long texts.
// https://graphics.stanford.edu/~seander/bithacks.html#HasLessInWord
func plain(s []byte) bool {
	const (
		each = 0x0101010101010101
		high = 0x80 * each // of each byte
	)
	for ; len(s) >= 8; s = s[8:] {
		eight := binary.LittleEndian.Uint64(s)
		backslash := eight ^ '\\'*each // zero where there is one
		if ((eight-' '*each)&^eight|(backslash-each)&^backslash)&high != 0 {
			return false
		}
	}
	for _, c := range s {
		if c < ' ' || c == '\\' {
			return false
		}
	}
	return true
}

// escaped reads the rest of a string from its first escape on.
func (p *parser) escaped(start int) ([]byte, error) {
	begin := len(p.arena)
	p.arena = append(p.arena, p.src[start:p.at]...)
	for p.at < len(p.src) {
		c := p.src[p.at]
		switch {
		case c == '"':
			p.at++
			p.arena = append(p.arena, '"')
			return p.arena[begin:len(p.arena):len(p.arena)], nil
		case c < 0x20:
			return nil, p.wrong("control character in a string")
		case c != '\\':
			p.arena = append(p.arena, c)
			p.at++
		default:
			r, err := p.escape()
			if err != nil {
				return nil, err
			}
			p.arena = appendRune(p.arena, r)
		}
	}
	return nil, p.wrong("")
}

// escapes maps the letter after a backslash to its character.
var escapes = map[byte]rune{
	'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t',
}

// escape reads one escape, or the two escapes of a surrogate pair.
func (p *parser) escape() (rune, error) {
	if p.at+1 >= len(p.src) {
		p.at = len(p.src)
		return 0, p.wrong("")
	}
	c := p.src[p.at+1]
	if c != 'u' {
		r, ok := escapes[c]
		if !ok {
			return 0, p.wrong("unknown escape")
		}
		p.at += 2
		return r, nil
	}
	r, err := p.hex4(p.at + 2)
	if err != nil {
		return 0, err
	}
	p.at += 6
	if r >= 0xd800 && r < 0xdc00 && bytes.HasPrefix(p.src[p.at:], []byte(`\u`)) {
		if low, err := p.hex4(p.at + 2); err == nil && low >= 0xdc00 && low < 0xe000 {
			p.at += 6
			return (r-0xd800)<<10 + (low - 0xdc00) + 0x10000, nil
		}
	}
	return r, nil
}

func (p *parser) hex4(at int) (rune, error) {
	if at+4 > len(p.src) {
		return 0, p.wrong("incomplete escape")
	}
	v, err := strconv.ParseUint(string(p.src[at:at+4]), 16, 16)
	if err != nil {
		return 0, p.wrong("bad escape")
	}
	return rune(v), nil
}

// appendRune appends the canonical form of a character.
func appendRune(dst []byte, r rune) []byte {
	switch {
	case r == '"' || r == '\\':
		return append(dst, '\\', byte(r))
	case r < 0x20 || r >= 0xd800 && r < 0xe000:
		const hex = "0123456789abcdef"
		return append(dst, '\\', 'u', hex[r>>12&15], hex[r>>8&15], hex[r>>4&15], hex[r&15])
	default:
		return utf8.AppendRune(dst, r)
	}
}
