package main

import (
	"runtime/debug"
	"testing"
)

func TestGC(t *testing.T) {
	t.Run("heap is collected less often unless somebody says how often", testTheHeapIsCollectedLessOftenUnlessSomebodySaysHowOften)
}

func testTheHeapIsCollectedLessOftenUnlessSomebodySaysHowOften(t *testing.T) {
	for gogc, want := range map[string]int{"": 400, "100": 100, "off": 100} { // what is set, the runtime has read before
		t.Run("GOGC="+gogc, func(t *testing.T) {
			t.Setenv("GOGC", gogc)
			defer debug.SetGCPercent(debug.SetGCPercent(100))
			collectLess()
			if got := debug.SetGCPercent(100); got != want {
				t.Errorf("%d %%, want %d %%", got, want)
			}
		})
	}
}
