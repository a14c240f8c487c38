package httponce_test

import (
	"strings"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe/httponce"
)

func TestConfig(t *testing.T) {
	for want, change := range map[string]func(a *api){
		"Scope":                          func(a *api) { a.guard.Scope = "" },
		"store is nil":                   func(a *api) { a.store = nil },
		"Methods: must not":              func(a *api) { a.cfg.Methods = []string{} },
		`Methods: "GET"`:                 func(a *api) { a.cfg.Methods = []string{"GET"} },
		"MaxKey 256":                     func(a *api) { a.cfg.MaxKey = 256 },
		"MaxBody -1":                     func(a *api) { a.cfg.MaxBody = -1 },
		"Headers: Set-Cookie":            func(a *api) { a.cfg.Headers = []string{"set-cookie"} },
		"Headers: Connection":            func(a *api) { a.cfg.Headers = []string{"Connection"} },
		`Headers: "a b"`:                 func(a *api) { a.cfg.Headers = []string{"a b"} },
		"Failures: 503: must be 400":     func(a *api) { a.cfg.Failures = []int{503} },
		"Patience -1s":                   func(a *api) { a.cfg.Patience = -time.Second },
		"RetryAfter -1s":                 func(a *api) { a.cfg.RetryAfter = -time.Second },
		"MaxResult 20: must be at least": func(a *api) { a.guard.MaxResult = 20 },
	} {
		a := newAPI()
		change(a)
		if _, err := httponce.New(a.store, a.guard, a.cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}
