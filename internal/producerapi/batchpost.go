package producerapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/sqsonce/sqsonce/internal/batch"
)

// Bounds of POST /messages:batch.
const (
	maxItems     = 1_000
	maxBatchBody = 8 << 20
	itemsAtATime = 100
	// batchTimeout bounds the sending of one batch. The server's write timeout is two minutes after
	// the request's headers, of which the body may have taken bodyTimeout.
	batchTimeout = time.Minute
)

// item is the result for one message of a batch.
type item struct {
	Index     int      `json:"index" minimum:"0" doc:"From 0, in the order of the request."`
	Status    int      `json:"status" doc:"The status of a single POST of the message: 202 if SQS or a schedule has accepted it, 200 for a delayed message whose name has a record; or 424: not sent, because an earlier message of its group was refused."`
	Name      string   `json:"name,omitempty"`
	MessageID string   `json:"message_id,omitempty"`
	Location  string   `json:"location,omitempty"`
	Problem   *problem `json:"problem,omitempty"`

	ScheduledAt time.Time `json:"scheduled_at,omitzero" doc:"When a message that was scheduled is sent; up to a minute later. Then it has no message_id."`
}

// batchAnswer is the answer to a batch.
type batchAnswer struct {
	Accepted int    `json:"accepted" minimum:"0" doc:"Messages with status 202 or 200."`
	Items    []item `json:"items" nullable:"false"`
}

// batchInput is a request of POST /messages:batch.
type batchInput struct {
	MessageHeaders
	DelayField string `header:"X-Sqsonce-Delay-Field" doc:"Name of a top-level member of each message that holds its delay: whole seconds as a number, or a string as in X-Sqsonce-Delay. A message without the member has the delay of X-Sqsonce-Delay. The member stays in the body."`
	RawBody    []byte `contentType:"application/json"`
}

// postBatch answers POST /messages:batch: 202 if SQS has accepted all messages, 503 if every
// message failed because SQS is unavailable, and 200 with a status for each item otherwise.
func (a *API) postBatch(c *exchange, in *batchInput) (*response[batchAnswer], error) {
	lines, err := mediaType(c.Header, true)
	if err != nil {
		return nil, err
	}
	s, err := in.settings("", false, a.fifo(), a.cfg.Scheduler != nil)
	if err != nil {
		return nil, err
	}
	if len(c.Header.Values(headerKey)) > 0 {
		return nil, badRequest(headerKey, "is not allowed for a batch, whose messages have their names in their bodies")
	}
	bodies, err := split(string(in.RawBody), lines)
	if err != nil {
		return nil, err
	}
	a.rates.charge(c.client, c.began, len(bodies)-1) // the request itself counts as one
	out := batchAnswer{Items: make([]item, len(bodies))}
	messages := make([]message, len(bodies))
	for i, body := range bodies {
		own, wrong := s.ownDelay(in.DelayField, body, a.fifo(), a.cfg.Scheduler != nil)
		messages[i], err = parseMessage(a.cfg.Keys, own, body)
		out.Items[i] = item{Index: i, Name: messages[i].name}
		out.Items[i].fail(cmp.Or(err, wrong))
	}
	ctx, cancel := context.WithTimeout(c.Context(), batchTimeout)
	defer cancel()
	if a.fifo() {
		a.sendInOrder(ctx, messages, out.Items)
	} else {
		a.sendAll(ctx, messages, out.Items)
	}
	a.scheduleAll(ctx, c.began, messages, out.Items)
	return c.batch(out)
}

