// Package sqstest is a queue server in memory that behaves like Amazon SQS
// and speaks its JSON protocol. The real SQS client works against it, over
// TCP ([Server.ServeHTTP]) or without a network ([Server.Do]), and then also
// in the virtual time of testing/synctest. It misbehaves when it is told to
// ([Server.Control]).
//
// Requests are not authenticated, and nothing survives the process. What it
// does not do as SQS does: a standard queue delivers in the order of sending,
// a move task without a rate is over at once, the name of a deleted queue is
// free at once, and permissions and encryption are not there.
package sqstest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce/internal/backoff"
)

// Config holds what goes into queue URLs and ARNs.
type Config struct {
	Region    string // default us-east-1
	AccountID string // default 000000000000
	BaseURL   string // scheme://host:port of queue URLs; default http://127.0.0.1:4566
}

// Server holds the queues. Create it with [New]. Its methods are safe for
// concurrent use. It runs no goroutines and needs no closing.
type Server struct {
	cfg Config // BaseURL: guarded by mu

	mu     sync.Mutex // never held while waiting
	queues map[string]*queue
	moves  []*move // oldest first
	hook   func(context.Context, Call) Fault
}

// New returns a server without queues.
func New(cfg Config) *Server {
	if cfg.Region == "" {
		cfg.Region = "us-east-1"
	}
	if cfg.AccountID == "" {
		cfg.AccountID = "000000000000"
	}
	if cfg.BaseURL == "" {
		cfg.BaseURL = "http://127.0.0.1:4566"
	}
	cfg.BaseURL = strings.TrimRight(cfg.BaseURL, "/")
	return &Server{cfg: cfg, queues: map[string]*queue{}}
}

// SetBaseURL changes the scheme://host:port of the queue URLs that are handed
// out from now on. URLs handed out before keep working: only the last element
// of a queue URL's path is looked at.
func (s *Server) SetBaseURL(u string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg.BaseURL = strings.TrimRight(u, "/")
}

// AWSConfig returns a configuration for clients that call this server without
// a network: sqs.NewFromConfig(s.AWSConfig()). The credentials in it are made
// up; neither the environment nor files are read.
func (s *Server) AWSConfig() aws.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return aws.Config{
		Region:       s.cfg.Region,
		HTTPClient:   s,
		BaseEndpoint: new(s.cfg.BaseURL),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "sqstest", SecretAccessKey: "sqstest", Source: "sqstest"}, nil
		}),
	}
}

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
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxRequest+1))
	if _, tooLong := errors.AsType[*http.MaxBytesError](err); err != nil && !tooLong {
		panic(http.ErrAbortHandler) // the client went away while sending
	}
	a, err := s.answer(r.Context(), r, body)
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

// answer runs one request. The error is that of a context that has ended.
func (s *Server) answer(ctx context.Context, r *http.Request, body []byte) (answer, error) {
	a := answer{status: http.StatusOK, header: http.Header{}}
	out, fault, err := s.run(ctx, r, body)
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

	if err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			e = &Error{Message: err.Error()}
		}
		a.status = e.status()
		a.header.Set("x-amzn-query-error", e.queryError())
		out = struct {
			Type    string `json:"__type"`
			Message string `json:"message"`
		}{e.wireType(), e.Message}
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		return a, err
	}
	a.body = bytes.TrimSuffix(buf.Bytes(), []byte("\n"))
	a.header.Set("Content-Type", "application/x-amz-json-1.0")
	a.header.Set("Content-Length", strconv.Itoa(len(a.body)))
	a.header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	a.header.Set("x-amzn-RequestId", newUUID().String())
	return a, nil
}

// run finds the operation and calls it under its fault.
func (s *Server) run(ctx context.Context, r *http.Request, body []byte) (any, Fault, error) {
	name := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS.")
	op, ok := operations[name]
	if !ok || r.Method != http.MethodPost {
		return nil, Fault{}, sender("UnsupportedOperation", "Operation %q is not supported: want a POST of the JSON protocol with X-Amz-Target: AmazonSQS.<operation>.", name)
	}
	if len(body) > maxRequest {
		return nil, Fault{}, sender("BatchRequestTooLong", "The request is longer than %d bytes.", maxRequest)
	}
	return op(s, ctx, name, body)
}

