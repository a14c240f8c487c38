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

// maxRequest bounds a request's body in bytes: a batch of 1 MiB of which
// every byte is escaped, and then some.
const maxRequest = 8 << 20

// Do answers r on the calling goroutine; it implements [aws.HTTPClient]. When
// the context of r ends first, its error is returned, wrapped in a
// [*url.Error], and so is a connection reset when the answer is to be lost.
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

// ServeHTTP answers r over the network. A receive whose answer cannot be
// written is taken back: its messages are visible again. Where no answer is
// to be given it panics with [http.ErrAbortHandler], which net/http turns
// into a broken connection.
//
// A request that a page of another site has caused is refused (403), and so is
// one over the loopback interface whose Host is a foreign name (421).
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

// answer is what goes back to the client.
type answer struct {
	status int
	header http.Header
	body   []byte
	lost   bool   // the connection breaks instead
	undo   func() // to be called when the answer cannot be delivered; may be nil
}

// protocol is how requests and answers are written.
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

// answer runs one request. The error is that of a context that has ended.
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

// refused is the answer to a request that is not looked at.
func refused(r *http.Request, e *Error) (answer, error) {
	a := answer{status: http.StatusOK, header: http.Header{}}
	err := a.write(protocolOf(r), "", nil, e)
	return a, err
}

// write puts the output of an operation, or its error, into a.
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
