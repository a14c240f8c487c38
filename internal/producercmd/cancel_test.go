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

// delaysRig returns a rig with schedules on servers, and the text of docs/delays.md.
func delaysRig(t *testing.T, queue string) (r *rig, server *scheduletest.Server, guide string) {
	t.Helper()
	r, server = realRig(t, queue), scheduletest.New(t)
	t.Setenv("AWS_ENDPOINT_URL_SCHEDULER", server.URL)
	t.Setenv("SQSONCE_SCHEDULE_ROLE", scheduleRole)
	data, err := os.ReadFile("../../docs/delays.md")
	if err != nil {
		t.Fatal(err)
	}
	return r, server, string(data)
}

// These are the commands of docs/delays.md.
func TestDelays(t *testing.T) {
	r, server, guide := delaysRig(t, "producer-delays")
	commands := regexp.MustCompile(`(?m)^producer (send|status|cancel) (.*?)(?:\s+#.*)?$`).FindAllStringSubmatch(guide, -1)
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

// The batch that docs/delays.md shows: each line with its own delay, or that of all.
func TestDelays_batch(t *testing.T) {
	r, server, guide := delaysRig(t, "producer-delayed-lines")
	shown := regexp.MustCompile(`(?s)printf '%s\\n' (.*?)\| producer (send [^\n]*)`).FindStringSubmatch(guide)
	if shown == nil {
		t.Fatal("the documentation shows no batch")
	}
	var lines []string
	for _, quoted := range regexp.MustCompile(`'(\{.*?\})'`).FindAllStringSubmatch(shown[1], -1) {
		lines = append(lines, quoted[1])
	}
	start := time.Now()
	producer(t, strings.Join(lines, "\n"), append(strings.Fields(shown[2]), r.backend...)...).want(0).says("3 messages accepted (2 scheduled), 0 refused")
	if len(lines) != 3 || len(server.Schedules()) != 2 {
		t.Errorf("%d lines, schedules %v", len(lines), server.Schedules())
	}
	if err := server.Run(t.Context(), r.queue, start.Add(73*time.Hour)); err != nil {
		t.Fatal(err)
	}
	r.work(2)
	for _, name := range []string{"trial-1", "trial-3"} {
		r.do("status", name, "--watch").want(0).says("COMPLETED")
	}
	sum := decode[summary](producer(t, `{"name":"x","in":"soon"}`+"\n"+`{"name":"y","in":"20m"}`, append([]string{"send", "--delay-field", "in", "--json"}, r.backend...)...).want(1))
	if sum.Accepted != 1 || sum.Later != 1 || len(sum.Refused) != 1 || sum.Refused[0].Line != 1 || !strings.Contains(sum.Refused[0].Detail, `in: "soon" must be whole seconds`) {
		t.Errorf("summary is %+v", sum)
	}
}

func TestDelays_settings(t *testing.T) {
	for name, args := range map[string][]string{
		"--schedule-role":     {"--schedule-role", "later"},
		"--schedule-group":    {"--schedule-role", scheduleRole, "--schedule-group", "a b"},
		"--schedule-dlq":      {"--schedule-role", scheduleRole, "--schedule-dlq", "lost"},
		"no --schedule-role":  {"--schedule-group", "later"},
		"--delay 1.5s":        {"--delay", "1500ms"},
		`--delay-field "in":`: {"--delay-field", "in"},
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
		t.Errorf("warning: %s", said)
	}
	server.Fail(&scheduletest.Failure{Status: http.StatusForbidden, Type: "AccessDeniedException", Text: "not authorized to perform scheduler:GetSchedule"})
	if said := look(); !strings.Contains(said, "schedules cannot be read") || !strings.Contains(said, "scheduler:GetSchedule") {
		t.Errorf("log: %s", said)
	}
}
