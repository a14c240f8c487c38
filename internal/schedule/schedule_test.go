package schedule_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/sqsonce/sqsonce/internal/schedule"
	"github.com/sqsonce/sqsonce/internal/schedule/scheduletest"
)

const role = "arn:aws:iam::123456789012:role/sqsonce-schedules"

func TestName(t *testing.T) {
	form := regexp.MustCompile(`^[0-9a-zA-Z-_.]{1,64}$`)
	rapid.Check(t, func(t *rapid.T) {
		scope, name, other := rapid.String().Draw(t, "scope"), rapid.String().Draw(t, "name"), rapid.String().Draw(t, "other")
		id := schedule.Name(scope, name)
		if !form.MatchString(id) {
			t.Fatalf("Name(%q, %q) is %q", scope, name, id)
		}
		if id != schedule.Name(scope, name) {
			t.Fatal("the same message has two schedules")
		}
		if name != other && id == schedule.Name(scope, other) {
			t.Fatalf("%q and %q share a schedule", name, other)
		}
	})
	if id := schedule.Name("orders", "order-17"); !strings.HasPrefix(id, "order-17-") || id == schedule.Name("mails", "order-17") {
		t.Errorf("the name of the schedule is %q", id)
	}
}

func newAWS(t *testing.T, cfg schedule.Config) (*scheduletest.Server, *schedule.AWS) {
	t.Helper()
	server := scheduletest.New(t)
	s, err := schedule.New(server.Client(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return server, s
}

func message() schedule.Message {
	return schedule.Message{
		QueueURL: "https://sqs.eu-west-1.amazonaws.com/123456789012/orders.fifo", Body: `{"name":"a","html":"<b>&"}`,
		Attributes:       map[string]schedule.Attribute{"sqsonce.name": {DataType: "String", StringValue: "a"}},
		SystemAttributes: map[string]schedule.Attribute{"AWSTraceHeader": {DataType: "String", StringValue: "Root=1-x"}},
		GroupID:          "g", DeduplicationID: "d",
	}
}

func TestAWS(t *testing.T) {
	t.Run("schedule runs once and is deleted", testCreate)
	t.Run("time is never early", testDue)
	t.Run("errors", testErrors)
	t.Run("settings", testSettings)
}

func testCreate(t *testing.T) {
	server, s := newAWS(t, schedule.Config{RoleARN: role, Group: "later", DLQARN: "arn:aws:sqs:eu-west-1:123456789012:lost"})
	at := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	if got, err := s.Create(t.Context(), "order-17", schedule.Schedule{At: at, Message: message()}); err != nil || !got.Equal(at) {
		t.Fatalf("due at %s, %v", got, err)
	}
	kept := server.Schedules()["later/order-17"]
	if kept.ScheduleExpression != "at(2026-12-01T10:00:00)" || kept.ScheduleExpressionTimezone != "UTC" || kept.ActionAfterCompletion != "DELETE" ||
		kept.FlexibleTimeWindow.Mode != "OFF" || kept.Target.Arn != "arn:aws:scheduler:::aws-sdk:sqs:sendMessage" || kept.Target.RoleArn != role ||
		kept.Target.DeadLetterConfig == nil || kept.Target.DeadLetterConfig.Arn != "arn:aws:sqs:eu-west-1:123456789012:lost" {
		t.Errorf("the schedule is %+v", kept)
	}
	var input map[string]any
	if err := json.Unmarshal([]byte(kept.Target.Input), &input); err != nil {
		t.Fatal(err)
	}
	name, _ := input["MessageAttributes"].(map[string]any)["sqsonce.name"].(map[string]any)
	if input["QueueUrl"] != message().QueueURL || input["MessageBody"] != message().Body || input["MessageGroupId"] != "g" ||
		input["MessageDeduplicationId"] != "d" || name["DataType"] != "String" || name["StringValue"] != "a" || input["MessageSystemAttributes"] == nil {
		t.Errorf("the input is %s", kept.Target.Input)
	}
	found, err := s.Get(t.Context(), "order-17")
	if err != nil || !found.At.Equal(at) || found.Message.Body != message().Body || found.Message.Attributes["sqsonce.name"].StringValue != "a" {
		t.Errorf("found %+v, %v", found, err)
	}
	if err := s.Delete(t.Context(), "order-17"); err != nil || len(server.Schedules()) != 0 {
		t.Errorf("delete: %v, %v left", err, server.Schedules())
	}
}

func testDue(t *testing.T) {
	_, s := newAWS(t, schedule.Config{RoleARN: role})
	base := time.Date(2026, 12, 1, 10, 0, 0, 0, time.UTC)
	for wait, want := range map[time.Duration]time.Duration{
		0: 0, time.Nanosecond: time.Minute, time.Second: time.Minute, time.Minute: time.Minute, 61 * time.Second: 2 * time.Minute, 59500 * time.Millisecond: time.Minute,
	} {
		got, err := s.Create(t.Context(), "at-"+strings.ReplaceAll(wait.String(), "µ", "u"), schedule.Schedule{At: base.Add(wait)})
		if err != nil || !got.Equal(base.Add(want)) {
			t.Errorf("%s after is due at %s, %v", wait, got, err)
		}
	}
}

func testErrors(t *testing.T) {
	server, s := newAWS(t, schedule.Config{RoleARN: role})
	what := schedule.Schedule{At: time.Now(), Message: message()}
	if _, err := s.Create(t.Context(), "a", what); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), "a", what); !errors.Is(err, schedule.ErrExists) {
		t.Errorf("a second one: %v", err)
	}
	if _, err := s.Get(t.Context(), "none"); !errors.Is(err, schedule.ErrNone) {
		t.Errorf("get: %v", err)
	}
	if err := s.Delete(t.Context(), "none"); !errors.Is(err, schedule.ErrNone) {
		t.Errorf("delete: %v", err)
	}
	server.Fail(&scheduletest.Failure{Status: http.StatusForbidden, Type: "AccessDeniedException", Text: "no"})
	_, creating := s.Create(t.Context(), "b", what)
	_, getting := s.Get(t.Context(), "a")
	for call, err := range map[string]error{"create": creating, "get": getting, "delete": s.Delete(t.Context(), "a")} {
		if err == nil || errors.Is(err, schedule.ErrExists) || errors.Is(err, schedule.ErrNone) {
			t.Errorf("%s: %v", call, err)
		}
	}
	server.Fail(&scheduletest.Failure{Status: http.StatusNotFound, Type: "ResourceNotFoundException", Text: "Schedule group later does not exist."})
	if _, err := s.Get(t.Context(), "a"); err == nil || errors.Is(err, schedule.ErrNone) {
		t.Errorf("a group that is missing: %v", err)
	}
}

