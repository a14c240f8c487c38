package names

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/sqsonce/sqsonce/internal/attributes"
)

// NameAttribute is the message attribute that, when present, is the name.
const NameAttribute = attributes.Name

// Schemes of fingerprints: their first byte.
const (
	schemeJSON byte = 1 // over the canonical form
	schemeRaw  byte = 2 // over the bytes of a body that is not JSON
)

// Off is the Config.Fingerprint that takes none.
const Off = "off"

// Config says where names and fingerprints come from.
type Config struct {
	// Key says where the name is: a JMESPath over the body, "@attribute:NAME"
	// for a message attribute, "@message-id" or "@dedup-id". Default "name".
	Key string

	// Fingerprint is what of the body tells two messages of one name apart: a
	// JMESPath over the body, or "off". Default: the whole body.
	//
	// JMESPaths are limited to fields, indexes, multi-selects and pipes.
	Fingerprint string
}

// Extractor takes names and fingerprints out of messages. Use New; safe for
// concurrent use.
type Extractor struct {
	key         string // as configured
	keyPath     *path  // nil: the key is not in the body
	attribute   string // where it is, else
	off         bool
	fingerprint *path // nil: the whole body
	expression  [4]byte
}

// New returns an extractor, or an error that names the field and the value that
// is wrong.
func New(cfg Config) (*Extractor, error) {
	x := &Extractor{key: cmp.Or(cfg.Key, "name")}
	if attribute, ok := strings.CutPrefix(x.key, "@attribute:"); ok {
		if attribute == "" {
			return nil, fmt.Errorf("key %q: the attribute's name is missing", x.key)
		}
		x.attribute = attribute
	} else if x.key != "@message-id" && x.key != "@dedup-id" {
		p, err := parsePath(x.key)
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", x.key, err)
		}
		x.keyPath = &p
	}
	switch cfg.Fingerprint {
	case "":
	case Off:
		x.off = true
	default:
		p, err := parsePath(cfg.Fingerprint)
		if err != nil {
			return nil, fmt.Errorf("fingerprint %q: %w", cfg.Fingerprint, err)
		}
		x.fingerprint = &p
		sum := sha256.Sum256([]byte(cfg.Fingerprint))
		copy(x.expression[:], sum[:])
	}
	return x, nil
}

// Message is what an [Extractor] looks at of a message.
type Message struct {
	ID         string               // SQS message id
	DedupID    string               // deduplication id; FIFO queues only
	Body       string               // as sent
	Attributes map[string]Attribute // message attributes; may be nil
}

// Attribute is a message attribute.
type Attribute struct {
	Type  string // SQS data type: String, Number or Binary, with an optional label such as "Number.int"; empty: String
	Value string // the text; of a Binary attribute its bytes
}

// Text returns the attribute with the given text and the type String.
func Text(value string) Attribute { return Attribute{Type: "String", Value: value} }

// Binary reports whether the attribute holds bytes instead of text.
func (a Attribute) Binary() bool { return a.Type == "Binary" || strings.HasPrefix(a.Type, "Binary.") }

// Fingerprint identifies a payload: one byte of scheme, four bytes naming the
// expression it was taken over (zero: the whole body), 32 bytes of SHA-256. The
// zero value means that none was taken. It converts to the Fingerprint of
// package dedupe.
type Fingerprint [37]byte

// Named is a message whose name is known.
type Named struct {
	Name        string      // passes [Check]
	Fingerprint Fingerprint // of the payload; zero with [Off]
	Body        string      // what the work gets
}

// FieldError says what is wrong with a message. No retry can cure it.
type FieldError struct {
	Field   string // "name", "body", or the configured key or fingerprint
	Problem string
}

// Error implements error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// Permanent reports true.
func (e *FieldError) Permanent() bool { return true }

// Reason names the error in a dead-letter queue.
func (e *FieldError) Reason() string { return "bad message" }

// Extract returns a message's name and fingerprint, or a *[FieldError]. The
// body is parsed once. It has to be JSON only if the name or the fingerprint is
// looked for inside it; a whole body that is not JSON is fingerprinted byte by
// byte. A key must not be repeated on the path of the name or in the part that
// is fingerprinted.
func (x *Extractor) Extract(m Message) (Named, error) {
	doc, bad := x.document(m.Body)
	if bad == nil {
		defer doc.release()
	}
	name, err := x.name(m, doc, bad)
	if err != nil {
		return Named{}, err
	}
	if err := Check(name); err != nil {
		return Named{}, &FieldError{x.key, err.Error()}
	}
	fp, err := x.print(m.Body, doc, bad)
	if err != nil {
		return Named{}, err
	}
	return Named{Name: name, Fingerprint: fp, Body: m.Body}, nil
}

// document parses the body if anything is looked for in it.
func (x *Extractor) document(body string) (*tree, error) {
	if x.keyPath == nil && x.off {
		return nil, errors.New("not looked at")
	}
	t := trees.Get().(*tree)
	t.body = append(t.body[:0], body...)
	return t.parse(t.body)
}

func (x *Extractor) name(m Message, doc *tree, bad error) (string, error) {
	if a, ok := m.Attributes[NameAttribute]; ok && !a.Binary() {
		return a.Value, nil
	}
	switch {
	case x.attribute != "":
		a, ok := m.Attributes[x.attribute]
		if !ok {
			return "", &FieldError{x.key, "the message has no such attribute"}
		}
		if a.Binary() {
			return "", &FieldError{x.key, "is a Binary attribute: a name is a String or a Number"}
		}
		return a.Value, nil
	case x.key == "@message-id":
		return m.ID, nil
	case x.keyPath == nil:
		return m.DedupID, nil
	case bad != nil:
		return "", &FieldError{"body", bad.Error()}
	}
	found, err := doc.find(x.keyPath.root, selection{})
	if err != nil {
		return "", &FieldError{"body", err.Error()}
	}
	if doc.isNothing(found) {
		return "", &FieldError{x.key, "is missing"}
	}
	name, ok := doc.stringValue(found)
	if !ok {
		return "", &FieldError{x.key, "is not a string"}
	}
	return name, nil
}

// form returns what of the document is fingerprinted, in its canonical form and
// the document's memory.
func (x *Extractor) form(doc *tree) (form []byte, err error) {
	if x.fingerprint == nil {
		form, err = doc.append(doc.form[:0], 0)
	} else {
		var part selection
		if part, err = doc.find(x.fingerprint.root, selection{}); err != nil {
			return nil, err
		}
		form, err = doc.appendSelection(doc.form[:0], part)
	}
	doc.form = form // its memory, for the next one
	return form, err
}

// print returns the fingerprint of the body.
func (x *Extractor) print(body string, doc *tree, bad error) (fp Fingerprint, err error) {
	var form []byte
	switch {
	case x.off:
		return fp, nil
	case bad != nil && x.fingerprint != nil:
		return fp, &FieldError{"body", bad.Error()}
	case bad != nil:
		fp[0], form = schemeRaw, []byte(body)
	default:
		fp[0] = schemeJSON
		form, err = x.form(doc)
		if err != nil {
			return fp, &FieldError{"body", err.Error()}
		}
	}
	copy(fp[1:5], x.expression[:])
	sum := sha256.Sum256(form)
	copy(fp[5:], sum[:])
	return fp, nil
}
