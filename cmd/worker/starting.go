package main

import (
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"

	"github.com/sqsonce/sqsonce/internal/admin"
)

// frontDoor answers on the admin address from the first moment, by the handler
// that fits the worker's phase. The zero value has to be opened before it is used.
type frontDoor struct {
	handler atomic.Pointer[http.Handler]
	waiting atomic.Pointer[string] // the outage that the start waits for; nil: none
}

func (f *frontDoor) open(h http.Handler) { f.handler.Store(&h) }

// ServeHTTP implements [http.Handler].
func (f *frontDoor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	(*f.handler.Load()).ServeHTTP(w, r)
}

// notStarted is the reason why a worker without a pool is not ready.
func (f *frontDoor) notStarted() error {
	if outage := f.waiting.Load(); outage != nil {
		return fmt.Errorf("waiting at the start: %s", *outage)
	}
	return errors.New("starting")
}

// startingConfig is the admin server of a worker that has no pool yet: alive, not ready.
func (w *worker) startingConfig(stop func()) admin.Config {
	var queues []admin.Queue
	for _, settings := range w.cfg.queues() {
		queues = append(queues, admin.Queue{Name: settings.queueName(), Settings: func() any { return settings.shown() }})
	}
	return admin.Config{
		Queues:  queues,
		Ready:   w.front.notStarted,
		Metrics: w.telemetry.Handler(),
		Drain:   stop,
		Token:   w.cfg.AdminToken,
		Hosts:   w.cfg.AdminHosts,
		Logger:  w.log,
		Version: version(),
	}
}
