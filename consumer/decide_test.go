package consumer_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/consumer"
)

// failure is a handler's error with behaviour.
type failure struct {
	permanent, deferred, keep, unavailable, refused, left, shared, notBegun bool

	after    time.Duration
	reason   string
	attempts int
	cause    error
}

func (f failure) Error() string             { return "failure" }
func (f failure) Unwrap() error             { return f.cause }
func (f failure) Permanent() bool           { return f.permanent }
func (f failure) Deferred() bool            { return f.deferred }
func (f failure) Keep() bool                { return f.keep }
func (f failure) Unavailable() bool         { return f.unavailable }
func (f failure) Refused() bool             { return f.refused }
func (f failure) Left() bool                { return f.left }
func (f failure) Shared() bool              { return f.shared }
func (f failure) NotBegun() bool            { return f.notBegun }
func (f failure) RetryAfter() time.Duration { return f.after }
func (f failure) Reason() string            { return f.reason }
func (f failure) AttemptsCounted() int      { return f.attempts }

func TestDecide(t *testing.T) {
	plain := errors.New("boom")
	deferred := failure{deferred: true, after: 3500 * time.Millisecond, reason: "in progress elsewhere"}
	standard := consumer.Limits{Backoff: 10 * time.Second, MaxBackoff: 15 * time.Minute, Random: 0.5}
	stopping, inPlace := standard, standard
	stopping.Stopping, inPlace.InPlace = true, true
	stoppingInPlace := inPlace
	stoppingInPlace.Stopping = true
	own, refusedThrice := standard, standard
	own.Own, own.Tries, refusedThrice.Refusals = true, 2, 3
	over := stopping
	over.Over = true
	first, third := consumer.Message{ReceiveCount: 1}, consumer.Message{ReceiveCount: 3}
	late := consumer.Message{ReceiveCount: 40}
	last := consumer.Message{ReceiveCount: 3, LastReceive: true}

	tests := []struct {
		name   string
		err    error
		m      consumer.Message
		l      consumer.Limits
		action consumer.Action
		after  time.Duration
		reason string
	}{
		{"success deletes", nil, first, standard, consumer.Delete, 0, ""},
		{"success deletes while stopping", nil, last, stopping, consumer.Delete, 0, ""},
		{"a lost attempt leaves its message alone", failure{keep: true, permanent: true}, first, standard, consumer.Keep, 0, ""},
		{"a lost attempt on its last receive waits for the owner's outcome", failure{keep: true}, last, standard, consumer.Park, 30 * time.Second, ""},
		{"a lost attempt in place waits for the owner's outcome", failure{keep: true}, first, inPlace, consumer.Park, 30 * time.Second, ""},
		{"a lost attempt on its last receive looks again soon while draining", failure{keep: true}, last, stopping, consumer.Park, 5 * time.Second, ""},
		{"a lost attempt at the end of the drain leaves its message alone", failure{keep: true}, last, over, consumer.Keep, 0, ""},
		{"a lost attempt with a reason leaves its message alone while there are receives", failure{keep: true, reason: "in progress elsewhere"}, first, over, consumer.Keep, 0, ""},
		{"a lost attempt with a reason waits until the drain is over", failure{keep: true, reason: "in progress elsewhere"}, last, stopping, consumer.Park, 5 * time.Second, ""},
		{"a lost attempt with a reason at the end of the drain is dead-lettered on the last receive", failure{keep: true, reason: "in progress elsewhere"}, last, over, consumer.DeadLetter, 0, "in progress elsewhere"},
		{"an outage holds the message until a probe", failure{unavailable: true}, last, standard, consumer.Hold, 0, ""},
		{"an outage at the stop releases at once", failure{unavailable: true}, first, stopping, consumer.Release, 0, ""},
		{"an outage that asks for time gets it", failure{unavailable: true, after: 10 * time.Minute}, first, standard, consumer.Hold, 10 * time.Minute, ""},
		{"an outage that asks for less time gets that", failure{unavailable: true, after: time.Millisecond}, first, standard, consumer.Hold, time.Millisecond, ""},
		{"an outage of a message's own backs off", failure{unavailable: true}, first, own, consumer.Hold, 20 * time.Second, ""},
		{"an outage of a message's own never counts as its last", failure{unavailable: true}, last, own, consumer.Hold, 20 * time.Second, ""},
		{"a refusal waits here for as long as it says", failure{refused: true, after: 7 * time.Second}, first, standard, consumer.Park, 7 * time.Second, ""},
		{"a refusal on the last receive waits here", failure{refused: true, after: 7 * time.Second}, last, standard, consumer.Park, 7 * time.Second, ""},
		{"a refusal that is an outage to others is a refusal", failure{refused: true, unavailable: true}, first, standard, consumer.Park, time.Second, ""},
		{"refusals in a row double", failure{refused: true}, first, refusedThrice, consumer.Park, 8 * time.Second, ""},
		{"a refusal at the stop is released for as long as it says", failure{refused: true, after: 7 * time.Second}, first, stopping, consumer.Release, 7 * time.Second, ""},
		{"a refusal at the end of the drain keeps a last receive", failure{refused: true}, last, over, consumer.Keep, 0, ""},
		{"an attempt that may be at work elsewhere is released for that", failure{left: true, after: time.Hour}, third, standard, consumer.Release, time.Hour, ""},
		{"an attempt that may be at work elsewhere is waited for on the last receive", failure{left: true, after: time.Hour}, last, standard, consumer.Park, time.Hour, ""},
		{"an attempt that may be at work elsewhere is waited for in place", failure{left: true, after: time.Hour}, first, inPlace, consumer.Park, time.Hour, ""},
		{"an attempt that may be at work elsewhere at the end of the drain is dead-lettered on the last receive", failure{left: true, after: time.Hour, reason: "outcome unknown"}, last, over, consumer.DeadLetter, 0, "outcome unknown"},
		{"a batch's failure waits here", failure{shared: true}, first, standard, consumer.Park, 0, ""},
		{"a batch's failure waits here for its time", failure{shared: true, after: time.Minute}, last, standard, consumer.Park, time.Minute, ""},
		{"a batch's failure at the stop is released", failure{shared: true}, first, stopping, consumer.Release, 0, ""},
		{"a batch's failure at the end of the drain is dead-lettered on the last receive", failure{shared: true}, last, over, consumer.DeadLetter, 0, "stopped"},
		{"work that was not begun waits here", failure{notBegun: true}, first, standard, consumer.Park, 0, ""},
		{"work that was not begun at the stop is released", failure{notBegun: true, cause: consumer.ErrStopped}, first, stopping, consumer.Release, 0, ""},
		{"work that was not begun at the stop is dead-lettered on the last receive", failure{notBegun: true, cause: consumer.ErrStopped}, last, stopping, consumer.DeadLetter, 0, "stopped"},
		{"work that was not begun for another cause waits until the drain is over on the last receive", failure{notBegun: true}, last, stopping, consumer.Park, 0, ""},
		{"work that was not begun for another cause is dead-lettered at the end of the drain on the last receive", failure{notBegun: true}, last, over, consumer.DeadLetter, 0, "stopped"},
		{"a batch's failure for good has its own reason", failure{shared: true, permanent: true, reason: "unknown outcome"}, first, standard, consumer.DeadLetter, 0, "unknown outcome"},
		{"a batch that may be at work elsewhere waits here", failure{shared: true, left: true, after: time.Minute}, first, standard, consumer.Park, time.Minute, ""},
		{"an attempt cut off by the stop that may be at work elsewhere is released for that", failure{left: true, cause: context.Canceled, after: time.Hour}, third, stopping, consumer.Release, time.Hour, ""},
		{"an attempt cut off by the stop that may be at work elsewhere is released for that in place", failure{left: true, cause: context.Canceled, after: time.Hour}, first, stoppingInPlace, consumer.Release, time.Hour, ""},
		{"an attempt cut off by the stop that may be at work elsewhere is dead-lettered on the last receive", failure{left: true, deferred: true, cause: context.Canceled, after: time.Hour}, last, stopping, consumer.DeadLetter, 0, "stopped"},
		{"a snooze waits here", consumer.Snooze(time.Hour), first, standard, consumer.Park, time.Hour, ""},
		{"a snooze on the last receive waits here", consumer.Snooze(time.Hour), last, standard, consumer.Park, time.Hour, ""},
		{"a snooze at the stop waits in the queue", consumer.Snooze(time.Hour), first, stopping, consumer.Release, time.Hour, ""},
		{"a snooze at the end of the drain is dead-lettered on the last receive", consumer.Snooze(time.Hour), last, over, consumer.DeadLetter, 0, "snoozed at stop"},
		{"a failure says when to try again", fmt.Errorf("wrapped: %w", consumer.RetryAfter(plain, time.Hour)), first, standard, consumer.Release, time.Hour, ""},
		{"a failure says that no retry can cure it", consumer.Permanent(plain), first, standard, consumer.DeadLetter, 0, "rejected"},
		{"an outage that asks for ever gets the longest backoff", failure{unavailable: true, after: 10 * time.Hour}, first, standard, consumer.Hold, 15 * time.Minute, ""},
		{"an outage that asks for time releases for that at the stop", failure{unavailable: true, after: time.Minute}, first, stopping, consumer.Release, time.Minute, ""},
		{"an outage holds a last receive while draining", failure{unavailable: true}, last, stopping, consumer.Hold, 0, ""},
		{"an outage at the end of the drain keeps a last receive", failure{unavailable: true}, last, over, consumer.Keep, 0, ""},
		{"an outage with a reason at the end of the drain is dead-lettered on the last receive", failure{unavailable: true, reason: "target down"}, last, over, consumer.DeadLetter, 0, "target down"},
		{"a deferral waits for whole seconds", deferred, first, standard, consumer.Defer, 4 * time.Second, ""},
		{"a deferral doubles with each receive", deferred, third, standard, consumer.Defer, 16 * time.Second, ""},
		{"a deferral ends at 15 minutes", deferred, late, standard, consumer.Defer, 15 * time.Minute, ""},
		{"a deferral on the last receive parks", deferred, last, standard, consumer.Park, 4 * time.Second, ""},
		{"a deferral in place looks again soon", failure{deferred: true, after: time.Hour}, first, inPlace, consumer.Park, 5 * time.Second, ""},
		{"a deferral at the stop waits in the queue", deferred, first, stopping, consumer.Defer, 4 * time.Second, ""},
		{"a deferral in place at the stop releases at once", deferred, first, stoppingInPlace, consumer.Release, 0, ""},
		{"a deferral on the last receive looks again soon while draining", failure{deferred: true, after: time.Hour}, last, stopping, consumer.Park, 5 * time.Second, ""},
		{"a deferral on the last receive at the end of the drain is dead-lettered", deferred, last, over, consumer.DeadLetter, 0, "in progress elsewhere at stop"},
		{"a permanent failure is dead-lettered at once", failure{permanent: true}, first, standard, consumer.DeadLetter, 0, "rejected"},
		{"a permanent failure says why", fmt.Errorf("wrapped: %w", failure{permanent: true, reason: "mismatch"}), first, standard, consumer.DeadLetter, 0, "mismatch"},
		{"a failure backs off", plain, first, standard, consumer.Release, 5 * time.Second, ""},
		{"a backoff doubles with each receive", plain, third, standard, consumer.Release, 20 * time.Second, ""},
		{"a backoff is bounded", plain, late, standard, consumer.Release, 450 * time.Second, ""},
		{"Retry-After is honoured", failure{after: time.Hour}, first, standard, consumer.Release, time.Hour, ""},
		{"Retry-After ends at 12 hours", failure{after: 1000 * time.Hour}, first, standard, consumer.Release, 12 * time.Hour, ""},
		{"a failure in place waits here", plain, first, inPlace, consumer.Park, 5 * time.Second, ""},
		{"a failure in place at the stop is released", plain, first, stoppingInPlace, consumer.Release, 5 * time.Second, ""},
		{"a failure on the last receive is dead-lettered", plain, last, standard, consumer.DeadLetter, 0, "failed on its last receive"},
		{"a cancelled attempt at the stop is visible at once", context.Canceled, third, stopping, consumer.Release, 0, ""},
		{"a cancelled attempt that may still be at work elsewhere waits for that", failure{cause: context.Canceled, after: 20 * time.Second}, third, stopping, consumer.Release, 20 * time.Second, ""},
		{"a cancelled attempt never waits longer than SQS lets it", failure{cause: context.Canceled, after: 20 * time.Hour}, third, stopping, consumer.Release, 12 * time.Hour, ""},
		{"a cancelled attempt on its last receive is dead-lettered", context.Canceled, last, stopping, consumer.DeadLetter, 0, "stopped"},
		{"an attempt that returns why it was cancelled is visible at once", consumer.ErrStopped, third, stopping, consumer.Release, 0, ""},
		{"a cancellation of the handler's own is a failure", context.Canceled, first, standard, consumer.Release, 5 * time.Second, ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := consumer.Decide(test.err, test.m, test.l)
			if d.Action != test.action || d.After != test.after || d.Reason != test.reason {
				t.Errorf("%s after %s, reason %q; want %s after %s, reason %q",
					d.Action, d.After, d.Reason, test.action, test.after, test.reason)
			}
		})
	}
}

