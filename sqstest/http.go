package sqstest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"syscall"
	"time"

	"github.com/sqsonce/sqsonce/internal/backoff"
)

// maxRequest bounds a request's body in bytes. A batch of 1 MiB has six times as many bytes if each
// is escaped in JSON.
const maxRequest = 8 << 20

// Do implements [aws.HTTPClient]. It answers r on the calling goroutine. Its errors are
// [*url.Error]s that wrap the error of r's context, or a connection reset for [Fault].LoseAnswer.
func (s *Server) Do(r *http.Request) (*http.Response, error) {
	fail := func(err error) (*http.Response, error) {
		return nil, &url.Error{Op: "Post", URL: r.URL.String(), Err: err}
	}
	var body []byte
	if r.Body != nil {
		b, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
		if cerr := r.Body.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return fail(err)
		}
		body = b
	}
	a, err := s.answer(r.Context(), r, body)
	if err != nil {
		return fail(err)
	}
	if a.lost {
		return fail(&net.OpError{Op: "read", Net: "tcp", Err: syscall.ECONNRESET})
	}
	return &http.Response{
		Status:        strconv.Itoa(a.status) + " " + http.StatusText(a.status),
		StatusCode:    a.status,
		Proto:         "HTTP/1.1",
		ProtoMajor:    1,
		ProtoMinor:    1,
		Header:        a.header,
		Body:          io.NopCloser(bytes.NewReader(a.body)),
		ContentLength: int64(len(a.body)),
		Request:       r,
	}, nil
}

// ServeHTTP implements [http.Handler]. If the answer to a receive cannot be written, its messages
// become visible again. For [Fault].LoseAnswer it panics with [http.ErrAbortHandler], which makes
// net/http close the connection.
//
// It refuses a request caused by a page of another site (403), and a request over the loopback
// interface under a foreign host name (421).
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest+1))
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); err != nil && !tooLong {
		panic(http.ErrAbortHandler) // the client went away while sending
	}
	var a answer
	if e := s.refusal(r); e != nil {
		a, err = refused(r, e)
	} else {
		a, err = s.answer(r.Context(), r, body)
	}
	if err != nil || a.lost {
		panic(http.ErrAbortHandler)
	}
	maps.Copy(w.Header(), a.header)
	w.WriteHeader(a.status)
	_, err = w.Write(a.body)
	if err == nil {
		err = http.NewResponseController(w).Flush()
		if errors.Is(err, http.ErrNotSupported) {
			err = nil
		}
	}
	if err != nil && a.undo != nil {
		a.undo()
	}
}

// answer is an HTTP answer.
type answer struct {
	status int
	header http.Header
	body   []byte
	lost   bool   // the connection breaks instead
	undo   func() // to be called when the answer cannot be delivered; may be nil
}

// protocol encodes and decodes requests and answers.
type protocol interface {
	// request returns the operation that r asks for and its input as JSON.
	request(r *http.Request, body []byte) (operation string, input []byte, err error)
	// result writes the output of an operation, or its error.
	result(a *answer, operation string, out any) error
	failure(a *answer, e *Error, requestID string) error
}

func protocolOf(r *http.Request) protocol {
	if r.Header.Get("X-Amz-Target") != "" {
		return jsonProtocol{}
	}
	return queryProtocol{}
}

// answer runs one request. Its only error is that of an ended context.
func (s *Server) answer(ctx context.Context, r *http.Request, body []byte) (answer, error) {
	a := answer{status: http.StatusOK, header: http.Header{}}
	p := protocolOf(r)
	name, out, fault, err := s.run(ctx, p, r, body)
	if ctx.Err() != nil && err != nil {
		return a, ctx.Err()
	}
	if u, ok := out.(interface{ undo() func() }); ok {
		a.undo = u.undo()
	}
	if err := backoff.Sleep(ctx, fault.DelayAfter); err != nil && fault.DelayAfter > 0 {
		return a, err
	}
	a.lost = fault.LoseAnswer

	err = a.write(p, name, out, err)
	return a, err
}

// refused returns the answer to a request that is refused unread.
func refused(r *http.Request, e *Error) (answer, error) {
	a := answer{status: http.StatusOK, header: http.Header{}}
	err := a.write(protocolOf(r), "", nil, e)
	return a, err
}

// write encodes the output of an operation, or its error, into a.
func (a *answer) write(p protocol, operation string, out any, err error) error {
	id := newUUID().String()
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	a.header.Set("x-amzn-RequestId", id)
	if err == nil {
		err = p.result(a, operation, out)
	}
	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			e = &Error{Message: err.Error()}
		}
		a.status = e.status()
		if err := p.failure(a, e, id); err != nil {
			return err
		}
	}
	a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	return nil
}
