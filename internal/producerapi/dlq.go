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

// DeadLetter is a message of the dead-letter queue, with the record of its name.
type DeadLetter struct {
	MessageID    string    `json:"message_id"`
	OriginalID   string    `json:"original_id" doc:"Id of the original message of a copy; the message's own id if SQS has moved it."`
	Name         string    `json:"name,omitempty"`
	Unnamed      string    `json:"unnamed,omitempty" doc:"Reason why the message has no name."`
	Reason       string    `json:"reason" doc:"\"moved by SQS\" if SQS moved the message after too many receives."`
	Error        string    `json:"error,omitempty"`
	Attempts     int       `json:"attempts,omitempty" minimum:"0"`
	SentAt       time.Time `json:"sent_at,omitzero"`
	ReceiveCount int       `json:"receive_count" minimum:"0"`
	Group        string    `json:"group,omitempty"`
	Body         string    `json:"body,omitempty" doc:"Only with body=true."`
	Record       *Record   `json:"record,omitempty" doc:"Absent if the name has no record."`
}

// DeadGroup counts the letters of one reason.
type DeadGroup struct {
	Reason string    `json:"reason"`
	Count  int       `json:"count" minimum:"1"`
	First  time.Time `json:"first" doc:"Time at which the first was sent."`
	Last   time.Time `json:"last"`
}

// DeadLetters is the answer to GET /dlq.
type DeadLetters struct {
	Looked    int          `json:"looked" minimum:"0" doc:"Number of examined messages."`
	Found     int          `json:"found" minimum:"0" doc:"Number of matching messages, on all pages."`
	Originals int          `json:"originals" minimum:"0" doc:"Different original ids among the matching messages. A message may have several copies."`
	Complete  bool         `json:"complete" doc:"True if all visible messages were examined."`
	Groups    []DeadGroup  `json:"groups" nullable:"false" doc:"Matching messages by reason, the largest group first."`
	Messages  []DeadLetter `json:"messages" nullable:"false" doc:"Messages of this page, newest first."`
	Next      string       `json:"next,omitempty" doc:"Value of after for the next page."`
}

// peekInput is a request of GET /dlq.
type peekInput struct {
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100" doc:"Largest number of messages on a page."`
	Name   string `query:"name" doc:"Only messages of this name."`
	Prefix string `query:"prefix" doc:"Only messages whose name begins with this text."`
	Reason string `query:"reason" doc:"Only messages with this reason."`
	Which  string `query:"which" doc:"Only messages with this name or message id, with a message id that begins with these 8 characters, or copies of this message."`
	After  string `query:"after" doc:"The next of the previous page of the same query."`
	Bodies bool   `query:"body" doc:"Show the messages' bodies."`
}

// getDeadLetters answers GET /dlq.
func (a *API) getDeadLetters(c *exchange, in *peekInput) (*response[DeadLetters], error) {
	dead, err := a.deadLetterQueue()
	if err != nil {
		return nil, err
	}
	query := deadletter.Query{Name: a.normal(in.Name), Prefix: in.Prefix, Reason: in.Reason, Which: a.normal(in.Which)}
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

// normal returns the normal form of a name; "" for "".
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

// deadLetterQueue returns the dead-letter queue. It fails if records cannot be written.
func (a *API) deadLetterQueue() (*deadletter.Queue, error) {
	if a.dead == nil {
		return nil, unavailable("records cannot be written here", nil)
	}
	return a.dead, nil
}

// deadProblem returns the problem for an error of the dead-letter queue.
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

// newDeadLetters returns the dead-letter queue for operators.
func (a *API) newDeadLetters() (*deadletter.Queue, error) {
	return deadletter.New(deadletter.Config{
		SQS: a.cfg.SQS, QueueURL: a.cfg.QueueURL, URL: a.cfg.DLQURL, Keys: a.cfg.Keys, Records: a.names, Payloads: a.cfg.Payloads, Skew: a.cfg.Skew, Logger: a.cfg.Logger,
	})
}
