package console

import (
	"encoding/json"
	"net/http"
	"time"
)

// progress answers a long action with a line of JSON for each step. The client ends the action by
// closing the connection.
type progress struct {
	w       http.ResponseWriter
	control *http.ResponseController
}

func newProgress(w http.ResponseWriter) *progress {
	p := &progress{w: w, control: http.NewResponseController(w)}
	_ = p.control.SetReadDeadline(time.Time{}) // fails for a server without deadlines
	w.Header().Set("Content-Type", "application/x-ndjson")
	w.Header().Set("X-Accel-Buffering", "no")
	return p
}

// step writes one line. It ignores errors, because the context of a closed connection ends.
func (p *progress) step(v any) {
	_ = p.control.SetWriteDeadline(time.Now().Add(writePatience))
	_ = json.NewEncoder(p.w).Encode(v)
	_ = p.control.Flush()
}
