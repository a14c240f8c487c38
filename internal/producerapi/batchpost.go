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
	// batchTimeout bounds the sending of one batch, so that its answer comes while
	// the server still lets it be written: two minutes from the request's headers,
	// of which bodyTimeout may be over already.
	batchTimeout = time.Minute
)

// item is what became of one message of a batch.
type item struct {
	Index     int      `json:"index" minimum:"0" doc:"From 0, in the order of the request."`
	Status    int      `json:"status" doc:"As if the message had been posted alone: 202 of one that SQS or a schedule has taken, 200 of a delayed one whose name has a record; or 424, not sent because one before it in its group was refused."`
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
	DelayField string `header:"X-Sqsonce-Delay-Field" doc:"A top-level field of the messages: whole seconds as a number, or a text as in X-Sqsonce-Delay. It is the delay of its own message; one without the field has that of X-Sqsonce-Delay. The field stays in the body."`
	RawBody    []byte `contentType:"application/json"`
}

// postBatch answers POST /messages:batch: 202 when SQS has accepted all of it,
// 200 with each item's own status when only some, 503 when none because SQS is
// not to be had.
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
		return nil, badRequest(headerKey, "is for one message; those of a batch have their names in their bodies")
	}
	bodies, err := split(string(in.RawBody), lines)
	if err != nil {
		return nil, err
	}
	a.rates.charge(c.client, c.began, len(bodies)-1) // the request itself counts for one
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

// split cuts the body of a batch into those of its messages, byte for byte.
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
			return nil, badRequest("body", "is not a JSON array (or send lines as application/x-ndjson)")
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

// fail notes what went wrong with an item, if anything.
func (it *item) fail(err error) {
	if err == nil {
		return
	}
	p := asProblem(err)
	it.Status, it.Problem = p.Status, p
}

// accept notes that SQS has taken an item.
func (it *item) accept(took accepted) {
	it.Status, it.MessageID, it.Location = http.StatusAccepted, took.messageID, location(it.Name)
}

// settle notes what came of an item that was sent.
func (it *item) settle(took accepted, err error) {
	if err != nil {
		it.fail(err)
		return
	}
	it.accept(took)
}

// sendAll sends the messages that have no problem and no schedule, together with those of other
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

// noTimeLeft is for what was not sent because the batch has to be answered, or
// because nobody waits for its answer any more.
func noTimeLeft(ctx context.Context) *problem {
	return unavailable("not sent: what came before it took too long", context.Cause(ctx))
}

// sendInOrder sends what has no problem call by call, so that the messages of a
// group keep their order: what follows a message that was not accepted, for
// whatever reason, is not sent. Only within one call SQS may refuse one and take
// the next. It ends when SQS takes nothing more, and with ctx.
func (a *API) sendInOrder(ctx context.Context, messages []message, items []item) {
	var end *problem // why nothing more is sent
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
			end = unavailable("not sent: SQS did not accept what came before it", nil)
		}
	}
}

// holdUp notes that the message's group waits for it, unless it waits for
// another one already. Stuck is the index of the message that a group waits
// for. Where the group is the name's own and the name could not be read, nobody
// waits: a message that can be sent has a name.
func (m message) holdUp(stuck map[string]int, index int) {
	group := m.groupID(true)
	if _, ok := stuck[group]; !ok {
		stuck[group] = index
	}
}

// behind is for what was not sent because its group waits for the message with
// that index and status. After an outage it can be sent again as it is. Behind a
// message that was refused that would break the order, until the client has said
// what is to become of the one before.
func behind(index, status int) *problem {
	if status == http.StatusServiceUnavailable {
		return unavailable(fmt.Sprintf("not sent: message %d comes first in its group", index), nil)
	}
	return newProblem(http.StatusFailedDependency, "", fmt.Sprintf("not sent: message %d comes first in its group, and was refused", index))
}

// sendChunk sends what fits one call, again and again until each has its answer
// or the time is up.
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
				err = unavailable("SQS does not take messages of this server, and will not by itself", err)
			default:
				err = notAccepted(err)
			}
			items[i].settle(answers[n].Value, err)
			a.sent(err)
		}
		chunk = left
	}
}

// pauseNeeded reports whether any entry has to be sent again.
func pauseNeeded(answers []batch.Answer[accepted]) bool {
	for _, answer := range answers {
		if _, ok := errors.AsType[*refused](answer.Err); answer.Err != nil && !ok {
			return true
		}
	}
	return false
}

// batch is the answer with what became of each item.
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
