package admin

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"
)

func TestClientAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.1:1234":              "192.0.2.1",
		"[::ffff:192.0.2.1]:1234":     "192.0.2.1",
		"[2001:db8:0:1:2:3:4:5]:1234": "2001:db8:0:1::/64",
		"[2001:db8:0:1:9::]:80":       "2001:db8:0:1::/64",
		"[fe80::1%eth0]:80":           "fe80::/64",
		"@":                           "@",
		"":                            "",
	} {
		if got := ClientAddress(remote); got != want {
			t.Errorf("%q is %q, want %q", remote, got, want)
		}
	}
}

func TestRates(t *testing.T) {
	t.Run("clients are bounded", func(t *testing.T) {
		r, now := NewRates(1, 1), time.Now()
		for i := range maxClients + 500 {
			if !r.Limiter(fmt.Sprint(i), now).AllowN(now, 1) {
				t.Fatalf("client %d has no burst of its own", i)
			}
		}
		if len(r.clients) > maxClients {
			t.Errorf("%d clients are remembered", len(r.clients))
		}
	})
	t.Run("a client that has been slow goes first", func(t *testing.T) {
		r, now := NewRates(1, 2), time.Now()
		for i := range maxClients {
			r.Limiter(fmt.Sprint(i), now) // has asked for nothing yet
		}
		r.Limiter("7", now).AllowN(now, 2)
		r.Limiter("new", now)
		if r.Limiter("7", now).AllowN(now, 1) {
			t.Error("a client that has used up its burst was forgotten before idle ones")
		}
	})
}

// Wrong tokens are limited by address, and headers do not change that address. The right token
// passes beside any number of wrong ones.
func TestGuesses(t *testing.T) {
	const token = "correct-horse-battery"
	synctest.Test(t, func(t *testing.T) {
		h := New(Config{Token: token, Queues: []Queue{{Name: "q", Pause: func() {}}}})
		try := func(remote, sent string, headers ...string) int {
			r := httptest.NewRequest(http.MethodPost, "/pause", http.NoBody)
			r.RemoteAddr = remote
			r.Header.Set("Authorization", "Bearer "+sent)
			for i := 0; i < len(headers); i += 2 {
				r.Header.Set(headers[i], headers[i+1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Code
		}
		for i := range guessBurst {
			forged := fmt.Sprintf("203.0.113.%d", i)
			if code := try(fmt.Sprintf("192.0.2.7:%d", 1000+i), fmt.Sprint("guess", i), "X-Forwarded-For", forged, "Forwarded", "for="+forged); code != http.StatusUnauthorized {
				t.Fatalf("guess %d answers %d", i, code)
			}
		}
		for what, code := range map[string]int{
			"a forged address":      try("192.0.2.7:2000", "guess", "X-Forwarded-For", "203.0.113.99"),
			"the address in IPv6":   try("[::ffff:192.0.2.7]:2000", "guess"),
			"the token's beginning": try("192.0.2.7:2000", token[:len(token)-1]),
		} {
			if code != http.StatusTooManyRequests {
				t.Errorf("after %d guesses, %s answers %d", guessBurst, what, code)
			}
		}
		if code := try("192.0.2.7:3000", token); code != http.StatusAccepted {
			t.Errorf("the token itself answers %d", code)
		}
		if code := try("192.0.2.8:1", "guess"); code != http.StatusUnauthorized {
			t.Errorf("another address answers %d", code)
		}
		for i := range guessBurst {
			try(fmt.Sprintf("[2001:db8::%x]:1", i), "guess")
		}
		if code := try("[2001:db8::ffff:1]:1", "guess"); code != http.StatusTooManyRequests {
			t.Errorf("another address of the same /64 answers %d", code)
		}
		if code := try("[2001:db8:0:1::1]:1", "guess"); code != http.StatusUnauthorized {
			t.Errorf("another /64 answers %d", code)
		}
		time.Sleep(time.Second)
		if code := try("192.0.2.7:1", "guess"); code != http.StatusUnauthorized {
			t.Errorf("a second later a guess answers %d", code)
		}
	})
}
