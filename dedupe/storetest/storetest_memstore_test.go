package storetest_test

import (
	"fmt"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/storetest"
)

func TestMemstoreKeepsTheContract(t *testing.T) {
	s := memstore.New()
	count := func(stored any) int {
		n, _ := stored.(int) // nil: 0
		return n
	}
	storetest.Run(t, storetest.Harness{
		Open: func(*testing.T) dedupe.Store { return s },
		Effects: storetest.Effects{
			Increment: func(key string) any {
				return memstore.Write{Key: key, Update: func(stored any) (any, error) { return count(stored) + 1, nil }}
			},
			Require: func(key string, want int) any {
				return memstore.Write{Key: key, Update: func(stored any) (any, error) {
					if n := count(stored); n != want {
						return nil, fmt.Errorf("%s stands at %d, not at %d", key, n, want)
					}
					return stored, nil
				}}
			},
			Count: func(_ *testing.T, key string) int { return count(s.Value(key)) },
		},
	})
}
