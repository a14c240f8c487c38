package consumer

import (
	"crypto/rand"
	"encoding/hex"
	"sync"
	"time"

	"github.com/sqsonce/sqsonce/internal/stack"
)

// receiver holds failed receives that must be repeated. Only the goroutine of run.receive starts
// receives.
type receiver struct {
	mu   sync.Mutex
	lost []request // guarded by mu; failed FIFO receives to repeat
}

// request describes one receive.
type request struct {
	n       int
	attempt string    // FIFO: a retry with the same attempt ID gets the same answer
	first   time.Time // time of the first try
}

// attemptMemory is less than the 5 minutes for which SQS remembers an attempt ID.
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
				// Several slots become free at once when one call has answered them. Yielding first
				// lets a single receive fill them all.
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

// next returns the next receive. On a FIFO queue it repeats failed receives first.
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

// repeat schedules a failed receive for another try.
func (v *receiver) repeat(q request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.lost = append(v.lost, q)
}

// poll makes one receive and starts the lanes of its messages.
func (r *run) poll(q request, reserved int) {
	got, err := r.client.receive(r.polls, q, r.admission.sign)
	if err != nil {
		if r.polls.Err() == nil { // not cancelled by the stop
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

// beginPoll reserves slots for a receive that is due. It returns their number; 0 means that none is
// due.
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

// answered is the outcome of a receive.
type answered struct {
	heads            []*delivery // heads of new lanes
	followers, bytes int         // number and total size of the messages behind them
	messages         int
	took             time.Duration
	slow             bool // the transfer of the answer was slow
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
		case got.slow: // several slow answers at a time would use up the visibility timeouts of their messages
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

// pollFailed ends a receive without an answer. The next receive waits for a backoff. With less it
// asks for half as many messages, because the answer may have been too large for a slow connection.
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

// stale returns for how long a receive has been due or open without a sign of life from the
// receiver. It returns 0 if none is due, or if a dependency is not Up.
func (a *admission) stale(now time.Time) time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, _ := a.nextPoll(now)
	if a.blocked() || a.condition != Up || a.polls == 0 && n == 0 {
		return 0
	}
	return now.Sub(a.acted)
}

// sign records a sign of life from the receiver.
func (a *admission) sign() { a.update(func(now time.Time) { a.acted = now }) }

func randomID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand ends the program instead
	return hex.EncodeToString(b[:])
}
