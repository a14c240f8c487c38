package console

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// maxPattern bounds the text by which failures are grouped, in bytes.
const maxPattern = 160

// Failure is a group of failures whose errors differ only in names and numbers.
type Failure struct {
	Error   string `json:"error"` // the text without names and numbers
	Count   int64  `json:"count"`
	First   int64  `json:"first"`   // epoch ms
	Last    int64  `json:"last"`    // epoch ms
	Name    string `json:"name"`    // of the latest failure
	ID      string `json:"id"`      // its message id
	Sample  string `json:"sample"`  // its error
	Receive int    `json:"receive"` // its receive count
}

// blame counts a failure. If there are too many groups, it drops the group whose last failure is
// the oldest. The caller holds mu.
func (h *History) blame(name, id, text string, receive int, now time.Time) {
	key := pattern(text)
	f := h.failures[key]
	if f == nil {
		if len(h.failures) >= maxFailures {
			quiet := ""
			for k, other := range h.failures {
				if quiet == "" || other.Last < h.failures[quiet].Last {
					quiet = k
				}
			}
			delete(h.failures, quiet)
		}
		f = &Failure{Error: key, First: now.UnixMilli()}
		h.failures[key] = f
	}
	f.Count++
	f.Last = now.UnixMilli()
	f.Name, f.ID, f.Sample, f.Receive = name, clip(id, maxIDShown), text, receive
}

// groups returns the groups of failures, by last failure, newest first.
func (h *History) groups() []Failure {
	h.mu.Lock()
	out := make([]Failure, 0, len(h.failures))
	for _, f := range h.failures {
		out = append(out, *f)
	}
	h.mu.Unlock()
	slices.SortFunc(out, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Last, a.Last), cmp.Compare(b.Count, a.Count), cmp.Compare(a.Error, b.Error))
	})
	return out
}

// pattern returns the first line of an error without the parts that differ between messages: quoted
// texts become “…”, and words with a digit become #. It keeps the status of a target's answer,
// because a 500 and a 503 are different failures.
func pattern(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	var b strings.Builder
	before := "" // the previous word
	for len(text) > 0 && b.Len() < maxPattern {
		if text[0] == '"' {
			if end := closingQuote(text); end > 0 {
				b.WriteString("“…”")
				text = text[end+1:]
				continue
			}
		}
		word := wordLength(text)
		if word == 0 { // a white space or punctuation byte
			b.WriteByte(text[0])
			text = text[1:]
			continue
		}
		status := before == "answered" && word == len("503")
		if strings.ContainsAny(text[:word], "0123456789") && !status {
			b.WriteByte('#')
		} else {
			b.WriteString(text[:word])
		}
		before, text = text[:word], text[word:]
	}
	return cmp.Or(clip(b.String(), maxPattern), "failed without a text")
}

// closingQuote returns the length of the quoted text at the start of s, or 0.
func closingQuote(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return 0
}

// wordLength returns the length of the first word of s in bytes: letters, digits, dashes,
// underscores, and all characters beyond ASCII.
func wordLength(s string) int {
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		if !letter && c != '-' && c != '_' && c < 0x80 {
			return i
		}
	}
	return len(s)
}
