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

// Answer is an answer as it is kept: the result of a name, as JSON. An operator who
// settles a name by hand can give one.
type Answer struct {
	Status  int         `json:"status"`
	Header  http.Header `json:"header,omitempty"`  // the fields that are kept
	Body    string      `json:"body,omitempty"`    // if it is UTF-8
	Base64  []byte      `json:"base64,omitempty"`  // else
	Omitted *Omitted    `json:"omitted,omitempty"` // the body was too large to be kept
}

// Omitted identifies a body that was not kept.
type Omitted struct {
	Size   int    `json:"size"`
	SHA256 string `json:"sha256"` // in hexadecimal digits
}

// keep returns what to record of an answer, within limit bytes: without its body if that
// does not fit, and without its header if not even that does.
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

// encode returns a as JSON in which no character is escaped without need.
func (a Answer) encode() []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(a); err != nil { // strings, numbers and bytes always encode
		return []byte("null")
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// kept returns the answer that data is, and whether its body can be sent again.
func kept(data []byte) (a Answer, whole bool) {
	err := json.Unmarshal(data, &a)
	if err != nil || a.Status < 200 || a.Status > 499 {
		return Answer{}, false
	}
	return a, a.Omitted == nil
}

// body returns the bytes that were kept.
func (a Answer) body() []byte {
	if a.Base64 != nil {
		return a.Base64
	}
	return []byte(a.Body)
}

// send writes an answer. Its length is known, whatever the handler has said of it.
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
		_, _ = w.Write(body) // the client may have gone; its repeat gets the answer
	}
}

// bodyAllowed reports whether an answer may have a body (RFC 9110, section 6.4.1).
func bodyAllowed(status int) bool {
	return status >= 200 && !slices.Contains([]int{http.StatusNoContent, http.StatusNotModified}, status)
}
