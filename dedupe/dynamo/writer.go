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
	"github.com/sqsonce/sqsonce/internal/backoff"
	"github.com/sqsonce/sqsonce/internal/batch"
)

// What one batch of writes carries. The calls out at a time are those of
// [batch.DefaultCalls].
const (
	// https://docs.aws.amazon.com/amazondynamodb/latest/APIReference/API_BatchExecuteStatement.html
	maxStatements = 25
	maxBatchBytes = 1 << 20
)

// outcome is what became of one write in a batch.
type outcome struct {
	verdict verdict
	item    item    // of a conflict that came with it
	lookup  *lookup // where to find that of one that did not
	refusal error   // why batches are refused, when they are
}

type verdict uint8

const (
	written  verdict = iota
	conflict         // the item, or where to look it up, is in the outcome
	again            // to be sent once more, alone: throttled, or part of a call that was refused as a whole
)

// viaBatch hands w to the batching writer. What has to be sent again goes
// alone, here: the others of its batch have their answers meanwhile.
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
			if it, err = out.lookup.wait(ctx, w.id); err != nil {
				return classify("read", w.id, err)
			}
		}
		return &dedupe.ConflictError{Current: s.read(it)}
	case again:
		if out.refusal == nil {
			if err := pauses.Wait(ctx, 0); err != nil {
				return classify("write", w.id, err)
			}
		}
		err := s.put(ctx, w)
		_, lost := errors.AsType[*dedupe.ConflictError](err)
		if out.refusal != nil && (err == nil || lost) && s.singleWrites.CompareAndSwap(false, true) {
			s.cfg.Logger.Warn("batch writes are refused; writing one by one from now on",
				"table", s.cfg.Table, "operation", "BatchExecuteStatement", "error", out.refusal)
		}
		return err
	default:
		return nil
	}
}

// sendWrites makes one call for a batch. It runs under a deadline of its own:
// a caller that gives up leaves the others' writes alone.
func (s *Store) sendWrites(writes []*write) []batch.Answer[outcome] {
	ctx, cancel := s.detached()
	defer cancel()
	if len(writes) == 1 {
		return []batch.Answer[outcome]{s.sendOne(ctx, writes[0])}
	}
	in, options, err := s.batchRequest(writes)
	if err != nil {
		return refusedAll(len(writes), err)
	}
	sent := time.Now()
	out, err := s.client.BatchExecuteStatement(ctx, in, options...)
	if err != nil {
		s.clock.observeFailure(sent, err)
		return refusedAll(len(writes), err)
	}
	answers := make([]batch.Answer[outcome], len(writes))
	s.clock.observe(sent, out.ResultMetadata)
	var missing []string
	for i := range answers {
		if i >= len(out.Responses) {
			answers[i].Err = batch.ErrNoAnswer
			continue
		}
		answers[i] = statementAnswer(out.Responses[i].Error)
		if answers[i].Value.verdict == conflict && len(answers[i].Value.item) == 0 {
			missing = append(missing, writes[i].id)
		}
	}
	if len(missing) > 0 {
		s.lookUpConflicts(answers, missing)
	}
	return answers
}

// batchRequest returns the call for a batch. To the SDK's own client the body is
// given as it goes to the wire, and the input shows the statements only.
func (s *Store) batchRequest(writes []*write) (*dynamodb.BatchExecuteStatementInput, []func(*dynamodb.Options), error) {
	requests := make([]types.BatchStatementRequest, len(writes))
	options := []func(*dynamodb.Options){once}
	if _, sdk := s.client.(*dynamodb.Client); sdk {
		options = append(options, prepared(s.statements.json(writes, requests)))
	} else {
		for i, w := range writes {
			var err error
			if requests[i], err = s.statements.request(w); err != nil {
				return nil, nil, err
			}
		}
	}
	return &dynamodb.BatchExecuteStatementInput{Statements: requests}, options, nil
}

// lookUpConflicts has the items of conflicts that came without read back, all
// in one.
func (s *Store) lookUpConflicts(answers []batch.Answer[outcome], ids []string) {
	l := s.lookUp(ids)
	for i := range answers {
		if out := &answers[i].Value; out.verdict == conflict && len(out.item) == 0 {
			out.lookup = l
		}
	}
}

// sendOne is a batch of one: the call of a single write, so that a lone message
// pays for no statement.
func (s *Store) sendOne(ctx context.Context, w *write) batch.Answer[outcome] {
	err := s.putItem(ctx, w, once)
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
	case kindBusy:
		return batch.Answer[outcome]{Value: outcome{verdict: again}}
	default:
		return batch.Answer[outcome]{Err: err}
	}
}

func refusedAll(n int, err error) []batch.Answer[outcome] {
	return slices.Repeat([]batch.Answer[outcome]{refused(err)}, n)
}

// refused is the answer to each write of a call that failed as a whole.
func refused(err error) batch.Answer[outcome] {
	switch kindOf(err) {
	case kindInvalid:
		// One statement that cannot be accepted fails all of them.
		return batch.Answer[outcome]{Value: outcome{verdict: again}}
	case kindDenied, kindUnsupported:
		return batch.Answer[outcome]{Value: outcome{verdict: again, refusal: err}}
	default:
		return batch.Answer[outcome]{Err: err}
	}
}

// statementAnswer is the answer to one write of a call that was accepted.
func statementAnswer(failed *types.BatchStatementError) batch.Answer[outcome] {
	if failed == nil {
		return batch.Answer[outcome]{Value: outcome{verdict: written}}
	}
	err := &smithy.GenericAPIError{Code: string(failed.Code), Message: aws.ToString(failed.Message)}
	switch k := kindOf(err); {
	case k == kindConflict:
		return batch.Answer[outcome]{Value: outcome{verdict: conflict, item: failed.Item}}
	case k == kindBusy, k == kindInvalid, failed.Code == types.BatchStatementErrorCodeEnumInternalServerError:
		return batch.Answer[outcome]{Value: outcome{verdict: again}}
	case k == kindDenied:
		return batch.Answer[outcome]{Value: outcome{verdict: again, refusal: err}}
	default:
		return batch.Answer[outcome]{Err: err}
	}
}

// conflicting returns the item that a failed condition came with, if any.
func conflicting(err error) item {
	if failed, ok := errors.AsType[*types.ConditionalCheckFailedException](err); ok {
		return failed.Item
	}
	return nil
}

// once turns the SDK's retries off: they would hold up a whole batch for one
// throttled statement, and send again what was applied.
func once(o *dynamodb.Options) { o.Retryer = aws.NopRetryer{} }

// pauses are the pauses between two tries.
var pauses = backoff.Policy{First: 25 * time.Millisecond, Max: 800 * time.Millisecond}