// TestDecideReason: every dead letter has a reason, for any combination of behaviours.
func TestDecideReason(t *testing.T) {
	for bits := range 1 << 8 {
		is := func(n int) bool { return bits>>n&1 == 1 }
		for _, reason := range []string{"", "own reason"} {
			err := failure{
				permanent: is(0), deferred: is(1), keep: is(2), unavailable: is(3), refused: is(4), left: is(5), shared: is(6),
				notBegun: is(7), reason: reason,
			}
			for _, l := range []consumer.Limits{{}, {InPlace: true}, {Stopping: true}, {Stopping: true, Over: true}} {
				d := consumer.Decide(err, consumer.Message{ReceiveCount: 3, LastReceive: true}, l)
				if d.Action == consumer.DeadLetter && d.Reason == "" {
					t.Errorf("%#v with %+v: a dead letter without a reason", err, l)
				}
			}
		}
	}
}

func TestDecideCases(t *testing.T) {
	t.Run("dead letter says how many attempts were counted", testADeadLetterSaysHowManyAttemptsWereCounted)
	t.Run("work that was not begun is no failure", testWorkThatWasNotBegunIsNoFailure)
}

func testADeadLetterSaysHowManyAttemptsWereCounted(t *testing.T) {
	m := consumer.Message{ReceiveCount: 9, LastReceive: true}
	if d := consumer.Decide(failure{permanent: true, attempts: 5}, m, consumer.Limits{}); d.Attempts != 5 {
		t.Errorf("%d attempts, want those the error knows", d.Attempts)
	}
	if d := consumer.Decide(errors.New("boom"), m, consumer.Limits{}); d.Attempts != 9 {
		t.Errorf("%d attempts, want the receives", d.Attempts)
	}
}

func testWorkThatWasNotBegunIsNoFailure(t *testing.T) {
	over := consumer.Limits{Stopping: true, Over: true}
	if d := consumer.Decide(failure{notBegun: true}, consumer.Message{LastReceive: true}, over); d.Action != consumer.DeadLetter || d.Failure {
		t.Errorf("%+v, want a dead letter that is no failure", d)
	}
}
