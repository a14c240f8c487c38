package storetest_test

import (
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/memstore"
	"github.com/sqsonce/sqsonce/dedupe/storetest"
)

func TestMemstoreKeepsTheContract(t *testing.T) {
	s := memstore.New()
	storetest.Run(t, storetest.Harness{Open: func(*testing.T) dedupe.Store { return s }})
}
