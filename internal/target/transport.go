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

	// Common servers close a connection after 5 s without a request. Closing it before avoids a
	// request on a connection that is being closed.
	idleTimeout = 4 * time.Second
)

// newTransport speaks HTTP/1.1, or HTTP/2 if the route says so, over connections that count the
// sent bytes. A nil dial is the network's, with TCP keep-alives that detect a target without power
// or network. HTTP/2 pings are off, because a target too busy to answer one would lose its work.
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
		DisableCompression:     true, // the body is stored as the target wrote it
	}
	if way != (route{}) {
		t.Proxy = nil // a proxy cannot reach such a target
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

// countingConn counts the bytes passed to the network.
type countingConn struct {
	net.Conn
	sent atomic.Int64
}

// Write counts p before writing it, because a failed write may have sent a part.
func (c *countingConn) Write(p []byte) (int, error) {
	c.sent.Add(int64(len(p)))
	return c.Conn.Write(p)
}

// flight tracks one request.
type flight struct {
	got atomic.Pointer[departure]
}

// departure is the connection of a request.
type departure struct {
	reused bool
	conn   *countingConn // nil if it is not a countingConn
	before int64         // bytes sent on it before the request
}

// traced returns a context that makes a request report its connection to f.
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

// nothingSent reports whether certainly no byte of the failed request was sent. With a foreign
// transport only a dial error proves that. On a connection shared with other requests (HTTP/2), all
// requests must have sent nothing.
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

// stale reports whether the request used a connection of an earlier request, which the target may
// have closed since.
func (f *flight) stale() bool {
	d := f.got.Load()
	return d != nil && d.reused
}

// notProcessed reports whether an HTTP/2 server has stated that it did not process the request: by
// the stream error REFUSED_STREAM, or by a GOAWAY whose last stream is before that of the request.
// https://www.rfc-editor.org/rfc/rfc9113#section-8.7
func notProcessed(err error) bool { return refusals.MatchString(err.Error()) }

// refusals matches the errors of net/http's HTTP/2 client for that. It exports none, and wraps them
// without Unwrap if the body was written. A server cannot influence their beginning.
var refusals = regexp.MustCompile(`^(http2: Transport: cannot retry err \[)?(` +
	`stream error: stream ID \d+; REFUSED_STREAM|` +
	`http2: Transport received Server's graceful shutdown GOAWAY|` +
	`http2: Transport received GOAWAY from server ErrCode:)`)

func isDialError(err error) bool {
	e, ok := errors.AsType[*net.OpError](err)
	return ok && e.Op == "dial"
}
