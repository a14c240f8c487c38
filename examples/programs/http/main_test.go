package main

import (
	"context"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
)

func TestServe(t *testing.T) {
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, memstore.New(), dedupe.Config{Scope: "charges"}, listener) }()
	locations := map[string]string{}
	for _, tc := range []struct {
		client, key, body string
		status            int
	}{
		{"a", `"1"`, `{"amount":5}`, 201}, {"a", `"1"`, `{"amount":5}`, 201}, {"a", `"1"`, `{"amount":6}`, 422},
		{"b", `"1"`, `{"amount":6}`, 201}, {"", `"1"`, `{"amount":6}`, 403}, {"a", "1", "{}", 400},
		{"a", `"2"`, `{"amount":5000}`, 402}, {"a", `"2"`, `{"amount":5000}`, 402}, {"a", `"3"`, `{`, 400},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+listener.Addr().String()+"/charges", strings.NewReader(tc.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Idempotency-Key", tc.key)
		req.Header.Set("X-Api-Client", tc.client)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
		if resp.StatusCode != tc.status {
			t.Errorf("%+v: answered %d", tc, resp.StatusCode)
		}
		location := resp.Header.Get("Location")
		if before, ok := locations[tc.client+tc.key]; ok && tc.status == 201 && before != location {
			t.Errorf("charged as %s, then as %s", before, location)
		}
		if tc.status == 201 {
			locations[tc.client+tc.key] = location
		}
	}
	if locations[`a"1"`] == locations[`b"1"`] || locations[`a"1"`] == "" {
		t.Errorf("charged as %v", locations)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
