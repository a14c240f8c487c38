package producerapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/smithy-go"
	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/schedule"
	"github.com/sqsonce/sqsonce/names"
)

const (
	statusScheduled = "SCHEDULED"
	statusCancelled = "CANCELLED"
)

// maxLater bounds a delay, so that typing errors are noticed. EventBridge Scheduler documents no
// bound.
const maxLater = 365 * 24 * time.Hour

// soonest is the shortest time from the creation of a schedule to its message. EventBridge
// Scheduler may refuse a time that has passed, and messages of a batch are scheduled after others
// were sent.
const soonest = 5 * time.Second

// postLater answers the POST of a message that needs a schedule.
func (a *API) postLater(c *exchange, m message) (*response[any], error) {
	at, known, err := a.schedule(c.Context(), c.began, m)
	if err != nil {
		return nil, err
	}
	if at.IsZero() {
		found := c.found(known, "")
		return &response[any]{Status: found.Status, ETag: found.ETag, CacheControl: found.CacheControl, Body: found.Body}, nil
	}
	c.outcome = statusScheduled
	return &response[any]{
		Status: http.StatusAccepted, Location: location(m.name), CacheControl: noStore,
		Body: queued{Name: m.name, Status: statusScheduled, ScheduledAt: at.UTC()},
	}, nil
}

// schedule schedules a message at began plus its delay, or soon if that has passed, and returns the
// time. If the name is scheduled already, it returns the time of that schedule. If the name has a
// record, it schedules nothing, and returns the zero time and the record. The error is a
// [*problem].
func (a *API) schedule(ctx context.Context, began time.Time, m message) (at time.Time, known protocol.Record, err error) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.SendTimeout)
	defer cancel()
	before, err := a.record(ctx, m.name)
	if err != nil {
		return time.Time{}, before, err
	}
	again := m.retry && before.Status == protocol.Rejected
	switch {
	case before.Name == "" || again:
	case before.Fingerprint.Differs(m.fingerprint):
		return time.Time{}, before, newProblem(http.StatusUnprocessableEntity, "body",
			fmt.Sprintf("%q was used before with a different body (its record is %s)", m.name, before.Status))
	case generation(before) == 0:
		return time.Time{}, before, nil
	}
	due := began.Add(m.later)
	if early := time.Now().Add(soonest); due.Before(early) {
		due = early
	}
	what := schedule.Schedule{At: due, Message: a.outgoingLater(m, before.Version)}
	if err := what.Message.Check(); errors.Is(err, schedule.ErrTooLarge) {
		return time.Time{}, before, newProblem(http.StatusRequestEntityTooLarge, "body", err.Error())
	} else if err != nil {
		return time.Time{}, before, badRequest("body", err.Error())
	}
	at, err = a.keep(ctx, m, what, before)
	a.sent(err)
	return at, before, err
}

// scheduleAll schedules the messages of a batch that need a schedule and have no problem.
func (a *API) scheduleAll(ctx context.Context, began time.Time, messages []message, items []item) {
	var group errgroup.Group
	group.SetLimit(schedulesAtATime)
	for i, m := range messages {
		if items[i].Problem != nil || m.later == 0 {
			continue
		}
		group.Go(func() error {
			if ctx.Err() == nil {
				at, _, err := a.schedule(ctx, began, m)
				items[i].schedule(at, err)
			} else {
				items[i].fail(noTimeLeft(ctx))
			}
			return nil
		})
	}
	_ = group.Wait() // each item has its own error
}

// schedule sets the result of an item: the time at which it is sent, or the problem. A zero time
// means that the name has a record.
func (it *item) schedule(at time.Time, err error) {
	if err != nil {
		it.fail(err)
		return
	}
	it.Status, it.Location = http.StatusAccepted, location(it.Name)
	if it.ScheduledAt = at.UTC(); at.IsZero() {
		it.Status = http.StatusOK
	}
}

