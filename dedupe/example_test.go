package dedupe_test

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// A payment that is asked for twice is made once; both callers get its receipt.
func ExampleGuard_Do() {
	guard, err := dedupe.New[string](memstore.New(), dedupe.Config{Scope: "payments"})
	if err != nil {
		fmt.Println(err)
		return
	}
	pay := func(ctx context.Context) (string, error) {
		a, _ := dedupe.AttemptFrom(ctx)
		fmt.Println("paying for", a.Name, "attempt", a.Number)
		return "receipt-1", nil
	}
	for range 2 {
		res, err := guard.Do(context.Background(), dedupe.Key{Name: "order-17"}, pay)
		fmt.Println(res.Value, res.Replayed, err)
	}
	// Output:
	// paying for order-17 attempt 1
	// receipt-1 false <nil>
	// receipt-1 true <nil>
}

// Wrap makes a handler of messages out of a function that returns a result.
func ExampleWrap() {
	type message struct{ Order, Item string }
	guard, err := dedupe.New[int](memstore.New(), dedupe.Config{Scope: "orders"})
	if err != nil {
		fmt.Println(err)
		return
	}
	handle := dedupe.Wrap(guard,
		func(m message) (dedupe.Key, error) { return dedupe.Key{Name: m.Order}, nil },
		func(_ context.Context, m message) (int, error) {
			fmt.Println("shipping", m.Item)
			return 1, nil
		})
	for _, m := range []message{{"order-17", "lamp"}, {"order-17", "lamp"}, {"order-18", "chair"}} {
		if err := handle(context.Background(), m); err != nil {
			fmt.Println(err)
		}
	}
	// Output:
	// shipping lamp
	// shipping chair
}

// Writes that are handed to AddEffect, here through the helper of the memory
// store, are committed together with the completion, or not at all.
func ExampleAddEffect() {
	store := memstore.New()
	guard, err := dedupe.New[string](store, dedupe.Config{Scope: "orders", MaxAttempts: 2})
	if err != nil {
		fmt.Println(err)
		return
	}
	sell := func(ctx context.Context) (string, error) {
		return "sold", memstore.Add(ctx, memstore.Write{
			Key: "stock",
			Update: func(stored any) (any, error) {
				n, _ := stored.(int)
				if n == 0 {
					return nil, errors.New("out of stock")
				}
				return n - 1, nil
			},
		})
	}
	_, err = guard.Do(context.Background(), dedupe.Key{Name: "order-17"}, sell)
	fmt.Println(err)

	refill := memstore.Write{Key: "stock", Update: func(any) (any, error) { return 5, nil }}
	_, err = guard.Do(context.Background(), dedupe.Key{Name: "refill-1"}, func(ctx context.Context) (string, error) {
		return "", memstore.Add(ctx, refill)
	})
	fmt.Println(store.Value("stock"), err)

	for range 3 { // the order is delivered again, and again
		res, err := guard.Do(context.Background(), dedupe.Key{Name: "order-17"}, sell)
		fmt.Println(res.Value, store.Value("stock"), err)
	}
	// Output:
	// effect 0: out of stock
	// 5 <nil>
	// sold 4 <nil>
	// sold 4 <nil>
	// sold 4 <nil>
}

// once answers requests that carry one Idempotency-Key with one answer: 422 for another
// body, 409 while the work is in progress.
func once(guard *dedupe.Guard[dedupe.Payload], charge func(context.Context) (dedupe.Payload, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name, err := strconv.Unquote(r.Header.Get("Idempotency-Key"))
		if err != nil {
			http.Error(w, "Idempotency-Key: a quoted string is needed", http.StatusBadRequest)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 1<<20))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		key := dedupe.Key{Name: name, Fingerprint: protocol.Fingerprint{0: 1}}
		sum := sha256.Sum256(body)
		copy(key.Fingerprint[5:], sum[:])
		// A client that goes away does not cancel the charge: its retry gets the result.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), time.Minute)
		defer cancel()
		res, err := guard.Do(ctx, key, charge)
		if held, ok := errors.AsType[*dedupe.InProgressError](err); ok {
			w.Header().Set("Retry-After", strconv.Itoa(int(held.RetryAfter().Seconds())+1))
			http.Error(w, err.Error(), http.StatusConflict)
			return
		}
		if _, ok := errors.AsType[*dedupe.MismatchError](err); ok {
			http.Error(w, err.Error(), http.StatusUnprocessableEntity)
			return
		}
		if _, ok := errors.AsType[*dedupe.RejectedError](err); ok || res.Replayed && res.Omitted {
			http.Error(w, "failed for good, or completed and its answer not kept", http.StatusConflict)
			return
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Idempotent-Replayed", strconv.FormatBool(res.Replayed))
		_, _ = w.Write(res.Value.Data)
	}
}

// Without any queue: an HTTP handler that heeds the Idempotency-Key header.
func Example_httpIdempotencyKey() {
	guard, err := dedupe.New[dedupe.Payload](memstore.New(), dedupe.Config{Scope: "charges"})
	if err != nil {
		fmt.Println(err)
		return
	}
	charges := 0
	handler := once(guard, func(context.Context) (dedupe.Payload, error) {
		charges++
		data, err := json.Marshal(map[string]int{"charge": charges})
		return dedupe.Payload{Data: data}, err
	})
	for _, key := range []string{`"8e03978e"`, `"8e03978e"`, `"f2ca1bb6"`, ``} {
		req := httptest.NewRequest(http.MethodPost, "/charges", nil)
		req.Header.Set("Idempotency-Key", key)
		resp := httptest.NewRecorder()
		handler(resp, req)
		fmt.Println(resp.Code, resp.Header().Get("Idempotent-Replayed"), strings.TrimSpace(resp.Body.String()))
	}
	// Output:
	// 200 false {"charge":1}
	// 200 true {"charge":1}
	// 200 false {"charge":2}
	// 400  Idempotency-Key: a quoted string is needed
}
