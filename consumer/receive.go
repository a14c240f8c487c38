package consumer

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce/internal/stack"
)

// receiver keeps the receives of a run. Only its goroutine starts them.
type receiver struct {
	mu   sync.Mutex
	lost []request // guarded by mu; FIFO receives that failed, to be asked for again
}

// request is what a receive asks for.
type request struct {
	n       int
	attempt string    // FIFO: a retry with the same one gets the same answer
	first   time.Time // when it was first made
}

// attemptMemory is less than SQS remembers an attempt for: five minutes.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_ReceiveMessage.html
const attemptMemory = 4 * time.Minute

// receive starts receives when they are due, until the stop.
func (r *run) receive() {
	for {
		select {
		case <-r.untilStop.Done():
			return
		case <-r.admission.wake:
		}
		for {
			if n := r.admission.pollDue(); n > 0 && n < batchSize {
				// Slots that are given back at the same moment, as those are that one call has
				// answered, are filled by one receive.
				r.yield("ReceiveMessage")
			}
			n := r.admission.beginPoll()
			if n == 0 {
				break
			}
			q := r.receiver.next(n)
			r.goroutines.start(func() {
				stack.Grow()
				r.poll(q, n)
			})
		}
	}
}

// next returns what to ask for: on a FIFO queue first what an answer was lost for.
func (v *receiver) next(n int) request {
	v.mu.Lock()
	defer v.mu.Unlock()
	if len(v.lost) > 0 {
		q := v.lost[0]
		v.lost = v.lost[1:]
		return q
	}
	return request{n: n, attempt: randomID(), first: time.Now()}
}

// repeat asks once more for an answer that was lost.
func (v *receiver) repeat(q request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lost = append(v.lost, q)
}

// poll makes one receive and sets its messages going.
func (r *run) poll(q request, reserved int) {
	got, err := r.client.receive(r.polls, q, r.admission.sign)
	if err != nil {
		if r.polls.Err() == nil { // not cut off by the stop
			r.client.failed("ReceiveMessage", err)
		}
		retried := r.cfg.fifo() && !got.begun && time.Since(q.first) < attemptMemory
		if retried {
			r.receiver.repeat(q)
		}
		r.admission.pollFailed(reserved, !retried, r.random)
		return
	}
	arrived := make([]*delivery, len(got.messages))
	for i, m := range got.messages {
		arrived[i] = newDelivery(r, r.client.toMessage(m, r.redrive.load()), got.handedOut)
		r.heartbeat.add(arrived[i], got.asked)
	}
	heads, followers, bytes := r.lanes.sort(arrived, r.cfg.fifo())
	r.admission.pollAnswered(reserved, answered{
		heads: heads, followers: followers, bytes: bytes, messages: len(arrived),
		took: got.waited + got.transfer,
		slow: got.transfer > r.cfg.Visibility/heartbeatShare || got.waited+got.transfer > r.cfg.PollWait+time.Second,
	})
	for _, d := range heads {
		r.goroutines.start(func() {
			stack.Grow()
			r.handleLane(d.lane)
		})
	}
}

// pollDue returns how many messages a receive would ask for now.
func (a *admission) pollDue() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, _ := a.nextPoll(time.Now())
	return n
}

// beginPoll reserves what a receive asks for that goes now; 0: none goes.
func (a *admission) beginPoll() int {
	n := 0
	a.update(func(now time.Time) {
		if n, _ = a.nextPoll(now); n > 0 {
			a.polls++
			a.reserved += n
		}
	})
	return n
}

// answered is what a receive has brought.
type answered struct {
	heads            []*delivery // of new lanes
	followers, bytes int         // messages behind the heads of lanes, and their bodies
	messages         int
	took             time.Duration
	slow             bool // the answer took long to come in
}

// pollAnswered ends a receive and its reservation.
func (a *admission) pollAnswered(reserved int, got answered) {
	a.update(func(now time.Time) {
		a.reserved -= reserved
		a.polls--
		a.acted = now
		a.failures, a.retryAt = 0, time.Time{}
		a.quiet = got.messages == 0
		switch {
		case a.quiet:
			a.maxPolls = 1
		case got.slow: // many messages at a time would use up their visibility timeout on the way
			a.maxPolls, a.most = 1, max(1, a.most/2)
		default:
			if got.messages >= a.most {
				a.most = min(a.most+1, batchSize)
			}
			if got.took < backlogAnswer {
				a.maxPolls = min(2*a.maxPolls, a.mostPolls())
			}
		}
		a.waiting += got.followers
		a.bytes += got.bytes
		a.arrive(got.heads, now)
	})
}

// pollFailed ends a receive that brought no answer. The next waits for a backoff, and
// asks for less if this one was too large for a slow line.
func (a *admission) pollFailed(reserved int, less bool, random func() float64) {
	a.update(func(now time.Time) {
		a.reserved -= reserved
		a.polls--
		a.acted = now
		a.retryAt = now.Add(pollBackoff.Delay(a.failures, random))
		if a.failures++; a.failures == 1 {
			a.failingSince = now
		}
		a.maxPolls = 1
		if less {
			a.most = max(1, a.most/2)
		}
	})
}

// stale returns for how long a receive has been due or out without any sign of the
// receiver; 0 when none is due, or when trouble is known.
func (a *admission) stale(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, _ := a.nextPoll(now)
	if a.blocked() || a.condition != Up || a.polls == 0 && n == 0 {
		return 0
	}
	return now.Sub(a.acted)
}

// sign notes that the receiver lives.
func (a *admission) sign() { a.update(func(now time.Time) { a.acted = now }) }

func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}
