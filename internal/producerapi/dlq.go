package producerapi

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/deadletter"
)

// DeadLetter is a message of the dead-letter queue, with what is recorded of
// its name.
type DeadLetter struct {
	MessageID    string    `json:"message_id"`
	OriginalID   string    `json:"original_id" doc:"The message it is a copy of; its own id where SQS has moved it."`
	Name         string    `json:"name,omitempty"`
	Unnamed      string    `json:"unnamed,omitempty" doc:"Why it has no name."`
	Reason       string    `json:"reason" doc:"\"moved by SQS\": after too many receives."`
	Error        string    `json:"error,omitempty"`
	Attempts     int       `json:"attempts,omitempty" minimum:"0"`
	SentAt       time.Time `json:"sent_at,omitzero"`
	ReceiveCount int       `json:"receive_count" minimum:"0"`
	Group        string    `json:"group,omitempty"`
	Body         string    `json:"body,omitempty" doc:"Only where it is asked for."`
	Record       *Record   `json:"record,omitempty" doc:"Absent: none that counts."`
}

// DeadGroup is the letters of one reason.
type DeadGroup struct {
	Reason string    `json:"reason"`
	Count  int       `json:"count" minimum:"1"`
	First  time.Time `json:"first" doc:"When the first was sent."`
	Last   time.Time `json:"last"`
}

// DeadLetters is what GET /dlq answers with.
type DeadLetters struct {
	Looked    int          `json:"looked" minimum:"0" doc:"Messages that were looked at."`
	Found     int          `json:"found" minimum:"0" doc:"Those among them that were asked for, on all pages."`
	Originals int          `json:"originals" minimum:"0" doc:"Different original ids among those found: copies are at least once."`
	Complete  bool         `json:"complete" doc:"All that were visible were looked at."`
	Groups    []DeadGroup  `json:"groups" nullable:"false" doc:"Those found by reason, the most first."`
	Messages  []DeadLetter `json:"messages" nullable:"false" doc:"This page, the newest first."`
	Next      string       `json:"next,omitempty" doc:"For after: the next page."`
}

// peekInput is a request of GET /dlq.
type peekInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Messages on a page, at most."`
	Name   string `query:"name" doc:"Only messages of this name."`
	Prefix string `query:"prefix" doc:"Only messages of names that begin so."`
	Reason string `query:"reason" doc:"Only messages with this reason."`
	Which  string `query:"which" doc:"Only messages of this name, with this message id or one that begins with these 8 characters, or copies of this message."`
	After  string `query:"after" doc:"The next of the page before, of the same question."`
	Bodies bool   `query:"body" doc:"Show the messages' bodies."`
}

// getDeadLetters answers GET /dlq.
func (a *API) getDeadLetters(c *exchange, in *peekInput) (*response[DeadLetters], error) {
	dead, err := a.deadLetterQueue()
	if err != nil {
		return nil, err
	}
	query := deadletter.Query{Name: a.normal(in.Name), Prefix: in.Prefix, Reason: in.Reason, Which: in.Which}
	if in.Bodies {
		query.Bodies = maxBody
	}
	page, err := dead.List(c.Context(), query, in.Limit, in.After)
	if err != nil {
		return nil, deadProblem("the dead-letter queue could not be read", err)
	}
	out := DeadLetters{
		Looked: page.Looked, Found: page.Found, Originals: page.Originals, Complete: page.Complete, Next: page.Next,
		Groups: make([]DeadGroup, len(page.Groups)), Messages: make([]DeadLetter, len(page.Letters)),
	}
	for i, g := range page.Groups {
		out.Groups[i] = DeadGroup{g.Reason, g.Count, g.First, g.Last}
	}
	for i, l := range page.Letters {
		out.Messages[i] = deadLetter(l, page.Records[i])
	}
	return answer(http.StatusOK, out), nil
}

// normal is the name under which a message with the given one is known. Empty stays
// empty.
func (a *API) normal(name string) string {
	if name == "" {
		return ""
	}
	return normal(a.cfg.Keys, name)
}

func deadLetter(l deadletter.Letter, r protocol.Record) DeadLetter {
	d := DeadLetter{
		MessageID: l.ID, OriginalID: l.OriginalID, Name: l.Name, Unnamed: l.Unnamed, Reason: l.Reason, Error: l.Error,
		Attempts: l.Attempts, SentAt: l.Sent, ReceiveCount: l.Receives, Group: l.Group, Body: l.Body,
	}
	if r.Status != "" && r.Readable() {
		d.Record = new(view(r))
	}
	return d
}

// deadLetterQueue is what operators look into, where the store can be written.
func (a *API) deadLetterQueue() (*deadletter.Queue, error) {
	if a.dead == nil {
		return nil, unavailable("records cannot be written here", nil)
	}
	return a.dead, nil
}

// deadProblem is why the dead-letter queue was not to be had.
func deadProblem(detail string, err error) error {
	if errors.Is(err, deadletter.ErrNoQueue) {
		return newProblem(http.StatusNotFound, "", err.Error())
	}
	if bad, ok := errors.AsType[*deadletter.CursorError](err); ok {
		return badRequest("after", bad.Error())
	}
	return unavailable(detail, err)
}

// purged is the answer to DELETE /dlq.
type purged struct {
	Purged int `json:"purged" minimum:"0" doc:"Approximately."`
}

// purgeDeadLetters answers DELETE /dlq.
func (a *API) purgeDeadLetters(c *exchange, _ *struct{}) (*response[purged], error) {
	dead, err := a.deadLetterQueue()
	if err != nil {
		return nil, err
	}
	n, err := dead.Purge(c.Context())
	if _, busy := errors.AsType[*types.PurgeQueueInProgress](err); busy {
		p := newProblem(http.StatusConflict, "", "the queue was purged less than a minute ago")
		p.retryAfter = time.Minute
		return nil, p
	}
	if err != nil {
		return nil, deadProblem("the dead-letter queue could not be purged", err)
	}
	c.outcome = fmt.Sprintf("purged %d", n)
	return answer(http.StatusAccepted, purged{n}), nil
}

// newDeadLetters makes what operators look into.
func (a *API) newDeadLetters() (*deadletter.Queue, error) {
	return deadletter.New(deadletter.Config{
		SQS: a.cfg.SQS, QueueURL: a.cfg.QueueURL, URL: a.cfg.DLQURL, Keys: a.cfg.Keys, Records: a.names, Payloads: a.cfg.Payloads, Skew: a.cfg.Skew, Logger: a.cfg.Logger,
	})
}
