package sqsonce_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"pgregory.net/rapid"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/sqstest"
)

// How an attempt of a drawn name ends, and how a drawn batch fails as a whole.
var (
	endings = []string{"done", "done", "failed", "rejected", "down", "refused", "snoozed"}
	wholes  = []string{"", "", "failed", "rejected", "down", "refused", "refused", "refused"}
)

type downError struct{ error }

func (downError) Down() bool { return true }

type refusedError struct{ downError }

func (refusedError) Refused() bool { return true }

// end is the error of an ending.
func end(how string) error {
	switch how {
	case "failed":
		return errors.New("failed")
	case "rejected":
		return sqsonce.Reject(errors.New("bad"))
	case "down":
		return downError{errors.New("down")}
	case "refused":
		return refusedError{downError{errors.New("busy")}}
	case "snoozed":
		return consumer.Snooze(time.Second)
	default:
		return nil
	}
}

// history is a drawn set of messages, with the ending of each call.
type history struct {
	fifo        bool
	hold        bool
	size        int
	concurrency int
	messages    []string            // their names, in the order in which they are sent
	endings     map[string][]string // of the calls for a name; the last one also of all that follow
	wholes      []string            // of the batches of several messages, in their order
}

func drawHistory(t *rapid.T) history {
	h := history{
		fifo: rapid.Bool().Draw(t, "fifo"), hold: rapid.Bool().Draw(t, "hold"),
		size: rapid.IntRange(1, 5).Draw(t, "size"), endings: make(map[string][]string),
		wholes: rapid.SliceOfN(rapid.SampledFrom(wholes), 0, 20).Draw(t, "wholes"),
	}
	h.concurrency = h.size + rapid.IntRange(0, 5).Draw(t, "further slots")
	h.messages = rapid.SliceOfN(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f", "g", "h"}), 1, 12).Draw(t, "messages")
	for name := range maps.Keys(map[string]bool{"a": true, "b": true, "c": true, "d": true, "e": true, "f": true, "g": true, "h": true}) {
		h.endings[name] = nil
	}
	for _, name := range slices.Sorted(maps.Keys(h.endings)) {
		h.endings[name] = rapid.SliceOfN(rapid.SampledFrom(endings), 1, 4).Draw(t, "endings of "+name)
		if last := h.endings[name][len(h.endings[name])-1]; last != "failed" && last != "rejected" {
			h.endings[name] = append(h.endings[name], "done")
		}
	}
	return h
}

// seen is the end of a history: for each name the record, the calls that were for
// it alone or in a batch that did not fail as a whole, and its messages' ends.
type seen map[string]string

// play runs a history to its end, one message at a time or in batches.
func (h history) play(t *testing.T, batches bool) (out seen) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, store: memstore.New()}
		w.client = sqs.NewFromConfig(sqstest.New(sqstest.Config{}).AWSConfig())
		queue := "orders"
		if h.fifo {
			queue += ".fifo"
		}
		var err error
		if w.queueURL, w.dlqURL, err = awsenv.CreateQueue(t.Context(), w.client, queue); err != nil {
			t.Fatal(err)
		}
		for i, name := range h.messages {
			in := &sqs.SendMessageInput{QueueUrl: &w.queueURL, MessageBody: aws.String(fmt.Sprintf("{%q:%q}", "name", name))}
			if h.fifo {
				in.MessageGroupId, in.MessageDeduplicationId = aws.String("of-"+name), aws.String(strconv.Itoa(i))
			}
			if _, err := w.client.SendMessage(t.Context(), in); err != nil {
				t.Fatal(err)
			}
		}
		p := &player{history: h, calls: make(map[string][]string), refused: make(map[string]int)}
		cfg := w.config()
		cfg.Guard.Hold, cfg.Guard.MaxAttempts, cfg.Pool.Concurrency = h.hold, 3, h.concurrency
		var worker *sqsonce.Worker[string]
		if batches {
			worker, err = sqsonce.NewBatch(aws.Config{}, cfg, consumer.BatchConfig{Size: h.size}, p.several)
		} else {
			worker, err = sqsonce.New(aws.Config{}, cfg, p.one)
		}
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- worker.Run(ctx) }()
		for deadline := time.Now().Add(12 * time.Hour); !w.isEmpty() && time.Now().Before(deadline); {
			time.Sleep(time.Minute)
		}
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		out = w.seen(h, p)
		for _, complaint := range p.complaints {
			t.Error(complaint)
		}
	})
	return out
}

