package producerapi

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

const head = "POST /messages:batch HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"

func TestBudget(t *testing.T) {
	t.Run("a declared length costs nothing", func(t *testing.T) {
		served(t, nil, func(b *bench, l *pipeListener, _ context.CancelFunc) {
			for i := range 32 {
				conn := l.dialFrom("127.0.0.2")
				defer conn.Close()
				_, _ = fmt.Fprintf(conn, head, []int{maxBatchBody, maxBody, 1000}[i%3])
			}
			synctest.Wait()
			if used := b.api.pending.pending(); used != 32*requestOverhead {
				b.t.Errorf("%d bytes are charged before any has come", used)
			}
			for _, client := range []string{"127.0.0.1:1", "127.0.0.2:1"} {
				b.from(client, body("a")).want(http.StatusAccepted)
			}
		})
	})
	t.Run("a client that sends slowly leaves others their share", func(t *testing.T) {
		served(t, func(c *Config) { c.MaxPending = minPending }, func(b *bench, l *pipeListener, _ context.CancelFunc) {
			for range 4 {
				conn := l.dialFrom("127.0.0.2")
				defer conn.Close()
				go func() {
					_, _ = fmt.Fprintf(conn, head, maxBatchBody)
					_, _ = io.WriteString(conn, strings.Repeat(" ", maxBatchBody-1)) // until the API stops reading
				}()
			}
			synctest.Wait()
			if used := b.api.pending.pending(); used < minPending/4 || used > minPending/2 {
				b.t.Errorf("%d bytes are charged", used)
			}
			b.from("127.0.0.3:1", `{"name":"a","x":"`+strings.Repeat("x", maxBody/2)+`"}`).want(http.StatusAccepted)
			b.from("[2001:db8::1]:1", `{"name":"a","x":"`+strings.Repeat("x", maxBody/2)+`"}`).want(http.StatusAccepted)
		})
	})
	t.Run("all is given back", func(t *testing.T) {
		served(t, nil, func(b *bench, l *pipeListener, _ context.CancelFunc) {
			conn := l.dial()
			_, _ = fmt.Fprintf(conn, head, 1000)
			_, _ = io.WriteString(conn, "[")
			synctest.Wait()
			if used := b.api.pending.pending(); used != requestOverhead+1 {
				b.t.Errorf("%d bytes are charged", used)
			}
			_ = conn.Close()
			synctest.Wait()
			if len(b.api.pending.held) != 0 || b.api.pending.pending() != 0 {
				b.t.Errorf("held: %v", b.api.pending.held)
			}
		})
	})
}

// from posts with this remote address.
func (b *bench) from(remote, body string) reply {
	b.t.Helper()
	r := request(http.MethodPost, "/", body)
	r.RemoteAddr, r.Host = remote, "127.0.0.1"
	return b.serve(r)
}

// If any number of clients take as much as they can, the next one gets the same amount.
func TestBudgetShares(t *testing.T) {
	for n := 1; n <= 50; n++ {
		b := newBudget(1 << 20)
		for range 5 { // the clients take turns in small steps
			for i := range n {
				for b.take(fmt.Sprint(i), 100) {
				}
			}
		}
		most, least := int64(0), b.max
		for _, held := range b.held {
			most, least = max(most, held), min(least, held)
		}
		if b.used > b.max {
			t.Fatalf("%d clients hold %d of %d bytes", n, b.used, b.max)
		}
		if !b.take("late", least/2) {
			t.Errorf("%d clients hold from %d to %d bytes, and another one does not get %d", n, least, most, least/2)
		}
	}
}

func TestWrongTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", func(c *Config) { c.AuthTokens = []string{token, "other"} })
		try := func(remote, sent string, headers ...string) reply {
			r := request(http.MethodGet, "/messages/a", "", append(headers, "Authorization", "Bearer "+sent)...)
			r.RemoteAddr = remote
			return b.serve(r)
		}
		const guesser = "192.0.2.7:1"
		for range 5 {
			try(guesser, "guess").want(http.StatusUnauthorized)
		}
		limited := try("192.0.2.7:2", "guess", "X-Forwarded-For", "203.0.113.9").want(http.StatusTooManyRequests)
		if limited.Header().Get("Retry-After") != "1" {
			t.Errorf("headers are %v", limited.Header())
		}
		try("[::ffff:192.0.2.7]:3", "guess").want(http.StatusTooManyRequests)
		for _, right := range []string{token, "other"} {
			try(guesser, right).want(http.StatusNotFound)
		}
		try("192.0.2.8:1", "guess").want(http.StatusUnauthorized)
		r := request(http.MethodGet, "/messages/a", "")
		r.RemoteAddr = guesser
		b.serve(r).want(http.StatusUnauthorized) // a missing token does not count as a guess
		time.Sleep(time.Second)
		try(guesser, "guess").want(http.StatusUnauthorized)
	})
}
