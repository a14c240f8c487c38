package console

// ring keeps the newest values that were put into it. The zero value keeps
// none; use newRing.
type ring[T any] struct {
	values []T
	next   int // where the next one goes, once values is full
}

func newRing[T any](size int) ring[T] { return ring[T]{values: make([]T, 0, size)} }

func (r *ring[T]) put(v T) {
	if len(r.values) < cap(r.values) {
		r.values = append(r.values, v)
		return
	}
	r.values[r.next] = v
	r.next = (r.next + 1) % len(r.values)
}

// newest returns up to n values, the newest first, as a copy.
func (r *ring[T]) newest(n int) []T {
	out := make([]T, 0, min(n, len(r.values)))
	for i := range r.values {
		if len(out) == n {
			break
		}
		at := (r.next - 1 - i + 2*len(r.values)) % len(r.values)
		out = append(out, r.values[at])
	}
	return out
}

// each calls f with every value, the oldest first, until f returns false.
func (r *ring[T]) each(f func(*T) bool) {
	for i := range r.values {
		if !f(&r.values[(r.next+i)%len(r.values)]) {
			return
		}
	}
}
