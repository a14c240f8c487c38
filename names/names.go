package names

import (
	"cmp"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"

	"github.com/jmespath-community/go-jmespath/pkg/util"

	"github.com/sqsonce/sqsonce/internal/attributes"
)

// NameAttribute is the message attribute that holds the name. If present, it takes precedence over
// Config.Key.
const NameAttribute = attributes.Name

// Schemes of fingerprints, their first byte.
const (
	schemeJSON byte = 1 // over the canonical form
	schemeRaw  byte = 2 // over the bytes of a body that is not JSON
)

// Off is the value of Config.Fingerprint that disables fingerprints.
const Off = "off"

// Values of Config.LongNames.
const (
	RefuseLong = "refuse" // the default
	HashLong   = "hash"
)

// Values of Config.Unnamed.
const (
	UnnamedDeadLetter = "dead-letter" // the default: Extract fails
	UnnamedRun        = "run"         // the message id becomes the name
	UnnamedIgnore     = "ignore"      // the message is no work
)

// Config configures the source of names and fingerprints. The zero value takes the name from the
// field "name" of the body, and the fingerprint over the whole body.
//
// An expression may use all of JMESPath Community (https://jmespath.site) and these functions:
// from_json, also called powertools_json, decodes the JSON document in a string; powertools_base64
// and powertools_base64_gzip decode a string; nfc normalises a string to Unicode NFC. Numbers keep
// every digit. An expression that compares numbers or calculates fails on a document in which the
// result depends on digits that a float64 loses.
type Config struct {
	// Key is the source of the name: a JMESPath over the body, "@attribute:NAME" for a message
	// attribute, "@message-id" or "@dedup-id". Default "name".
	//
	// A text is used unchanged; names are compared byte for byte. A number becomes its digits
	// without an exponent, at most 40: 17, 17.0 and the text "17" all give the name 17. A list of
	// texts and numbers becomes the JSON list of its members as strings: [tenant, order.id] may
	// give ["a","17"].
	Key string

	// Fingerprint is the part of the body that has to be equal in messages of one name: a JMESPath
	// over the body, or [Off]. Default: the whole body.
	Fingerprint string

	// Unwrap names the envelopes that are opened first: [UnwrapNone] (default), [UnwrapSNS],
	// [UnwrapEventBridge], [UnwrapBase64] (a JSON object in base64, or its gzip in base64), or
	// [UnwrapAuto], which opens all of them, also inside each other. A message without the envelope
	// is used unchanged.
	Unwrap string

	// Ignore is a JMESPath over the body that is true for messages that are no work, such as the
	// test event of S3: "Event == 's3:TestEvent'". If the expression fails, the message counts as
	// work. Default: none.
	Ignore string

	// Unnamed is the treatment of a message without a name (its key or attribute is missing, null
	// or empty, or its body is not JSON): [UnnamedDeadLetter] (default), [UnnamedRun],
	// [UnnamedIgnore]. A value that cannot be a name, such as a boolean, is always an error.
	Unnamed string

	// LongNames is the treatment of a name of more than [MaxBytes] bytes: [RefuseLong] (default)
	// makes Extract fail; [HashLong] replaces the name by its beginning and its SHA-256.
	LongNames string
}

// Extractor extracts names and fingerprints from messages. It is safe for concurrent use. Create it
// with [New]: the zero value does not work.
type Extractor struct {
	key          string      // as configured
	inBody       *expression // nil: the key is not in the body
	attribute    string      // the attribute that holds the name; empty: none
	hashLong     bool
	unwrapping   string
	ignore       *expression // nil: none
	unnamed      string
	off          bool
	fingerprint  *expression // nil: the whole body
	expressionID [4]byte
}