func testSettings(t *testing.T) {
	for _, cfg := range []schedule.Config{
		{}, {RoleARN: "sqsonce"}, {RoleARN: role, Group: "a b"}, {RoleARN: role, DLQARN: "https://sqs"}, {RoleARN: role, DLQARN: "arn:aws:sqs:eu-west-1:123456789012:lost.fifo"},
	} {
		if _, err := schedule.New(nil, cfg); err == nil {
			t.Errorf("%+v is taken", cfg)
		}
	}
	server := scheduletest.New(t)
	s, err := schedule.New(server.Client(), schedule.Config{RoleARN: "arn:aws-cn:iam::123456789012:role/a"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(t.Context(), "a", schedule.Schedule{At: time.Now()}); err != nil || server.Schedules()["default/a"].Target.Arn != "arn:aws-cn:scheduler:::aws-sdk:sqs:sendMessage" {
		t.Errorf("in China: %v, %v", server.Schedules(), err)
	}
}

func TestCheck(t *testing.T) {
	m := message()
	if err := m.Check(); err != nil {
		t.Error(err)
	}
	m.Body = strings.Repeat("x", 256<<10)
	if err := m.Check(); !errors.Is(err, schedule.ErrTooLarge) {
		t.Errorf("a large one: %v", err)
	}
	m.Body = `{"name":"<aws.scheduler.execution-id>"}`
	if err := m.Check(); !errors.Is(err, schedule.ErrKeyword) {
		t.Errorf("a keyword: %v", err)
	}
}

func TestLocal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		sent := make(map[string]time.Duration)
		start := time.Now()
		l := schedule.NewLocal(func(_ context.Context, m schedule.Message) {
			mu.Lock()
			defer mu.Unlock()
			sent[m.Body] = time.Since(start)
		})
		in := func(d time.Duration, body string) schedule.Schedule {
			return schedule.Schedule{At: start.Add(d), Message: schedule.Message{Body: body}}
		}
		for name, d := range map[string]time.Duration{"a": 3 * time.Hour, "b": time.Hour, "c": 4 * time.Hour} {
			if _, err := l.Create(t.Context(), name, in(d, name)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Create(t.Context(), "a", in(time.Minute, "other")); !errors.Is(err, schedule.ErrExists) {
			t.Errorf("a second one: %v", err)
		}
		if s, err := l.Get(t.Context(), "a"); err != nil || s.Message.Body != "a" {
			t.Errorf("found %+v, %v", s, err)
		}
		if err := l.Delete(t.Context(), "b"); err != nil {
			t.Error(err)
		}
		time.Sleep(200 * time.Minute)
		mu.Lock()
		if len(sent) != 1 || sent["a"] != 3*time.Hour {
			t.Errorf("sent %v", sent)
		}
		mu.Unlock()
		for _, name := range []string{"a", "b"} {
			if _, err := l.Get(t.Context(), name); !errors.Is(err, schedule.ErrNone) {
				t.Errorf("%s: %v", name, err)
			}
			if err := l.Delete(t.Context(), name); !errors.Is(err, schedule.ErrNone) {
				t.Errorf("%s: %v", name, err)
			}
		}
		l.Close()
		time.Sleep(time.Hour)
		if mu.Lock(); len(sent) != 1 {
			t.Errorf("sent after the end: %v", sent)
		}
		mu.Unlock()
	})
}
