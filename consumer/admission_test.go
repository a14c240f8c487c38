package consumer

import (
	"testing"
	"testing/synctest"
	"time"
)

// A message that was refused is a probe, too, when no other was handled before.
func TestProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAdmission(Config{Concurrency: 1}, func(State) {})
		a.begin()
		defer a.end()
		a.report("target", Down)
		d := &delivery{ticket: ticket{answers: make(chan answer, 1)}, end: Disposition{Action: Park, refused: true}}
		if got := a.ask(d, refused, time.Second, false); got != admitted {
			t.Errorf("the answer is %v, want %v", got, admitted)
		}
	})
}
