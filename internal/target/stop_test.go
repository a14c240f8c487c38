package target

import (
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

// TestStop holds when a stop of this process explains an outcome, and how long it is waited
// for.
func TestStop(t *testing.T) {
	const never = time.Hour
	ends := map[string]func(http.ResponseWriter, *http.Request){
		"no answer": func(w http.ResponseWriter, _ *http.Request) { breakOff(t, w) },
		"half an answer": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "half")
			_ = http.NewResponseController(w).Flush()
			breakOff(t, w)
		},
		"500": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusInternalServerError) },
		"time-out": func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // only then does the server notice that its client goes
			<-r.Context().Done()
		},
		"done": func(http.ResponseWriter, *http.Request) {},
	}
	for name, tc := range map[string]struct {
		end     string
		stop    time.Duration // after the request
		suspect bool
		took    time.Duration
		stopped bool
	}{
		"before the end":              {end: "no answer", stop: 0, took: 0, stopped: true},
		"soon after the end":          {end: "no answer", stop: 1900 * time.Millisecond, took: 1900 * time.Millisecond, stopped: true},
		"late":                        {end: "no answer", stop: 2100 * time.Millisecond, took: 2 * time.Second},
		"never":                       {end: "no answer", stop: never, took: 2 * time.Second},
		"half an answer":              {end: "half an answer", stop: time.Second, took: time.Second, stopped: true},
		"answered":                    {end: "500", stop: 0, took: 0},
		"answered, soon after":        {end: "500", stop: time.Second, took: 0},
		"done":                        {end: "done", stop: 0, took: 0},
		"no time left":                {end: "time-out", stop: 0, took: 30 * time.Second},
		"target suspect, before":      {end: "no answer", stop: 0, suspect: true, took: 0, stopped: true},
		"target suspect, not counted": {end: "no answer", stop: time.Second, suspect: true, took: 0},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				target, stop := newPiped(t, Config{}, ends[tc.end])
				defer stop()
				stopping := make(chan struct{})
				timer := time.AfterFunc(tc.stop, func() { close(stopping) })
				defer timer.Stop()
				synctest.Wait() // a stop at once has come
				told := 0
				cfg := JudgeConfig{Stopping: stopping, SuspectAfter: 1, BrokenByStop: func(*UnknownOutcomeError) { told++ }}
				j := NewJudge(target, cfg)
				if tc.suspect {
					j.change(func() { j.state.learn("other", failing, time.Now()) })
				}
				start := time.Now()
				_, err := j.Post(t.Context(), Request{MessageID: "m", Body: "{}"})
				if took := time.Since(start); took != tc.took {
					t.Errorf("took %s, want %s", took, tc.took)
				}
				e, ok := err.(*UnknownOutcomeError) //nolint:errorlint // the contract is the type itself
				if stopped := ok && e.Stopped(); stopped != tc.stopped || stopped != (told == 1) {
					t.Errorf("stopped %v, told %d times: %v", stopped, told, err)
				}
			})
		})
	}
}

// TestStopIsToldOnce: of many requests that one stop cuts off, one is told of.
func TestStopIsToldOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, stop := newPiped(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { breakOff(t, w) })
		defer stop()
		stopping, told := make(chan struct{}), 0
		close(stopping)
		j := NewJudge(target, JudgeConfig{Stopping: stopping, BrokenByStop: func(*UnknownOutcomeError) { told++ }})
		for range 20 {
			_, _ = j.Post(t.Context(), Request{MessageID: "m", Body: "{}"})
		}
		if told != 1 {
			t.Errorf("told %d times", told)
		}
	})
}

// TestStopCut: a caller that gives up is not kept waiting, and its own end is the cause.
func TestStopCut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		target, stop := newPiped(t, Config{}, func(w http.ResponseWriter, _ *http.Request) { breakOff(t, w) })
		defer stop()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		start := time.Now()
		_, err := NewJudge(target, JudgeConfig{Stopping: make(chan struct{})}).Post(ctx, Request{MessageID: "m", Body: "{}"})
		e, ok := err.(*UnknownOutcomeError) //nolint:errorlint // the contract is the type itself
		if took := time.Since(start); took != time.Second || !ok || e.Stopped() {
			t.Errorf("after %s: %v", took, err)
		}
	})
}