// player does the work of a history.
type player struct {
	history

	mu         sync.Mutex
	calls      map[string][]string // guarded by mu; endings so far, by name
	batches    int                 // guarded by mu; of several messages
	refused    map[string]int      // guarded by mu; refusals of batches in a row, by message id
	alone      []string            // guarded by mu; message ids to be tried alone next
	complaints []string            // guarded by mu
}

// one handles a message. Its ending goes by the calls for its name before.
func (p *player) one(ctx context.Context, _ sqsonce.Message) (string, error) {
	attempt, _ := dedupe.AttemptFrom(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	all := p.endings[attempt.Name]
	how := all[min(len(p.calls[attempt.Name]), len(all)-1)]
	p.calls[attempt.Name] = append(p.calls[attempt.Name], fmt.Sprintf("%s %d", how, attempt.Number))
	return "result of " + attempt.Name, end(how)
}

// several handles a batch.
func (p *player) several(_ context.Context, batch []sqsonce.Message) (results []string, failed []error, err error) {
	if err := p.whole(batch); err != nil {
		return nil, nil, err
	}
	for _, m := range batch {
		result, err := p.one(m.Context(), m)
		results, failed = append(results, result), append(failed, err)
	}
	return results, failed, nil
}

// whole is the error of the next batch of several messages, and looks at its members.
func (p *player) whole(batch []sqsonce.Message) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	groups := make(map[string]bool)
	for _, m := range batch {
		switch {
		case len(batch) > p.size:
			p.complaints = append(p.complaints, fmt.Sprintf("a batch of %d messages, want %d at most", len(batch), p.size))
		case len(batch) > 1 && slices.Contains(p.alone, m.ID):
			p.complaints = append(p.complaints, m.ID+" is in a batch again before it was tried alone")
		case p.fifo && groups[m.GroupID]:
			p.complaints = append(p.complaints, "two messages of the group "+m.GroupID+" are in a batch")
		}
		groups[m.GroupID] = true
		p.alone = slices.DeleteFunc(p.alone, func(id string) bool { return id == m.ID })
	}
	if len(batch) == 1 {
		return nil
	}
	if p.batches++; p.batches > len(p.wholes) {
		return nil
	}
	how := p.wholes[p.batches-1]
	for _, m := range batch {
		switch how {
		case "":
			delete(p.refused, m.ID)
		case "refused":
			p.refused[m.ID]++
		default:
			p.refused[m.ID] = 3
		}
		if p.refused[m.ID] == 3 {
			delete(p.refused, m.ID)
			p.alone = append(p.alone, m.ID)
		}
	}
	return end(how)
}

// isEmpty reports whether the queue holds nothing, visible or not.
func (w *world) isEmpty() bool {
	out, err := w.client.GetQueueAttributes(context.Background(), &sqs.GetQueueAttributesInput{
		QueueUrl: &w.queueURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameAll},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Attributes["ApproximateNumberOfMessages"] == "0" && out.Attributes["ApproximateNumberOfMessagesNotVisible"] == "0"
}

// seen looks at the end of a history.
func (w *world) seen(h history, p *player) seen {
	ends := make(map[string][]string)
	for letters := w.dead(); len(letters) > 0; letters = w.dead() {
		for _, m := range letters {
			name := aws.ToString(m.MessageAttributes[consumer.AttrName].StringValue)
			ends[name] = append(ends[name], aws.ToString(m.MessageAttributes[consumer.AttrReason].StringValue))
		}
	}
	out := make(seen)
	for _, name := range h.messages {
		r, err := w.store.Get(context.Background(), protocol.RecordID(w.queueURL[strings.LastIndexByte(w.queueURL, '/')+1:], name))
		if err != nil {
			w.t.Fatal(err)
		}
		slices.Sort(ends[name])
		out[name] = fmt.Sprintf("%s after %d attempts with %s; calls: %s; dead letters: %s", r.Status, r.Attempts, r.Result,
			strings.Join(p.calls[name], ", "), strings.Join(ends[name], ", "))
	}
	out["left"] = fmt.Sprint(!w.isEmpty())
	return out
}

// Batches have the outcomes of single handling: records, counted attempts, calls that
// matter and dead letters are the same, whichever batches fail as a whole.
func TestBatchOutcomes(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		h := drawHistory(r)
		single, batched := h.play(t, false), h.play(t, true)
		if !maps.Equal(single, batched) || t.Failed() {
			r.Fatalf("%+v:\nsingle %v\nbatch  %v", h, single, batched)
		}
	})
}

