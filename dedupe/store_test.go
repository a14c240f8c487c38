package dedupe

import (
	"strings"
	"testing"
)

// Without a store the first call would panic.
func TestCheckStore(t *testing.T) {
	_, err := New[int](nil, Config{Scope: "orders\xff"})
	_, operator := NewOperator(nil, Config{Scope: strings.Repeat("q", 3000)})
	for what, tc := range map[string]struct {
		err   error
		wants string
	}{
		"guard":           {err, "store is nil"},
		"operator":        {operator, "dedupe:"},
		"scope not UTF-8": {err, `bad scope "orders\xff": is not valid UTF-8`},
		"scope too long":  {operator, "has 3000 bytes"},
	} {
		if tc.err == nil || !strings.Contains(tc.err.Error(), tc.wants) {
			t.Errorf("%s: got %v, want %q", what, tc.err, tc.wants)
		}
	}
}
