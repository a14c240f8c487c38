package producerapi

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// slowReader is a store whose reads are slow, are counted, and may fail.
type slowReader struct {
	dedupe.Reader
	took  time.Duration
	down  atomic.Bool
	reads atomic.Int64
}

func (r *slowReader) Get(ctx context.Context, id string) (protocol.Record, error) {
	r.reads.Add(1)
	time.Sleep(r.took)
	if r.down.Load() {
		return protocol.Record{}, errors.New("down")
	}
	return r.Reader.Get(ctx, id)
}

// waitBench is a bench whose reads are slow.
func waitBench(t *testing.T) (*bench, *slowReader) {
	reader := &slowReader{took: 5 * time.Millisecond}
	b := newBench(t, "orders", nil)
	reader.Reader = b.store
	b.api.cfg.Records = reader
	return b, reader
}

func TestPreferredWait(t *testing.T) {
	for prefer, want := range map[string]time.Duration{
		"wait=5":                      5 * time.Second,
		`respond-async, Wait = "7";x`: 7 * time.Second,
		"wait=1, wait=2":              time.Second,
		"wait=61":                     maxWait,
		"wait=4294967296":             maxWait,
		"wait=99999999999999999999":   maxWait,
		"wait=0":                      0,
		"wait":                        -1,
		"wait=-1":                     -1,
		"wait=1.5":                    -1,
		"":                            -1,
	} {
		got, asked := preferredWait(prefer)
		if asked != (want >= 0) || asked && got != want {
			t.Errorf("%q: %s, %t; want %s", prefer, got, asked, want)
		}
	}
}

func TestWait(t *testing.T) {
	t.Run("waiting post is answered with the outcome", testWaitingPostIsAnsweredWithTheOutcome)
	t.Run("waiting post is accepted when time is up", testWaitingPostIsAcceptedWhenTimeIsUp)
	t.Run("recorded outcome answers a repeated post", testRecordedOutcomeAnswersARepeatedPost)
	t.Run("different body of a live name is refused", testDifferentBodyOfALiveNameIsRefused)
	t.Run("unreadable record keeps a waiting post back", testUnreadableRecordKeepsAWaitingPostBack)
	t.Run("waiters of a name share its reads", testWaitersOfANameShareItsReads)
	t.Run("wait outlives an outage of the store", testWaitOutlivesAnOutageOfTheStore)
	t.Run("reads end when the client has gone", testReadsEndWhenTheClientHasGone)
	t.Run("forgotten name is another message on a FIFO queue", testForgottenNameIsAnotherMessageOnAFIFOQueue)
}

func testWaitingPostIsAnsweredWithTheOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := waitBench(t)
		go func() {
			time.Sleep(3 * time.Second)
			b.record("a", b.claim("a", body("a")), complete(`{"id":1}`))
		}()
		began := time.Now()
		r := b.post(body("a"), "Prefer", "respond-async, wait=10").want(http.StatusOK)
		if got := decode[Record](r); got.Status != protocol.Completed || string(got.Result) != `{"id":1}` || !got.Final {
			t.Errorf("answer is %+v", got)
		}
		if took := time.Since(began); took < 3*time.Second || took > 3*time.Second+longestLook+100*time.Millisecond {
			t.Errorf("answered after %s", took)
		}
		if r.Header().Get("Preference-Applied") != "wait=10" || r.Header().Get("ETag") == "" {
			t.Errorf("headers are %v", r.Header())
		}
	})
}

func testWaitingPostIsAcceptedWhenTimeIsUp(t *testing.T) {
	for preference, want := range map[string]time.Duration{
		"wait=2": 2 * time.Second, "WAIT = 2": 2 * time.Second, `wait="2"; x=y`: 2 * time.Second,
		"wait=3600": maxWait, "wait=0": 0, "wait=2, wait=9": 2 * time.Second,
		"wait=-1": -1, "wait=soon": -1, "wait": -1, "handling=strict": -1,
	} {
		synctest.Test(t, func(t *testing.T) {
			b, reader := waitBench(t)
			began := time.Now()
			r := b.post(body("a"), "Prefer", preference).want(http.StatusAccepted)
			took := time.Since(began)
			if want < 0 {
				if took != 0 || reader.reads.Load() != 0 || r.Header().Get("Preference-Applied") != "" {
					t.Errorf("%q was not ignored: %s, %d reads", preference, took, reader.reads.Load())
				}
				return
			}
			if took < want || took > want+100*time.Millisecond {
				t.Errorf("%q was answered after %s", preference, took)
			}
			if reader.reads.Load() == 0 {
				t.Errorf("%q: nothing was read", preference)
			}
		})
	}
}

func testRecordedOutcomeAnswersARepeatedPost(t *testing.T) {
	b, _ := waitBench(t)
	b.record("done", b.claim("done", body("done")), complete(`{"id":1}`))
	b.record("bad", b.claim("bad", body("bad")), fail(protocol.FailPermanent, "no such customer"))
	for name, status := range map[string]protocol.Status{"done": protocol.Completed, "bad": protocol.Rejected} {
		r := b.post(body(name), "Prefer", "wait=5").want(http.StatusOK)
		if got := decode[Record](r); got.Status != status {
			t.Errorf("answer is %+v", got)
		}
	}
	if got := len(b.received(b.url)); got != 0 {
		t.Errorf("%d messages were sent", got)
	}
}

