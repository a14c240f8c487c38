package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPages(t *testing.T) {
	for name, page := range pages {
		t.Run(name, func(t *testing.T) {
			want, err := page()
			if err != nil {
				t.Fatal(err)
			}
			got, err := os.ReadFile(filepath.Join(root, "docs", "reference", name))
			if err != nil || string(got) != notice+want {
				t.Errorf("docs/reference/%s does not fit the code; make reference writes it anew (error: %v)", name, err)
			}
		})
	}
}

// Each page has entries that a reader looks for.
func TestEntries(t *testing.T) {
	for name, entries := range map[string][]string{
		"flags.md":         {"## worker run", "`--queue-url`", "`SQSONCE_QUEUE_URL`", "## producer dlq redrive", "`ECS_CONTAINER_STOP_TIMEOUT`"},
		"metrics.md":       {"`sqsonce_handled_total`", "`messaging_process_duration_seconds`", "`sqsonce_down`", "`dependency`"},
		"errors.md":        {"`ErrLeaseLost`", "`RetryAfter() time.Duration`", "| 5 |", "| 503 |", "`attempts used up`"},
		"configuration.md": {"`weight`", "`queue-url`", "`maxReceiveCount`", "`targetImage`"},
		"http-api.md":      {"### POST /messages", "`Prefer`"},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := pages[name]()
			if err != nil {
				t.Fatal(err)
			}
			for _, entry := range entries {
				if !strings.Contains(text, entry) {
					t.Errorf("no %q", entry)
				}
			}
		})
	}
}