// New returns an extractor, or an error that names the field and its value.
func New(cfg Config) (*Extractor, error) {
	x := &Extractor{key: cmp.Or(cfg.Key, "name"), hashLong: cfg.LongNames == HashLong}
	if cfg.LongNames != "" && cfg.LongNames != RefuseLong && !x.hashLong {
		return nil, fmt.Errorf("long names %q: must be %q or %q", cfg.LongNames, RefuseLong, HashLong)
	}
	switch x.unwrapping = cmp.Or(cfg.Unwrap, UnwrapNone); x.unwrapping {
	case UnwrapNone, UnwrapSNS, UnwrapEventBridge, UnwrapBase64, UnwrapAuto:
	default:
		return nil, fmt.Errorf("unwrap %q: must be %q, %q, %q, %q or %q",
			cfg.Unwrap, UnwrapNone, UnwrapSNS, UnwrapEventBridge, UnwrapBase64, UnwrapAuto)
	}
	if attribute, ok := strings.CutPrefix(x.key, "@attribute:"); ok {
		if attribute == "" {
			return nil, fmt.Errorf("key %q: the attribute's name is missing", x.key)
		}
		x.attribute = attribute
	} else if x.key != "@message-id" && x.key != "@dedup-id" {
		e, err := compile(x.key, true)
		if err == nil {
			err = e.checkKey()
		}
		if err != nil {
			return nil, fmt.Errorf("key %q: %w", x.key, err)
		}
		x.inBody = e
	}
	if err := x.setUnnamed(cfg); err != nil {
		return nil, err
	}
	switch cfg.Fingerprint {
	case "":
	case Off:
		x.off = true
	default:
		e, err := compile(cfg.Fingerprint, true)
		if err != nil {
			return nil, fmt.Errorf("fingerprint %q: %w", cfg.Fingerprint, err)
		}
		x.fingerprint = e
		sum := sha256.Sum256([]byte(cfg.Fingerprint))
		copy(x.expressionID[:], sum[:])
	}
	return x, nil
}

// setUnnamed checks and takes over Config.Unnamed and Config.Ignore.
func (x *Extractor) setUnnamed(cfg Config) error {
	switch x.unnamed = cmp.Or(cfg.Unnamed, UnnamedDeadLetter); x.unnamed {
	case UnnamedDeadLetter, UnnamedRun, UnnamedIgnore:
	default:
		return fmt.Errorf("unnamed %q: must be %q, %q or %q", cfg.Unnamed, UnnamedDeadLetter, UnnamedRun, UnnamedIgnore)
	}
	if cfg.Ignore == "" {
		return nil
	}
	var err error
	if x.ignore, err = compile(cfg.Ignore, false); err != nil {
		return fmt.Errorf("ignore %q: %w", cfg.Ignore, err)
	}
	if !looks(x.ignore.root) {
		return fmt.Errorf("ignore %q: reads no field of the message", cfg.Ignore)
	}
	return nil
}

// Message is the part of an SQS message that an [Extractor] reads.
type Message struct {
	ID         string               // SQS message id
	DedupID    string               // deduplication id; FIFO queues only
	Body       string               // as sent
	Attributes map[string]Attribute // message attributes; may be nil

	// Fetch returns the payload that a [Pointer] refers to. [Extractor.Extract] calls it at most
	// once, for a message that is a pointer or an envelope with a pointer. Nil: pointers are not
	// followed, and a pointer is treated as an ordinary body.
	Fetch func(Pointer) (string, error)
}

// Attribute is a message attribute.
type Attribute struct {
	Type  string // SQS data type, such as String, Number.int or Binary; empty: String
	Value string // the text; the bytes of a Binary attribute
}

// Text returns the attribute with the given text and the type String.
func Text(value string) Attribute { return Attribute{Type: "String", Value: value} }

// Binary reports whether the attribute holds bytes instead of text.
func (a Attribute) Binary() bool { return a.Type == "Binary" || strings.HasPrefix(a.Type, "Binary.") }

// Fingerprint identifies a payload: one byte of scheme, four bytes that identify the fingerprint
// expression (zero: the whole body), 32 bytes of SHA-256. The zero value means that no fingerprint
// was taken. It converts to the Fingerprint of package dedupe.
type Fingerprint [37]byte

// Values of Named.Ignored.
const (
	IgnoredByExpression = "expression" // by Config.Ignore
	IgnoredUnnamed      = "unnamed"    // by Config.Unnamed
)

// Named is the result of [Extractor.Extract].
type Named struct {
	// Ignored is [IgnoredByExpression] or [IgnoredUnnamed] if the message is no work and so has no
	// name. Empty: the message is work.
	Ignored string

	Name        string      // passes [Check]
	Unnamed     bool        // the message has no name of its own; Name is its message id ([UnnamedRun])
	Fingerprint Fingerprint // of the payload; zero with [Off]

	// Compared is the expression of Fingerprint; empty: the whole body.
	Compared string

	// Body and Attributes are those of the message inside the envelope or of the payload in S3, and
	// of the message itself if it has neither.
	Body       string
	Attributes map[string]Attribute

	// Headers are the envelope's and the pointer's fields as HTTP headers, such as
	// X-Amz-Sns-Topic-Arn. Nil without an envelope and a pointer.
	Headers map[string]string
}

