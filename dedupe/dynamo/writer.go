package dynamo

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/internal/batch"
)

// Bounds of one batch of writes. [batch.DefaultCalls] bounds the calls in flight.
const (
	// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html
	maxStatements = 25
	maxBatchBytes = 1 << 20
)

// outcome is the outcome of one write in a batch.
type outcome struct {
	verdict verdict
	item    item     // of a conflict, if the answer contained it
	lookup  *lookup  // of a conflict, otherwise
	refusal *refusal // the reason of again
}

type verdict uint8

const (
	written  verdict = iota
	conflict         // the outcome has the item, or its lookup
	again            // the server does not accept it in a batch; to be sent again, alone
)

// viaBatch sends w in a batch. A write that the server does not accept in a batch is sent again
// from here, alone, so that the other writes of the batch need not wait for it.
func (s *Store) viaBatch(ctx context.Context, w *write) error {
	out, err := s.writes.Do(ctx, w)
	switch {
	case errors.Is(err, batch.ErrClosed):
		return s.put(ctx, w)
	case err != nil:
		return classify("write", w.id, err)
	}
	switch out.verdict {
	case conflict:
		it := out.item
		if out.lookup != nil {
			if it, err = out.lookup.wait(ctx, w); err != nil {
				return classify("read", w.id, err)
			}
		}
		return &dedupe.ConflictError{Current: s.read(it)}
	case again:
		return s.writeAgain(ctx, w, out.refusal)
	default:
		return nil
	}
}

// writeAgain writes w alone, after it was refused in a batch.
func (s *Store) writeAgain(ctx context.Context, w *write, was *refusal) error {
	err := s.put(ctx, w)
	if accepted(err) && s.refusals.acceptedAlone(was) {
		s.writeSingly(was.err)
	}
	return err
}

// probe writes w alone after failed batches. Its success shows that only batches fail.
func (s *Store) probe(ctx context.Context, w *write) error {
	err := s.put(ctx, w)
	if s.refusals.probed(accepted(err)) {
		s.writeSingly(errBatchesFail)
	}
	return err
}

var errBatchesFail = errors.New("batches keep failing while single writes succeed")

// accepted reports whether the server has executed a write, including one that met a conflict.
func accepted(err error) bool {
	_, lost := errors.AsType[*dedupe.ConflictError](err)
	return err == nil || lost
}

// writeSingly ends batches of writes for the life of the store.
func (s *Store) writeSingly(why error) {
	if s.singleWrites.CompareAndSwap(false, true) {
		s.batchRefused("BatchExecuteStatement", why)
	}
}

// batchRefused reports that a batch operation is no longer used.
func (s *Store) batchRefused(operation string, why error) {
	s.cfg.Logger.Error("DynamoDB refuses batches: single calls are sent until a restart",
		"table", s.cfg.Table, "operation", operation, "error", why)
	if s.cfg.BatchRefused != nil {
		s.cfg.BatchRefused(operation, why)
	}
}

// sendWrites makes one call for a batch, with the earliest deadline of its writes. A caller that
// gives up does not affect the other writes.
func (s *Store) sendWrites(writes []*write) []batch.Answer[outcome] {
	oldest := slices.MinFunc(writes, func(a, b *write) int { return a.until.Compare(b.until) })
	ctx, cancel := context.WithDeadline(context.Background(), oldest.until)
	defer cancel()
	if len(writes) == 1 {
		return []batch.Answer[outcome]{s.sendOne(ctx, writes[0])}
	}
	in, options := s.batchRequest(writes)
	sent := time.Now()
	out, err := s.client.BatchExecuteStatement(ctx, in, options...)
	if err != nil {
		return s.refusedAll(len(writes), err)
	}
	s.clock.observe(sent, out.ResultMetadata)
	answers := make([]batch.Answer[outcome], len(writes))
	executed, failed := 0, 0
	var missing []string
	for i := range answers {
		if i >= len(out.Responses) {
			answers[i].Err = batch.ErrNoAnswer
			continue
		}
		f := writes[i].form()
		answers[i] = statementAnswer(f, out.Responses[i].Error)
		switch answer := answers[i]; {
		case answer.Err == nil && answer.Value.verdict != again:
			executed++
			s.refusals.acceptedInBatch(f)
		case kindOf(answer.Err) == kindAmbiguous && answer.Err != nil:
			failed++
		}
		if answers[i].Value.verdict == conflict && len(answers[i].Value.item) == 0 {
			missing = append(missing, writes[i].id)
		}
	}
	if executed == 0 && failed > 0 {
		s.refusals.callFailed()
	}
	if len(missing) > 0 {
		s.lookUpConflicts(answers, missing)
	}
	return answers
}

