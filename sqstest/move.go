package sqstest

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// move is a task that moves the messages of a dead-letter queue. A task without a rate completes
// when it starts. A task with a rate has no goroutine: each request and each poller moves the
// messages that are due by then.
type move struct {
	handle  string
	source  string // queue name
	target  string // queue name; "": each message returns to its source queue
	rate    int    // messages per second; 0: all at once
	started instant
	moved   int64
	toMove  int64
	status  string
	failure string
}

const (
	moveRunning   = "RUNNING"
	moveCompleted = "COMPLETED"
	moveCancelled = "CANCELLED"
	moveFailed    = "FAILED"
)

func (s *Server) startMove(in startMoveInput) (startMoveOutput, error) {
	if in.SourceArn == "" {
		return startMoveOutput{}, missing("SourceArn")
	}
	rate := valueOr(in.MaxNumberOfMessagesPerSecond, 0)
	if in.MaxNumberOfMessagesPerSecond != nil && (rate < 1 || rate > 500) {
		return startMoveOutput{}, invalid("MaxNumberOfMessagesPerSecond", rate, "Must be between 1 and 500")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now()
	s.continueMoves(at)
	source, ok := s.queues[queueName(in.SourceArn)]
	if !ok {
		return startMoveOutput{}, noResource("SourceArn")
	}
	source.advance(at)
	if len(s.sources(source.name)) == 0 {
		return startMoveOutput{}, sender(codeInvalidParameter, "Source queue must be configured as a Dead Letter Queue.")
	}
	target := ""
	if in.DestinationArn != "" {
		target = queueName(in.DestinationArn)
		switch q, ok := s.queues[target]; {
		case !ok:
			return startMoveOutput{}, noResource("DestinationArn")
		case q == source || (q.fifo == nil) != (source.fifo == nil):
			return startMoveOutput{}, invalid("DestinationArn", in.DestinationArn, "It must be another queue of the same type")
		}
	}
	for _, m := range s.moves {
		if m.source == source.name && m.status == moveRunning {
			return startMoveOutput{}, sender(codeInvalidParameter, "There is already a task running. Only one active task is allowed for a source queue arn at a given time.")
		}
	}
	m := &move{
		handle:  taskHandle(newUUID(), s.arn(source.name)),
		source:  source.name,
		target:  target,
		rate:    rate,
		started: at,
		toMove:  int64(source.visible),
		status:  moveRunning,
	}
	s.moves = append(s.moves, m)
	s.forgetMoves(source.name)
	s.continueMoves(at)
	// The first poller of each queue must set its alarm for the first message of the task.
	for _, q := range s.queues {
		q.wake()
	}
	return startMoveOutput{m.handle}, nil
}

// keptMoves is the number of tasks of one source that can be listed.
const keptMoves = 10

// forgetMoves drops the oldest tasks of a source beyond keptMoves. Only the newest can be running.
func (s *Server) forgetMoves(source string) {
	n := 0
	for i, m := range slices.Backward(s.moves) {
		if m.source != source {
			continue
		}
		if n++; n > keptMoves {
			s.moves = slices.Delete(s.moves, i, i+1)
		}
	}
}

// nextAt returns the time at which a task with a rate moves its next message.
func (m *move) nextAt() instant {
	return m.started.add(time.Duration(m.moved+1) * time.Second / time.Duration(m.rate))
}

// nextMove returns the time at which any running task moves its next message; 0: never.
func (s *Server) nextMove() instant {
	var next instant
	for _, m := range s.moves {
		if m.status != moveRunning || m.rate == 0 {
			continue
		}
		if at := m.nextAt(); next == 0 || at < next {
			next = at
		}
	}
	return next
}

// continueMoves moves the messages of running tasks that are due. s.mu is held.
func (s *Server) continueMoves(at instant) {
	for _, m := range s.moves {
		for m.status == moveRunning {
			if m.rate > 0 && m.nextAt() > at {
				break
			}
			s.step(m, at)
		}
	}
}

// step moves one message or ends the task.
func (s *Server) step(t *move, at instant) {
	source := s.queues[t.source]
	if source == nil {
		t.status, t.failure = moveFailed, "AWS.SimpleQueueService.NonExistentQueue"
		return
	}
	source.advance(at)
	m := source.next()
	if m == nil {
		t.status = moveCompleted
		return
	}
	to := t.target
	if to == "" {
		to = m.source
	}
	target := s.queues[to]
	switch {
	case to == "":
		t.status, t.failure = moveFailed, "CouldNotDetermineMessageSource"
		return
	case target == nil:
		t.status, t.failure = moveFailed, "AWS.SimpleQueueService.NonExistentQueue"
		return
	}
	source.remove(m)
	// A moved message is a new message for SQS.
	m.id = newUUID()
	m.key = m.id
	m.sent, m.firstReceived, m.source = at, 0, ""
	m.receives, m.receivesHere = 0, 0
	target.put(m, at, 0)
	target.wake()
	t.moved++
}

// next returns the next message to be received, or nil.
func (q *queue) next() *message {
	if q.fifo == nil {
		return q.ready.head
	}
	if e := q.fifo.open.Front(); e != nil {
		return e.Value.(*group).waiting.head
	}
	return nil
}

func (s *Server) listMoves(in listMovesInput) (listMovesOutput, error) {
	if in.SourceArn == "" {
		return listMovesOutput{}, missing("SourceArn")
	}
	limit := valueOr(in.MaxResults, 1)
	if limit < 1 || limit > keptMoves {
		return listMovesOutput{}, invalid("MaxResults", limit, "Must be between 1 and 10")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.continueMoves(now())
	if _, ok := s.queues[queueName(in.SourceArn)]; !ok {
		return listMovesOutput{}, noResource("SourceArn")
	}
	out := listMovesOutput{Results: []moveResult{}}
	for _, m := range slices.Backward(s.moves) {
		if m.source != queueName(in.SourceArn) {
			continue
		}
		r := moveResult{
			ApproximateNumberOfMessagesMoved:  m.moved,
			ApproximateNumberOfMessagesToMove: new(m.toMove),
			FailureReason:                     m.failure,
			SourceArn:                         s.arn(m.source),
			StartedTimestamp:                  m.started.millis(),
			Status:                            m.status,
		}
		if m.target != "" {
			r.DestinationArn = s.arn(m.target)
		}
		if m.rate > 0 {
			r.MaxNumberOfMessagesPerSecond = new(m.rate)
		}
		if m.status == moveRunning {
			r.TaskHandle = m.handle
		}
		if out.Results = append(out.Results, r); len(out.Results) == limit {
			break
		}
	}
	return out, nil
}

func (s *Server) cancelMove(in cancelMoveInput) (cancelMoveOutput, error) {
	if in.TaskHandle == "" {
		return cancelMoveOutput{}, missing("TaskHandle")
	}
	source, ok := taskSource(in.TaskHandle)
	if !ok {
		return cancelMoveOutput{}, sender(codeInvalidParameter, "Value for parameter TaskHandle is invalid.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.queues[queueName(source)]; !ok {
		return cancelMoveOutput{}, noResource("SourceArn")
	}
	s.continueMoves(now())
	for _, m := range s.moves {
		if m.handle != in.TaskHandle {
			continue
		}
		if m.status != moveRunning {
			return cancelMoveOutput{}, sender("UnsupportedOperation", "Only active tasks can be cancelled; this one is %s.", m.status)
		}
		m.status = moveCancelled
		return cancelMoveOutput{m.moved}, nil
	}
	return cancelMoveOutput{}, sender("ResourceNotFoundException", "Task does not exist.")
}

func noResource(parameter string) *Error {
	return sender("ResourceNotFoundException", "The resource that you specified for the %s parameter doesn't exist.", parameter)
}

// taskHandle returns a handle in SQS's format: JSON with the task's id and its source, in base64.
// Recorded: test_basic_move_task_workflow.
func taskHandle(id uuid, source string) string {
	return base64.StdEncoding.EncodeToString(fmt.Appendf(nil, `{"taskId":%q,"sourceArn":%q}`, id, source))
}

// taskSource returns the source in a task's handle.
func taskSource(handle string) (arn string, ok bool) {
	var in struct{ TaskID, SourceArn string }
	b, err := base64.StdEncoding.DecodeString(handle)
	if err != nil || json.Unmarshal(b, &in) != nil || in.TaskID == "" || in.SourceArn == "" {
		return "", false
	}
	return in.SourceArn, true
}