// operation decodes a request, asks for its fault and does the work.
type operation func(s *Server, ctx context.Context, name string, body []byte) (any, Fault, error)

// plain makes an operation of a method that needs no context.
func plain[In request, Out any](do func(*Server, In) (Out, error)) operation {
	return faulty(func(s *Server, _ context.Context, in In, _ Fault) (Out, error) { return do(s, in) })
}

// faulty makes an operation of a method that applies part of the fault itself.
func faulty[In request, Out any](do func(*Server, context.Context, In, Fault) (Out, error)) operation {
	return func(s *Server, ctx context.Context, name string, body []byte) (any, Fault, error) {
		var in In
		if len(body) > 0 {
			if err := json.Unmarshal(body, &in); err != nil {
				return nil, Fault{}, sender("SerializationException", "The body is not what %s takes: %v.", name, err)
			}
		}
		queue, entries := in.target()
		f := s.fault(ctx, Call{Operation: name, Queue: queueName(queue), Entries: entries})
		if err := backoff.Sleep(ctx, f.Delay); err != nil {
			return nil, f, err
		}
		if f.Error != nil {
			return nil, f, f.Error
		}
		out, err := do(s, ctx, in, f)
		if err != nil {
			return nil, f, err
		}
		return out, f, nil
	}
}

var operations = map[string]operation{
	"CreateQueue":                  plain((*Server).createQueue),
	"GetQueueUrl":                  plain((*Server).getQueueURL),
	"GetQueueAttributes":           plain((*Server).getQueueAttributes),
	"SetQueueAttributes":           plain((*Server).setQueueAttributes),
	"ListQueues":                   plain((*Server).listQueues),
	"ListDeadLetterSourceQueues":   plain((*Server).listSources),
	"DeleteQueue":                  plain((*Server).deleteQueue),
	"PurgeQueue":                   plain((*Server).purgeQueue),
	"TagQueue":                     plain((*Server).tagQueue),
	"UntagQueue":                   plain((*Server).untagQueue),
	"ListQueueTags":                plain((*Server).listQueueTags),
	"SendMessage":                  plain((*Server).sendMessage),
	"SendMessageBatch":             faulty((*Server).sendMessageBatch),
	"ReceiveMessage":               faulty((*Server).receiveMessage),
	"DeleteMessage":                plain((*Server).deleteMessage),
	"DeleteMessageBatch":           faulty((*Server).deleteMessageBatch),
	"ChangeMessageVisibility":      plain((*Server).changeVisibility),
	"ChangeMessageVisibilityBatch": faulty((*Server).changeVisibilityBatch),
	"StartMessageMoveTask":         plain((*Server).startMove),
	"ListMessageMoveTasks":         plain((*Server).listMoves),
	"CancelMessageMoveTask":        plain((*Server).cancelMove),
}

// queueName returns the name in a queue's URL or ARN; a name is its own.
func queueName(s string) string {
	return lastPart(lastPart(strings.TrimRight(s, "/"), "/"), ":")
}

// find returns a queue, with all that has become due done. s.mu is held.
func (s *Server) find(urlOrName string, at instant) (*queue, error) {
	if urlOrName == "" {
		return nil, missing("QueueUrl")
	}
	q, ok := s.queues[queueName(urlOrName)]
	if !ok {
		return nil, noQueue()
	}
	s.continueMoves(at)
	q.advance(at)
	return q, nil
}

func (s *Server) url(q *queue) string {
	return s.cfg.BaseURL + "/" + s.cfg.AccountID + "/" + q.name
}

func (s *Server) arn(name string) string {
	return "arn:aws:sqs:" + s.cfg.Region + ":" + s.cfg.AccountID + ":" + name
}

// names returns the names of all queues in order. s.mu is held.
func (s *Server) names() []string { return slices.Sorted(maps.Keys(s.queues)) }
