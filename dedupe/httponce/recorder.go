package httponce

import (
	"bytes"
	"fmt"
	"net/http"
)

// recorder is the ResponseWriter of a guarded handler: it holds the answer until that is
// recorded. It does not unwrap to the client's writer, which would send before that. Not
// safe for concurrent use, like every ResponseWriter.
type recorder struct {
	header http.Header // that the handler may change
	sent   http.Header // as it was when the handler began its answer
	status int         // 0: not begun
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: http.Header{}} }

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter. The first final status counts.
func (r *recorder) WriteHeader(status int) {
	if status < 100 || status > 999 { // as net/http does
		panic(fmt.Sprintf("invalid WriteHeader code %v", status))
	}
	informational := status < 200 && status != http.StatusSwitchingProtocols
	if r.status != 0 || informational {
		return
	}
	r.status, r.sent = status, r.header.Clone()
}

// Write implements http.ResponseWriter.
func (r *recorder) Write(b []byte) (int, error) {
	r.WriteHeader(http.StatusOK)
	if !bodyAllowed(r.status) {
		return 0, http.ErrBodyNotAllowed
	}
	return r.body.Write(b)
}

// Flush implements http.Flusher: it begins the answer, and sends nothing.
func (r *recorder) Flush() { r.WriteHeader(http.StatusOK) }