// FieldError names a field of a message and its fault. The error is permanent.
type FieldError struct {
	Field   string // "name", "body", "fingerprint", the configured key, or [NameAttribute]
	Problem string

	absent bool // the name is missing, as opposed to invalid
}

// Error implements error.
func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// Permanent reports true.
func (e *FieldError) Permanent() bool { return true }

// Reason returns the text for the dead-letter queue.
func (e *FieldError) Reason() string { return "bad message" }

// Extract returns a message's name and fingerprint. It fails with a *[FieldError], or with an error
// that wraps that of [Message].Fetch.
//
// The body has to be JSON only if the key or the fingerprint is an expression. A byte order mark is
// skipped. An object on the path of the name must not repeat a key.
//
// The fingerprint is taken over the bytes of the body, not over the canonical form, if the body is
// not JSON, if it begins with a byte order mark and the whole body is compared, or if the compared
// part repeats a key.
func (x *Extractor) Extract(m Message) (Named, error) {
	m, headers, err := x.unwrap(m)
	if err != nil {
		return Named{}, err
	}
	doc, bad := x.document(m.Body)
	if bad == nil {
		defer doc.release()
	}
	named := Named{Compared: x.compared(), Body: m.Body, Attributes: m.Attributes, Headers: headers}
	if bad == nil && x.ignores(doc) {
		named.Ignored = IgnoredByExpression
		return named, nil
	}
	name, err := x.name(m, doc, bad)
	if err == nil {
		named.Name = name
		named.Fingerprint, err = x.print(m.Body, doc, bad)
		return named, err
	}
	if missing, ok := errors.AsType[*FieldError](err); !ok || !missing.absent {
		return named, err
	}
	switch x.unnamed {
	case UnnamedIgnore:
		named.Ignored = IgnoredUnnamed
		return named, nil
	case UnnamedRun:
		named.Name, named.Unnamed = m.ID, true
		if fp, err := x.print(m.Body, doc, bad); err == nil {
			named.Fingerprint = fp
		}
		if Check(m.ID) == nil {
			return named, nil
		}
	}
	return named, err
}

func (x *Extractor) compared() string {
	if x.fingerprint == nil {
		return ""
	}
	return x.fingerprint.text
}

// ignores reports whether Config.Ignore is true for the document.
func (x *Extractor) ignores(doc *tree) bool {
	if x.ignore == nil {
		return false
	}
	value, err := x.ignore.eval(doc)
	return err == nil && !util.IsFalse(value)
}

// Normal returns the name that records have for the given name: with [HashLong] a name of more than
// [MaxBytes] bytes is hashed. The error is that of [Check].
func (x *Extractor) Normal(name string) (string, error) {
	if len(name) > MaxBytes && x.hashLong {
		name = hashed(name)
	}
	return name, Check(name)
}

// byteOrderMark may precede a document: https://www.rfc-editor.org/rfc/rfc8259#section-8.1
const byteOrderMark = "\uFEFF"

// document parses the body. It fails at once if no expression reads the body.
func (x *Extractor) document(body string) (*tree, error) {
	if x.inBody == nil && x.off && x.ignore == nil {
		return nil, errors.New("not looked at")
	}
	t := trees.Get().(*tree)
	t.body = append(t.body[:0], strings.TrimPrefix(body, byteOrderMark)...)
	return t.parse(t.body)
}

// name returns the name of a message, or a *[FieldError]. bad is the error of document.
func (x *Extractor) name(m Message, doc *tree, bad error) (string, error) {
	field, name, err := x.find(m, doc, bad)
	if err == nil && name == "" {
		return "", &FieldError{Field: field, Problem: "is empty", absent: true}
	}
	if err == nil {
		name, err = x.Normal(name)
	}
	if err == nil {
		return name, nil
	}
	if bad, ok := errors.AsType[*FieldError](err); ok {
		return "", bad
	}
	return "", &FieldError{Field: field, Problem: err.Error()}
}

