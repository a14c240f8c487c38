package httponce_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/httponce"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
)

// A charge that is requested twice is made once, and a declined charge stays declined.
func Example() {
	once, err := httponce.New(memstore.New(), dedupe.Config{Scope: "charges"}, httponce.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	charges := 0
	charge := once(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.FormValue("amount") == "1000000" {
			http.Error(w, "declined", http.StatusPaymentRequired)
			return
		}
		charges++
		w.Header().Set("Location", fmt.Sprint("/charges/", charges))
		w.WriteHeader(http.StatusCreated)
	}))
	for _, r := range []struct{ key, amount string }{
		{`"8e03978e"`, "5"}, {`"8e03978e"`, "5"}, {`"8e03978e"`, "6"}, {`"f2ca1bb6"`, "1000000"}, {`"f2ca1bb6"`, "1000000"}, {"", "5"},
	} {
		req := httptest.NewRequest(http.MethodPost, "/charges", strings.NewReader("amount="+r.amount))
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if r.key != "" {
			req.Header.Set("Idempotency-Key", r.key)
		}
		resp := httptest.NewRecorder()
		charge.ServeHTTP(resp, req)
		fmt.Printf("%d %q %q\n", resp.Code, resp.Header().Get("Location"), resp.Header().Get("Idempotent-Replayed"))
	}
	// Output:
	// 201 "/charges/1" ""
	// 201 "/charges/1" "true"
	// 422 "" ""
	// 402 "" ""
	// 402 "" "true"
	// 400 "" ""
}
