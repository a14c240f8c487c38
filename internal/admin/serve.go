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
	// The timeout also ends the context of a running request. So it must be longer than the longest
	// wait that a client may ask for, which is a minute.
	requestTimeout = 2 * time.Minute
	idleTimeout    = 2 * time.Minute
	maxHeaderBytes = 64 << 10
	// The headers of all connections together may take 256 MiB. Without a bound a visitor could take
	// the memory and the file descriptors that the messages need.
	maxConnections = 4096
	// The longest time for a cancelled request to answer.
	lastWords = time.Second
)

// Serve serves requests on ln with h until ctx ends. Then it accepts no more requests and lets the
// running ones finish for up to grace. After that it cancels their contexts, reads no more of their
// bodies, and gives them the same time again, at most 1 second.
//
// It has at most 4,096 connections at a time. Further ones wait in the queue of the operating
// system until one is closed. One that sends nothing is closed after 10 seconds.
//
// It closes ln, and returns after all connections are closed and all handlers have returned. It
// returns nil if every request was answered. Otherwise its error says how many were not, or why ln
// failed. The context of a request has the values of ctx but does not end with it.
func Serve(ctx context.Context, ln net.Listener, h http.Handler, grace time.Duration) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	open := connections{busy: make(map[net.Conn]bool), places: make(chan struct{}, maxConnections)}
	accepting := &bounded{Listener: ln, places: open.places, closed: make(chan struct{})}
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
	go func() { served <- srv.Serve(accepting) }()

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

// stop ends srv. It waits for up to grace, then cancels the requests, then closes the remaining
// connections.
func stop(srv *http.Server, cut context.CancelFunc, grace time.Duration, open *connections) error {
	if shutdown(srv, grace) == nil {
		return nil
	}
	cut()
	open.stopReading() // reads of a body that does not arrive ignore the context
	last := min(lastWords, grace)
	if shutdown(srv, last) == nil {
		return nil
	}
	// This includes connections without a request. Closing these does no harm.
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

// connections tracks the connections of a server, because the server does not wait for handlers
// whose connections it closes.
type connections struct {
	open   sync.WaitGroup
	places chan struct{} // has an element for each connection
	mu     sync.Mutex
	busy   map[net.Conn]bool // with a running request
}

// bounded is a listener that accepts a connection only after it has put an element into places,
// which [connections.note] takes out. It returns the connections of the inner listener themselves,
// because net/http half-closes a [net.TCPConn] after an answer that the client must not lose.
type bounded struct {
	net.Listener
	places  chan struct{}
	closed  chan struct{}
	closing sync.Once
}

// Accept implements [net.Listener].
func (b *bounded) Accept() (net.Conn, error) {
	select {
	case b.places <- struct{}{}:
	case <-b.closed:
		return nil, net.ErrClosed
	}
	conn, err := b.Listener.Accept()
	if err != nil {
		<-b.places
	}
	return conn, err
}

// Close implements [net.Listener].
func (b *bounded) Close() error {
	b.closing.Do(func() { close(b.closed) })
	return b.Listener.Close()
}

// note is the server's ConnState hook. A connection is new once, before the server accepts the next
// one, and closed once, after its last handler.
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
		<-c.places
		c.open.Done()
	case http.StateIdle:
	}
}

func (c *connections) busyOnes() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.busy)
}

// stopReading makes current and later reads of requests fail.
func (c *connections) stopReading() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for conn := range c.busy {
		_ = conn.SetReadDeadline(time.Now())
	}
}

func (c *connections) wait() { c.open.Wait() }
