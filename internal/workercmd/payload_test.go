package workercmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/sync/semaphore"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/internal/testutil"
)

// fakeS3 implements GetObject:
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_GetObject.html
type fakeS3 struct {
	mu      sync.Mutex
	objects map[string]string                                 // guarded by mu; by "bucket/key"
	fails   func(w http.ResponseWriter, r *http.Request) bool // guarded by mu; answers instead if true; may be nil
	gets    map[string]int                                    // guarded by mu
}

func (f *fakeS3) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	path := strings.TrimPrefix(r.URL.Path, "/")
	object, found := f.objects[path]
	fails := f.fails
	f.gets[path]++
	f.mu.Unlock()
	switch {
	case fails != nil && fails(w, r):
	case !found:
		refuse(w, http.StatusNotFound, "NoSuchKey")
	default:
		w.Header().Set("Content-Length", strconv.Itoa(len(object)))
		_, _ = io.WriteString(w, object)
	}
}

// refuse writes an error of S3.
// https://docs.aws.amazon.com/AmazonS3/latest/API/ErrorResponses.html
func refuse(w http.ResponseWriter, status int, code string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	_, _ = fmt.Fprintf(w, "<?xml version=\"1.0\"?>\n<Error><Code>%s</Code><Message>%s, says the test</Message></Error>", code, code)
}

func (f *fakeS3) failWith(fails func(w http.ResponseWriter, r *http.Request) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fails = fails
}

func (f *fakeS3) asked(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.gets[path]
}

// withS3 is a worker in a bubble with --s3-payloads.
type withS3 struct {
	*inBubble
	s3 *fakeS3

	mu     sync.Mutex
	bodies []string      // guarded by mu; bodies at the target
	heads  []http.Header // guarded by mu
}

// newWithS3 creates a worker whose target answers status.
func newWithS3(t *testing.T, maxReceives, status int, args ...string) *withS3 {
	t.Helper()
	return newBesideS3(t, maxReceives, status, append([]string{"--s3-payloads"}, args...)...)
}

// newBesideS3 is newWithS3 with only these flags.
func newBesideS3(t *testing.T, maxReceives, status int, args ...string) *withS3 {
	t.Helper()
	w := &withS3{s3: &fakeS3{objects: make(map[string]string), gets: make(map[string]int)}}
	w.inBubble = newInBubble(t, maxReceives, func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.mu.Lock()
		w.bodies, w.heads = append(w.bodies, string(body)), append(w.heads, r.Header)
		w.mu.Unlock()
		rw.WriteHeader(status)
	}, args...)
	server := newPipedTarget(w.s3.ServeHTTP)
	t.Cleanup(server.close)
	w.back.payloads = w.settings.newPayloads(aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String("http://s3.invalid"),
		Credentials: testutil.Credentials("any", "any"),
		HTTPClient: &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				return server.dial(ctx, network, addr)
			},
			DisableKeepAlives: true,
		}},
	}, w.worker.log)
	if err := w.newPool(); err != nil {
		t.Fatal(err)
	}
	return w
}

// pointAt sends a pointer to b/KEY, with a size unless it is empty.
func (w *withS3) pointAt(key, size string) {
	w.t.Helper()
	in := &sqs.SendMessageInput{QueueUrl: &w.back.queueURL, MessageBody: aws.String(pointerTo(key))}
	if size != "" {
		in.MessageAttributes = map[string]types.MessageAttributeValue{
			"ExtendedPayloadSize": {DataType: aws.String("Number"), StringValue: &size},
		}
	}
	if _, err := w.back.queue.SendMessage(w.t.Context(), in); err != nil {
		w.t.Fatal(err)
	}
}

func pointerTo(key string) string {
	return fmt.Sprintf(`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":%q}]`, key)
}

func (w *withS3) put(key, object string) {
	w.s3.mu.Lock()
	defer w.s3.mu.Unlock()
	w.s3.objects["b/"+key] = object
}

func (w *withS3) got() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.bodies...)
}

func (w *withS3) isEmpty() bool { return w.depth(w.back.queueURL) == 0 }

