package dedupe

import "context"

// Wrap turns a function that returns a result into a plain handler of
// messages of type M that runs at most one attempt per name at a time and none
// after it has completed. keyOf says which name a message stands for; its
// errors are returned as they are.
//
// The returned function's type is not named, so that it is assignable to any
// package's handler type.
func Wrap[M, R any](
	g *Guard[R], keyOf func(M) (Key, error), h func(context.Context, M) (R, error),
) func(context.Context, M) error {
	return func(ctx context.Context, m M) error {
		key, err := keyOf(m)
		if err != nil {
			return err
		}
		_, err = g.Do(ctx, key, func(ctx context.Context) (R, error) { return h(ctx, m) })
		return err
	}
}
