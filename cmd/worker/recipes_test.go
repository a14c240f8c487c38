package main

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// recipe is a section of docs/recipes.md.
type recipe struct {
	title, message string
	args           []string
	name           string // empty: ignored
	attributes     map[string]types.MessageAttributeValue
}

var (
	recipeFlags     = regexp.MustCompile("(?s)```sh\nworker (.*?)\n```")
	recipeMessage   = regexp.MustCompile("(?s)```json\n(.*?)\n```")
	recipeName      = regexp.MustCompile("\nName: `(.*)`\n")
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
		r := recipe{title: title, message: message[1], attributes: make(map[string]types.MessageAttributeValue)}
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
		all = append(all, r)
	}
	return all
}

// again is the message as it comes the second time: where the sender or the
// envelope would change times and ids, with others.
func again(message string) string {
	return strings.NewReplacer(
		"00:54:06.655Z", "00:55:07.655Z", "2026-01-01T00:00:00", "2026-01-01T00:00:09", "22b80b92", "33b80b92", `"m-1"`, `"m-2"`,
		"6a7e8feb", "7a7e8feb", "18:43:48Z", "18:44:48Z", "17:31:00Z", "17:32:00Z", `"retries":0`, `"retries":1`, "cc562f4d", "dd562f4d",
	).Replace(message)
}

func TestRecipes(t *testing.T) {
	all := recipes(t)
	if len(all) < 10 {
		t.Fatalf("%d recipes", len(all))
	}
	for _, r := range all {
		t.Run(r.title, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var hits atomic.Int32
				b := newInBubble(t, 3, func(w http.ResponseWriter, _ *http.Request) {
					hits.Add(1)
					w.WriteHeader(http.StatusOK)
				}, r.args...)
				b.begin()
				for _, body := range []string{r.message, again(r.message)} {
					if _, err := b.back.queue.SendMessage(t.Context(), &sqs.SendMessageInput{
						QueueUrl: &b.back.queueURL, MessageBody: &body, MessageAttributes: r.attributes,
					}); err != nil {
						t.Fatal(err)
					}
				}
				if !b.await(time.Minute, func() bool { return b.depth(b.back.queueURL) == 0 }) {
					t.Error("messages are left")
				}
				b.end()
				if dead := b.depth(b.dlqURL); dead != 0 {
					t.Errorf("%d dead letters", dead)
				}
				want := int32(1)
				if r.name == "" {
					want = 0
				}
				if got := hits.Load(); got != want {
					t.Errorf("the target was asked %d times, want %d", got, want)
				}
				if r.name != "" && b.record(r.name).Status != protocol.Completed {
					t.Errorf("no completed record of %q", r.name)
				}
			})
		})
	}
}
