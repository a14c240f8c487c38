package main

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func database(t *testing.T) *sql.DB {
	t.Helper()
	db, err := open(t.Context(), filepath.Join(t.TempDir(), "test.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func balance(t *testing.T, db *sql.DB) (n int) {
	t.Helper()
	if err := db.QueryRowContext(t.Context(), `SELECT balance FROM accounts`).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func guardOf(t *testing.T, s dedupe.Store) *dedupe.Guard[receipt] {
	t.Helper()
	guard, err := dedupe.New[receipt](s, dedupe.Config{Scope: "payments", Wait: true, Settle: time.Millisecond, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return guard
}

var key = dedupe.Key{Name: "order-17"}

func nothing(context.Context) error { return nil }

// Many ask for one payment at the same time, in two processes.
func TestBook(t *testing.T) {
	db, store := database(t), memstore.New()
	var all sync.WaitGroup
	for _, guard := range []*dedupe.Guard[receipt]{guardOf(t, store), guardOf(t, store)} {
		for range 10 {
			all.Go(func() {
				res, err := guard.Do(t.Context(), key, func(ctx context.Context) (receipt, error) { return book(ctx, db, 30, nothing) })
				if err != nil || res.Value.Amount != 30 {
					t.Errorf("%+v, %v", res, err)
				}
			})
		}
	}
	all.Wait()
	if n := balance(t, db); n != 30 {
		t.Errorf("the balance is %d", n)
	}
}

// died is a store that a process can no longer reach once its handler has returned.
type died struct{ *memstore.Store }

func (d died) Swap(ctx context.Context, old protocol.Version, next protocol.Record) error {
	if next.Status == protocol.Completed || next.Status == protocol.Retrying {
		return errors.New("no route")
	}
	return d.Store.Swap(ctx, old, next)
}

func (d died) Commit(ctx context.Context, old protocol.Version, next protocol.Record, _ []any) error {
	return d.Swap(ctx, old, next)
}

// The payment is booked, and its process dies before the guard can record it. The next
// attempt finds it.
func TestBook_again(t *testing.T) {
	db, store := database(t), memstore.New()
	ctx, die := context.WithCancel(t.Context())
	_, err := guardOf(t, died{store}).Do(ctx, key, func(ctx context.Context) (receipt, error) {
		defer die()
		return book(ctx, db, 30, nothing)
	})
	if !errors.Is(err, dedupe.ErrUnavailable) || balance(t, db) != 30 {
		t.Fatalf("%v, the balance is %d", err, balance(t, db))
	}
	op, err := dedupe.NewOperator(store, dedupe.Config{Scope: "payments"}) // instead of waiting for the end of the lease
	if err != nil {
		t.Fatal(err)
	}
	if _, err := op.Forget(t.Context(), key.Name, true); err != nil {
		t.Fatal(err)
	}
	res, err := guardOf(t, store).Do(t.Context(), key, func(ctx context.Context) (receipt, error) { return book(ctx, db, 30, nothing) })
	if err != nil || res.Replayed || res.Value.Amount != 30 || balance(t, db) != 30 {
		t.Errorf("%+v, %v, the balance is %d", res, err, balance(t, db))
	}
}

// An attempt that has lost its lease is refused by the fence, whether the later attempt has
// begun or has booked the payment; an attempt cannot begin after a later one.
func TestBook_late(t *testing.T) {
	for name, booked := range map[string]bool{"begun": false, "booked": true} {
		t.Run(name, func(t *testing.T) {
			db := database(t)
			_, err := guardOf(t, memstore.New()).Do(t.Context(), key, func(ctx context.Context) (receipt, error) {
				early, _ := dedupe.AttemptFrom(ctx)
				return book(ctx, db, 30, func(ctx context.Context) error {
					late := early
					late.Fence++
					if err := begin(ctx, db, late); err != nil {
						return err
					}
					if booked {
						_, err := db.ExecContext(ctx, `UPDATE payments SET amount = 25; UPDATE accounts SET balance = 25`)
						return err
					}
					return begin(ctx, db, late) // its answer was lost
				})
			})
			want := 0
			if booked {
				want = 25
			}
			if errors.Is(err, errLate) == booked || balance(t, db) != want {
				t.Errorf("%v, the balance is %d, want %d", err, balance(t, db), want)
			}
			if err := begin(t.Context(), db, dedupe.Attempt{Name: key.Name, Fence: 1}); !errors.Is(err, errLate) {
				t.Errorf("an attempt begins after a later one: %v", err)
			}
		})
	}
}
