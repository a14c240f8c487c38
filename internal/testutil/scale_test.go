package testutil_test

import (
	"testing"

	"github.com/sqsonce/sqsonce/internal/testutil"
)

func TestSizesFollowTheVariable(t *testing.T) {
	for _, tc := range []struct {
		value string
		want  int
	}{{"", 1000}, {"0.1", 100}, {"10", 10_000}, {"0.0001", 1}} {
		t.Setenv(testutil.Env, tc.value)
		if got := testutil.N(t, 1000); got != tc.want {
			t.Errorf("%s=%q: %d, want %d", testutil.Env, tc.value, got, tc.want)
		}
	}
}
