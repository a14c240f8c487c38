package workercmd

import (
	"net/http"
	"sync/atomic"
)

// frontDoor is a handler whose inner handler can be replaced while it serves, so that the admin
// server answers from the start. The zero value must be opened before it serves.
type frontDoor struct {
	handler atomic.Pointer[http.Handler]
}

func (f *frontDoor) open(h http.Handler) { f.handler.Store(&h) }

// ServeHTTP implements [http.Handler].
func (f *frontDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*f.handler.Load()).ServeHTTP(w, r)
}
