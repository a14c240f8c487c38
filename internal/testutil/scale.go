// Package testutil holds helpers of tests: the size of heavy tests, and a reader for metrics.
package testutil

import (
	"os"
	"strconv"
	"testing"
)

// Env is the environment variable that multiplies the size of heavy tests, such as 0.1 under the
// race detector. Unset means 1.
const Env = "SQSONCE_TEST_SCALE"

// N returns n scaled by [Env], at least 1. It fails the test if the variable is not a positive
// number.
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
