package httponce

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Answer is a recorded answer, the result of a name as JSON. An operator can resolve a name with an
// Answer as its result.
type Answer struct {
	Status  int         `json:"status"`
	Header  http.Header `json:"header,omitempty"`  // the recorded fields
	Body    string      `json:"body,omitempty"`    // a body of UTF-8
	Base64  []byte      `json:"base64,omitempty"`  // any other body
	Omitted *Omitted    `json:"omitted,omitempty"` // set if the body was too large for the record
}

// Omitted identifies a body that is not in the record.
type Omitted struct {
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"` // in hexadecimal digits
}

// keep returns the record of an answer, at most limit bytes: without the body if that does not fit,
// and without the header if that does not fit either.
func keep(status int, header http.Header, fields []string, body []byte, limit int) []byte {
	kept := Answer{Status: status, Header: http.Header{}}
	for _, name := range fields {
		if values := header[name]; len(values) > 0 {
			kept.Header[name] = values
		}
	}
	sum := sha256.Sum256(body)
	omitted := &Omitted{len(body), hex.EncodeToString(sum[:])}
	text, binary, none := kept, kept, kept
	text.Body, binary.Base64, none.Omitted = string(body), body, omitted
	forms := []Answer{text, binary, none, {Status: status, Omitted: omitted}} // binary is shorter than text with many escapes
	if !utf8.Valid(body) {
		forms = forms[1:]
	}
	var data []byte
	for _, form := range forms {
		if data = form.encode(); len(data) <= limit {
			break
		}
	}
	return data
}

// encode returns a as JSON without the escapes for HTML.
func (a Answer) encode() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(a); err != nil { // strings, numbers and bytes always encode
		return []byte("null")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// kept decodes a recorded answer, and reports whether its body can be sent again.
func kept(data []byte) (a Answer, whole bool) {
	err := json.Unmarshal(data, &a)
	if err != nil || a.Status < 200 || a.Status > 499 {
		return Answer{}, false
	}
	return a, a.Omitted == nil
}

// body returns the recorded body.
func (a Answer) body() []byte {
	if a.Base64 != nil {
		return a.Base64
	}
	return []byte(a.Body)
}

// send writes an answer. Its Content-Length is that of body, not the handler's.
func send(w http.ResponseWriter, status int, header http.Header, body []byte) {
	h := w.Header()
	maps.Copy(h, header)
	maps.DeleteFunc(h, func(name string, _ []string) bool {
		return name == "Trailer" || strings.HasPrefix(name, http.TrailerPrefix)
	})
	h.Del("Content-Length")
	if bodyAllowed(status) {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	} else {
		body = nil
	}
	w.WriteHeader(status)
	if len(body) > 0 {
		_, _ = w.Write(body) // after an error the client's repeat gets the answer
	}
}

// bodyAllowed reports whether an answer may have a body (RFC 9110, section 6.4.1).
func bodyAllowed(status int) bool {
	return status >= 200 && !slices.Contains([]int{http.StatusNoContent, http.StatusNotModified}, status)
}
