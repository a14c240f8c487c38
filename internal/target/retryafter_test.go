package target

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func TestRetryafter(t *testing.T) {
	t.Run("retry after is the time that the target asks for", testRetryAfterIsTheTimeThatTheTargetAsksFor)
	t.Run("status error carries retry after", testStatusErrorCarriesRetryAfter)
}

func testRetryAfterIsTheTimeThatTheTargetAsksFor(t *testing.T) {
	now := time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)
	at := func(d time.Duration) string { return now.Add(d).Format(http.TimeFormat) }
	for name, tc := range map[string]struct {
		value, date string
		want        time.Duration
	}{
		"not asked":                {"", "", 0},
		"seconds":                  {"120", "", 2 * time.Minute},
		"zero":                     {"0", "", 0},
		"most":                     {"43200", "", 12 * time.Hour},
		"more than that":           {"43201", "", 12 * time.Hour},
		"more than a number holds": {"99999999999999999999999", "", 12 * time.Hour},
		"negative":                 {"-5", "", 0},
		"fraction":                 {"1.5", "", 0},
		"nonsense":                 {"soon", "", 0},
		"date":                     {at(time.Minute), "", time.Minute},
		"date in the past":         {at(-time.Minute), "", 0},
		"date far ahead":           {at(48 * time.Hour), "", 12 * time.Hour},
		"by the target's clock":    {at(time.Hour + time.Minute), at(time.Hour), time.Minute},
		"clock not readable":       {at(time.Minute), "today", time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			h := http.Header{}
			h.Set("Retry-After", tc.value)
			h.Set("Date", tc.date)
			if got := retryAfter(h, now); got != tc.want {
				t.Errorf("retryAfter is %s, want %s", got, tc.want)
			}
		})
	}
}

func testStatusErrorCarriesRetryAfter(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Retry-After", "7")
		w.WriteHeader(http.StatusServiceUnavailable)
	}))
	defer srv.Close()
	target, err := New(Config{URL: srv.URL})
	if err != nil {
		t.Fatal(err)
	}
	_, err = target.Post(t.Context(), Request{Name: "n", Body: "{}"})
	if e, ok := err.(interface{ RetryAfter() time.Duration }); !ok || e.RetryAfter() != 7*time.Second {
		t.Errorf("error is %#v", err)
	}
}