func testDifferentBodyOfALiveNameIsRefused(t *testing.T) {
	b, reader := waitBench(t)
	b.record("done", b.claim("done", body("done")), complete(`1`))
	b.record("busy", b.claim("busy", body("busy")))
	for _, name := range []string{"done", "busy"} {
		b.post(`{"name":"`+name+`","x":1}`, "Prefer", "wait=5").wantField(http.StatusUnprocessableEntity, "body")
	}
	b.record("old", b.claim("old", body("old")), complete("1"), protocol.Forget{Now: time.Now(), Terms: terms})
	if got := len(b.received(b.url)); got != 0 {
		t.Errorf("%d messages were sent", got)
	}
	b.post(`{"x":1,"name":"old"}`, "Prefer", "wait=0").want(http.StatusAccepted)
	reads := reader.reads.Load()
	b.post(`{"name":"done","x":1}`).want(http.StatusAccepted)
	if reader.reads.Load() != reads {
		t.Error("the record was read without a waiter")
	}
}

func testUnreadableRecordKeepsAWaitingPostBack(t *testing.T) {
	b, reader := waitBench(t)
	reader.down.Store(true)
	if r := b.post(body("a"), "Prefer", "wait=5").want(http.StatusServiceUnavailable); r.Header().Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if got := len(b.received(b.url)); got != 0 {
		t.Errorf("%d messages were sent", got)
	}
}

func testWaitersOfANameShareItsReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const names, waiters = 50, 500
		b, reader := waitBench(t)
		var all sync.WaitGroup
		for i := range waiters {
			name := "n-" + strconv.Itoa(i%names)
			all.Go(func() {
				got := decode[Record](b.post(body(name), "Prefer", "wait=30").want(http.StatusOK))
				if got.Name != name || got.Status != protocol.Completed {
					t.Errorf("waiter of %q got %+v", name, got)
				}
			})
		}
		time.Sleep(reader.took + time.Millisecond)
		if got := reader.reads.Load(); got != names { // before the first message is sent
			t.Errorf("%d reads of %d names", got, names)
		}
		time.Sleep(10 * time.Second)
		// One read before the send, then one watch per name with pauses of 20 ms that double up to 1 s.
		// Jitter shortens a pause by at most half.
		perName := reader.reads.Load() / names
		if perName > 1+8+2*10 {
			t.Errorf("%d reads a name in 10 s for %d waiters", perName, waiters/names)
		}
		for i := range names {
			name := "n-" + strconv.Itoa(i)
			b.record(name, b.claim(name, body(name)), complete("1"))
		}
		all.Wait()
		if got := reader.reads.Load() / names; got > perName+2 {
			t.Errorf("%d reads a name at the end, %d before", got, perName)
		}
	})
}

func testWaitOutlivesAnOutageOfTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, reader := waitBench(t)
		go func() {
			time.Sleep(time.Second)
			reader.down.Store(true)
			b.record("a", b.claim("a", body("a")), complete("1"))
			time.Sleep(5 * time.Second)
			reader.down.Store(false)
		}()
		b.post(body("a"), "Prefer", "wait=20").want(http.StatusOK)
	})
}

func testReadsEndWhenTheClientHasGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, reader := waitBench(t)
		ctx, leave := context.WithCancel(t.Context())
		go func() {
			time.Sleep(5 * time.Second)
			leave()
		}()
		b.serve(request(http.MethodPost, "/", body("a"), "Prefer", "wait=60").WithContext(ctx))
		synctest.Wait()
		reads := reader.reads.Load()
		time.Sleep(time.Minute)
		if got := reader.reads.Load(); got > reads+1 { // one read may have been under way
			t.Errorf("%d reads after the client had gone", got-reads)
		}
		if len(b.api.watches.names) != 0 || len(b.api.watches.looks) != 0 {
			t.Error("the name is still watched")
		}
	})
}

func testForgottenNameIsAnotherMessageOnAFIFOQueue(t *testing.T) {
	b := newBench(t, "orders.fifo", nil)
	post := func() string {
		return decode[queued](b.post(body("a"), "Prefer", "wait=0").want(http.StatusAccepted)).MessageID
	}
	first := post()
	if again := post(); again != first {
		t.Error("the same POST made another message")
	}
	b.record("a", b.claim("a", body("a")), fail(protocol.FailPermanent, "bad"), protocol.Reopen{Now: time.Now(), Terms: terms})
	if reopened := post(); reopened == first {
		t.Error("no new attempt after the name was opened again")
	}
}

// With X-Sqsonce-Retry-Rejected, a POST waits for a later outcome than the rejection. Otherwise it
// returns the rejection.
func TestWaitRetryRejected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _ := waitBench(t)
		rejected := b.record("a", b.claim("a", body("a")), fail(protocol.FailPermanent, "bad"))
		if got := decode[Record](b.post(body("a"), "Prefer", "wait=10").want(http.StatusOK)); got.Status != protocol.Rejected {
			t.Errorf("answer is %+v", got)
		}
		if n := len(b.received(b.url)); n != 0 {
			t.Errorf("%d messages sent", n)
		}
		mended := `{"name":"a","mended":true}`
		go func() {
			time.Sleep(3 * time.Second)
			again := b.claim("a", mended)
			again.RedriveOrder, again.MessageID = true, "m-2"
			b.record("a", again, complete(`{"id":1}`))
		}()
		r := b.post(mended, "Prefer", "wait=10", "X-Sqsonce-Retry-Rejected", "true").want(http.StatusOK)
		if got := decode[Record](r); got.Status != protocol.Completed || rejected.Status != protocol.Rejected {
			t.Errorf("answer is %+v", got)
		}
		sent := b.received(b.url)
		if len(sent) != 1 || aws.ToString(sent[0].MessageAttributes[consumer.AttrReason].StringValue) == "" {
			t.Errorf("sent %+v", sent)
		}
		b.post(body("a"), "Prefer", "wait=10", "X-Sqsonce-Retry-Rejected", "true").want(http.StatusUnprocessableEntity) // the name was completed with another body
	})
}
