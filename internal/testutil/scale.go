// Package testutil sizes the heavy tests: seeds, states, messages.
package testutil

import (
	"os"
	"strconv"
	"testing"
)

// Env is the variable that multiplies the size of heavy tests: 0.1 under the
// race detector, more for a long run by hand. Unset means 1.
const Env = "SQSONCE_TEST_SCALE"

// N returns n scaled by [Env], at least 1. It ends the test when the variable
// holds no positive number.
func N(t testing.TB, n int) int {
	t.Helper()
	text := os.Getenv(Env)
	if text == "" {
		return n
	}
	scale, err := strconv.ParseFloat(text, 64)
	if err != nil || scale <= 0 {
		t.Fatalf("%s=%q: want a positive number", Env, text)
	}
	return max(1, int(float64(n)*scale))
}
