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
	Error   string `json:"error"` // the common text
	Count   int64  `json:"count"`
	First   int64  `json:"first"`   // epoch ms
	Last    int64  `json:"last"`    // epoch ms
	Name    string `json:"name"`    // of the sample, the last one seen
	ID      string `json:"id"`      // its message
	Sample  string `json:"sample"`  // its error
	Receive int    `json:"receive"` // its receive count
}

// blame counts a failure. When there are too many groups, the one that was
// quiet for the longest makes room. The caller holds mu.
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

// groups returns the groups of failures, the last seen first.
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

// pattern is an error's first line without what differs from message to
// message: quoted texts become “…”, and words with a digit become #. The status that
// a target answered stays: a 500 and a 503 are different failures.
func pattern(text string) string {
	text, _, _ = strings.Cut(strings.TrimSpace(text), "\n")
	var b strings.Builder
	before := "" // the last word
	for len(text) > 0 && b.Len() < maxPattern {
		if text[0] == '"' {
			if end := closingQuote(text); end > 0 {
				b.WriteString("“…”")
				text = text[end+1:]
				continue
			}
		}
		word := wordLength(text)
		if word == 0 { // white space or punctuation, one byte of it
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

// closingQuote returns where the quoted text at the start of s ends, or 0.
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

// wordLength is how many bytes of s belong to its first word: letters, digits,
// the dash, the underscore, and everything beyond ASCII.
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
