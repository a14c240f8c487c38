package lateclock

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

func TestOverlay(t *testing.T) {
	dir := t.TempDir()
	path, err := Overlay(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var overlay struct{ Replace map[string]string }
	if err := json.Unmarshal(text, &overlay); err != nil || len(overlay.Replace) != 1 {
		t.Fatalf("overlay %s: %v, want one file replaced", text, err)
	}
	for original, replacement := range overlay.Replace {
		before, err := os.ReadFile(original)
		if err != nil {
			t.Fatal(err)
		}
		after, err := os.ReadFile(replacement)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Replace(string(after), hook, when, 1); got != string(before) || len(after) == len(before) {
			t.Errorf("%s differs from %s by more than the hook, or not at all", replacement, original)
		}
	}
}

func TestChange(t *testing.T) {
	for name, text := range map[string]string{
		"no function": "package time\n",
		"two":         when + "}\n" + when + "}\n",
	} {
		if _, err := change(text); err == nil || !strings.Contains(err.Error(), "func when") {
			t.Errorf("%s: error %v, want one that names the function", name, err)
		}
	}
}
