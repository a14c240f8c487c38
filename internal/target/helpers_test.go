package target

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"
)

// kind classifies an outcome of Post.
type kind string

const (
	done      kind = "done"
	permanent kind = "permanent"
	retry     kind = "retry"
	retryDown kind = "retry, target down"
	unknown   kind = "unknown outcome"
	notSent   kind = "not counted"
	refused   kind = "refused for now"
	plain     kind = "plain error"
)

func kindOf(err error) kind {
	switch e := err.(type) { //nolint:errorlint // the contract is the type itself, not one wrapped in another
	case nil:
		return done
	case *UnknownOutcomeError:
		if e.OutcomeUnknown() {
			return unknown
		}
	case *DownError:
		if e.Down() {
			return notSent
		}
	case *RefusedError:
		if e.Refused() && e.Down() {
			return refused
		}
	case *StatusError:
		switch {
		case e.Permanent() && !e.TargetDown():
			return permanent
		case e.TargetDown() && !e.Permanent():
			return retryDown
		case !e.Permanent():
			return retry
		}
	}
	return plain
}

// inPipes is a server that is reached through pipes, so that it and its
// clients can run in a bubble.
type inPipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *inPipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *inPipes) Close() error   { return nil }
func (p *inPipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipes", Net: "unix"} }

// newPiped returns a target served by h. Call stop at the end of the bubble.
func newPiped(t *testing.T, cfg Config, h http.HandlerFunc) (target *Target, stop func()) {
	p := &inPipes{make(chan net.Conn), make(chan struct{})}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Hour}
	var served sync.WaitGroup
	served.Go(func() { _ = srv.Serve(p) })

	cfg.URL = "http://target.invalid/work"
	cfg.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) {
		client, server := net.Pipe()
		select {
		case p.conns <- server:
			return client, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	target, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return target, func() {
		target.transport.(*http.Transport).CloseIdleConnections()
		close(p.closed)
		_ = srv.Close()
		served.Wait()
	}
}

// breakOff closes the connection of a request without a further word.
func breakOff(t *testing.T, w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	_ = conn.Close()
}

// switchProtocols answers 101 and waits for the client to close the connection.
func switchProtocols(t *testing.T, w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		t.Error(err)
		return
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: else\r\n\r\n")
	_, _ = io.Copy(io.Discard, conn)
}