// cutStore answers no renewal of one name, and nothing else about it until the work was
// cancelled.
type cutStore struct {
	*memstore.Store
	name string

	mu  sync.Mutex
	cut bool // guarded by mu
}

func (s *cutStore) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	s.mu.Lock()
	cut := s.cut && next.Name == s.name
	s.mu.Unlock()
	if cut {
		return fmt.Errorf("%w: cut off", dedupe.ErrUnavailable)
	}
	return s.Store.Swap(ctx, old, next)
}

func (s *cutStore) setCut(is bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cut = is
}

// A lost lease cancels the batch. The attempts of the others are released, and count
// nothing; under hold they are UNKNOWN.
func TestBatchLeaseLost(t *testing.T) {
	for hold, want := range map[bool]string{false: "COMPLETED after 1", true: "UNKNOWN after 1"} {
		t.Run(fmt.Sprintf("hold %v", hold), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				store := &cutStore{Store: w.store, name: "a"}
				cfg := w.config()
				cfg.Store, cfg.Guard.Hold = store, hold
				var sizes []int
				var mu sync.Mutex
				worker, err := sqsonce.NewBatch(aws.Config{}, cfg, consumer.BatchConfig{Size: 3}, func(ctx context.Context, batch []sqsonce.Message) ([]string, []error, error) {
					mu.Lock()
					sizes = append(sizes, len(batch))
					first := len(sizes) == 1
					mu.Unlock()
					if !first {
						return nil, nil, nil
					}
					store.setCut(true)
					<-ctx.Done()
					store.setCut(false)
					if cause := context.Cause(ctx); !errors.Is(cause, dedupe.ErrLeaseLost) {
						t.Errorf("the batch was cancelled by %v, want %v", cause, dedupe.ErrLeaseLost)
					}
					for _, m := range batch {
						<-m.Context().Done() // each message's own context ends with it
					}
					return nil, nil, context.Cause(ctx)
				})
				if err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"a", "b", "c"} {
					w.send(fmt.Sprintf(`{"name":%q}`, name), nil)
				}
				ctx, stop := context.WithTimeout(t.Context(), time.Hour)
				defer stop()
				if err := worker.Run(ctx); err != nil {
					t.Fatal(err)
				}
				for _, name := range []string{"b", "c"} {
					r, err := w.store.Get(t.Context(), protocol.RecordID("orders", name))
					if got := fmt.Sprintf("%s after %d", r.Status, r.Attempts); err != nil || got != want {
						t.Errorf("%s is %s (%s), %v; want %s", name, got, r.Error, err, want)
					}
				}
				if sizes[0] != 3 || slices.Max(append(sizes[1:], 1)) > 1 {
					t.Errorf("batches of %v, want one of 3, then single ones", sizes)
				}
			})
		})
	}
}

// At a stop, messages on their last receive whose batch has not begun, or has failed as a whole,
// are dead-lettered with the reason "stopped". Only work that had begun is UNKNOWN under hold.
func TestBatchStopped(t *testing.T) {
	const stopAt, drain = time.Minute, 2 * time.Second // world.run stops after a minute
	for name, tc := range map[string]struct {
		size        int
		work        func(context.Context) error
		calls       string
		reason      string // and under hold
		hold        string
		record      string
		holdRecords string
	}{
		"not begun": {
			size: 3, reason: "stopped", hold: "stopped", record: "REJECTED", holdRecords: "REJECTED",
		},
		"cut off": {
			size: 2, calls: "2", reason: "stopped", hold: "unknown outcome", record: "REJECTED", holdRecords: "UNKNOWN",
			work: func(ctx context.Context) error { <-ctx.Done(); return context.Cause(ctx) },
		},
		"failed, and alone cut off": {
			size: 2, calls: "2 1 1", reason: "stopped", hold: "unknown outcome", record: "REJECTED", holdRecords: "UNKNOWN",
			work: func(ctx context.Context) error {
				select {
				case <-time.After(drain * 3 / 4):
					return errors.New("failed")
				case <-ctx.Done():
					return context.Cause(ctx)
				}
			},
		},
	} {
		for _, hold := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, hold %v", name, hold), func(t *testing.T) {
				bubble(t, func(t *testing.T, w *world) {
					w.redriveAfter(1)
					cfg := w.config()
					cfg.Guard.Hold, cfg.Pool.DrainTimeout = hold, drain
					var mu sync.Mutex
					var calls []string
					worker, err := sqsonce.NewBatch(aws.Config{}, cfg, consumer.BatchConfig{Size: tc.size, Wait: 5 * time.Second},
						func(ctx context.Context, batch []sqsonce.Message) ([]string, []error, error) {
							mu.Lock()
							calls = append(calls, strconv.Itoa(len(batch)))
							mu.Unlock()
							return nil, nil, tc.work(ctx)
						})
					if err != nil {
						t.Fatal(err)
					}
					time.AfterFunc(stopAt-time.Millisecond, func() {
						w.send(`{"name":"a"}`, nil)
						w.send(`{"name":"b"}`, nil)
					})
					w.run(worker.Run)
					reason, record := tc.reason, tc.record
					if hold {
						reason, record = tc.hold, tc.holdRecords
					}
					if got := strings.Join(calls, " "); got != tc.calls {
						t.Errorf("batches of %q messages, want %q", got, tc.calls)
					}
					w.wantStopped(reason, record)
				})
			})
		}
	}
}

