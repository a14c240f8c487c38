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

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/schedule"
	"github.com/sqsonce/sqsonce/names"
)

const (
	statusScheduled = "SCHEDULED"
	statusCancelled = "CANCELLED"
)

// maxLater bounds a delay. EventBridge Scheduler documents no bound; a year is this API's own,
// so that a slip of the pen is noticed.
const maxLater = 365 * 24 * time.Hour

// postLater has a message sent later than SQS delays it. A name of which something is known is
// not scheduled: its record is the answer. A name that is scheduled already has the time of its
// first post.
func (a *API) postLater(c *exchange, m message) (*response[any], error) {
	ctx, cancel := context.WithTimeout(c.Context(), a.cfg.SendTimeout)
	defer cancel()
	before, err := a.record(ctx, m.name)
	if err != nil {
		return nil, err
	}
	again := m.retry && before.Status == protocol.Rejected
	switch {
	case before.Name == "" || again:
	case before.Fingerprint.Differs(m.fingerprint):
		return nil, newProblem(http.StatusUnprocessableEntity, "body",
			fmt.Sprintf("%q was used before with a different body (its record is %s)", m.name, before.Status))
	case generation(before) == 0:
		found := c.found(before, "")
		return &response[any]{Status: found.Status, ETag: found.ETag, CacheControl: found.CacheControl, Body: found.Body}, nil
	}
	what := schedule.Schedule{At: c.began.Add(m.later), Message: a.outgoingLater(m, before.Version)}
	if err := what.Message.Check(); errors.Is(err, schedule.ErrTooLarge) {
		return nil, newProblem(http.StatusRequestEntityTooLarge, "body", err.Error())
	} else if err != nil {
		return nil, badRequest("body", err.Error())
	}
	at, err := a.keep(ctx, m, what)
	a.sent(err)
	if err != nil {
		return nil, err
	}
	c.outcome = statusScheduled
	return &response[any]{
		Status: http.StatusAccepted, Location: location(m.name), CacheControl: noStore,
		Body: queued{Name: m.name, Status: statusScheduled, ScheduledAt: at.UTC()},
	}, nil
}

// keep makes the schedule, or finds that of an earlier post. The error is a *[problem].
func (a *API) keep(ctx context.Context, m message, what schedule.Schedule) (time.Time, error) {
	name := schedule.Name(a.cfg.Scope, m.name)
	at, err := a.cfg.Scheduler.Create(ctx, name, what)
	if !errors.Is(err, schedule.ErrExists) {
		return at, schedulerProblem(err)
	}
	kept, err := a.cfg.Scheduler.Get(ctx, name)
	if errors.Is(err, schedule.ErrNone) {
		return time.Time{}, unavailable("the schedule of an earlier message has just run; to send this one again is safe", err)
	}
	if err != nil {
		return time.Time{}, schedulerProblem(err)
	}
	if a.fingerprintOf(kept.Message).Differs(m.fingerprint) {
		return time.Time{}, newProblem(http.StatusConflict, "body",
			fmt.Sprintf("%q is scheduled with a different body, for %s", m.name, kept.At.UTC().Format(time.RFC3339)))
	}
	return kept.At, nil
}

// fingerprintOf is what a scheduled message is compared by; nothing where its name cannot be
// read as it is set here.
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

// outgoingLater is the message as the direct way sends it.
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

// finalScheduling are errors of EventBridge Scheduler that a repetition does not cure: about the
// role, the group and the server's credentials.
// https://docs.aws.amazon.com/scheduler/latest/APIReference/API_CreateSchedule.html#API_CreateSchedule_Errors
// https://docs.aws.amazon.com/scheduler/latest/APIReference/CommonErrors.html
var finalScheduling = append([]string{"ValidationException", "ResourceNotFoundException"}, finalCodes...)

// schedulerProblem is what an error of the scheduler means to a client; nil for nil.
func schedulerProblem(err error) error {
	if err == nil {
		return nil
	}
	if api, ok := errors.AsType[smithy.APIError](err); ok && slices.Contains(finalScheduling, api.ErrorCode()) {
		return unavailable("EventBridge Scheduler takes no schedules of this server, and will not by itself", err)
	}
	return unavailable("EventBridge Scheduler did not answer as it should; to send the request again is safe", err)
}

// scheduled is the record of a name that is only scheduled; nil when it is not.
func (a *API) scheduled(ctx context.Context, name string) (*Record, error) {
	if a.cfg.Scheduler == nil {
		return nil, nil //nolint:nilnil // no schedule is no error
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

// foundScheduled is the answer with a name that is only scheduled.
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
	ScheduledAt time.Time `json:"scheduled_at" doc:"When the message would have been sent."`
}

// deleteSchedule answers DELETE /schedules/{name}: the message is not sent.
func (a *API) deleteSchedule(c *exchange, name string, how Ordering) (*response[cancelled], error) {
	name, err := c.theName(a.cfg.Keys, name)
	if err != nil {
		return nil, err
	}
	if a.cfg.Scheduler == nil {
		return nil, newProblem(http.StatusNotImplemented, "name", "no messages are scheduled here: the server has no --schedule-role")
	}
	late := func(format string, args ...any) error {
		return newProblem(http.StatusConflict, "name", fmt.Sprintf("%q "+format, append([]any{name}, args...)...))
	}
	r, err := a.record(c.Context(), name)
	if err != nil {
		return nil, err
	}
	// A rejected name may be scheduled to run again, with its record still there.
	if r.Name != "" && r.Status != protocol.Rejected {
		return nil, late("was sent: its record is %s", r.Status)
	}
	id := schedule.Name(a.cfg.Scope, name)
	kept, err := a.cfg.Scheduler.Get(c.Context(), id)
	if err == nil && !time.Now().Before(kept.At) {
		return nil, late("is being sent since %s", kept.At.UTC().Format(time.RFC3339))
	}
	if err == nil {
		err = a.cfg.Scheduler.Delete(c.Context(), id)
	}
	if errors.Is(err, schedule.ErrNone) {
		return nil, late("has no schedule: its message was sent, or it was cancelled, or there never was one")
	}
	if err != nil {
		return nil, schedulerProblem(err)
	}
	a.cfg.Logger.InfoContext(c.Context(), "operator's verb", "verb", "cancel", "name", name, "by", c.by(how.By))
	c.outcome = statusCancelled
	return answer(http.StatusOK, cancelled{name, statusCancelled, kept.At.UTC()}), nil
}
