package producercmd

import (
	"bytes"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/internal/producerapi"
	"github.com/sqsonce/sqsonce/internal/schedule/scheduletest"
)

const scheduleRole = "arn:aws:iam::123456789012:role/sqsonce-schedules"

// These are the commands of docs/delays.md.
func TestDelays(t *testing.T) {
	r := realRig(t, "producer-delays")
	server := scheduletest.New(t)
	t.Setenv("AWS_ENDPOINT_URL_SCHEDULER", server.URL)
	t.Setenv("SQSONCE_SCHEDULE_ROLE", scheduleRole)
	data, err := os.ReadFile("../../docs/delays.md")
	if err != nil {
		t.Fatal(err)
	}
	commands := regexp.MustCompile(`(?m)^producer (send|status|cancel) (.*?)(?:\s+#.*)?$`).FindAllStringSubmatch(string(data), -1)
	if len(commands) != 3 {
		t.Fatalf("%d commands in the documentation", len(commands))
	}
	for i, want := range []struct {
		code int
		says string
	}{{0, `scheduled "order-17" for `}, {exitNotFinal, "SCHEDULED: will be sent at "}, {0, `cancelled "order-17", which was scheduled for `}} {
		args := []string{commands[i][1]}
		for _, word := range regexp.MustCompile(`'[^']*'|\S+`).FindAllString(commands[i][2], -1) {
			args = append(args, strings.Trim(word, "'"))
		}
		r.do(args...).want(want.code).says(want.says)
	}
	if len(server.Schedules()) != 0 {
		t.Errorf("schedules are left: %v", server.Schedules())
	}
	r.do("cancel", "order-17").want(1).says("409", "has no schedule")

	r.do("send", "--name", "b", "--delay", "3h").want(0)
	if err := server.Run(t.Context(), r.queue, time.Now().Add(4*time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.work(1)
	r.do("status", "b", "--watch").want(0).says("COMPLETED")
	r.do("cancel", "b").want(1).says("409", "was sent")
	r.do("send", "--name", "c", "--delay", "20m", "--json").want(0).says(`"status": "SCHEDULED"`)
	r.do("cancel", "c", "--json").want(0).says(`"status": "CANCELLED"`)
}

func TestDelays_settings(t *testing.T) {
	for name, args := range map[string][]string{
		"--schedule-role":     {"--schedule-role", "later"},
		"--schedule-group":    {"--schedule-role", scheduleRole, "--schedule-group", "a b"},
		"--schedule-dlq":      {"--schedule-role", scheduleRole, "--schedule-dlq", "lost"},
		"no --schedule-role":  {"--schedule-group", "later"},
		"--delay 1.5s":        {"--delay", "1500ms"},
		"--delay 20m0s: more": {"--delay", "20m", "--name", "", "--body", ""},
	} {
		all := append([]string{"send", "--name", "a", "--queue-url", "http://h/0/q", "--table", "t"}, args...)
		producer(t, "", all...).want(2).says(strings.TrimPrefix(name, "no "))
	}
}

func TestLookAtSchedules(t *testing.T) {
	r := realRig(t, "producer-looks")
	server := scheduletest.New(t)
	t.Setenv("AWS_ENDPOINT_URL_SCHEDULER", server.URL)
	look := func() string {
		var log bytes.Buffer
		f := queueFlags{QueueURL: r.queueURL, Table: "producer-looks", Key: "name", Unwrap: "none", Unnamed: "dead-letter", LongNames: "refuse", ScheduleRole: scheduleRole}
		api, err := f.api(t.Context(), false, nil, producerapi.Config{AuthTokens: []string{token}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		api.Close()
		return log.String()
	}
	if said := look(); strings.Contains(said, "schedules") {
		t.Errorf("warned of %s", said)
	}
	server.Fail(&scheduletest.Failure{Status: http.StatusForbidden, Type: "AccessDeniedException", Text: "not authorized to perform scheduler:GetSchedule"})
	if said := look(); !strings.Contains(said, "schedules cannot be read") || !strings.Contains(said, "scheduler:GetSchedule") {
		t.Errorf("said %s", said)
	}
}
