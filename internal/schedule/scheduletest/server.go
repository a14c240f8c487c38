// Package scheduletest is EventBridge Scheduler for tests: what of its REST API package
// schedule uses, over HTTP, so that the SDK's own client is tested, too. It checks requests as
// the API reference says: https://docs.aws.amazon.com/scheduler/latest/APIReference/
package scheduletest

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/scheduler"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/sqsonce/sqsonce/internal/schedule"
)

// Server is the server. Use New.
type Server struct {
	URL string

	mu        sync.Mutex
	schedules map[string]Schedule // guarded by mu; by group/name
	failure   *Failure            // guarded by mu
	calls     int                 // guarded by mu
}

// Schedule is a schedule as CreateSchedule has described it.
type Schedule struct {
	ScheduleExpression         string
	ScheduleExpressionTimezone string
	ActionAfterCompletion      string
	FlexibleTimeWindow         struct{ Mode string }
	GroupName                  string `json:",omitempty"`
	ClientToken                string `json:",omitempty"`
	Target                     Target
}

// Target is a schedule's target.
type Target struct {
	Arn, RoleArn, Input string
	DeadLetterConfig    *struct{ Arn string } `json:",omitempty"`
}

// Failure is an error that the server answers with.
type Failure struct {
	Status     int
	Type, Text string
}

// New returns a server that runs until the test ends.
func New(t testing.TB) *Server {
	t.Helper()
	s := &Server{schedules: make(map[string]Schedule)}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	s.URL = srv.URL
	return s
}

// Client is the SDK's client of the server.
func (s *Server) Client() *scheduler.Client {
	return scheduler.NewFromConfig(aws.Config{
		Region: "us-east-1", BaseEndpoint: &s.URL, RetryMaxAttempts: 1,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "any", SecretAccessKey: "any"}, nil
		}),
	})
}

// Fail makes every further call fail; nil: none.
func (s *Server) Fail(with *Failure) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failure = with
}

// Schedules returns what is kept, by group/name.
func (s *Server) Schedules() map[string]Schedule {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make(map[string]Schedule)
	for name, kept := range s.schedules {
		all[name] = kept
	}
	return all
}

// Run invokes the target of every schedule that is due by then, and deletes it.
func (s *Server) Run(ctx context.Context, client *sqs.Client, by time.Time) error {
	for key, kept := range s.Schedules() {
		at, err := time.Parse("at(2006-01-02T15:04:05)", kept.ScheduleExpression)
		if err != nil {
			return err
		}
		if at.After(by) {
			continue
		}
		var m schedule.Message
		if err := json.Unmarshal([]byte(kept.Target.Input), &m); err != nil {
			return err
		}
		if err := m.Send(ctx, client); err != nil {
			return err
		}
		s.mu.Lock()
		delete(s.schedules, key)
		s.mu.Unlock()
	}
	return nil
}

var nameForm = regexp.MustCompile(`^[0-9a-zA-Z-_.]{1,64}$`)

// ServeHTTP implements [http.Handler].
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls++
	name, found := strings.CutPrefix(r.URL.Path, "/schedules/")
	var in Schedule
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil {
			fail(w, Failure{http.StatusBadRequest, "SerializationException", err.Error()})
			return
		}
	} else {
		in.GroupName = r.URL.Query().Get("groupName")
	}
	if in.GroupName == "" {
		in.GroupName = "default"
	}
	key := in.GroupName + "/" + name
	kept, there := s.schedules[key]
	switch {
	case s.failure != nil:
		fail(w, *s.failure)
	case !found || !nameForm.MatchString(name):
		fail(w, Failure{http.StatusBadRequest, "ValidationException", "name: " + name})
	case r.Method == http.MethodPost && there:
		fail(w, Failure{http.StatusConflict, "ConflictException", "Schedule " + name + " already exists."})
	case r.Method == http.MethodPost:
		s.create(w, key, in)
	case !there:
		fail(w, Failure{http.StatusNotFound, "ResourceNotFoundException", "Schedule " + name + " does not exist."})
	case r.Method == http.MethodDelete:
		delete(s.schedules, key)
		answer(w, struct{}{})
	default:
		answer(w, struct {
			Name string
			Schedule
		}{name, kept})
	}
}

// create keeps a schedule that the reference allows.
func (s *Server) create(w http.ResponseWriter, key string, in Schedule) {
	at, err := time.Parse("at(2006-01-02T15:04:05)", in.ScheduleExpression)
	switch {
	case err != nil || at.Second() != 0:
		fail(w, Failure{http.StatusBadRequest, "ValidationException", "Invalid Schedule Expression " + in.ScheduleExpression})
	case in.FlexibleTimeWindow.Mode != "OFF", in.Target.Arn == "", in.Target.RoleArn == "", !json.Valid([]byte(in.Target.Input)):
		fail(w, Failure{http.StatusBadRequest, "ValidationException", "target or window"})
	default:
		s.schedules[key] = in
		answer(w, map[string]string{"ScheduleArn": "arn:aws:scheduler:us-east-1:000000000000:schedule/" + key})
	}
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(body)
}

// fail answers with an error, as the protocol restJson1 has it.
// https://smithy.io/2.0/aws/protocols/aws-restjson1-protocol.html#operation-error-serialization
func fail(w http.ResponseWriter, with Failure) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", with.Type)
	w.WriteHeader(with.Status)
	_ = json.NewEncoder(w).Encode(map[string]string{"Message": with.Text})
}
