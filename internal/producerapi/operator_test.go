package producerapi

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

const token = "0123456789abcdef"

// bearer is the Authorization header with the token.
var bearer = []string{"Authorization", "Bearer " + token}

// operatorBench is a bench with a token.
func operatorBench(t *testing.T, queue string) *bench {
	return newBench(t, queue, func(c *Config) { c.AuthTokens = []string{"other", token} })
}

func TestOperator(t *testing.T) {
	t.Run("forgotten name is gone and says from when", testForgottenNameIsGoneAndSaysFromWhen)
	t.Run("live lease is forgotten only by force", testLiveLeaseIsForgottenOnlyByForce)
	t.Run("stuck names are resolved or opened again", testStuckNamesAreResolvedOrOpenedAgain)
	t.Run("only a token opens the door", testOnlyATokenOpensTheDoor)
	t.Run("without a token no client is an operator", testWithoutATokenNoClientIsAnOperator)
}

func testForgottenNameIsGoneAndSaysFromWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := operatorBench(t, "orders")
		b.record("a", b.claim("a", body("a")), complete("1"))
		for range 2 { // the second one changes nothing
			got := decode[forgotten](b.do(http.MethodDelete, "/messages/a", "", bearer...).want(http.StatusAccepted))
			if want := time.Now().Add(time.Minute).UTC(); got.Name != "a" || got.Status != protocol.Forgotten || !got.EffectiveAt.Equal(want) {
				t.Errorf("answer is %+v, want %s", got, want)
			}
		}
		b.do(http.MethodGet, "/messages/a", "", bearer...).want(http.StatusNotFound)
		if r := b.record("a"); r.Status != protocol.Forgotten {
			t.Errorf("record is %+v", r)
		}
		b.do(http.MethodDelete, "/messages?name=never", "", bearer...).want(http.StatusAccepted)
	})
}

func testLiveLeaseIsForgottenOnlyByForce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := operatorBench(t, "orders")
		b.record("a", b.claim("a", body("a")))
		r := b.do(http.MethodDelete, "/messages/a", "", bearer...)
		r.wantField(http.StatusConflict, "name")
		if got := r.Header().Get("Retry-After"); got != "32" {
			t.Errorf("Retry-After is %q", got)
		}
		b.do(http.MethodDelete, "/messages/a?force=true", "", bearer...).want(http.StatusAccepted)

		b.record("b", b.claim("b", body("b")))
		time.Sleep(33 * time.Second)
		b.do(http.MethodDelete, "/messages/b", "", bearer...).want(http.StatusAccepted)
	})
}

func testStuckNamesAreResolvedOrOpenedAgain(t *testing.T) {
	b := operatorBench(t, "orders")
	for name, tc := range map[string]struct {
		events      []protocol.Event
		order       string
		status      int
		want, field string
	}{
		"unknown, done":             {[]protocol.Event{fail(protocol.FailUnknown, "?")}, `{"outcome":"completed","result":{"id":1}}`, 200, "COMPLETED", ""},
		"unknown, done, no result":  {[]protocol.Event{fail(protocol.FailUnknown, "?")}, `{"outcome":"completed"}`, 200, "COMPLETED", ""},
		"unknown, again":            {[]protocol.Event{fail(protocol.FailUnknown, "?")}, `{"outcome":"retry"}`, 200, "RETRYING", ""},
		"rejected, again":           {[]protocol.Event{fail(protocol.FailPermanent, "bad")}, `{"outcome":"retry"}`, 200, "RETRYING", ""},
		"rejected, done":            {[]protocol.Event{fail(protocol.FailPermanent, "bad")}, `{"outcome":"completed"}`, 409, "", "name"},
		"completed, again":          {[]protocol.Event{complete("1")}, `{"outcome":"retry"}`, 409, "", "name"},
		"in progress, again":        {nil, `{"outcome":"retry"}`, 409, "", "name"},
		"in progress, done":         {nil, `{"outcome":"completed"}`, 409, "", "name"},
		"no outcome":                {nil, `{}`, 400, "", "outcome"},
		"other outcome":             {nil, `{"outcome":"failed"}`, 400, "", "outcome"},
		"again with a result":       {nil, `{"outcome":"retry","result":1}`, 400, "", "result"},
		"unknown member":            {nil, `{"outcome":"retry","force":true}`, 400, "", "body"},
		"member twice":              {nil, `{"outcome":"retry","outcome":"completed"}`, 400, "", "body"},
		"member in another case":    {nil, `{"outcome":"retry","Outcome":"completed"}`, 400, "", "body"},
		"not JSON":                  {nil, `{`, 400, "", "body"},
		"more than one":             {nil, `{"outcome":"retry"} {}`, 400, "", "body"},
		"large result":              {nil, `{"outcome":"completed","result":"` + strings.Repeat("x", 5000) + `"}`, 400, "", "result"},
		"larger than any order is":  {nil, `{"outcome":"completed","result":"` + strings.Repeat("x", maxOrder) + `"}`, 413, "", "body"},
		"retrying stays as it is":   {[]protocol.Event{fail(protocol.FailRetryable, "later")}, `{"outcome":"retry"}`, 200, "RETRYING", ""},
		"completed stays completed": {[]protocol.Event{complete("1")}, `{"outcome":"completed"}`, 200, "COMPLETED", ""},
	} {
		t.Run(name, func(t *testing.T) {
			b.record(name, b.claim(name, body(name)))
			before := b.record(name, tc.events...)
			r := b.do(http.MethodPost, location(name)+"/resolve", tc.order, bearer...)
			r.t = t
			if tc.status != http.StatusOK {
				r.wantField(tc.status, tc.field)
				if after := b.record(name); after.Version != before.Version {
					t.Errorf("the record was written: %+v", after)
				}
				return
			}
			if got := decode[Record](r.want(tc.status)); string(got.Status) != tc.want {
				t.Errorf("record is %+v", got)
			}
		})
	}
	b.do(http.MethodPost, "/messages/never/resolve", `{"outcome":"retry"}`, bearer...).wantField(http.StatusNotFound, "name")
	b.do(http.MethodPost, "/messages/never/resolve", "", bearer...).wantField(http.StatusUnsupportedMediaType, "Content-Type")
}

