package main

import (
	"strings"
	"testing"
)

func TestServers(t *testing.T) {
	t.Run("exports", testExports)
	t.Run("bad port", testBadPort)
	t.Run("unknown verb", testUnknownVerb)
}

func testExports(t *testing.T) {
	var out strings.Builder
	if err := printExports(&out, [][2]string{{"A", "http://127.0.0.1:1"}, {"B", "b"}}); err != nil {
		t.Fatal(err)
	}
	if want := "export A=http://127.0.0.1:1\nexport B=b\n"; out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func testBadPort(t *testing.T) {
	t.Setenv("SQS_PORT", "70000")
	if _, err := portFrom("SQS_PORT"); err == nil || !strings.Contains(err.Error(), `SQS_PORT="70000"`) {
		t.Errorf("error %v does not name the variable and its value", err)
	}
	t.Setenv("SQS_PORT", "")
	if port, err := portFrom("SQS_PORT"); port != 0 || err != nil {
		t.Errorf("unset: port %d, %v; want a free one", port, err)
	}
}

func testUnknownVerb(t *testing.T) {
	for _, args := range [][]string{nil, {"sideways"}, {"up", "now"}} {
		if code := run(t.Context(), args); code != 2 {
			t.Errorf("run(%q) = %d, want 2", args, code)
		}
	}
}
