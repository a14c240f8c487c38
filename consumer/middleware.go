package consumer

import (
	"context"
	"encoding/json"
	"fmt"
)

// Middleware wraps a handler with something before and after it.
type Middleware func(Handler) Handler

// Chain wraps h so that the first middleware is the outermost.
func Chain(h Handler, middleware ...Middleware) Handler {
	for i := len(middleware) - 1; i >= 0; i-- {
		h = middleware[i](h)
	}
	return h
}

// JSON returns a handler that decodes the body into a T first. A body that is
// not JSON for a T fails for good: no retry can cure it.
func JSON[T any](h func(ctx context.Context, m Message, body T) error) Handler {
	return func(ctx context.Context, m Message) error {
		var body T
		if err := json.Unmarshal([]byte(m.Body), &body); err != nil {
			return &BodyError{Err: fmt.Errorf("body: %w", err)}
		}
		return h(ctx, m, body)
	}
}

// BodyError says that a message's body cannot be read.
type BodyError struct {
	Err error // what is wrong with it
}

// Error implements error.
func (e *BodyError) Error() string { return e.Err.Error() }

// Unwrap returns what is wrong.
func (e *BodyError) Unwrap() error { return e.Err }

// Permanent reports true.
func (e *BodyError) Permanent() bool { return true }

// Reason names the error in a dead-letter queue.
func (e *BodyError) Reason() string { return "bad message" }
