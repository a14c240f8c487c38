package workercmd

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestLogHandler(t *testing.T) {
	o := newOutside(t)
	p := start(t, o.args("--handler", "log")...)
	send(t, o.sqs, o.queueURL, `{"name":"short"}`, `{"name":"long","text":"`+strings.Repeat("x", 2*loggedBody)+`"}`)
	waitCounts(t, o.sqs, o.queueURL, "0", "0")

	logged := make(map[string]struct {
		Level, Msg, Name, Body string
		Bytes                  int
	})
	for line := range strings.Lines(p.stderr.String()) {
		var entry struct {
			Level, Msg, Name, Body string
			Bytes                  int
		}
		if json.Unmarshal([]byte(line), &entry) == nil && entry.Msg == "message" {
			logged[entry.Name] = entry
		}
	}
	if got := logged["short"]; got.Level != "INFO" || got.Body != `{"name":"short"}` || got.Bytes != len(got.Body) {
		t.Errorf("logged is %+v", got)
	}
	if got := logged["long"]; len(got.Body) != loggedBody || got.Bytes <= 2*loggedBody {
		t.Errorf("logged are %d bytes of a body of %d", len(got.Body), got.Bytes)
	}
}
