package workercmd

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
)

// A line of a queue among several has the field queue once, with the queue's name.
func TestQueueLog(t *testing.T) {
	for name, write := range map[string]func(*slog.Logger){
		"plain":             func(log *slog.Logger) { log.Info("m") },
		"an address":        func(log *slog.Logger) { log.Info("m", "queue", "http://h/0/orders-dlq", "error", "no") },
		"the name again":    func(log *slog.Logger) { log.Info("m", "queue", "orders") },
		"an address before": func(log *slog.Logger) { log.With("queue", "http://h/0/orders-dlq").Info("m") },
		"the name before it": func(log *slog.Logger) {
			log.With("queue", "orders", "x", 1).Info("m", "queue", "http://h/0/orders-dlq")
		},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			inner := slog.NewJSONHandler(&out, nil).WithAttrs([]slog.Attr{slog.String(queueField, "orders")})
			write(slog.New(queueLog{inner, "orders"}))
			var line map[string]any
			if err := json.Unmarshal(out.Bytes(), &line); err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(out.String(), `"queue":`); n != 1 || line["queue"] != "orders" {
				t.Errorf("%d fields queue in %s", n, out.String())
			}
			if url, want := line["queue_url"], strings.Contains(name, "address") || strings.Contains(name, "before it"); (url == "http://h/0/orders-dlq") != want {
				t.Errorf("queue_url is %v in %s", url, out.String())
			}
		})
	}
}
