package dedupe

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// A timer can be late: on a busy processor it fires when somebody looks. No clock of
// a test is, so that here one stands for it whose time has come long ago.
func TestATimerThatIsLateIsNotPutOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := renewals{engine: &engine{terms: protocol.Terms{Lease: 30 * time.Second, Skew: time.Second}}}
		attempts := make([]attempt, 3)
		for i := range attempts {
			attempts[i].proven = time.Now().Add(30 * time.Second)
		}
		r.add(t.Context(), &attempts[0])
		if !r.armed || time.Until(r.next) != 10*time.Second {
			t.Fatalf("the first one arms the timer: %t, in %s", r.armed, time.Until(r.next))
		}
		late := time.Now().Add(-5 * time.Millisecond)
		r.next = late
		r.add(t.Context(), &attempts[1])
		if !r.next.Equal(late) {
			t.Errorf("the timer that was to fire 5 ms ago was set to fire in %s", time.Until(r.next))
		}
		r.wakeBy(late.Add(-time.Millisecond)) // what has to come still earlier sets it
		if r.next.Equal(late) {
			t.Error("it was not set to what comes before")
		}
		for _, w := range r.running { // nobody has anything to wait for
			w.expired, w.lost = true, true
		}
		r.fire()
		if r.armed {
			t.Error("a timer that has fired counts as set")
		}
		r.add(t.Context(), &attempts[2])
		if !r.armed || time.Until(r.next) != 10*time.Second {
			t.Errorf("a timer that has fired is set again: %t, in %s", r.armed, time.Until(r.next))
		}
		for i := range attempts {
			r.remove(&attempts[i])
		}
		if r.armed {
			t.Error("it is armed, with nobody to renew")
		}
	})
}