// Value returns the value of Config.Key in the form of a name, whether or not the message has the
// attribute [NameAttribute]. It fails as [Extractor.Extract] does where there is none.
func (x *Extractor) Value(m Message) (string, error) {
	m, _, err := x.unwrap(m)
	if err != nil {
		return "", err
	}
	doc, bad := x.document(m.Body)
	if bad == nil {
		defer doc.release()
	}
	_, value, err := x.value(m, doc, bad)
	return value, err
}

// find returns the name before [Extractor.Normal], and the field that holds it.
func (x *Extractor) find(m Message, doc *tree, bad error) (field, name string, err error) {
	if a, ok := m.Attributes[NameAttribute]; ok {
		name, err = fromAttribute(a)
		return NameAttribute, name, err
	}
	return x.value(m, doc, bad)
}

// value is find without the attribute [NameAttribute].
func (x *Extractor) value(m Message, doc *tree, bad error) (field, name string, err error) {
	switch {
	case x.attribute != "":
		a, ok := m.Attributes[x.attribute]
		if !ok {
			return "", "", &FieldError{Field: x.key, Problem: "the message has no such attribute" + hint(m), absent: true}
		}
		name, err = fromAttribute(a)
		return x.key, name, err
	case x.key == "@message-id":
		return x.key, m.ID, nil
	case x.inBody == nil:
		return x.key, m.DedupID, nil
	case bad != nil:
		return "", "", &FieldError{Field: "body", Problem: bad.Error() + hint(m), absent: true}
	}
	value, err := x.inBody.find(doc)
	if err == nil && value != nil {
		name, err = nameOf(value)
	} else if err == nil {
		err = errMissing
	}
	switch {
	case err == nil:
		return x.key, name, nil
	case isRepeated(err):
		return "", "", &FieldError{Field: "body", Problem: err.Error()}
	default:
		return "", "", &FieldError{Field: x.key, Problem: err.Error() + hint(m), absent: errors.Is(err, errMissing) || errors.Is(err, errEmptyList)}
	}
}

func fromAttribute(a Attribute) (string, error) {
	if a.Binary() {
		return "", errors.New("is a Binary attribute: a name is a String or a Number")
	}
	return a.Value, nil
}

// find returns the value of an expression for nameOf. See tree.named for the value of a path.
func (e *expression) find(doc *tree) (any, error) {
	if !e.path {
		return e.eval(doc)
	}
	found, err := doc.find(e.root, selection{})
	if err != nil {
		return nil, err
	}
	return doc.named(found, 0)
}

// form returns the canonical form of the compared part of the document. The bytes belong to doc and
// are valid until its release.
func (x *Extractor) form(doc *tree) (form []byte, err error) {
	switch {
	case x.fingerprint == nil:
		form, err = doc.append(doc.form[:0], 0)
	case x.fingerprint.path:
		var part selection
		if part, err = doc.find(x.fingerprint.root, selection{}); err != nil {
			return nil, err
		}
		form, err = doc.appendSelection(doc.form[:0], part)
	default:
		var part any
		if part, err = x.fingerprint.eval(doc); err != nil {
			return nil, err
		}
		form, err = appendValue(doc.form[:0], part)
	}
	doc.form = form // keeps the memory for the next document
	return form, err
}

// print returns the fingerprint of the body. bad is the error of document.
func (x *Extractor) print(body string, doc *tree, bad error) (fp Fingerprint, err error) {
	var form []byte
	fp[0] = schemeJSON
	switch {
	case x.off:
		return Fingerprint{}, nil
	case bad != nil && x.fingerprint != nil:
		return Fingerprint{}, &FieldError{Field: "body", Problem: bad.Error()}
	case bad != nil, x.fingerprint == nil && strings.HasPrefix(body, byteOrderMark):
		fp[0], form = schemeRaw, []byte(body)
	default:
		form, err = x.form(doc)
		if isRepeated(err) {
			fp[0], form = schemeRaw, []byte(body)
		} else if err != nil {
			return Fingerprint{}, &FieldError{Field: "fingerprint", Problem: err.Error()}
		}
	}
	copy(fp[1:5], x.expressionID[:])
	sum := sha256.Sum256(form)
	copy(fp[5:], sum[:])
	return fp, nil
}
