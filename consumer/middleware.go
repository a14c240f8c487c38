package consumer

import (
	"context"
	"encoding/json"
	"fmt"
)

// Middleware wraps a handler.
type Middleware func(Handler) Handler

// Chain wraps h in middleware, of which the first is the outermost.
func Chain(h Handler, middleware ...Middleware) Handler {
	for i := len(middleware) - 1; i >= 0; i-- {
		h = middleware[i](h)
	}
	return h
}

// JSON returns a handler that decodes the body into a T first. If the body is not valid JSON for a
// T, the message fails for good with the reason "bad message".
func JSON[T any](h func(ctx context.Context, m Message, body T) error) Handler {
	return func(ctx context.Context, m Message) error {
		var body T
		if err := json.Unmarshal([]byte(m.Body), &body); err != nil {
			return &permanentError{fmt.Errorf("body: %w", err), "bad message"}
		}
		return h(ctx, m, body)
	}
}
