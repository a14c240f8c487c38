package emulators

import (
	"os"
	"strings"
	"testing"
)

func TestDetached(t *testing.T) {
	t.Run("found again", testDetachedFoundAgain)
	t.Run("process ID of another program", testForeignProcessID)
	t.Run("fails", testDetachedFails)
}

func testDetachedFoundAgain(t *testing.T) {
	dir := t.TempDir()
	first, err := StartDetached(t.Context(), Dynoxide, dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	second, err := StartDetached(t.Context(), Dynoxide, dir, 0)
	if err != nil || second != first {
		t.Errorf("second start: %q, %v, want the first one's %q", second, err, first)
	}
	if err := StopDetached(t.Context(), Dynoxide, dir); err != nil {
		t.Fatal(err)
	}
	waitRefused(t, strings.TrimPrefix(first, "http://"))
	if err := StopDetached(t.Context(), Dynoxide, dir); err != nil {
		t.Errorf("stop without a server: %v", err)
	}
}

func testForeignProcessID(t *testing.T) {
	dir := t.TempDir()
	// Process 1 exists and is another program.
	if err := os.WriteFile(Dynoxide.path(dir, "pid"), []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if pid, ok := Dynoxide.running(dir); ok {
		t.Errorf("process %d taken for %s", pid, Dynoxide.Name)
	}
}

func testDetachedFails(t *testing.T) {
	failing := Program{Name: "failing", command: func(string, int, bool) (string, []string) {
		return "sh", []string{"-c", "echo no luck; exit 3"}
	}}
	_, err := StartDetached(t.Context(), failing, t.TempDir(), 0)
	if err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("error %v lacks the output", err)
	}
}
