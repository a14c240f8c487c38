package sqstest

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/sqsonce/sqsonce/internal/backoff"
)

// run finds the operation and calls it.
func (s *Server) run(ctx context.Context, p protocol, r *http.Request, body []byte) (name string, out any, f Fault, err error) {
	if len(body) > maxRequest {
		return "", nil, f, sender("BatchRequestTooLong", "The request is longer than %d bytes.", maxRequest)
	}
	name, input, err := p.request(r, body)
	if err != nil {
		return name, nil, f, err
	}
	out, f, err = operations[name](s, context.WithValue(ctx, traceKey{}, r.Header.Get("X-Amzn-Trace-Id")), name, input)
	return name, out, f, err
}

// traceKey is the key of the X-Amzn-Trace-Id header in a request's context.
type traceKey struct{}

// operation decodes a request, calls the fault hook and carries out the request.
type operation func(s *Server, ctx context.Context, name string, body []byte) (any, Fault, error)

// plain returns the operation of a method that needs neither context nor fault.
func plain[In request, Out any](do func(*Server, In) (Out, error)) operation {
	return faulty(func(s *Server, _ context.Context, in In, _ Fault) (Out, error) { return do(s, in) })
}

// faulty returns the operation of a method that applies part of the fault itself.
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
	"SendMessage":                  faulty((*Server).sendMessage),
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
