package dedupe_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func (b *bench) operator(t *testing.T) *dedupe.Operator {
	t.Helper()
	op, err := dedupe.NewOperator(b.store, b.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return op
}

// left returns a bench whose record was left in a status by a real attempt.
func left(t *testing.T, status protocol.Status) *bench {
	t.Helper()
	b := setup()
	b.cfg.Hold = true
	ends := map[protocol.Status]error{
		protocol.Completed: nil, protocol.Retrying: errNetwork, protocol.Rejected: permanent{}, protocol.Unknown: behaves{unknown: true},
	}
	switch status {
	case "":
	case protocol.InProgress: // a worker that has died
		b.store.before = func(r protocol.Record) error {
			if r.Status != protocol.InProgress {
				return errNetwork
			}
			return nil
		}
		ctx, cancel := context.WithCancel(t.Context())
		_, _ = b.guard(t).Do(ctx, key, func(context.Context) (string, error) { cancel(); return "", nil })
		b.store.before = nil
	case protocol.Forgotten:
		_, _ = b.guard(t).Do(t.Context(), key, returns("", nil))
		_, _ = b.operator(t).Forget(t.Context(), key.Name, false)
	default:
		_, _ = b.guard(t).Do(t.Context(), key, returns("", ends[status]))
	}
	if got := b.record(t).Status; got != status {
		t.Fatalf("record %s, want %s", got, status)
	}
	return b
}

func TestOperator(t *testing.T) {
	t.Run("operators verbs fit the status or are refused", testAnOperatorsVerbsFitTheStatusOrAreRefused)
	t.Run("verb whose answer is lost is not applied again", testAVerbWhoseAnswerIsLostIsNotAppliedAgain)
	t.Run("lost verb is applied to the record that came instead", testLostVerbIsAppliedToTheRecordThatCameInstead)
	t.Run("reopened name runs again with all its attempts and any payload", testAReopenedNameRunsAgainWithAllItsAttemptsAndAnyPayload)
	t.Run("forgetting a live lease by force cancels its attempt", testForgettingALiveLeaseByForceCancelsItsAttempt)
	t.Run("operator reports the fault of the store", testOperatorReportsTheFaultOfTheStore)
}

func testAnOperatorsVerbsFitTheStatusOrAreRefused(t *testing.T) {
	const (
		fits  = ""
		verb  = "verb"
		none  = "no record"
		lease = "lease"
	)
	for status, want := range map[protocol.Status]struct{ lookup, reopen, resolve, forget string }{
		"":                  {none, none, none, fits},
		protocol.InProgress: {fits, verb, verb, lease},
		protocol.Completed:  {fits, verb, fits, fits},
		protocol.Retrying:   {fits, fits, verb, fits},
		protocol.Rejected:   {fits, fits, verb, fits},
		protocol.Unknown:    {fits, fits, fits, fits},
		protocol.Forgotten:  {none, none, none, fits},
	} {
		for name, tc := range map[string]struct {
			want string
			then protocol.Status // if something is written
			call func(context.Context, *dedupe.Operator) error
		}{
			"lookup": {want.lookup, status, func(ctx context.Context, o *dedupe.Operator) error { _, err := o.Lookup(ctx, key.Name); return err }},
			"reopen": {want.reopen, protocol.Retrying, func(ctx context.Context, o *dedupe.Operator) error { _, err := o.Reopen(ctx, key.Name); return err }},
			"resolve": {want.resolve, protocol.Completed, func(ctx context.Context, o *dedupe.Operator) error {
				_, err := o.Resolve(ctx, key.Name, dedupe.Payload{Data: []byte(`"by hand"`)})
				return err
			}},
			"forget": {want.forget, protocol.Forgotten, func(ctx context.Context, o *dedupe.Operator) error {
				_, err := o.Forget(ctx, key.Name, false)
				return err
			}},
		} {
			t.Run(name+" "+string(status), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					b := left(t, status)
					before := b.record(t)
					err := tc.call(t.Context(), b.operator(t))
					v, isVerb := errors.AsType[*dedupe.VerbError](err)
					_, held := errors.AsType[*dedupe.InProgressError](err)
					if (err == nil) != (tc.want == fits) || isVerb != (tc.want == verb) || held != (tc.want == lease) ||
						errors.Is(err, dedupe.ErrNoRecord) != (tc.want == none) {
						t.Fatalf("got %v, want %q", err, tc.want)
					}
					if isVerb && (v.Status != status || v.Verb != name) {
						t.Errorf("got %+v", v)
					}
					r := b.record(t)
					if err != nil && r.Version != before.Version {
						t.Errorf("refused, and written: %+v", r)
					}
					if err == nil && status != "" && r.Status != tc.then {
						t.Errorf("record %s, want %s", r.Status, tc.then)
					}
					if err := tc.call(t.Context(), b.operator(t)); tc.want == fits && err != nil || b.record(t).Version != r.Version {
						t.Errorf("said again: %v, version %d after %d", err, b.record(t).Version, r.Version)
					}
				})
			})
		}
	}
}

