package dedupe_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
)

// The client goes away in the middle of the charge, and comes back.
func TestHTTPExample(t *testing.T) {
	b := setup()
	charged := 0
	gone, goAway := context.WithCancel(t.Context())
	handler := once(guardOf[dedupe.Payload](t, b), func(ctx context.Context) (dedupe.Payload, error) {
		charged++
		goAway()
		return dedupe.Payload{Data: []byte(`{"charge":1}`)}, ctx.Err()
	})
	ask := func(ctx context.Context, body string) int {
		req := httptest.NewRequest(http.MethodPost, "/charges", strings.NewReader(body)).WithContext(ctx)
		req.Header.Set("Idempotency-Key", `"8e03978e"`)
		resp := httptest.NewRecorder()
		handler(resp, req)
		return resp.Code
	}
	ask(gone, `{"amount":1}`)
	if code := ask(t.Context(), `{"amount":1}`); code != http.StatusOK || charged != 1 {
		t.Errorf("answer %d, charged %d times", code, charged)
	}
	if code := ask(t.Context(), `{"amount":1000}`); code != http.StatusUnprocessableEntity {
		t.Errorf("another body is answered %d", code)
	}
}