// wantStopped checks the records of the names a and b, and the reason of their dead letters.
func (w *world) wantStopped(reason, record string) {
	w.t.Helper()
	for _, name := range []string{"a", "b"} {
		if r, err := w.store.Get(w.t.Context(), protocol.RecordID("orders", name)); err != nil || string(r.Status) != record {
			w.t.Errorf("%s is %s (%s), %v; want %s", name, r.Status, r.Error, err, record)
		}
	}
	letters := w.dead()
	if len(letters) != 2 {
		w.t.Errorf("%d dead letters, want 2", len(letters))
	}
	for _, m := range letters {
		if got := aws.ToString(m.MessageAttributes[consumer.AttrReason].StringValue); got != reason {
			w.t.Errorf("a dead letter for %q, want %q", got, reason)
		}
	}
}

// redriveAfter sets how often SQS delivers a message of the queue.
func (w *world) redriveAfter(receives int) {
	w.t.Helper()
	out, err := w.client.GetQueueAttributes(w.t.Context(), &sqs.GetQueueAttributesInput{
		QueueUrl: &w.dlqURL, AttributeNames: []types.QueueAttributeName{types.QueueAttributeNameQueueArn},
	})
	if err != nil {
		w.t.Fatal(err)
	}
	policy := fmt.Sprintf(`{"deadLetterTargetArn":%q,"maxReceiveCount":"%d"}`, out.Attributes["QueueArn"], receives)
	if _, err := w.client.SetQueueAttributes(w.t.Context(), &sqs.SetQueueAttributesInput{
		QueueUrl: &w.queueURL, Attributes: map[string]string{"RedrivePolicy": policy},
	}); err != nil {
		w.t.Fatal(err)
	}
}

// A batch's settings are held against those of the guard and the pool.
func TestNewBatch(t *testing.T) {
	work := func(context.Context, []sqsonce.Message) ([]string, []error, error) { return nil, nil, nil }
	for name, tc := range map[string]struct {
		batch consumer.BatchConfig
		also  func(*sqsonce.Config)
		want  string
	}{
		"wait":        {consumer.BatchConfig{Wait: 3 * time.Second}, func(c *sqsonce.Config) { c.Guard.Lease = 10 * time.Second }, "Wait 3s: must be positive, and at most 2.5s, a quarter of Lease 10s"},
		"size":        {consumer.BatchConfig{Size: -1}, nil, "Size -1: must be at least 1"},
		"concurrency": {consumer.BatchConfig{Size: 20}, func(c *sqsonce.Config) { c.Pool.Concurrency = 10 }, "Size 20: must not exceed Pool.Concurrency 10"},
		"default":     {consumer.BatchConfig{}, func(c *sqsonce.Config) { c.Pool.Concurrency = 9 }, "Size 10: must not exceed Pool.Concurrency 9"},
		"timeout":     {consumer.BatchConfig{}, func(c *sqsonce.Config) { c.Pool.HandlerTimeout = 100 * time.Millisecond }, "Wait 100ms: must be shorter than Pool.HandlerTimeout 100ms"},
		"both":        {consumer.BatchConfig{Size: -1}, func(c *sqsonce.Config) { c.Pool.Concurrency = -1 }, "Concurrency -1"},
		"good":        {consumer.BatchConfig{Wait: 7500 * time.Millisecond}, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				cfg := w.config()
				if tc.also != nil {
					tc.also(&cfg)
				}
				_, err := sqsonce.NewBatch(aws.Config{}, cfg, tc.batch, work)
				if tc.want == "" && err != nil || tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)) {
					t.Errorf("got %v, want %q", err, tc.want)
				}
			})
		})
	}
}
