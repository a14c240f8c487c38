package httponce

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// Header is the name of the header field with the key.
const Header = "Idempotency-Key"

// sfString matches an Item of RFC 9651 that is a String, with its characters as the first group. It
// ignores parameters, of which the draft defines none.
var sfString = func() *regexp.Regexp {
	const text = `"((?:[ !#-\[\]-~]|\\["\\])*)"`
	const parameter = `; *[a-z*][a-z0-9_.*-]*(?:=(?:` + text + `|[A-Za-z0-9!#$%&'*+.^_|~:/?=@-]+))?`
	return regexp.MustCompile(`^ *` + text + `(?:` + parameter + `)* *$`)
}()

var unescape = strings.NewReplacer(`\"`, `"`, `\\`, `\`)

// keyOf returns the key of a request that has the field.
func (c Config) keyOf(values []string) (key string, err error) {
	match := sfString.FindStringSubmatch(values[0])
	switch {
	case len(values) > 1:
		return "", errors.New("the field must be sent once")
	case match != nil:
		key = unescape.Replace(match[1])
	case c.Unquoted && isBare(values[0]):
		key = values[0]
	default:
		return "", errors.New(`the value must be a String, in double quotes (RFC 9651, section 3.3.3), such as "8e03978e-40d5-43e8-bc93-6894a57f9324"`)
	}
	if key == "" {
		return "", errors.New("the key is empty")
	}
	if len(key) > c.MaxKey {
		return "", fmt.Errorf("the key has %d bytes, more than %d", len(key), c.MaxKey)
	}
	return key, c.CheckKey(key)
}

// isBare reports whether value can be a key without quotes: printable ASCII without spaces and
// without characters that have a meaning in a structured field.
func isBare(value string) bool {
	return value != "" && !strings.ContainsFunc(value, func(r rune) bool {
		return r <= ' ' || r > '~' || strings.ContainsRune(`"\,;()`, r)
	})
}

// nameOf returns the name of a request in the store. Different parts give different names, because
// only the key, the last part, can contain a space.
func (c Config) nameOf(r *http.Request, client, key string) string {
	path := r.URL.EscapedPath()
	prefix := ""
	if c.Client != nil {
		prefix = url.QueryEscape(client) + " "
	}
	name := prefix + r.Method + " " + path + " " + key
	if len(name) <= protocol.MaxNameBytes {
		return name
	}
	return prefix + r.Method + " " + hash(path) + " " + key
}

// hash returns the replacement of a path that is too long. It differs from all paths, which begin
// with a slash.
func hash(path string) string {
	sum := sha256.Sum256([]byte(path))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// wholeRequest returns the parts of a request that its repeat must share, besides those in its
// name.
func wholeRequest(r *http.Request, body []byte) ([]byte, error) {
	query := r.URL.RawQuery
	all := binary.BigEndian.AppendUint64(nil, uint64(len(query)))
	return append(append(all, query...), body...), nil
}

// Schemes of fingerprints. Only fingerprints of one scheme are compared.
const (
	schemeWhole = iota + 1
	schemeOwn   // by Config.Fingerprint
)

func fingerprint(scheme byte, of []byte) (f protocol.Fingerprint) {
	f[0] = scheme
	sum := sha256.Sum256(of)
	copy(f[5:], sum[:])
	return f
}