// schedulesAtATime bounds the concurrent calls for one batch, because Scheduler limits the calls
// per second of an account and Region.
// https://docs.aws.amazon.com/scheduler/latest/UserGuide/scheduler-quotas.html
const schedulesAtATime = 20

// keep creates the schedule, or returns the time of an existing one of the name, whose message does
// the work of m. before is the name's record. The error is a [*problem].
func (a *API) keep(ctx context.Context, m message, what schedule.Schedule, before protocol.Record) (time.Time, error) {
	name := schedule.Name(a.cfg.Scope, m.name)
	at, err := a.cfg.Scheduler.Create(ctx, name, what)
	if !errors.Is(err, schedule.ErrExists) {
		return at, schedulerProblem(err)
	}
	kept, err := a.cfg.Scheduler.Get(ctx, name)
	if errors.Is(err, schedule.ErrNone) {
		return time.Time{}, unavailable("the schedule of an earlier message has just run; sending this message again is safe", err)
	}
	if err != nil {
		return time.Time{}, schedulerProblem(err)
	}
	_, again := kept.Message.Attributes[consumer.AttrReason]
	switch due := kept.At.UTC().Format(time.RFC3339); {
	case a.fingerprintOf(kept.Message).Differs(m.fingerprint):
		return time.Time{}, newProblem(http.StatusConflict, "body", fmt.Sprintf("%q is scheduled with a different body, for %s", m.name, due))
	case before.Version != 0 && !time.Now().Before(kept.At):
		// The record may be the outcome of that message.
		return time.Time{}, unavailable(fmt.Sprintf("an earlier message of %q was due at %s, and its schedule is not removed yet; "+
			"sending this message again is safe", m.name, due), nil)
	case before.Status == protocol.Rejected && !again: // m retries, or it would not be scheduled
		return time.Time{}, newProblem(http.StatusConflict, headerRetry,
			fmt.Sprintf("%q is scheduled for %s by a message that does not retry its rejected name; cancel that schedule first", m.name, due))
	}
	return kept.At, nil
}

// fingerprintOf returns the fingerprint of a scheduled message; zero if its name cannot be read
// with this server's settings.
func (a *API) fingerprintOf(m schedule.Message) protocol.Fingerprint {
	given := names.Message{Body: m.Body, Attributes: make(map[string]names.Attribute)}
	for name, attribute := range m.Attributes {
		given.Attributes[name] = names.Attribute{Type: attribute.DataType, Value: attribute.StringValue}
	}
	named, err := a.cfg.Keys.Extract(given)
	if err != nil {
		return protocol.Fingerprint{}
	}
	return protocol.Fingerprint(named.Fingerprint)
}

// outgoingLater returns the message for the scheduler, equal to the one that send would send.
func (a *API) outgoingLater(m message, generation protocol.Version) schedule.Message {
	e := a.entry(m, generation)
	out := schedule.Message{
		QueueURL: a.cfg.QueueURL, Body: m.body, Attributes: make(map[string]schedule.Attribute),
		GroupID: aws.ToString(e.MessageGroupId), DeduplicationID: aws.ToString(e.MessageDeduplicationId),
	}
	for name, v := range e.MessageAttributes {
		out.Attributes[name] = schedule.Attribute{DataType: aws.ToString(v.DataType), StringValue: aws.ToString(v.StringValue)}
	}
	if len(e.MessageSystemAttributes) > 0 {
		out.SystemAttributes = make(map[string]schedule.Attribute)
	}
	for name, v := range e.MessageSystemAttributes {
		out.SystemAttributes[name] = schedule.Attribute{DataType: aws.ToString(v.DataType), StringValue: aws.ToString(v.StringValue)}
	}
	return out
}

// finalScheduling are error codes of EventBridge Scheduler about the role, the group and the
// server's credentials. A retry does not help.
// https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html#API_CreateSchedule_Errors
// https://docs.aws.amazon.com/scheduler/latest/APIReference/CommonErrors.html
var finalScheduling = append([]string{"ValidationException", "ResourceNotFoundException"}, finalCodes...)

