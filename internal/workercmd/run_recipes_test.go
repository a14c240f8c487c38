package workercmd

import (
	"context"
	"encoding/base64"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// recipe is a section of docs/recipes.md.
type recipe struct {
	title, message string
	args           []string
	name           string // empty: ignored
	body           string // body at the target; empty: not checked
	attributes     map[string]types.MessageAttributeValue
	objects        map[string]string // in S3, by bucket/key
	headers        map[string]string // some headers at the target
}

var (
	recipeFlags     = regexp.MustCompile("(?s)```sh\nworker (.*?)\n```")
	recipeMessage   = regexp.MustCompile("(?s)```(?:json|text)\n(.*?)\n```")
	recipeName      = regexp.MustCompile("\nName: `(.*)`\n")
	recipeBody      = regexp.MustCompile("\nBody: `(.*)`\n")
	recipeObject    = regexp.MustCompile("\nObject `(.*)`:\\s`(.*)`\n")
	recipeHeader    = regexp.MustCompile("\nHeader `(.*)`: `(.*)`\n")
	recipeAttribute = regexp.MustCompile("\nAttribute `(.*)`: `(.*)`\n")
	shellWord       = regexp.MustCompile(`'[^']*'|"[^"]*"|\S+`)
)

func recipes(t *testing.T) []recipe {
	t.Helper()
	data, err := os.ReadFile("../../docs/recipes.md")
	if err != nil {
		t.Fatal(err)
	}
	var all []recipe
	for _, section := range strings.Split(string(data), "\n## ")[1:] {
		title, text, _ := strings.Cut(section, "\n")
		text += "\n"
		flags, message, name := recipeFlags.FindStringSubmatch(text), recipeMessage.FindStringSubmatch(text), recipeName.FindStringSubmatch(text)
		if flags == nil || message == nil || (name == nil) != strings.Contains(text, "\nIgnored\n") {
			t.Fatalf("%s: no flags, no message, or no name", title)
		}
		r := recipe{
			title: title, message: message[1], attributes: make(map[string]types.MessageAttributeValue),
			objects: make(map[string]string), headers: make(map[string]string),
		}
		if name != nil {
			r.name = name[1]
		}
		for _, word := range shellWord.FindAllString(flags[1], -1) {
			if word[0] == '\'' || word[0] == '"' {
				word = word[1 : len(word)-1]
			}
			r.args = append(r.args, word)
		}
		for _, a := range recipeAttribute.FindAllStringSubmatch(text, -1) {
			r.attributes[a[1]] = types.MessageAttributeValue{DataType: aws.String("String"), StringValue: &a[2]}
		}
		if body := recipeBody.FindStringSubmatch(text); body != nil {
			r.body = body[1]
		}
		for _, o := range recipeObject.FindAllStringSubmatch(text, -1) {
			r.objects[o[1]] = o[2]
		}
		for _, h := range recipeHeader.FindAllStringSubmatch(text, -1) {
			r.headers[h[1]] = h[2]
		}
		all = append(all, r)
	}
	return all
}

// again returns the message of the second delivery, with other times and ids where the sender or
// the envelope changes them.
func again(message string) string {
	if plain, err := base64.StdEncoding.DecodeString(message); err == nil {
		return base64.StdEncoding.EncodeToString([]byte(again(string(plain))))
	}
	return strings.NewReplacer(
		"00:54:06.655Z", "00:55:07.655Z", "2026-01-01T00:00:00", "2026-01-01T00:00:09", "22b80b92", "33b80b92", `"m-1"`, `"m-2"`,
		"6a7e8feb", "7a7e8feb", "18:43:48Z", "18:44:48Z", "17:31:00Z", "17:32:00Z", `"retries":0`, `"retries":1`, "cc562f4d", "dd562f4d",
	).Replace(message)
}

// send sends the message twice, like its sender.
func (r recipe) send(w *withS3) {
	w.t.Helper()
	for path, object := range r.objects {
		w.s3.objects[path], w.s3.objects[again(path)] = object, object
	}
	for _, body := range []string{r.message, again(r.message)} {
		if _, err := w.back.queue.SendMessage(w.t.Context(), &sqs.SendMessageInput{
			QueueUrl: &w.back.queueURL, MessageBody: &body, MessageAttributes: r.attributes,
		}); err != nil {
			w.t.Fatal(err)
		}
	}
}

// check checks the treatment of the messages. bodies are the bodies at the target.
func (r recipe) check(w *withS3, bodies []string) {
	w.t.Helper()
	if left, dead := w.depth(w.back.queueURL), w.depth(w.dlqURL); left != 0 || dead != 0 {
		w.t.Errorf("%d messages are left, %d dead letters", left, dead)
	}
	want := 1
	if r.name == "" {
		want = 0
	}
	if len(bodies) != want {
		w.t.Fatalf("the work was done %d times, want %d", len(bodies), want)
	}
	if r.body != "" && bodies[0] != r.body {
		w.t.Errorf("the work has got %s", bodies[0])
	}
	if r.name != "" && w.record(r.name).Status != protocol.Completed {
		w.t.Errorf("no completed record of %q", r.name)
	}
}

func TestRecipes(t *testing.T) {
	all := recipes(t)
	if len(all) < 15 {
		t.Fatalf("%d recipes", len(all))
	}
	for _, r := range all {
		t.Run(r.title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBesideS3(t, 3, http.StatusOK, r.args...)
				w.begin()
				r.send(w)
				w.await(time.Minute, w.isEmpty)
				w.end()
				r.check(w, w.got())
				for name, value := range r.headers {
					if got := w.heads[0].Get(name); got != value {
						t.Errorf("header %s: %q", name, got)
					}
				}
			})
		})
	}
}

// The same settings have the same effect in a program: the flags about names are the fields of
// [names.Config].
func TestRecipesLibrary(t *testing.T) {
	for _, r := range recipes(t) {
		t.Run(r.title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newBesideS3(t, 3, http.StatusOK, r.args...)
				config := sqsonce.Config{
					QueueURL: w.back.queueURL, Queue: w.back.queue, Store: w.store, Names: w.settings.keyConfig(),
					Guard: dedupe.Config{Logger: w.worker.log}, Pool: consumer.Config{Logger: w.worker.log},
				}
				if w.back.payloads != nil {
					config.Payloads = w.back.payloads
				}
				var mu sync.Mutex
				var bodies []string // guarded by mu
				worker, err := sqsonce.New(aws.Config{}, config, func(_ context.Context, m sqsonce.Message) (string, error) {
					mu.Lock()
					defer mu.Unlock()
					bodies = append(bodies, m.Body)
					return "done", nil
				})
				if err != nil {
					t.Fatal(err)
				}
				ctx, stop := context.WithCancel(t.Context())
				ended := make(chan error, 1)
				go func() { ended <- worker.Run(ctx) }()
				r.send(w)
				w.await(time.Minute, w.isEmpty)
				stop()
				if err := <-ended; err != nil {
					t.Errorf("Run: %v", err)
				}
				w.target.close()
				r.check(w, bodies)
			})
		})
	}
}