// split splits the body of a batch into the unchanged bodies of its messages.
func split(body string, lines bool) ([]string, error) {
	var bodies []string
	add := func(one string) error {
		if len(bodies) == maxItems {
			return badRequest("body", fmt.Sprintf("has more than %d messages", maxItems))
		}
		bodies = append(bodies, one)
		return nil
	}
	if lines {
		for line := range strings.Lines(body) {
			line = strings.TrimRight(line, "\r\n")
			if strings.Trim(line, " \t\r") == "" {
				continue
			}
			if err := add(line); err != nil {
				return nil, err
			}
		}
	} else {
		dec := json.NewDecoder(strings.NewReader(body))
		if open, err := dec.Token(); err != nil || open != json.Delim('[') {
			return nil, badRequest("body", "must be a JSON array, or lines with Content-Type application/x-ndjson")
		}
		for dec.More() {
			var one json.RawMessage
			if err := dec.Decode(&one); err != nil {
				return nil, badRequest("body", fmt.Sprintf("message %d: not JSON at byte %d", len(bodies), dec.InputOffset()))
			}
			if err := add(string(one)); err != nil {
				return nil, err
			}
		}
		_, err := dec.Token()
		if err != nil || len(bytes.Trim([]byte(body[dec.InputOffset():]), " \t\r\n")) > 0 {
			return nil, badRequest("body", fmt.Sprintf("not a JSON array at byte %d", dec.InputOffset()))
		}
	}
	if len(bodies) == 0 {
		return nil, badRequest("body", "has no messages")
	}
	return bodies, nil
}

// fail sets the problem of an item, unless err is nil.
func (it *item) fail(err error) {
	if err == nil {
		return
	}
	p := asProblem(err)
	it.Status, it.Problem = p.Status, p
}

// accept marks an item as accepted by SQS.
func (it *item) accept(took accepted) {
	it.Status, it.MessageID, it.Location = http.StatusAccepted, took.messageID, location(it.Name)
}

// settle sets the result of an item that was sent.
func (it *item) settle(took accepted, err error) {
	if err != nil {
		it.fail(err)
		return
	}
	it.accept(took)
}

// sendAll sends the messages without a problem and without a schedule. They share calls with other
// requests.
func (a *API) sendAll(ctx context.Context, messages []message, items []item) {
	var group errgroup.Group
	group.SetLimit(itemsAtATime)
	for i := range messages {
		if items[i].Problem != nil || messages[i].later > 0 {
			continue
		}
		group.Go(func() error {
			if ctx.Err() == nil {
				items[i].settle(a.send(ctx, messages[i], 0))
			} else {
				items[i].fail(noTimeLeft(ctx))
			}
			return nil
		})
	}
	_ = group.Wait() // each item has its own error
}

// noTimeLeft is the problem of a message that was not sent before batchTimeout, or before the
// client closed the connection.
func noTimeLeft(ctx context.Context) *problem {
	return unavailable("not sent: the messages before it took too long", context.Cause(ctx))
}

// sendInOrder sends the messages without a problem one call after the other, so that the messages
// of a group keep their order: after a message that was not accepted, it sends no more of its
// group. But within one call SQS may refuse a message and accept the next. It ends if SQS accepts
// no message of a call, and with ctx.
func (a *API) sendInOrder(ctx context.Context, messages []message, items []item) {
	var end *problem // of all remaining messages; nil: go on
	stuck := make(map[string]int)
	for at := 0; at < len(messages); {
		if end == nil && ctx.Err() != nil {
			end = noTimeLeft(ctx)
		}
		var chunk []int
		size := 0
		for ; at < len(messages) && len(chunk) < maxEntries; at++ {
			m := messages[at]
			if m.later > 0 {
				continue // its schedule is no part of the order
			}
			if before, ok := stuck[m.groupID(true)]; ok && items[at].Problem == nil {
				items[at].fail(behind(before, items[before].Status))
			}
			if end != nil && items[at].Problem == nil {
				items[at].fail(end)
			}
			if items[at].Problem != nil {
				m.holdUp(stuck, at)
				continue
			}
			n := m.size()
			if len(chunk) > 0 && size+n > maxBody {
				break
			}
			size += n
			chunk = append(chunk, at)
		}
		if len(chunk) == 0 {
			continue
		}
		a.sendChunk(ctx, messages, items, chunk)
		accepted, outages := 0, 0
		for _, i := range chunk {
			switch items[i].Status {
			case http.StatusAccepted:
				accepted++
				continue
			case http.StatusServiceUnavailable:
				outages++
			}
			messages[i].holdUp(stuck, i)
		}
		if accepted == 0 && outages > 0 && end == nil {
			end = unavailable("not sent: SQS did not accept the messages before it", nil)
		}
	}
}

