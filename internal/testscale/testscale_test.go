package testscale_test

import (
	"testing"

	"github.com/sqsonce/sqsonce/internal/testscale"
)

func TestSizesFollowTheVariable(t *testing.T) {
	for _, tc := range []struct {
		value string
		want  int
	}{{"", 1000}, {"0.1", 100}, {"10", 10_000}, {"0.0001", 1}} {
		t.Setenv(testscale.Env, tc.value)
		if got := testscale.N(t, 1000); got != tc.want {
			t.Errorf("%s=%q: %d, want %d", testscale.Env, tc.value, got, tc.want)
		}
	}
}