// Two pointers to the same payload are duplicates, even with different keys.
func TestPayload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWithS3(t, 3, http.StatusOK)
		large := `{"name":"o-1","text":"` + strings.Repeat("x", 2<<20) + `"}`
		w.put("first", large)
		w.put("again", large)
		w.begin()
		w.pointAt("first", strconv.Itoa(len(large)))
		w.pointAt("again", "") // without the attribute
		if !w.await(time.Minute, w.isEmpty) {
			t.Error("messages are left")
		}
		w.end()
		if got := w.got(); len(got) != 1 || got[0] != large {
			t.Fatalf("the target got %d bodies", len(got))
		}
		head := w.heads[0]
		if head.Get("X-Sqsonce-Envelope") != "s3" || head.Get("X-Sqsonce-S3-Bucket") != "b" || head.Get("X-Sqsonce-S3-Key") == "" {
			t.Errorf("headers %v", head)
		}
		if size := head["X-Aws-Sqsd-Attr-Extendedpayloadsize"]; size != nil {
			t.Errorf("the target gets the size of a payload in S3: %q", size)
		}
		if r := w.record("o-1"); r.Status != protocol.Completed || r.Attempts != 1 {
			t.Errorf("record %+v", r)
		}
		if w.s3.asked("b/first") != 1 || w.s3.asked("b/again") != 1 {
			t.Errorf("S3 was asked %v", w.s3.gets)
		}
	})
}

// The dead letter holds the pointer, under the name in the payload.
func TestPayloadDeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWithS3(t, 3, http.StatusUnprocessableEntity)
		w.put("k", body("o-1"))
		w.begin()
		w.pointAt("k", "")
		if !w.await(time.Minute, w.isEmpty) {
			t.Error("the message is left")
		}
		w.end()
		dead := w.dead()
		if len(dead) != 1 || *dead[0].Body != pointerTo("k") || attribute(dead[0], "sqsonce.name") != "o-1" || attribute(dead[0], "sqsonce.reason") != "rejected" {
			t.Errorf("dead letters %+v", dead)
		}
	})
}

// A message with a bad pointer is dead-lettered at once or after its receives. No attempt counts.
func TestPayloadFaults(t *testing.T) {
	big := `{"name":"o-1","text":"` + strings.Repeat("x", 2000) + `"}`
	for name, tc := range map[string]struct {
		args           []string
		size           string
		fails          func(http.ResponseWriter, *http.Request) bool
		object         string // instead of big
		reason, text   string
		receives, gets int
	}{
		"not text":              {object: "{\"name\":\"o-1\",\"x\":\"\xff\xfe\"}", reason: "bad message", text: "UTF-8", receives: 1, gets: 1},
		"a picture":             {object: "\x89PNG\r\n\x1a\n\x00\x00", reason: "bad message", text: "UTF-8", receives: 1, gets: 1},
		"blank":                 {object: " ", reason: "bad message", text: "JSON", receives: 1, gets: 1},
		"another pointer":       {object: pointerTo("k"), reason: "bad message", text: "name", receives: 1, gets: 1},
		"without a name":        {object: `{"id":1}`, reason: "bad message", text: "name", receives: 1, gets: 1},
		"a thousand deep":       {object: `{"name":"o-1","x":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`, reason: "bad message", text: "512", receives: 1, gets: 1},
		"missing":               {size: "5", reason: "payload missing", text: "NoSuchKey", receives: 1, gets: 1},
		"too large":             {args: []string{"--s3-max", "1024"}, reason: "payload too large", text: "has 2024 bytes, more than --s3-max 1024", receives: 1, gets: 1},
		"too large, it says":    {args: []string{"--s3-max", "1024"}, size: "2024", reason: "payload too large", text: "--s3-max 1024", receives: 1},
		"denied":                {fails: denied, reason: "payload not readable", text: "AccessDenied", receives: 3, gets: 3},
		"another Region":        {fails: status(http.StatusMovedPermanently, "PermanentRedirect"), reason: "payload not readable", text: "PermanentRedirect", receives: 3, gets: 3},
		"no such bucket":        {fails: status(http.StatusNotFound, "NoSuchBucket"), reason: "payload not readable", text: "NoSuchBucket", receives: 3, gets: 3},
		"archived":              {fails: status(http.StatusForbidden, "InvalidObjectState"), reason: "payload not readable", text: "InvalidObjectState", receives: 3, gets: 3},
		"an answer without XML": {fails: status(http.StatusBadRequest, ""), reason: "payload not readable", text: "400", receives: 3, gets: 3},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWithS3(t, 3, http.StatusOK, tc.args...)
				if name != "missing" {
					w.put("k", cmp.Or(tc.object, big))
				}
				w.s3.failWith(tc.fails)
				w.begin()
				w.pointAt("k", tc.size)
				if !w.await(10*time.Minute, w.isEmpty) {
					t.Error("the message is left")
				}
				w.end()
				dead := w.dead()
				if len(dead) != 1 || attribute(dead[0], "sqsonce.reason") != tc.reason || !strings.Contains(attribute(dead[0], "sqsonce.error"), tc.text) {
					t.Fatalf("dead letters %+v", dead)
				}
				if got := attribute(dead[0], "sqsonce.attempts"); got != strconv.Itoa(tc.receives) {
					t.Errorf("%s receives, want %d", got, tc.receives)
				}
				if got := w.s3.asked("b/k"); got != tc.gets {
					t.Errorf("S3 was asked %d times, want %d", got, tc.gets)
				}
				if len(w.got()) != 0 {
					t.Errorf("the target got %q", w.got())
				}
			})
		})
	}
}

