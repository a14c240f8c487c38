package history_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/testutil"
)

// errNetwork is the error of a call whose answer is lost.
var errNetwork = errors.New("network")

// The specification below is a sequential state machine for one name. It has attempts and outcomes,
// but none of the records, versions and tokens of Step. Its rules are those of the package
// documentation:
//
//   - One attempt at a time holds the name. Another attempt may take over only after the holder's
//     context has been cancelled, its handler has returned, or its worker has died.
//   - A later attempt has a higher fence, and a number that is one higher.
//   - After a completion is recorded no attempt starts, and all claims get the recorded result.
//   - The outcome of an attempt that was taken over is not recorded.

// The operations on a name.
type (
	opClaim struct{}            // claim the name
	opEnd   struct{ fence int } // the handler returns, its context is cancelled, or its worker dies
	opDone  struct {            // record a completion
		fence  int
		result string
	}
	opFail struct{ fence int } // record a retryable failure
)

// answer is the result of an operation.
type answer struct {
	kind   string // "started", "replayed", "held", "ok", "lost", or "unsure"
	fence  int
	number int
	result string
}

// view is one possible state of the name.
type view struct {
	holder   int  // fence of the attempt that holds the name; 0: free; -1: an attempt of unknown fence
	mayLose  bool // the holder's context has been cancelled, or the holder has none
	fence    int  // the highest known fence
	attempts int
	result   string // of the completed name; empty: not completed
}

// next returns the possible states after an operation with this answer; none if it is impossible.
func (v view) next(op any, a answer) []view {
	switch op := op.(type) {
	case opClaim:
		return v.claim(a)
	case opEnd:
		if v.holder == op.fence {
			v.mayLose = true
		}
		return []view{v}
	case opDone:
		return v.settle(op.fence, a, func(v view) view { return view{fence: v.fence, attempts: v.attempts, result: op.result} })
	case opFail:
		return v.settle(op.fence, a, func(v view) view { return view{fence: v.fence, attempts: v.attempts} })
	}
	return nil
}

func (v view) claim(a answer) []view {
	free := v.result == "" && (v.holder == 0 || v.mayLose)
	switch a.kind {
	case "started":
		if free && a.fence > v.fence && a.number == v.attempts+1 {
			return []view{{holder: a.fence, fence: a.fence, attempts: a.number}}
		}
	case "replayed":
		if v.result != "" && v.result == a.result {
			return []view{v}
		}
	case "held":
		if v.holder != 0 {
			return []view{v}
		}
	case "unsure": // the claim failed, or an attempt holds the name whose handler never began
		if free {
			return []view{v, {holder: -1, mayLose: true, fence: v.fence, attempts: v.attempts + 1}}
		}
		return []view{v}
	}
	return nil
}

func (v view) settle(fence int, a answer, settled func(view) view) []view {
	switch held := v.holder == fence; {
	case a.kind == "ok" && held:
		return []view{settled(v)}
	case a.kind == "lost" && !held:
		return []view{v}
	case a.kind == "unsure" && held:
		return []view{v, settled(v)}
	case a.kind == "unsure":
		return []view{v}
	}
	return nil
}

var spec = (&porcupine.NondeterministicModel{
	Partition: func(history []porcupine.Operation) [][]porcupine.Operation {
		names := map[any][]porcupine.Operation{}
		for _, op := range history {
			names[op.Metadata] = append(names[op.Metadata], op)
		}
		var parts [][]porcupine.Operation
		for _, part := range names {
			parts = append(parts, part)
		}
		return parts
	},
	Init: func() []any { return []any{view{}} },
	Step: func(state, input, output any) (views []any) {
		for _, v := range state.(view).next(input, output.(answer)) {
			views = append(views, v)
		}
		return views
	},
	Equal:             func(a, b any) bool { return a == b },
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%T%v -> %v", input, input, output) },
}).ToModel()

// recorder collects a history. Its clock counts events, so that events at the same virtual time are
// ordered.
type recorder struct {
	mu      sync.Mutex
	clock   int64                 // guarded by mu
	history []porcupine.Operation // guarded by mu
}

