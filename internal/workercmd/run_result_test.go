package workercmd

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func TestResult(t *testing.T) {
	long := strings.Repeat("x", 5000)
	marker := func(why, body string) string {
		return fmt.Sprintf(`{"omitted":%q,"size":%d,"sha256":"%x"}`, why, len(body), sha256.Sum256([]byte(body)))
	}
	for name, tc := range map[string]struct {
		args             []string
		answer           string
		recorded, typeOf string
	}{
		"full":           {nil, `{"a":1}`, `{"a":1}`, ""},
		"full, empty":    {nil, "", "", ""},
		"full, text":     {nil, "done", "done", "text/plain"},
		"full, at bound": {nil, long[:4096-len("text/plain")], long[:4096-len("text/plain")], "text/plain"},
		"full, long":     {nil, long, marker("larger than 4096 bytes", long), protocol.OmittedType},
		"more":           {[]string{"--max-result", "8192"}, long, long, "text/plain"},
		"most":           {[]string{"--max-result", "307200"}, strings.Repeat("x", 300000), strings.Repeat("x", 300000), "text/plain"},
		"hash":           {[]string{"--result", "hash"}, "done", marker("--result hash", "done"), protocol.OmittedType},
		"hash, empty":    {[]string{"--result", "hash"}, "", marker("--result hash", ""), protocol.OmittedType},
		"hash, long":     {[]string{"--result", "hash"}, long, marker("--result hash", long), protocol.OmittedType},
		"none":           {[]string{"--result", "none"}, `{"a":1}`, "", ""},
		"none, long":     {[]string{"--result", "none"}, long, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newInBubble(t, 3, func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Content-Type", "text/plain")
					_, _ = io.WriteString(w, tc.answer)
				}, tc.args...)
				b.begin()
				b.send(body("o-1"))
				if !b.await(time.Minute, func() bool { return b.depth(b.back.queueURL) == 0 }) {
					t.Error("the message is left")
				}
				b.end()
				r := b.record("o-1")
				if r.Status != protocol.Completed || string(r.Result) != tc.recorded || r.ResultType != tc.typeOf {
					t.Errorf("%s with %d bytes %.200q of type %q", r.Status, len(r.Result), r.Result, r.ResultType)
				}
			})
		})
	}
}
