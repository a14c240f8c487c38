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

// JSON returns a handler that decodes the body into a T first. A body that is not JSON for
// a T fails for good, with the reason "bad message": no retry can cure it.
func JSON[T any](h func(ctx context.Context, m Message, body T) error) Handler {
	return func(ctx context.Context, m Message) error {
		var body T
		if err := json.Unmarshal([]byte(m.Body), &body); err != nil {
			return &permanentError{fmt.Errorf("body: %w", err), "bad message"}
		}
		return h(ctx, m, body)
	}
}
