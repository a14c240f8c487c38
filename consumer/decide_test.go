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

// The limits of a decision.
var (
	usual           = consumer.Limits{Backoff: 10 * time.Second, MaxBackoff: 15 * time.Minute, Random: 0.5}
	stopping        = with(usual, func(l *consumer.Limits) { l.Stopping = true })
	inPlace         = with(usual, func(l *consumer.Limits) { l.InPlace = true })
	stoppingInPlace = with(inPlace, func(l *consumer.Limits) { l.Stopping = true })
	drained         = with(stopping, func(l *consumer.Limits) { l.Over = true })
	ownTrouble      = with(usual, func(l *consumer.Limits) { l.Own, l.Tries = true, 2 })
	refusedThrice   = with(usual, func(l *consumer.Limits) { l.Refusals = 3 })
)

func with(l consumer.Limits, change func(*consumer.Limits)) consumer.Limits {
	change(&l)
	return l
}

// decision is a handler's error, and the disposition of its message.
type decision struct {
	name   string
	err    error
	m      consumer.Message
	l      consumer.Limits
	action consumer.Action
	after  time.Duration
	reason string
}

// The messages and the errors of the decisions.
var (
	first    = consumer.Message{ReceiveCount: 1}
	third    = consumer.Message{ReceiveCount: 3}
	last     = consumer.Message{ReceiveCount: 3, LastReceive: true}
	late     = consumer.Message{ReceiveCount: 40}
	errPlain = errors.New("boom")
	waiting  = failure{deferred: true, after: 3500 * time.Millisecond, reason: "in progress elsewhere"}
)