// batchRequest returns the call for a batch. For the SDK's own client the body is encoded here, and
// the input has only the statements.
func (s *Store) batchRequest(writes []*write) (*dynamodb.BatchExecuteStatementInput, []func(*dynamodb.Options)) {
	requests := make([]types.BatchStatementRequest, len(writes))
	options := []func(*dynamodb.Options){once}
	if _, sdk := s.client.(*dynamodb.Client); sdk {
		options = append(options, prepared(s.statements.json(writes, requests)))
	} else {
		for i, w := range writes {
			requests[i] = s.statements.request(w)
		}
	}
	return &dynamodb.BatchExecuteStatementInput{Statements: requests}, options
}

// lookUpConflicts reads the items of conflicts whose answers did not contain them, in one call.
func (s *Store) lookUpConflicts(answers []batch.Answer[outcome], ids []string) {
	l := s.lookUp(ids)
	for i := range answers {
		if out := &answers[i].Value; out.verdict == conflict && len(out.item) == 0 {
			out.lookup = l
		}
	}
}

// sendOne sends a batch of one write as a single call, which is cheaper than a statement.
func (s *Store) sendOne(ctx context.Context, w *write) batch.Answer[outcome] {
	err := s.putItem(ctx, w)
	if err == nil {
		return batch.Answer[outcome]{Value: outcome{verdict: written}}
	}
	switch kindOf(err) {
	case kindConflict:
		out := outcome{verdict: conflict, item: conflicting(err)}
		if len(out.item) == 0 {
			out.lookup = s.lookUp([]string{w.id})
		}
		return batch.Answer[outcome]{Value: out}
	default:
		return batch.Answer[outcome]{Err: err}
	}
}

// refusedAll returns the answers for the writes of a call that failed as a whole.
func (s *Store) refusedAll(n int, err error) []batch.Answer[outcome] {
	answer := batch.Answer[outcome]{Err: err}
	switch kindOf(err) {
	case kindInvalid:
		// One statement that the server does not accept can fail the whole call.
		answer = refused(&refusal{err: err, scope: refusedCall})
	case kindDenied, kindUnsupported:
		answer = refused(&refusal{err: err, scope: refusedAction})
	case kindAmbiguous:
		s.refusals.callFailed()
	default: // says nothing about the form of the call
	}
	return slices.Repeat([]batch.Answer[outcome]{answer}, n)
}

func refused(why *refusal) batch.Answer[outcome] {
	return batch.Answer[outcome]{Value: outcome{verdict: again, refusal: why}}
}

// statementAnswer returns the answer for one write of a call that was accepted.
func statementAnswer(f form, failed *types.BatchStatementError) batch.Answer[outcome] {
	if failed == nil {
		return batch.Answer[outcome]{Value: outcome{verdict: written}}
	}
	err := &smithy.GenericAPIError{Code: string(failed.Code), Message: aws.ToString(failed.Message)}
	switch kindOf(err) {
	case kindConflict:
		return batch.Answer[outcome]{Value: outcome{verdict: conflict, item: failed.Item}}
	case kindInvalid:
		return refused(&refusal{err: err, scope: refusedMember, form: f})
	case kindDenied:
		return refused(&refusal{err: err, scope: refusedAction})
	default:
		return batch.Answer[outcome]{Err: err}
	}
}

// conflicting returns the item in the error of a failed condition, or nil.
func conflicting(err error) item {
	if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return failed.Item
	}
	return nil
}

// once turns the SDK's retries off. A retry would hold up a whole batch for one throttled
// statement, and would repeat writes that were applied. Guards and operators retry writes, because
// they know the lease. Reads are retried by [patiently].
func once(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }
