package workercmd

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
)

// beanstalkApp is a target that checks requests like a public library for worker environments. It
// returns a description of its work, and a status.
type beanstalkApp func(r *http.Request, body []byte) (done string, status int)

const railsSecret = "secret_key_base"

func railsDigest(body string) string {
	mac := hmac.New(sha256.New, []byte(railsSecret))
	_, _ = io.WriteString(mac, body)
	return hex.EncodeToString(mac.Sum(nil))
}

// railsApp is ActiveElasticJob's middleware: the User-Agent must begin with aws-sqsd, a job needs a
// digest, a periodic task a path and a class; other requests are the app's own.
// https://github.com/active-elastic-job/active-elastic-job/blob/master/lib/active_elastic_job/rack/sqs_message_consumer.rb
func railsApp(r *http.Request, body []byte) (string, int) {
	if !strings.HasPrefix(r.Header.Get("User-Agent"), "aws-sqsd") {
		return "", http.StatusNotFound
	}
	switch digest := r.Header.Get("X-Aws-Sqsd-Attr-Message-Digest"); {
	case strings.HasPrefix(r.URL.RequestURI(), "/periodic_tasks"):
		return r.Header.Get("X-Aws-Sqsd-Taskname"), http.StatusOK
	case digest == "" && r.Header.Get("X-Aws-Sqsd-Attr-Origin") != "AEJ":
		return "", http.StatusNotFound
	case digest != railsDigest(string(body)):
		return "", http.StatusForbidden
	}
	var job struct {
		ID string `json:"job_id"`
	}
	if json.Unmarshal(body, &job) != nil {
		return "", http.StatusInternalServerError
	}
	return job.ID, http.StatusOK
}

// djangoApp is django-eb-sqs-worker's view: the User-Agent must contain aws-sqsd. A task name in
// the headers means a periodic task, for which it reads the sender; other requests are JSON.
// https://github.com/DataGreed/django-eb-sqs-worker/blob/master/eb_sqs_worker/views.py
func djangoApp(r *http.Request, body []byte) (string, int) {
	if !strings.Contains(r.Header.Get("User-Agent"), "aws-sqsd") {
		return "", http.StatusBadRequest
	}
	if task := r.Header.Get("X-Aws-Sqsd-Taskname"); task != "" {
		if r.Header.Get("X-Aws-Sqsd-Scheduled-At") == "" || r.Header.Get("X-Aws-Sqsd-Sender-Id") == "" || r.Header.Get("X-Aws-Sqsd-Sent-At") == "" {
			return "", http.StatusInternalServerError
		}
		return task, http.StatusOK
	}
	var task struct{ Task string }
	if json.Unmarshal(body, &task) != nil || task.Task == "" {
		return "", http.StatusInternalServerError
	}
	return task.Task, http.StatusOK
}

// laravelApp is laravel-aws-worker's controller: three headers are required, and the body is JSON.
// The schedule has its own path.
// https://github.com/dusterio/laravel-aws-worker/blob/master/src/Controllers/WorkerController.php
func laravelApp(r *http.Request, body []byte) (string, int) {
	if r.URL.Path == "/worker/schedule" {
		return "schedule", http.StatusOK
	}
	for _, name := range []string{"X-Aws-Sqsd-Queue", "X-Aws-Sqsd-Msgid", "X-Aws-Sqsd-Receive-Count"} {
		if r.Header.Get(name) == "" {
			return "", http.StatusInternalServerError
		}
	}
	var job struct{ Job, UUID string }
	if json.Unmarshal(body, &job) != nil || job.Job == "" {
		return "", http.StatusInternalServerError
	}
	return job.UUID, http.StatusOK
}

func TestBeanstalk(t *testing.T) {
	const rails = `{"job_class":"MailJob","job_id":"b2b1a5a6","queue_name":"default","arguments":[1]}`
	periodic := func(task, path string) map[string]string {
		return map[string]string{
			"beanstalk.sqsd.task_name": task, "beanstalk.sqsd.scheduled_time": "2026-01-02T03:04:05Z", "beanstalk.sqsd.path": path,
		}
	}
	sqsd := []string{"--sqsd"}
	for name, tc := range map[string]struct {
		app        beanstalkApp
		args       []string
		body       string
		attributes map[string]string
		done       string // empty: the app refuses the request
	}{
		"rails job":              {railsApp, sqsd, rails, map[string]string{"message-digest": railsDigest(rails), "origin": "AEJ"}, "b2b1a5a6"},
		"rails task":             {railsApp, sqsd, "elasticbeanstalk scheduled job", periodic("NightlyJob", "/periodic_tasks"), "NightlyJob"},
		"rails without the flag": {railsApp, []string{"--key", "job_id"}, rails, map[string]string{"message-digest": railsDigest(rails)}, ""},
		"django task":            {djangoApp, sqsd, `{"task":"mail","arguments":{}}`, nil, "mail"},
		"django periodic task":   {djangoApp, sqsd, "elasticbeanstalk scheduled job", periodic("nightly", "/sqs/"), "nightly"},
		"django without the flag": {
			djangoApp, []string{"--key", "@message-id"}, `{"task":"mail","arguments":{}}`, nil, "",
		},
		"laravel job":      {laravelApp, sqsd, `{"uuid":"u-1","job":"Illuminate\\Queue\\CallQueuedHandler@call","data":{}}`, nil, "u-1"},
		"laravel schedule": {laravelApp, sqsd, "elasticbeanstalk scheduled job", periodic("schedule", "/worker/schedule"), "schedule"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				var done []string // guarded by mu
				b := newInBubble(t, 3, func(w http.ResponseWriter, r *http.Request) {
					body, _ := io.ReadAll(r.Body)
					what, status := tc.app(r, body)
					mu.Lock()
					if status == http.StatusOK {
						done = append(done, what)
					}
					mu.Unlock()
					w.WriteHeader(status)
				}, tc.args...)
				b.begin()
				sendWith(t, b.back.queue, b.back.queueURL, tc.body, tc.attributes)
				b.await(10*time.Minute, func() bool { return b.depth(b.back.queueURL) == 0 })
				b.end()
				if tc.done == "" {
					if len(done) != 0 {
						t.Errorf("done: %q", done)
					}
					return
				}
				if len(done) != 1 || done[0] != tc.done || b.depth(b.dlqURL) != 0 || b.depth(b.back.queueURL) != 0 {
					t.Errorf("done: %q, %d dead letters", done, b.depth(b.dlqURL))
				}
			})
		})
	}
}

// As with the daemon, only 200 deletes a message. Every other answer is retried, including those
// that would reject the message otherwise.
func TestBeanstalkAnswers(t *testing.T) {
	for _, status := range []int{http.StatusCreated, http.StatusNoContent, http.StatusBadRequest, http.StatusGone, http.StatusUnprocessableEntity, http.StatusInternalServerError} {
		t.Run(http.StatusText(status), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var mu sync.Mutex
				hits := 0 // guarded by mu
				b := newInBubble(t, 10, func(w http.ResponseWriter, _ *http.Request) {
					mu.Lock()
					defer mu.Unlock()
					if hits++; hits < 3 {
						w.WriteHeader(status)
					}
				}, "--sqsd")
				b.begin()
				// An attribute that is not a string.
				if _, err := b.back.queue.SendMessage(t.Context(), &sqs.SendMessageInput{
					QueueUrl: &b.back.queueURL, MessageBody: aws.String("paid"),
					MessageAttributes: map[string]types.MessageAttributeValue{"n": {DataType: aws.String("Number"), StringValue: aws.String("17")}},
				}); err != nil {
					t.Fatal(err)
				}
				if !b.await(time.Hour, func() bool { return b.depth(b.back.queueURL) == 0 }) {
					t.Error("the message is left")
				}
				b.end()
				if hits != 3 || b.depth(b.dlqURL) != 0 {
					t.Errorf("%d requests, %d dead letters", hits, b.depth(b.dlqURL))
				}
			})
		})
	}
}