func (r *recorder) tick() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.clock++
	return r.clock
}

// add records an operation that began at call and is answered now, or never.
func (r *recorder) add(client int, name string, op any, call int64, a answer, never bool) {
	at := r.tick()
	if never {
		at = math.MaxInt64
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.history = append(r.history, porcupine.Operation{ClientId: client, Input: op, Call: call, Output: a, Return: at, Metadata: name})
}

// unreliable is a store with slow calls, lost requests and answers, and requests that arrive after
// their caller has stopped waiting. After the worker's death calls no longer arrive.
type unreliable struct {
	*memstore.Store
	calls *sync.WaitGroup

	mu   sync.Mutex
	rnd  *rand.Rand // guarded by mu
	dead bool       // guarded by mu
	dark time.Time  // guarded by mu; until then no request arrives
}

func (u *unreliable) draw() (before, after time.Duration, fate float64, dead bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	before, after = time.Duration(u.rnd.Int64N(int64(40*time.Millisecond))), time.Duration(u.rnd.Int64N(int64(40*time.Millisecond)))
	fate = u.rnd.Float64()
	switch {
	case time.Now().Before(u.dark):
		fate = 0.05
	case fate < 0.01: // the network breaks down
		u.dark = time.Now().Add(time.Duration(u.rnd.Int64N(int64(90 * time.Second))))
		fate = 0.05
	case fate < 0.03:
		before += 4 * time.Second // arrives after its caller has stopped waiting
	}
	return before, after, fate, u.dead
}

func (u *unreliable) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	before, after, fate, dead := u.draw()
	if dead {
		<-ctx.Done()
		return ctx.Err()
	}
	result := make(chan error, 1)
	u.calls.Go(func() {
		time.Sleep(before)
		if fate >= 0.03 && fate < 0.13 {
			result <- errNetwork
			return
		}
		err := u.Store.Swap(context.WithoutCancel(ctx), old, next)
		time.Sleep(after)
		if fate >= 0.13 && fate < 0.25 {
			err = errNetwork
		}
		result <- err
	})
	select {
	case err := <-result:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// worker handles messages of a few names until its context ends.
type worker struct {
	id    int
	rec   *recorder
	store *unreliable
	guard *dedupe.Guard[string]
	rnd   *rand.Rand
}

func (w *worker) run(ctx context.Context, names int) {
	for ctx.Err() == nil {
		w.deliver(ctx, fmt.Sprint("n", w.rnd.IntN(names)))
		time.Sleep(time.Duration(w.rnd.Int64N(int64(20 * time.Second))))
	}
}

// deliver handles one message and records the operations and their answers.
func (w *worker) deliver(ctx context.Context, name string) {
	works := time.Duration(w.rnd.Int64N(int64(50 * time.Second)))
	fails, ignores := w.rnd.Float64() < 0.4, w.rnd.Float64() < 0.3
	call := w.rec.tick()
	fence, ended := 0, sync.Once{}
	end := func() {
		ended.Do(func() { w.rec.add(w.id, name, opEnd{fence}, w.rec.tick(), answer{}, false) })
	}
	var recorded any // the operation that records the outcome
	var recording int64
	_, err := w.guard.Do(ctx, dedupe.Key{Name: name}, func(ctx context.Context) (string, error) {
		a, _ := dedupe.AttemptFrom(ctx)
		fence = int(a.Fence)
		w.rec.add(w.id, name, opClaim{}, call, answer{kind: "started", fence: fence, number: a.Number}, false)
		stop := context.AfterFunc(ctx, end)
		defer stop()
		select {
		case <-time.After(works):
		case <-ctx.Done():
			if ignores {
				time.Sleep(works)
			}
		}
		end()
		recording = w.rec.tick()
		if fails {
			recorded = opFail{fence}
			return "", errors.New("failed")
		}
		recorded = opDone{fence, fmt.Sprint("by ", fence)}
		return fmt.Sprint("by ", fence), nil
	})
	w.note(ctx, name, call, fence, recorded, recording, err)
}

// note records the operations after the handler, or the answer to the claim if no handler ran.
func (w *worker) note(ctx context.Context, name string, call int64, fence int, recorded any, recording int64, err error) {
	_, held := errors.AsType[*dedupe.InProgressError](err)
	switch {
	case recorded == nil && held:
		w.rec.add(w.id, name, opClaim{}, call, answer{kind: "held"}, false)
	case recorded == nil && err != nil:
		// It is unknown whether the claim was written, and a release may still be in flight.
		w.rec.add(w.id, name, opClaim{}, call, answer{kind: "unsure"}, true)
	case recorded == nil:
		w.replayed(name, call)
	case ctx.Err() != nil:
		w.rec.add(w.id, name, recorded, recording, answer{kind: "unsure"}, true)
	case errors.Is(err, dedupe.ErrLeaseLost) && isKept(err):
		w.rec.add(w.id, name, recorded, recording, answer{kind: "lost"}, false)
	default:
		w.rec.add(w.id, name, recorded, recording, answer{kind: "ok"}, false)
	}
}

func (w *worker) replayed(name string, call int64) {
	r, _ := w.store.Get(context.Background(), "q#"+name)
	result := string(r.Result)
	w.rec.add(w.id, name, opClaim{}, call, answer{kind: "replayed", result: result[1 : len(result)-1]}, false)
}

func isKept(err error) bool {
	k, ok := errors.AsType[interface {
		error
		Keep() bool
	}](err)
	return ok && k.Keep()
}

// record returns the history of four workers that handle a few names for some minutes. Some of the
// workers die.
func record(t *testing.T, seed uint64) []porcupine.Operation {
	t.Helper()
	rec := &recorder{}
	synctest.Test(t, func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(seed, 1))
		store := memstore.New()
		var calls, workers sync.WaitGroup
		for id := range 4 {
			u := &unreliable{Store: store, calls: &calls, rnd: rand.New(rand.NewPCG(seed, uint64(id+10)))}
			g, err := dedupe.New[string](u, dedupe.Config{
				Scope: "q", MaxAttempts: 1000, CacheAge: -1, Logger: slog.New(slog.DiscardHandler),
			})
			if err != nil {
				t.Fatal(err)
			}
			w := &worker{id: id, rec: rec, store: u, guard: g, rnd: rand.New(rand.NewPCG(seed, uint64(id+20)))}
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			if dies := time.Duration(rnd.Int64N(int64(8 * time.Minute))); dies < 4*time.Minute {
				time.AfterFunc(dies, func() {
					u.mu.Lock()
					u.dead = true
					u.mu.Unlock()
					cancel()
				})
			}
			workers.Go(func() {
				defer cancel()
				w.run(ctx, 8)
			})
		}
		workers.Wait()
		calls.Wait()
		time.Sleep(8 * time.Minute) // until the timers of late deaths have fired
	})
	return rec.history
}