// holdUp marks the message's group as stuck at index, unless it is stuck already. A message without
// a readable name and without a group stops no other message, because each name has its own group.
func (m message) holdUp(stuck map[string]int, index int) {
	group := m.groupID(true)
	if _, ok := stuck[group]; !ok {
		stuck[group] = index
	}
}

// behind is the problem of a message whose group is stuck at a message with that index and status.
// After an outage (503) the client can send it again. After a refusal (424) the client must first
// fix or drop the refused message, or the order would break.
func behind(index, status int) *problem {
	if status == http.StatusServiceUnavailable {
		return unavailable(fmt.Sprintf("not sent: message %d of its group must be accepted first", index), nil)
	}
	return newProblem(http.StatusFailedDependency, "", fmt.Sprintf("not sent: message %d of its group must be accepted first, and was refused", index))
}

// sendChunk sends the messages of one call, and retries until each has its result or the send
// timeout has passed.
func (a *API) sendChunk(ctx context.Context, messages []message, items []item, chunk []int) {
	ctx, cancel := context.WithTimeout(ctx, a.cfg.SendTimeout)
	defer cancel()
	for try := 0; len(chunk) > 0; try++ {
		out := make([]outgoing, len(chunk))
		for n, i := range chunk {
			out[n] = outgoing{ctx: ctx, entry: a.entry(messages[i], 0), size: messages[i].size()}
		}
		answers := a.sendBatch(out)
		final := slices.ContainsFunc(answers, func(answer batch.Answer[accepted]) bool { return a.isFinal(answer.Err) })
		again := !final && (!pauseNeeded(answers) || pauses.Wait(ctx, try) == nil)
		var left []int
		for n, i := range chunk {
			err := answers[n].Err
			no, isRefused := errors.AsType[*refused](err)
			switch {
			case err == nil:
			case isRefused:
				err = badRequest("body", no.Error())
			case again:
				left = append(left, i)
				continue
			case a.isFinal(err):
				err = unavailable(notByItself, err)
			default:
				err = notAccepted(err)
			}
			items[i].settle(answers[n].Value, err)
			a.sent(err)
		}
		chunk = left
	}
}

// pauseNeeded reports whether any entry must be sent again.
func pauseNeeded(answers []batch.Answer[accepted]) bool {
	for _, answer := range answers {
		if _, ok := errors.AsType[*refused](answer.Err); answer.Err != nil && !ok {
			return true
		}
	}
	return false
}

// batch returns the answer with the result of each item.
func (c *exchange) batch(out batchAnswer) (*response[batchAnswer], error) {
	outages := 0
	var cause *problem
	for i, it := range out.Items {
		if it.Problem != nil && it.Problem.cause != nil && c.api.cfg.Embedded {
			shown := *it.Problem
			shown.Detail += ": " + shown.cause.Error()
			out.Items[i].Problem = &shown
		}
		switch it.Status {
		case http.StatusAccepted, http.StatusOK:
			out.Accepted++
		case http.StatusServiceUnavailable:
			outages++
			cause = cmp.Or(cause, it.Problem)
		}
	}
	if outages == len(out.Items) {
		return nil, cause
	}
	answer := &response[batchAnswer]{Status: http.StatusAccepted, CacheControl: noStore, Body: out}
	if outages > 0 {
		answer.RetryAfter = seconds(retryPause)
	}
	if out.Accepted < len(out.Items) {
		answer.Status = http.StatusOK
	}
	c.outcome = fmt.Sprintf("%d of %d accepted", out.Accepted, len(out.Items))
	return answer, nil
}