// schedulerProblem returns the problem for an error of the scheduler; nil for nil.
func schedulerProblem(err error) error {
	if err == nil {
		return nil
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && slices.Contains(finalScheduling, api.ErrorCode()) {
		return unavailable("EventBridge Scheduler refuses the schedules of this server; a retry does not help", err)
	}
	return unavailable("EventBridge Scheduler did not answer as expected; sending the request again is safe", err)
}

// scheduled returns the record of a scheduled name; nil if it is not scheduled.
func (a *API) scheduled(ctx context.Context, name string) (*Record, error) {
	if a.cfg.Scheduler == nil {
		return nil, nil //nolint:nilnil // nil means not scheduled
	}
	kept, err := a.cfg.Scheduler.Get(ctx, schedule.Name(a.cfg.Scope, name))
	if errors.Is(err, schedule.ErrNone) {
		return nil, nil //nolint:nilnil // as above
	}
	if err != nil {
		return nil, schedulerProblem(err)
	}
	return &Record{Name: name, Status: statusScheduled, ScheduledAt: kept.At.UTC()}, nil
}

// foundScheduled returns the answer for a scheduled name.
func (c *exchange) foundScheduled(r *Record, ifNoneMatch string) *response[*Record] {
	c.outcome = statusScheduled
	out := &response[*Record]{
		Status: http.StatusOK, ETag: `"scheduled-` + strconv.FormatInt(r.ScheduledAt.Unix(), 10) + `"`, CacheControl: "private, no-cache", Body: r,
	}
	if matches(ifNoneMatch, out.ETag) {
		out.Status, out.Body = http.StatusNotModified, nil
	}
	return out
}

// cancelled is the answer to DELETE /schedules/{name}.
type cancelled struct {
	Name        string    `json:"name"`
	Status      string    `json:"status" enum:"CANCELLED"`
	ScheduledAt time.Time `json:"scheduled_at" doc:"Time at which the message would have been sent."`
}

// deleteSchedule answers DELETE /schedules/{name}: it cancels a scheduled message.
func (a *API) deleteSchedule(c *exchange, name string, how Ordering) (*response[cancelled], error) {
	name, err := c.theName(a.cfg.Keys, name)
	if err != nil {
		return nil, err
	}
	if a.cfg.Scheduler == nil {
		return nil, newProblem(http.StatusNotImplemented, "name", "cannot be scheduled: the server has no --schedule-role")
	}
	late := func(format string, args ...any) error {
		return newProblem(http.StatusConflict, "name", fmt.Sprintf("%q "+format, append([]any{name}, args...)...))
	}
	r, err := a.record(c.Context(), name)
	if err != nil {
		return nil, err
	}
	// A rejected or re-opened name has a record, and may be scheduled to run again.
	if r.Name != "" && r.Status != protocol.Rejected && generation(r) == 0 {
		return nil, late("was sent: its record is %s", r.Status)
	}
	id := schedule.Name(a.cfg.Scope, name)
	kept, err := a.cfg.Scheduler.Get(c.Context(), id)
	if err == nil && !time.Now().Before(kept.At) {
		return nil, late("was due at %s and is being sent", kept.At.UTC().Format(time.RFC3339))
	}
	if err == nil {
		err = a.cfg.Scheduler.Delete(c.Context(), id)
	}
	if errors.Is(err, schedule.ErrNone) {
		return nil, late("has no schedule: it was sent, cancelled, or never scheduled")
	}
	if err != nil {
		return nil, schedulerProblem(err)
	}
	a.cfg.Logger.InfoContext(c.Context(), "operator's verb", "verb", "cancel", "name", name, "by", c.by(how.By))
	c.outcome = statusCancelled
	return answer(http.StatusOK, cancelled{name, statusCancelled, kept.At.UTC()}), nil
}