func status(code int, name string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, _ *http.Request) bool {
		if name == "" {
			http.Error(w, "a proxy does not like it", code)
		} else {
			refuse(w, code, name)
		}
		return true
	}
}

var denied = status(http.StatusForbidden, "AccessDenied")

// If S3, the network or a permission fails, no message loses a receive: all are held, and handled
// afterwards.
func TestPayloadTrouble(t *testing.T) {
	for name, fails := range map[string]func(http.ResponseWriter, *http.Request) bool{
		"every one denied": denied,
		"slow down":        status(http.StatusServiceUnavailable, "SlowDown"),
		"server error":     status(http.StatusInternalServerError, "InternalError"),
		"expired token":    status(http.StatusBadRequest, "ExpiredToken"),
		"bad gateway":      status(http.StatusBadGateway, ""),
		"broken off": func(w http.ResponseWriter, _ *http.Request) bool {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"name":`)
			return true
		},
		"hangs": func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true },
		"hangs in the middle": func(w http.ResponseWriter, r *http.Request) bool {
			w.Header().Set("Content-Length", "1000")
			_, _ = io.WriteString(w, `{"name":`)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return true
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const messages = 8
				w := newWithS3(t, 2, http.StatusOK)
				w.s3.failWith(fails)
				w.begin()
				for i := range messages {
					w.put(fmt.Sprint(i), body(fmt.Sprint("o-", i)))
					w.pointAt(fmt.Sprint(i), "")
				}
				time.Sleep(20 * time.Minute)
				if dead := w.depth(w.dlqURL); dead != 0 {
					t.Errorf("%d dead letters while S3 was down", dead)
				}
				w.s3.failWith(nil)
				if !w.await(time.Hour, w.isEmpty) {
					t.Error("messages are left")
				}
				w.end()
				if got := w.got(); len(got) != messages || w.depth(w.dlqURL) != 0 {
					t.Errorf("%d of %d done, %d dead letters", len(got), messages, w.depth(w.dlqURL))
				}
			})
		})
	}
}

// A message that waits for its payload in a shutdown goes back to the queue.
func TestPayloadStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWithS3(t, 3, http.StatusOK, "--drain-timeout", "1s")
		w.s3.failWith(func(_ http.ResponseWriter, r *http.Request) bool { <-r.Context().Done(); return true })
		w.begin()
		w.pointAt("k", "")
		if !w.await(time.Minute, func() bool { return w.s3.asked("b/k") == 1 }) {
			t.Error("S3 was not asked")
		}
		w.end()
		if visible, _ := counts(t, w.back.queue, w.back.queueURL); visible != "1" || w.depth(w.dlqURL) != 0 {
			t.Errorf("%s messages visible, %d dead letters", visible, w.depth(w.dlqURL))
		}
	})
}

// All payloads in memory share a bound, even if their pointers state wrong sizes.
func TestPayloadMemory(t *testing.T) {
	for name, size := range map[string]string{"not said": "", "said": "1000", "said less": "1", "said more": "1024"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const messages, room = 12, 3
				w := newWithS3(t, 3, http.StatusOK, "--s3-max", "1024")
				memory := semaphore.NewWeighted(room * 1024)
				w.back.payloads.memory = memory
				var mu sync.Mutex
				var now, most int // guarded by mu
				w.target.server.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
					mu.Lock()
					now++
					most = max(most, now)
					mu.Unlock()
					time.Sleep(10 * time.Second)
					mu.Lock()
					now--
					mu.Unlock()
				})
				w.begin()
				for i := range messages {
					name := fmt.Sprint("o-", i)
					w.put(name, fmt.Sprintf(`{"name":%q,"text":%q}`, name, strings.Repeat("x", 1000-len(name)-len(`{"name":"","text":""}`))))
					w.pointAt(name, size)
				}
				if !w.await(10*time.Minute, w.isEmpty) {
					t.Error("messages are left")
				}
				w.end()
				if most > room {
					t.Errorf("%d payloads at a time, want %d at most", most, room)
				}
				if most < 2 {
					t.Error("one payload at a time")
				}
				if !memory.TryAcquire(room * 1024) {
					t.Error("memory is not given back")
				}
			})
		})
	}
}
