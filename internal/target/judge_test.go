package target

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/failure"
)

const suspectAfter = 5

// judged is a judge over a target that answers with the status in a message's body,
// after so many seconds; 0 breaks the connection, -1 never answers.
type judged struct {
	*Judge
	t       *testing.T
	asked   atomic.Int32 // health path
	sick    atomic.Bool  // it fails
	mu      sync.Mutex
	changes []Suspicion // guarded by mu
	stop    func()
}

func newJudged(t *testing.T, cfg JudgeConfig) *judged {
	j := &judged{t: t}
	target, stop := newPiped(t, Config{}, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var status, seconds int
		_, _ = fmt.Sscanf(string(body), "%d %d", &status, &seconds)
		time.Sleep(time.Duration(seconds) * time.Second)
		switch status {
		case -1:
			<-r.Context().Done()
		case 0:
			breakOff(t, w)
		case http.StatusServiceUnavailable:
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(status)
		default:
			w.WriteHeader(status)
		}
	})
	cfg.SuspectAfter = suspectAfter
	cfg.Changed = func(s Suspicion) {
		j.mu.Lock()
		defer j.mu.Unlock()
		j.changes = append(j.changes, s)
	}
	j.Judge, j.stop = NewJudge(target, cfg), stop
	return j
}

func (j *judged) health(context.Context) error {
	j.asked.Add(1)
	if j.sick.Load() {
		return errors.New("health path says 503")
	}
	return nil
}

func (j *judged) post(id string, status int) error {
	_, err := j.Post(j.t.Context(), Request{Name: id, MessageID: id, Body: fmt.Sprintf("%d 0", status)})
	return err
}

// together posts n messages at one moment and returns their errors.
func (j *judged) together(n, status int) []error {
	errs := make([]error, n)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = j.post("t"+strconv.Itoa(i), status) })
	}
	wg.Wait()
	return errs
}

func (j *judged) last() Suspicion {
	j.mu.Lock()
	defer j.mu.Unlock()
	if len(j.changes) == 0 {
		return Suspicion{}
	}
	return j.changes[len(j.changes)-1]
}

func countKinds(errs []error) map[kind]int {
	n := make(map[kind]int)
	for _, err := range errs {
		n[kindOf(err)]++
	}
	return n
}

// From the fifth message on nothing is counted, however many come at one moment.
func TestJudgeSuspects(t *testing.T) {
	for status, before := range map[int]kind{
		301: retryDown, 401: retryDown, 403: retryDown, 404: retryDown, 405: retryDown, 500: retry,
		400: permanent, 415: permanent, 422: permanent, 431: retry, 503: refused,
	} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJudged(t, JudgeConfig{})
				defer j.stop()
				got := countKinds(j.together(300, status))
				if got[before] != suspectAfter-1 || got[notSent] != 300-(suspectAfter-1) {
					t.Errorf("outcomes are %v", got)
				}
				is := j.Suspicion()
				if want := (&StatusError{Status: status}).Error(); !is.Suspect || is.Why != want || j.last() != is {
					t.Errorf("suspicion is %+v, told %+v, want %q", is, j.last(), want)
				}
				err := j.post("probe", status)
				if failure.Is(err, failure.Permanent.Permanent) || !failure.Is(err, failure.Down.Down) {
					t.Errorf("a probe counts: %v", err)
				}
				if got := kindOf(j.post("probe", 200)); got != done || j.Suspicion().Suspect || j.last().Suspect {
					t.Errorf("after a success: %q, %+v", got, j.last())
				}
				if got := kindOf(j.post("t7", status)); got != before {
					t.Errorf("a message that fails again after another's success: %q", got)
				}
			})
		})
	}
}

// Answers that ask for patience, or are about one message, are no suspicion.
func TestJudgeBelieves(t *testing.T) {
	for status, want := range map[int]kind{200: done, 408: retry, 409: retry, 410: permanent, 413: permanent, 423: retry, 425: retry, 429: refused, 0: unknown} {
		t.Run(strconv.Itoa(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJudged(t, JudgeConfig{})
				defer j.stop()
				if got := countKinds(j.together(3*suspectAfter, status)); got[want] != 3*suspectAfter || j.Suspicion().Suspect {
					t.Errorf("outcomes are %v, %+v", got, j.Suspicion())
				}
			})
		})
	}
}

