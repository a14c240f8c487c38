package console

import (
	"encoding/json"
	"net/http"
	"time"
)

// progress answers a long action with one line of JSON for each step, so that
// whoever asked sees how far it is, and ends it by going away.
type progress struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func newProgress(w http.ResponseWriter) *progress {
	p := &progress{w: w, control: http.NewResponseController(w)}
	_ = p.control.SetReadDeadline(time.Time{}) // a server without deadlines has none to lift
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Accel-Buffering", "no")
	return p
}

// step writes one line. A client that has gone is noticed by its context.
func (p *progress) step(v any) {
	_ = p.control.SetWriteDeadline(time.Now().Add(writePatience))
	_ = json.NewEncoder(p.w).Encode(v)
	_ = p.control.Flush()
}