func testOnlyATokenOpensTheDoor(t *testing.T) {
	b := operatorBench(t, "orders")
	tries := 0
	for _, target := range []string{"/messages/a", "/queue", "/dlq"} {
		for _, header := range []string{"", "Basic " + token, "Bearer", "Bearer ", "Bearer wrong", "Bearer " + token + "x", token} {
			var headers []string
			if header != "" {
				headers = []string{"Authorization", header}
			}
			tries++
			try := request(http.MethodGet, target, "", headers...)
			try.RemoteAddr = fmt.Sprintf("198.51.100.%d:1", tries) // wrong tokens are limited by address
			r := b.serve(try)
			r.wantField(http.StatusUnauthorized, "Authorization")
			if got := r.Header().Get("WWW-Authenticate"); !strings.HasPrefix(got, "Bearer") {
				t.Errorf("WWW-Authenticate is %q", got)
			}
		}
	}
	b.post(body("a")).want(http.StatusUnauthorized)
	for _, good := range []string{"Bearer " + token, "bearer " + token, "Bearer other", "Bearer  " + token} {
		b.post(body("a"), "Authorization", good).want(http.StatusAccepted)
	}
	for _, open := range []string{"/healthz", "/readyz", "/openapi.json"} {
		b.do(http.MethodGet, open, "").want(http.StatusOK)
	}
}

func TestRecordedResultStays(t *testing.T) {
	b := operatorBench(t, "orders")
	b.record("a", b.claim("a", body("a")), complete(`{"x":1,"y":[2]}`))
	resolve := func(result string) reply {
		return b.do(http.MethodPost, "/messages/a/resolve", `{"outcome":"completed","result":`+result+`}`, bearer...)
	}
	resolve(`{"y":[2], "x":1.0}`).want(http.StatusOK)
	resolve(`{"x":2,"y":[2]}`).wantField(http.StatusConflict, "result")
	b.do(http.MethodPost, "/messages/a/resolve", `{"outcome":"completed"}`, bearer...).want(http.StatusOK)
	if r := b.record("a"); string(r.Result) != `{"x":1,"y":[2]}` {
		t.Errorf("the record is %+v", r)
	}
}

func TestLocalOperators(t *testing.T) {
	b := newBench(t, "orders", func(c *Config) { c.LocalOperators = true })
	b.record("a", b.claim("a", body("a")), complete("1"))
	for name, tc := range map[string]struct {
		remote, host string
		header       [2]string
		status       int
	}{
		"this machine":                {"127.0.0.1:4", "127.0.0.1:8080", [2]string{}, 202},
		"this machine by IPv6":        {"[::1]:4", "localhost:8080", [2]string{}, 202},
		"elsewhere":                   {"192.0.2.7:4", "10.0.0.1", [2]string{}, 401},
		"a proxy on this machine":     {"127.0.0.1:4", "localhost", [2]string{"X-Forwarded-For", "192.0.2.7"}, 401},
		"another site in a browser":   {"127.0.0.1:4", "localhost", [2]string{"Sec-Fetch-Site", "cross-site"}, 401},
		"another site, older browser": {"127.0.0.1:4", "localhost", [2]string{"Origin", "http://evil.example"}, 401},
		"a foreign name":              {"127.0.0.1:4", "rebound.example", [2]string{}, 421},
	} {
		r := request(http.MethodDelete, "/messages/a", "")
		r.RemoteAddr, r.Host = tc.remote, tc.host
		if tc.header[0] != "" {
			r.Header.Set(tc.header[0], tc.header[1])
		}
		if got := b.serve(r); got.Code != tc.status {
			t.Errorf("%s: answered %d, want %d: %s", name, got.Code, tc.status, got.Body)
		}
	}
	closed := newBench(t, "orders", func(c *Config) { c.LocalOperators, c.AuthTokens = true, []string{token} })
	r := request(http.MethodDelete, "/messages/a", "")
	r.RemoteAddr, r.Host = "127.0.0.1:4", "localhost"
	closed.serve(r).want(http.StatusUnauthorized) // without the token
}

func testWithoutATokenNoClientIsAnOperator(t *testing.T) {
	b := newBench(t, "orders", nil)
	b.record("a", b.claim("a", body("a")), complete("1"))
	for _, r := range []reply{
		b.do(http.MethodDelete, "/messages/a", ""),
		b.do(http.MethodDelete, "/messages/a", "", "Authorization", "Bearer "),
		b.do(http.MethodPost, "/messages/a/resolve", `{"outcome":"retry"}`),
		b.do(http.MethodGet, "/dlq", ""),
		b.do(http.MethodDelete, "/dlq", ""),
		b.do(http.MethodPost, "/dlq/redrive", `{}`),
	} {
		r.wantField(http.StatusUnauthorized, "Authorization")
	}
	b.do(http.MethodGet, "/messages/a", "").want(http.StatusOK)
}
