package dedupe

import (
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// looks counts how often a message has found its name in progress. Most work takes seconds, and a
// lease is much longer. So a duplicate first waits in its worker and asks again after 1, 2, 4, 8
// and 16 seconds. Then it is deferred for the rest of the lease. The zero value is ready for use.
// It is safe for concurrent use.
type looks struct {
	mu    sync.Mutex
	taken *simplelru.LRU[lookKey, int] // guarded by mu; nil until first used
}

type lookKey struct{ name, messageID string }

const (
	firstLook = time.Second
	mostLooks = 5
	maxLooked = 10_000 // messages that are counted; a forgotten one starts again
)

// again counts a look of key's message and returns the delay before its next look. It returns 0
// after the last look, or if key has no message.
func (l *looks) again(key Key) time.Duration {
	if key.MessageID == "" {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken == nil {
		l.taken, _ = simplelru.NewLRU[lookKey, int](maxLooked, nil) // fails only for a size below 1
	}
	k := lookKey{key.Name, key.MessageID}
	n, _ := l.taken.Get(k)
	if n == mostLooks {
		l.taken.Remove(k) // the next delivery starts again
		return 0
	}
	l.taken.Add(k, n+1)
	return firstLook << n
}

// has reports whether key's message has looked before, so that a read before the claim saves a
// write.
func (l *looks) has(key Key) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.taken != nil && l.taken.Contains(lookKey{key.Name, key.MessageID})
}

// end forgets the message, because its name is no longer in progress.
func (l *looks) end(key Key) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.taken != nil {
		l.taken.Remove(lookKey{key.Name, key.MessageID})
	}
}

// lookAgain is the error for a duplicate that should wait in its worker.
type lookAgain struct {
	*InProgressError
	after time.Duration
}

// Unwrap returns the *[InProgressError].
func (e *lookAgain) Unwrap() error { return e.InProgressError }

// Snoozed returns true: the message waits in its worker, see [failure.Snoozed].
func (e *lookAgain) Snoozed() bool { return true }

// RetryAfter returns the delay before the next look, at most the time for which the name is held.
func (e *lookAgain) RetryAfter() time.Duration { return min(e.after, e.After) }