// Events between the lost answer and the next try apply to the name as the verb had left it.
func testAVerbWhoseAnswerIsLostIsNotAppliedAgain(t *testing.T) {
	type op = *dedupe.Operator
	forget := func(ctx context.Context, o op) error { _, err := o.Forget(ctx, key.Name, true); return err }
	reopen := func(ctx context.Context, o op) error { _, err := o.Reopen(ctx, key.Name); return err }
	resolve := func(ctx context.Context, o op) error {
		_, err := o.Resolve(ctx, key.Name, dedupe.Payload{Data: []byte(`"by hand"`)})
		return err
	}
	for verb, tc := range map[string]struct {
		status protocol.Status
		call   func(context.Context, op) error
		also   func(context.Context, op) error // a change by another operator before the name runs again
	}{
		"forget completed": {protocol.Completed, forget, nil},
		"forget retrying":  {protocol.Retrying, forget, nil},
		"forget a lease":   {protocol.InProgress, forget, nil},
		"reopen rejected":  {protocol.Rejected, reopen, nil},
		"reopen unknown":   {protocol.Unknown, reopen, nil},
		"resolve":          {protocol.Unknown, resolve, forget},
	} {
		for then, outcome := range map[protocol.Status]error{
			protocol.Completed: nil, protocol.Retrying: errNetwork, protocol.Rejected: permanent{}, protocol.Unknown: behaves{unknown: true},
		} {
			for _, inStore := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s, then %s, in the store: %t", verb, then, inStore), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						b := left(t, tc.status)
						b.cfg.CacheAge = -1
						o := b.operator(t)
						ran := 0
						b.store.after = func(protocol.Record) error {
							b.store.after = nil
							time.Sleep(time.Second) // virtual
							if tc.also != nil {
								if err := tc.also(t.Context(), o); err != nil {
									t.Error(err)
								}
							}
							_, _ = b.guard(t).Do(t.Context(), key, func(context.Context) (string, error) { ran++; return "", outcome })
							if inStore { // which has retried by itself
								return &dedupe.ConflictError{Current: b.record(t)}
							}
							return errNetwork
						}
						err := tc.call(t.Context(), o)
						if r := b.record(t); err != nil || ran != 1 || r.Status != then || r.Attempts != 1 {
							t.Errorf("%v; ran %d times; record %s after %d attempts, want %s after 1", err, ran, r.Status, r.Attempts, then)
						}
					})
				})
			}
		}
	}
}

// The write never happened, and another event came instead, which the verb could not have led to.
func testLostVerbIsAppliedToTheRecordThatCameInstead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := left(t, protocol.Retrying)
		b.cfg.CacheAge = -1
		b.store.before = func(protocol.Record) error {
			b.store.before = nil
			time.Sleep(time.Second) // virtual
			_, _ = b.guard(t).Do(t.Context(), key, returns("", nil))
			return errNetwork
		}
		_, err := b.operator(t).Forget(t.Context(), key.Name, false)
		if r := b.record(t); err != nil || r.Status != protocol.Forgotten {
			t.Errorf("forget: %v, record %s", err, r.Status)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		b := left(t, protocol.Unknown)
		b.store.before = func(protocol.Record) error {
			b.store.before = nil
			if _, err := b.operator(t).Resolve(t.Context(), key.Name, dedupe.Payload{}); err != nil {
				t.Error(err)
			}
			return errNetwork
		}
		_, err := b.operator(t).Reopen(t.Context(), key.Name)
		if v, ok := errors.AsType[*dedupe.VerbError](err); !ok || v.Status != protocol.Completed {
			t.Errorf("reopen: %v", err)
		}
	})
}

func testAReopenedNameRunsAgainWithAllItsAttemptsAndAnyPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := left(t, protocol.Unknown)
		was := b.record(t)
		if _, err := b.operator(t).Reopen(t.Context(), key.Name); err != nil {
			t.Fatal(err)
		}
		other := key
		other.Fingerprint = protocol.Fingerprint{0: 1, 9: 9}
		_, err := b.guard(t).Do(t.Context(), other, func(ctx context.Context) (string, error) {
			if a, _ := dedupe.AttemptFrom(ctx); a.Number != 1 || a.Fence <= was.Fence {
				t.Errorf("attempt %+v after fence %d", a, was.Fence)
			}
			return "", nil
		})
		if err != nil {
			t.Error(err)
		}
	})
}

func testForgettingALiveLeaseByForceCancelsItsAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := setup()
		_, err := b.guard(t).Do(t.Context(), key, func(ctx context.Context) (string, error) {
			if _, err := b.operator(t).Forget(ctx, key.Name, true); err != nil {
				t.Error(err)
			}
			start := time.Now()
			<-ctx.Done()
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("cancelled after %s, want the next renewal, a third of the lease", took)
			}
			return "", ctx.Err()
		})
		if !errors.Is(err, dedupe.ErrLeaseLost) {
			t.Errorf("got %v", err)
		}
		if r := b.record(t); r.Status != protocol.Forgotten {
			t.Errorf("record %s", r.Status)
		}
	})
}

func testOperatorReportsTheFaultOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := left(t, protocol.Unknown)
		b.store.before = func(protocol.Record) error { return errNetwork }
		if _, err := b.operator(t).Reopen(t.Context(), key.Name); !errors.Is(err, dedupe.ErrUnavailable) || !errors.Is(err, errNetwork) {
			t.Errorf("got %v", err)
		}
		if _, err := dedupe.NewOperator(struct{ dedupe.Store }{memstore.New()}, b.cfg); err == nil {
			t.Error("a store that cannot read is accepted")
		}
		if _, err := b.operator(t).Lookup(t.Context(), "a\nb"); !errors.Is(err, protocol.ErrBadName) {
			t.Errorf("got %v", err)
		}
		newer := b.record(t)
		newer.Format, newer.Version = protocol.Format+1, newer.Version+1
		if err := b.store.Store.Swap(t.Context(), newer.Version-1, newer); err != nil {
			t.Fatal(err)
		}
		if _, err := b.operator(t).Lookup(t.Context(), key.Name); !errors.Is(err, dedupe.ErrUnreadable) {
			t.Errorf("got %v", err)
		}
	})
}
