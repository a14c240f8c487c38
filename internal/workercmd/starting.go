package workercmd

import (
	"net/http"
	"sync/atomic"
)

// frontDoor answers on the admin address from the first moment, by the handler
// that fits the worker's phase. The zero value has to be opened before it is used.
type frontDoor struct {
	handler atomic.Pointer[http.Handler]
}

func (f *frontDoor) open(h http.Handler) { f.handler.Store(&h) }

// ServeHTTP implements [http.Handler].
func (f *frontDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*f.handler.Load()).ServeHTTP(w, r)
}
