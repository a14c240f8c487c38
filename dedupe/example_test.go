package dedupe_test

import (
	"context"
	"errors"
	"fmt"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
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
