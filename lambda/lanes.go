package sqsoncelambda

import (
	"context"
	"time"

	"github.com/sqsonce/sqsonce"
)

// job is one message of an event, on its way to its end.
type job struct {
	sqsonce.Message
	queue *queue
	name  string // empty: it has none, or its work finds out
}

// line is the order of jobs: those of one line are handled one after the other.
type line struct {
	queue *queue
	by    string
}

// lanes returns the jobs of an event, as indexes, by line, each in the order of the event. It is
// pure. On a FIFO queue a line is a message group, on a standard queue a name: two messages of one
// name at a time would only wait for each other. A message that has neither is a line of its own.
//
// A lane ends at its first failure, and its remaining messages are reported, too. AWS says for a
// FIFO queue: stop processing after the first failure, and return all failed and unprocessed
// messages. SQS keeps the order within a group alone, so the rule is applied to each group, as
// Powertools does with skip_group_on_error.
// https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-errorhandling.html
// https://docs.aws.amazon.com/powertools/python/latest/utilities/batch/#fifo-queues
func lanes(jobs []job) [][]int {
	var all [][]int
	index := make(map[line]int)
	for i, j := range jobs {
		l := line{j.queue, j.name}
		if j.queue.fifo {
			l.by = j.GroupID
		}
		at, ok := index[l]
		if !ok || l.by == "" {
			at = len(all)
			index[l] = at
			all = append(all, nil)
		}
		all[at] = append(all[at], i)
	}
	return all
}

// end is the end of a message.
type end struct {
	gone bool // done, or copied to the dead-letter queue: SQS deletes it

	// Of a message that stays: when it becomes visible again.
	changes  bool // else when its visibility timeout ends
	visible  time.Time
	follower bool // it is not the first of its lane that stays
}

// inLane handles the messages of a lane until one stays in the queue.
func (v *invocation) inLane(ctx context.Context, lane []int) {
	for at, i := range lane {
		j := v.jobs[i]
		v.ends[i] = v.handle(ctx, j)
		if v.ends[i].gone {
			continue
		}
		for _, follower := range lane[at+1:] {
			v.ends[follower] = v.behind(ctx, v.jobs[follower], v.ends[i])
		}
		return
	}
}
