package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"
)

const (
	headerTimeout = 10 * time.Second
	// Also ends the context of a request that is being handled, so it has to be
	// longer than the longest wait a client may ask for, which is a minute.
	requestTimeout = 2 * time.Minute
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	// The most that a request that was cut short may take to answer.
	lastWords = time.Second
)

// Serve answers requests on ln with h until ctx ends. Then it stops taking new
// ones, lets those under way finish for as long as grace, and after that
// cancels their contexts, reads no more of their bodies, and gives them as long
// again, a second at most.
//
// It closes ln, and returns when all its connections are closed and their
// handlers have returned: nil when every request got its answer, else an error
// that says how many did not, or why ln failed. The context of a request does
// not end with ctx, but carries its values.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, grace time.Duration) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	open := connections{busy: make(map[net.Conn]bool)}
	srv := &http.Server{
		Handler:           h,
		ReadHeaderTimeout: headerTimeout,
		ReadTimeout:       requestTimeout,
		WriteTimeout:      requestTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnState:         open.note,
	}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()

	var err error
	select {
	case err = <-served:
		err = fmt.Errorf("serve on %s: %w", ln.Addr(), err)
		cut()
		_ = srv.Close()
	case <-ctx.Done():
		err = stop(srv, cut, grace, &open)
		if serveErr := <-served; !errors.Is(serveErr, http.ErrServerClosed) {
			err = errors.Join(err, serveErr)
		}
	}
	open.wait()
	return err
}

// stop ends srv: gently for as long as grace, then by cutting its requests
// short, then by closing what is left.
func stop(srv *http.Server, cut context.CancelFunc, grace time.Duration, open *connections) error {
	if shutdown(srv, grace) == nil {
		return nil
	}
	cut()
	open.stopReading() // a body that does not come obeys no context
	last := min(lastWords, grace)
	if shutdown(srv, last) == nil {
		return nil
	}
	// A connection on which nothing was ever asked also gets here; to close it
	// does no harm.
	unanswered := open.busyOnes()
	_ = srv.Close()
	if unanswered > 0 {
		return fmt.Errorf("%d requests were cut off without an answer %s after the stop", unanswered, grace+last)
	}
	return nil
}

func shutdown(srv *http.Server, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return srv.Shutdown(ctx)
}

// connections follows the connections of a server. The server itself does not
// wait for handlers whose connection it closes.
type connections struct {
	open sync.WaitGroup
	mu   sync.Mutex
	busy map[net.Conn]bool // with a request under way
}

// note is the server's ConnState hook. A connection is new once, before the
// server goes on to accept others, and closed once, after its last handler.
func (c *connections) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.busy, conn)
	switch state {
	case http.StateNew:
		c.open.Add(1)
	case http.StateActive:
		c.busy[conn] = true
	case http.StateHijacked, http.StateClosed:
		c.open.Done()
	case http.StateIdle:
	}
}

func (c *connections) busyOnes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.busy)
}

// stopReading fails what waits for the rest of a request, now and later.
func (c *connections) stopReading() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.busy {
		_ = conn.SetReadDeadline(time.Now())
	}
}

func (c *connections) wait() { c.open.Wait() }