func TestHistories(t *testing.T) {
	operations := map[string]int{}
	for seed := range testutil.N(t, 60) {
		history := record(t, uint64(seed))
		for _, op := range history {
			operations[fmt.Sprintf("%T %s", op.Input, op.Output.(answer).kind)]++
		}
		result, info := porcupine.CheckOperationsVerbose(spec, history, time.Minute)
		if result != porcupine.Ok {
			path := filepath.Join(t.ArtifactDir(), fmt.Sprintf("history-%d.html", seed))
			f, err := os.Create(path)
			if err == nil {
				err = errors.Join(porcupine.Visualize(spec, info, f), f.Close())
			}
			slices.SortFunc(history, func(a, b porcupine.Operation) int { return int(a.Call - b.Call) })
			for _, op := range history {
				t.Log(op.Metadata, op.ClientId, op.Call, op.Return, spec.DescribeOperation(op.Input, op.Output))
			}
			t.Fatalf("seed %d: %s, see %s (%v)", seed, result, path, err)
		}
	}
	t.Log(operations)
	for _, kind := range []string{"opDone lost", "opDone unsure", "opClaim unsure", "opClaim held", "opEnd "} {
		if operations["history_test."+kind] == 0 && testutil.N(t, 60) >= 60 {
			t.Errorf("no history has %q: %v", kind, operations)
		}
	}
}
