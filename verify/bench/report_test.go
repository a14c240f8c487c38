package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestReport(t *testing.T) {
	t.Run("table", func(t *testing.T) {
		file := document(t, "a\n<!-- first -->\nold\n<!-- end -->\nb\n<!-- second -->\nkept\n<!-- end -->\n")
		table := &Table{Head: []string{"x", "y"}}
		table.Add("1", "2")
		if err := Replace(file, "first", table.String()); err != nil {
			t.Fatal(err)
		}
		want := "a\n<!-- first -->\n\n| x | y |\n|---|---|\n| 1 | 2 |\n\n<!-- end -->\nb\n<!-- second -->\nkept\n<!-- end -->\n"
		if got := content(t, file); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if err := Replace(file, "third", ""); err == nil || !strings.Contains(err.Error(), `no section "third"`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("aim", func(t *testing.T) {
		file := document(t, "| fast | not measured | | `make fast` |\n| small | not measured | | `make small` |\n")
		for _, met := range []bool{false, true} { // a row can be written again
			if err := (Aim{"small", "make small"}).Record(file, met, "7 MiB"); err != nil {
				t.Fatal(err)
			}
			want := "| fast | not measured | | `make fast` |\n| small | 7 MiB | " + map[bool]string{false: "**missed**", true: "met"}[met] + " | `make small` |\n"
			if got := content(t, file); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		}
		if err := (Aim{Text: "cheap"}).Record(file, true, ""); err == nil || !strings.Contains(err.Error(), `no row "cheap"`) {
			t.Errorf("got %v", err)
		}
	})
	t.Run("aims have rows", func(t *testing.T) {
		text := content(t, "../../BENCHMARKS.md")
		for _, a := range []Aim{AimCalls, AimFloor, AimLoop, AimNode, AimRate, AimSpread, AimMemory, AimProducer} {
			if !strings.Contains(text, "| "+a.Text+" | ") || !strings.Contains(text, "`"+a.Command+"` |") {
				t.Errorf("BENCHMARKS.md has no row for %+v", a)
			}
		}
	})
}

func document(t *testing.T, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "page.md")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func content(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