func TestDecide(t *testing.T) {
	for _, tests := range [][]decision{
		successes, lostAttempts, outages, refusals, unknownOutcomes, batchFailures, snoozes, deferrals, failures, cancellations,
	} {
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
}

var successes = []decision{
	{"success deletes", nil, first, usual, consumer.Delete, 0, ""},
	{"success deletes while stopping", nil, last, stopping, consumer.Delete, 0, ""},
}

var lostAttempts = []decision{
	{"a lost attempt leaves its message alone", failure{keep: true, permanent: true}, first, usual, consumer.Keep, 0, ""},
	{"a lost attempt on its last receive waits for the owner's outcome", failure{keep: true}, last, usual, consumer.Park, 30 * time.Second, ""},
	{"a lost attempt in place waits for the owner's outcome", failure{keep: true}, first, inPlace, consumer.Park, 30 * time.Second, ""},
	{"a lost attempt on its last receive looks again soon while draining", failure{keep: true}, last, stopping, consumer.Park, 5 * time.Second, ""},
	{"a lost attempt at the end of the drain leaves its message alone", failure{keep: true}, last, drained, consumer.Keep, 0, ""},
	{"a lost attempt with a reason leaves its message alone while there are receives", failure{keep: true, reason: "in progress elsewhere"}, first, drained, consumer.Keep, 0, ""},
	{"a lost attempt with a reason waits until the drain is over", failure{keep: true, reason: "in progress elsewhere"}, last, stopping, consumer.Park, 5 * time.Second, ""},
	{"a lost attempt with a reason at the end of the drain is dead-lettered on the last receive", failure{keep: true, reason: "in progress elsewhere"}, last, drained, consumer.DeadLetter, 0, "in progress elsewhere"},
}

var outages = []decision{
	{"an outage holds the message until a probe", failure{unavailable: true}, last, usual, consumer.Hold, 0, ""},
	{"an outage at the stop releases at once", failure{unavailable: true}, first, stopping, consumer.Release, 0, ""},
	{"an outage that asks for time gets it", failure{unavailable: true, after: 10 * time.Minute}, first, usual, consumer.Hold, 10 * time.Minute, ""},
	{"an outage that asks for less time gets that", failure{unavailable: true, after: time.Millisecond}, first, usual, consumer.Hold, time.Millisecond, ""},
	{"an outage of a message's own backs off", failure{unavailable: true}, first, ownTrouble, consumer.Hold, 20 * time.Second, ""},
	{"an outage of a message's own never counts as its last", failure{unavailable: true}, last, ownTrouble, consumer.Hold, 20 * time.Second, ""},
	{"an outage that asks for ever gets the longest backoff", failure{unavailable: true, after: 10 * time.Hour}, first, usual, consumer.Hold, 15 * time.Minute, ""},
	{"an outage that asks for time releases for that at the stop", failure{unavailable: true, after: time.Minute}, first, stopping, consumer.Release, time.Minute, ""},
	{"an outage holds a last receive while draining", failure{unavailable: true}, last, stopping, consumer.Hold, 0, ""},
	{"an outage at the end of the drain keeps a last receive", failure{unavailable: true}, last, drained, consumer.Keep, 0, ""},
	{"an outage with a reason at the end of the drain is dead-lettered on the last receive", failure{unavailable: true, reason: "target down"}, last, drained, consumer.DeadLetter, 0, "target down"},
}

var refusals = []decision{
	{"a refusal waits here for as long as it says", failure{refused: true, after: 7 * time.Second}, first, usual, consumer.Park, 7 * time.Second, ""},
	{"a refusal on the last receive waits here", failure{refused: true, after: 7 * time.Second}, last, usual, consumer.Park, 7 * time.Second, ""},
	{"a refusal that is an outage to others is a refusal", failure{refused: true, unavailable: true}, first, usual, consumer.Park, time.Second, ""},
	{"refusals in a row double", failure{refused: true}, first, refusedThrice, consumer.Park, 8 * time.Second, ""},
	{"a refusal at the stop is released for as long as it says", failure{refused: true, after: 7 * time.Second}, first, stopping, consumer.Release, 7 * time.Second, ""},
	{"a refusal at the end of the drain keeps a last receive", failure{refused: true}, last, drained, consumer.Keep, 0, ""},
}

var unknownOutcomes = []decision{
	{"an attempt that may be at work elsewhere is released for that", failure{left: true, after: time.Hour}, third, usual, consumer.Release, time.Hour, ""},
	{"an attempt that may be at work elsewhere is waited for on the last receive", failure{left: true, after: time.Hour}, last, usual, consumer.Park, time.Hour, ""},
	{"an attempt that may be at work elsewhere is waited for in place", failure{left: true, after: time.Hour}, first, inPlace, consumer.Park, time.Hour, ""},
	{"an attempt that may be at work elsewhere at the end of the drain is dead-lettered on the last receive", failure{left: true, after: time.Hour, reason: "outcome unknown"}, last, drained, consumer.DeadLetter, 0, "outcome unknown"},
	{"an attempt cut off by the stop that may be at work elsewhere is released for that", failure{left: true, cause: context.Canceled, after: time.Hour}, third, stopping, consumer.Release, time.Hour, ""},
	{"an attempt cut off by the stop that may be at work elsewhere is released for that in place", failure{left: true, cause: context.Canceled, after: time.Hour}, first, stoppingInPlace, consumer.Release, time.Hour, ""},
	{"an attempt cut off by the stop that may be at work elsewhere is dead-lettered on the last receive", failure{left: true, deferred: true, cause: context.Canceled, after: time.Hour}, last, stopping, consumer.DeadLetter, 0, "stopped"},
}

var batchFailures = []decision{
	{"a batch's failure waits here", failure{shared: true}, first, usual, consumer.Park, 0, ""},
	{"a batch's failure waits here for its time", failure{shared: true, after: time.Minute}, last, usual, consumer.Park, time.Minute, ""},
	{"a batch's failure at the stop is released", failure{shared: true}, first, stopping, consumer.Release, 0, ""},
	{"a batch's failure at the end of the drain is dead-lettered on the last receive", failure{shared: true}, last, drained, consumer.DeadLetter, 0, "stopped"},
	{"work that was not begun waits here", failure{notBegun: true}, first, usual, consumer.Park, 0, ""},
	{"work that was not begun at the stop is released", failure{notBegun: true, cause: consumer.ErrStopped}, first, stopping, consumer.Release, 0, ""},
	{"work that was not begun at the stop is dead-lettered on the last receive", failure{notBegun: true, cause: consumer.ErrStopped}, last, stopping, consumer.DeadLetter, 0, "stopped"},
	{"work that was not begun for another cause waits until the drain is over on the last receive", failure{notBegun: true}, last, stopping, consumer.Park, 0, ""},
	{"work that was not begun for another cause is dead-lettered at the end of the drain on the last receive", failure{notBegun: true}, last, drained, consumer.DeadLetter, 0, "stopped"},
	{"a batch's failure for good has its own reason", failure{shared: true, permanent: true, reason: "unknown outcome"}, first, usual, consumer.DeadLetter, 0, "unknown outcome"},
	{"a batch that may be at work elsewhere waits here", failure{shared: true, left: true, after: time.Minute}, first, usual, consumer.Park, time.Minute, ""},
}

var snoozes = []decision{
	{"a snooze waits here", consumer.Snooze(time.Hour), first, usual, consumer.Park, time.Hour, ""},
	{"a snooze on the last receive waits here", consumer.Snooze(time.Hour), last, usual, consumer.Park, time.Hour, ""},
	{"a snooze at the stop waits in the queue", consumer.Snooze(time.Hour), first, stopping, consumer.Release, time.Hour, ""},
	{"a snooze at the end of the drain is dead-lettered on the last receive", consumer.Snooze(time.Hour), last, drained, consumer.DeadLetter, 0, "snoozed at stop"},
}

var deferrals = []decision{
	{"a deferral waits for whole seconds", waiting, first, usual, consumer.Defer, 4 * time.Second, ""},
	{"a deferral doubles with each receive", waiting, third, usual, consumer.Defer, 16 * time.Second, ""},
	{"a deferral ends at 15 minutes", waiting, late, usual, consumer.Defer, 15 * time.Minute, ""},
	{"a deferral on the last receive parks", waiting, last, usual, consumer.Park, 4 * time.Second, ""},
	{"a deferral in place looks again soon", failure{deferred: true, after: time.Hour}, first, inPlace, consumer.Park, 5 * time.Second, ""},
	{"a deferral at the stop waits in the queue", waiting, first, stopping, consumer.Defer, 4 * time.Second, ""},
	{"a deferral in place at the stop releases at once", waiting, first, stoppingInPlace, consumer.Release, 0, ""},
	{"a deferral on the last receive looks again soon while draining", failure{deferred: true, after: time.Hour}, last, stopping, consumer.Park, 5 * time.Second, ""},
	{"a deferral on the last receive at the end of the drain is dead-lettered", waiting, last, drained, consumer.DeadLetter, 0, "in progress elsewhere at stop"},
}

var failures = []decision{
	{"a failure says when to try again", fmt.Errorf("wrapped: %w", consumer.RetryAfter(errPlain, time.Hour)), first, usual, consumer.Release, time.Hour, ""},
	{"a failure says that no retry can cure it", consumer.Permanent(errPlain), first, usual, consumer.DeadLetter, 0, "rejected"},
	{"a permanent failure is dead-lettered at once", failure{permanent: true}, first, usual, consumer.DeadLetter, 0, "rejected"},
	{"a permanent failure says why", fmt.Errorf("wrapped: %w", failure{permanent: true, reason: "mismatch"}), first, usual, consumer.DeadLetter, 0, "mismatch"},
	{"a failure backs off", errPlain, first, usual, consumer.Release, 5 * time.Second, ""},
	{"a backoff doubles with each receive", errPlain, third, usual, consumer.Release, 20 * time.Second, ""},
	{"a backoff is bounded", errPlain, late, usual, consumer.Release, 450 * time.Second, ""},
	{"Retry-After is honoured", failure{after: time.Hour}, first, usual, consumer.Release, time.Hour, ""},
	{"Retry-After ends at 12 hours", failure{after: 1000 * time.Hour}, first, usual, consumer.Release, 12 * time.Hour, ""},
	{"a failure in place waits here", errPlain, first, inPlace, consumer.Park, 5 * time.Second, ""},
	{"a failure in place at the stop is released", errPlain, first, stoppingInPlace, consumer.Release, 5 * time.Second, ""},
	{"a failure on the last receive is dead-lettered", errPlain, last, usual, consumer.DeadLetter, 0, "failed on its last receive"},
}

var cancellations = []decision{
	{"a cancelled attempt at the stop is visible at once", context.Canceled, third, stopping, consumer.Release, 0, ""},
	{"a cancelled attempt that may still be at work elsewhere waits for that", failure{cause: context.Canceled, after: 20 * time.Second}, third, stopping, consumer.Release, 20 * time.Second, ""},
	{"a cancelled attempt never waits longer than SQS lets it", failure{cause: context.Canceled, after: 20 * time.Hour}, third, stopping, consumer.Release, 12 * time.Hour, ""},
	{"a cancelled attempt on its last receive is dead-lettered", context.Canceled, last, stopping, consumer.DeadLetter, 0, "stopped"},
	{"an attempt that returns why it was cancelled is visible at once", consumer.ErrStopped, third, stopping, consumer.Release, 0, ""},
	{"a cancellation of the handler's own is a failure", context.Canceled, first, usual, consumer.Release, 5 * time.Second, ""},
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
