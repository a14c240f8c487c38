package target

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"regexp"
	"sync/atomic"
	"time"
)

const (
	dialTimeout      = 5 * time.Second
	handshakeTimeout = 10 * time.Second
	idleConns        = 1024
	maxAnswerHeader  = 64 << 10

	// Common servers close a connection that was idle for 5 s. To close it
	// first avoids sending a request into one that is being closed.
	idleTimeout = 4 * time.Second
)

// newTransport speaks HTTP/1.1, or HTTP/2 where the way says so, over
// connections that count what is sent. A nil dial is the network's, whose TCP
// keep-alive finds out when the target's machine is gone. No HTTP/2 pings: a target
// too busy to answer one would lose its work.
func newTransport(way route, dial func(ctx context.Context, network, addr string) (net.Conn, error)) *http.Transport {
	var protocols http.Protocols
	protocols.SetHTTP1(!way.http2)
	protocols.SetUnencryptedHTTP2(way.http2)
	if dial == nil {
		dial = (&net.Dialer{Timeout: dialTimeout}).DialContext
	}
	t := &http.Transport{
		Proxy:                  http.ProxyFromEnvironment,
		Protocols:              &protocols,
		MaxIdleConnsPerHost:    idleConns,
		IdleConnTimeout:        idleTimeout,
		TLSHandshakeTimeout:    handshakeTimeout,
		MaxResponseHeaderBytes: maxAnswerHeader,
		DisableCompression:     true, // the answer is kept as the target wrote it
	}
	if way != (route{}) {
		t.Proxy = nil // it could not get there
	}
	t.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if way.socket != "" {
			network, addr = "unix", way.socket
		}
		conn, err := dial(ctx, network, addr)
		if err != nil {
			return nil, err
		}
		return &countingConn{Conn: conn}, nil
	}
	return t
}

// countingConn counts the bytes handed to the network.
type countingConn struct {
	net.Conn
	sent atomic.Int64
}

// Write counts p before it is written: a write that fails may have sent a part.
func (c *countingConn) Write(p []byte) (int, error) {
	c.sent.Add(int64(len(p)))
	return c.Conn.Write(p)
}

// flight is what is known of one request on its way.
type flight struct {
	got atomic.Pointer[departure]
}

// departure is the connection a request was given.
type departure struct {
	reused bool
	conn   *countingConn // nil when the connection is not one of ours
	before int64         // sent on it before the request
}

// traced returns a context with which a request reports to f.
func (f *flight) traced(ctx context.Context) context.Context {
	return httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GotConn: func(info httptrace.GotConnInfo) {
			d := departure{reused: info.Reused}
			conn := info.Conn
			if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
				conn = secure.NetConn()
			}
			if c, ok := conn.(*countingConn); ok {
				d.conn, d.before = c, c.sent.Load()
			}
			f.got.Store(&d)
		},
	})
}

// nothingSent reports whether it is certain that no byte of a request that
// failed with err went out. Of a transport that is not ours only a dial error
// gives that certainty, and of a connection shared with other requests (HTTP/2)
// only that nobody has sent anything.
func (f *flight) nothingSent(err error, ours bool) bool {
	d := f.got.Load()
	switch {
	case d == nil:
		return ours || isDialError(err)
	case d.conn == nil:
		return false
	default:
		return d.conn.sent.Load() == d.before
	}
}

// stale reports whether the request was given a connection that had served
// another one before, and may have been closed by the target since.
func (f *flight) stale() bool {
	d := f.got.Load()
	return d != nil && d.reused
}

// notProcessed reports whether an HTTP/2 server has said that it did not process the
// request: by a stream error REFUSED_STREAM, or by a GOAWAY whose last stream is
// before that of the request. https://www.rfc-editor.org/rfc/rfc9113#section-8.7
func notProcessed(err error) bool { return refusals.MatchString(err.Error()) }

// refusals are the errors of net/http's HTTP/2 client for that. It exports none, and
// wraps them without Unwrap when the body was written. No server sets their beginning.
var refusals = regexp.MustCompile(`^(http2: Transport: cannot retry err \[)?(` +
	`stream error: stream ID \d+; REFUSED_STREAM|` +
	`http2: Transport received Server's graceful shutdown GOAWAY|` +
	`http2: Transport received GOAWAY from server ErrCode:)`)

func isDialError(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}
