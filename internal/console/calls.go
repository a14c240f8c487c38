package console

import (
	"context"

	"github.com/aws/smithy-go/middleware"
)

// oursKey marks calls that the console makes for itself.
type oursKey struct{}

// ours marks the calls made with the returned context as the console's own: they
// are no part of what a message costs.
func ours(ctx context.Context) context.Context { return context.WithValue(ctx, oursKey{}, true) }

// CountCalls makes an AWS client count its calls, tries included, in h. Add it
// to the APIOptions of the configuration that clients are made of.
func (h *History) CountCalls(stack *middleware.Stack) error {
	// After the retry middleware, so that every try counts.
	return stack.Finalize.Add(middleware.FinalizeMiddlewareFunc("sqsonce.console.count",
		func(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
			middleware.FinalizeOutput, middleware.Metadata, error,
		) {
			if ctx.Value(oursKey{}) == nil {
				h.called()
			}
			return next.HandleFinalize(ctx, in)
		}), middleware.After)
}
