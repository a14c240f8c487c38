package dynamo

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func completedRecord() protocol.Record {
	at := time.UnixMilli(1_790_000_000_000)
	return protocol.Record{
		ID: "orders#order-17", Name: "order-17", Format: protocol.Format, Status: protocol.Completed,
		Version: 1_790_000_000_001, Fence: 1_790_000_000_000, Owner: protocol.Token{1, 2, 3}, Attempts: 1,
		Fingerprint: protocol.Fingerprint{1, 36: 9}, Result: []byte(`{"name":"order-17","total":129.5,"lines":[1,2,3]}`),
		MessageID: "059f36b4-87a3-44ab-83d2-661975830a7d", CreatedAt: at, CompletedAt: at, ExpiresAt: at.Add(720 * time.Hour),
	}
}

func BenchmarkEncode(b *testing.B) {
	r := completedRecord()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := encode(r); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecode(b *testing.B) {
	it := itemOf(b, completedRecord())
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decode(it); err != nil {
			b.Fatal(err)
		}
	}
}

// A full batch, as it goes to the wire.
func BenchmarkBatchBody(b *testing.B) {
	s := newStatements("t", AttrTTL)
	writes := slices.Repeat([]*write{writeOf(b, 7, completedRecord())}, maxStatements)
	b.ReportAllocs()
	for b.Loop() {
		s.json(writes, make([]types.BatchStatementRequest, len(writes)))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*maxStatements), "ns/write")
}
