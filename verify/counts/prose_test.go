package main

import (
	"slices"
	"strings"
	"testing"
)

func TestProblems(t *testing.T) {
	long := strings.Repeat("word ", longSentence+1)
	for name, tc := range map[string]struct {
		text  string
		guide bool
		want  []string // the beginning of each problem
	}{
		"clean":                 {"A lease ends. It is renewed.\n", true, nil},
		"vague":                 {"What is it?\nWho knows.\nSomebody does.\n", false, []string{"3 vague words in 7"}},
		"vague but rare":        {"What it is, " + strings.Repeat("\na word.", 1000) + "\nWho? Somebody.\n", false, nil},
		"vague in code":         {"`what who nobody`\n\n```\nwhat who somebody\n```\n", false, nil},
		"vague in a table":      {"| what | who | nobody |\n", false, []string{"3 vague words in 3"}},
		"long line":             {strings.Repeat("word, ", 20) + "\n", false, []string{"line 1 has more than 100 columns"}},
		"long address":          {"[page](https://example.com/" + strings.Repeat("x", 100) + ")\n", true, nil},
		"long row":              {"| " + strings.Repeat("word, ", 20) + " |\n", false, nil},
		"long code":             {"```\n" + strings.Repeat("word, ", 20) + "\n```\n", true, nil},
		"long sentence":         {strings.ReplaceAll(long, "word word word word word word ", "word word word word word word\n") + ".\n", true, []string{"a sentence of 36 words"}},
		"long sentence, no doc": {strings.ReplaceAll(long, "word word word word word word ", "word word word word word word\n") + ".\n", false, nil},
		"items":                 {"- " + long[:60] + "\n- " + long[:60] + "\n- " + long[:60] + "\n", true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			got := markdown("x.md", tc.text).problems(tc.guide)
			if len(got) != len(tc.want) {
				t.Fatalf("problems %q, want %q", got, tc.want)
			}
			for i, want := range tc.want {
				if !strings.HasPrefix(got[i], want) {
					t.Errorf("problem %q, want %q", got[i], want)
				}
			}
		})
	}
}

func TestComments(t *testing.T) {
	p, err := comments("x.go", []byte("// Package x knows what it does.\npackage x\n\n//go:generate what\n\n// F is "+strings.Repeat("long ", 20)+"\n//\n//\twhat code\nfunc F() { _ = \"who\" }\n"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Join(p.paragraphs, "\n")
	if n := len(vague.FindAllString(text, -1)); n != 1 || !slices.Equal(p.long, []int{6}) {
		t.Errorf("%d vague words and long lines %v, want 1 and [6], in %q", n, p.long, text)
	}
}
