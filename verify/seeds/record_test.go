package main

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestRecord(t *testing.T) {
	path := filepath.Join(t.TempDir(), "seeds.txt")
	want := []chunk{
		{"2026-11-30", "safety", span{1, 5000}, "abc", "def", 120, "pass"},
		{"2026-11-30", "liveness", span{1, 5000}, "abc", "def", 121, "FAIL 17,18"},
	}
	for _, c := range want {
		if err := appendChunk(path, c); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := readRecord(path); err != nil || !slices.Equal(got, want) {
		t.Errorf("read %v, %v, want %v", got, err, want)
	}
	if got := summary(want); !strings.Contains(got, "safety            code def: 5000 seeds in 1 chunks and 120 s, 0 failed") {
		t.Errorf("summary:\n%s", got)
	}
}

func TestReadRecord(t *testing.T) {
	for name, line := range map[string]string{
		"fields": "2026-11-30 safety 1 5000 abc def 120",
		"number": "2026-11-30 safety 1 x abc def 120 pass",
		"mode":   "2026-11-30 none 1 2 abc def 120 pass",
	} {
		path := filepath.Join(t.TempDir(), "seeds.txt")
		if err := os.WriteFile(path, []byte(header+line+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := readRecord(path); err == nil || !strings.Contains(err.Error(), path+":2: ") {
			t.Errorf("%s: error %v, want one that names the line", name, err)
		}
	}
}

func TestWithout(t *testing.T) {
	done := []chunk{
		{mode: "safety", code: "c", seeds: span{10, 19}},
		{mode: "safety", code: "c", seeds: span{30, 39}},
		{mode: "liveness", code: "c", seeds: span{1, 100}},
		{mode: "safety", code: "other", seeds: span{1, 100}},
	}
	for _, tc := range []struct {
		ask  span
		left []span
	}{
		{span{1, 50}, []span{{1, 9}, {20, 29}, {40, 50}}},
		{span{12, 17}, nil},
		{span{10, 20}, []span{{20, 20}}},
		{span{50, 60}, []span{{50, 60}}},
	} {
		if got := without(tc.ask, done, "safety", "c"); !slices.Equal(got, tc.left) {
			t.Errorf("%v: %v is left, want %v", tc.ask, got, tc.left)
		}
	}
	if got := split([]span{{1, 9}, {20, 20}}, 4); !slices.Equal(got, []span{{1, 4}, {5, 8}, {9, 9}, {20, 20}}) {
		t.Errorf("split into %v", got)
	}
}

func TestSeedsIn(t *testing.T) {
	output := "world_test.go:1: seed 12 (live true): lost\nworld_test.go:1: seed 12 (live true): again\nseed 7 (live false): x\n"
	if got := seedsIn([]byte(output)); !slices.Equal(got, []string{"12", "7"}) {
		t.Errorf("seeds %v", got)
	}
}

func TestAddTokens(t *testing.T) {
	tokens := func(text string) string {
		var b bytes.Buffer
		addTokens(&b, []byte(text))
		return b.String()
	}
	before := tokens("package p\n\n// F is f.\nfunc F() int { return 1 }\n")
	if tokens("package p\n\n// F is another.\n\nfunc F() int {\n\treturn 1 /* one */\n}\n") == "" || before == tokens("package p\n\nfunc F() int { return 2 }\n") {
		t.Error("another number is the same code")
	}
	if before != tokens("package p\n// Other words.\nfunc F() int { return 1 }\n") {
		t.Error("another comment is other code")
	}
}

func TestArguments(t *testing.T) {
	for args, want := range map[string]string{
		"-mode none":            `-mode "none": want one of batches-liveness`,
		"-mode safety -from x":  "invalid value",
		"-mode safety -count 0": "-count 0",
	} {
		var errs bytes.Buffer
		if code := run(t.Context(), strings.Fields(args+" -record="), &bytes.Buffer{}, &errs); code != 2 || !strings.Contains(errs.String(), want) {
			t.Errorf("%s: code %d and %q, want 2 and %q", args, code, errs.String(), want)
		}
	}
}
