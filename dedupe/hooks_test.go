package dedupe_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// watch records the calls of every hook.
func watch(b *bench) *[]string {
	var mu sync.Mutex
	var said []string
	say := func(a dedupe.Attempt, format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if a.Name != key.Name || a.MessageID != key.MessageID {
			format += fmt.Sprintf(" (of name %q and message %q)", a.Name, a.MessageID)
		}
		said = append(said, fmt.Sprintf(format, args...))
	}
	b.cfg.Hooks = dedupe.Hooks{
		Claimed:       func(a dedupe.Attempt) { say(a, "claimed %d", a.Number) },
		TookOver:      func(a dedupe.Attempt) { say(a, "took over %d", a.Number) },
		Replayed:      func(a dedupe.Attempt, kind string) { say(a, "replayed %s", kind) },
		Deferred:      func(a dedupe.Attempt, after time.Duration) { say(a, "deferred %s", after) },
		Refused:       func(a dedupe.Attempt, reason string) { say(a, "refused %s", reason) },
		Uncompared:    func(a dedupe.Attempt) { say(a, "uncompared") },
		Renewed:       func(a dedupe.Attempt, err error) { say(a, "renewed %v", err) },
		LeaseLost:     func(a dedupe.Attempt) { say(a, "lease lost") },
		CompletedLate: func(a dedupe.Attempt) { say(a, "completed late") },
		Settled: func(a dedupe.Attempt, outcome string, took time.Duration, _ error) {
			say(a, "%s after %s", outcome, took)
		},
		Conflicted:  func(a dedupe.Attempt, op string) { say(a, "conflict %s", op) },
		OwnWrite:    func(a dedupe.Attempt, op string) { say(a, "own %s", op) },
		StoreFailed: func(a dedupe.Attempt, op string, err error) { say(a, "failed %s: %v", op, err) },
	}
	return &said
}

func TestHookCalls(t *testing.T) {
	sleeps := func(d time.Duration, err error) func(context.Context) (string, error) {
		return func(context.Context) (string, error) { time.Sleep(d); return "", err }
	}
	loses := func(status protocol.Status) func(*bench) {
		return func(b *bench) {
			done := false
			b.store.after = func(r protocol.Record) error {
				if r.Status == status && !done {
					done = true
					return errNetwork
				}
				return nil
			}
		}
	}
	for name, tc := range map[string]struct {
		given protocol.Status
		setup func(*bench)
		key   func(*dedupe.Key)
		fn    func(context.Context) (string, error)
		want  []string
	}{
		"Completed":       {"", nil, nil, sleeps(time.Second, nil), []string{"claimed 1", "completed after 1s"}},
		"Renewed":         {"", nil, nil, sleeps(11*time.Second, nil), []string{"claimed 1", "renewed <nil>", "completed after 11s"}},
		"Failed":          {"", nil, nil, returns("", errNetwork), []string{"claimed 1", "retrying after 0s"}},
		"Released":        {"", nil, nil, returns("", behaves{down: true}), []string{"claimed 1", "released after 0s"}},
		"Rejected":        {"", nil, nil, returns("", permanent{}), []string{"claimed 1", "rejected after 0s"}},
		"ClaimLost":       {"", loses(protocol.InProgress), nil, returns("", nil), []string{"failed claim: network", "conflict claim", "own claim", "claimed 1", "completed after 0s"}},
		"CompletionLost":  {"", loses(protocol.Completed), nil, returns("", nil), []string{"claimed 1", "failed complete: network", "conflict complete", "own complete", "completed after 0s"}},
		"Replayed":        {protocol.Completed, nil, nil, nil, []string{"conflict claim", "replayed recorded"}},
		"ReadFirst":       {protocol.Completed, nil, func(k *dedupe.Key) { k.SeenBefore = true }, nil, []string{"replayed recorded"}},
		"Mismatch":        {protocol.Completed, nil, func(k *dedupe.Key) { k.Fingerprint = protocol.Fingerprint{0: 1, 9: 2} }, nil, []string{"conflict claim", "refused mismatch"}},
		"Uncompared":      {protocol.Completed, nil, func(k *dedupe.Key) { k.Fingerprint = protocol.Fingerprint{0: 2} }, nil, []string{"conflict claim", "uncompared", "replayed recorded"}},
		"RefusedRejected": {protocol.Rejected, nil, nil, nil, []string{"conflict claim", "refused rejected"}},
		"RefusedUnknown":  {protocol.Unknown, nil, nil, nil, []string{"conflict claim", "refused unknown"}},
		"Deferred":        {protocol.InProgress, nil, nil, nil, []string{"conflict claim", "deferred 29s"}},
		"TookOver":        {protocol.InProgress, func(*bench) { time.Sleep(time.Minute) }, nil, returns("", nil), []string{"conflict claim", "took over 2", "claimed 2", "completed after 0s"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := setup()
				k := key
				k.Fingerprint = protocol.Fingerprint{0: 1, 9: 1}
				switch tc.given {
				case protocol.Completed:
					_, _ = b.guard(t).Do(t.Context(), k, returns("", nil))
				case "":
				default:
					b = left(t, tc.given)
					b.cfg.Hold = false
				}
				if tc.setup != nil {
					tc.setup(b)
				}
				if tc.key != nil {
					tc.key(&k)
				}
				said := watch(b)
				_, _ = b.guard(t).Do(t.Context(), k, tc.fn)
				if !slices.Equal(*said, tc.want) {
					t.Errorf("said %q, want %q", *said, tc.want)
				}
			})
		})
	}
}