func TestJudgeRefusal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJudged(t, JudgeConfig{})
		defer j.stop()
		err := j.post("a", 503)
		again, ok := errors.AsType[failure.RetryAfter](err)
		refused, isRefused := errors.AsType[interface {
			error
			Refused() bool
		}](err)
		if !ok || again.RetryAfter() != 7*time.Second || !isRefused || !refused.Refused() || !failure.Is(err, failure.Down.Down) {
			t.Errorf("got %#v", err)
		}
		j.together(suspectAfter, 500)
		if err := j.post("a", 429); errors.As(err, new(*RefusedError)) || kindOf(err) != notSent {
			t.Errorf("refused while suspect: %v", err)
		}
	})
}

func TestJudgeTimeouts(t *testing.T) {
	for name, tc := range map[string]struct {
		hold, sick bool
		want       kind // of the fifth on
		suspect    bool
	}{
		"health path fails":             {sick: true, want: notSent, suspect: true},
		"health path answers":           {want: unknown},
		"health path fails, under hold": {hold: true, sick: true, want: unknown, suspect: true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var j *judged
				j = newJudged(t, JudgeConfig{Hold: tc.hold, Health: func(ctx context.Context) error { return j.health(ctx) }})
				defer j.stop()
				j.sick.Store(tc.sick)
				got := countKinds(j.together(4*suspectAfter, -1))
				want := map[kind]int{unknown: suspectAfter - 1}
				want[tc.want] += 3*suspectAfter + 1
				if fmt.Sprint(got) != fmt.Sprint(want) {
					t.Errorf("outcomes are %v, want %v", got, want)
				}
				if is := j.Suspicion(); is.Suspect != tc.suspect || j.asked.Load() == 0 || tc.suspect && is.Why != "health path says 503" {
					t.Errorf("suspicion is %+v, asked %d times", is, j.asked.Load())
				}
				j.Recovered()
				if j.Suspicion().Suspect {
					t.Error("suspect although the health path answers")
				}
			})
		})
	}
}

func TestJudge(t *testing.T) {
	t.Run("judge unknown outcome while suspect", testJudgeUnknownOutcomeWhileSuspect)
}

func testJudgeUnknownOutcomeWhileSuspect(t *testing.T) {
	for hold, want := range map[bool]kind{false: notSent, true: unknown} {
		t.Run(fmt.Sprintf("hold %t", hold), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				j := newJudged(t, JudgeConfig{Hold: hold})
				defer j.stop()
				j.together(suspectAfter, 500)
				post := func(ctx context.Context, want kind) {
					t.Helper()
					_, err := j.Post(ctx, Request{Name: "probe", MessageID: "probe", Body: "0 2"})
					if got := kindOf(err); got != want || !j.Suspicion().Suspect {
						t.Errorf("outcome is %q, %+v", got, j.Suspicion())
					}
					if running, ok := errors.AsType[failure.StillRunning](err); !ok || !running.RunningUntil().After(time.Now()) {
						t.Errorf("error is %v, want failure.StillRunning until the timeout", err)
					}
				}
				post(t.Context(), want) // broken off by the target
				ctx, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				post(ctx, unknown)      // given up by the caller
				time.Sleep(time.Second) // the target's handler ends
			})
		})
	}
}

func TestJudgeOperatorsWord(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJudged(t, JudgeConfig{})
		defer j.stop()
		j.together(2*suspectAfter, 422)
		j.Believe()
		if is := j.Suspicion(); is.Suspect || is.Why != "" || j.last().Suspect {
			t.Errorf("suspicion is %+v", is)
		}
		if got := countKinds(j.together(4*suspectAfter, 422)); got[permanent] != 4*suspectAfter {
			t.Errorf("outcomes are %v", got)
		}
		time.Sleep(longestBelief)
		if got := countKinds(j.together(2*suspectAfter, 422)); got[permanent] != suspectAfter-1 {
			t.Errorf("after an hour outcomes are %v", got)
		}
	})
}

// A request that hangs is excused when the target was suspect as it began, also if
// that has ended meanwhile: it was a probe.
func TestJudgeProbeThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		j := newJudged(t, JudgeConfig{})
		defer j.stop()
		j.together(suspectAfter, 500)
		probe := make(chan error)
		go func() { probe <- j.post("probe", -1) }()
		time.Sleep(time.Second)
		j.post("other", 200)
		if err := <-probe; kindOf(err) != notSent || j.Suspicion().Suspect {
			t.Errorf("outcome is %q (%v), %+v", kindOf(err), err, j.Suspicion())
		}
		if err := j.post("probe", -1); kindOf(err) != unknown {
			t.Errorf("outcome of the next is %q (%v)", kindOf(err), err)
		}
	})
}
