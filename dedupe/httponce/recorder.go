package httponce

import (
	"bytes"
	"fmt"
	"net/http"
)

// recorder is the ResponseWriter of a guarded handler. It holds the answer until it is recorded. It
// does not unwrap to the client's writer, which would send earlier. Like every ResponseWriter it is
// not safe for concurrent use.
type recorder struct {
	header http.Header // the handler may change it
	sent   http.Header // a copy from the begin of the answer
	status int         // 0: the answer has not begun
	body   bytes.Buffer
}

func newRecorder() *recorder { return &recorder{header: http.Header{}} }

// Header implements http.ResponseWriter.
func (r *recorder) Header() http.Header { return r.header }

// WriteHeader implements http.ResponseWriter. It keeps the first final status.
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

// Flush implements http.Flusher. It begins the answer without sending it.
func (r *recorder) Flush() { r.WriteHeader(http.StatusOK) }
