package awsenv

import (
	"runtime/debug"
	"testing"
)

func TestCollectLess(t *testing.T) {
	for gogc, want := range map[string]int{"": 400, "100": 100, "off": 100} { // the runtime has read what is set
		t.Run("GOGC="+gogc, func(t *testing.T) {
			t.Setenv("GOGC", gogc)
			defer debug.SetGCPercent(debug.SetGCPercent(100))
			CollectLess()
			if got := debug.SetGCPercent(100); got != want {
				t.Errorf("%d %%, want %d %%", got, want)
			}
		})
	}
}
