package deadletter

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
	"github.com/sqsonce/sqsonce/names"
)

// pointerTo is the body of a message whose payload is in S3.
func pointerTo(key string) string {
	return fmt.Sprintf(`["software.amazon.payloadoffloading.PayloadS3Pointer",{"s3BucketName":"b","s3Key":%q}]`, key)
}

// fetching lets the bench fetch payloads: that of the key k names k. Keys that begin with
// "gone" do not exist. It returns the number of fetches.
func (b *bench) fetching() *atomic.Int64 {
	var fetches atomic.Int64
	b.cfg.Payloads = func(_ context.Context, at names.Pointer) (string, error) {
		fetches.Add(1)
		if strings.HasPrefix(at.Key, "gone") {
			return "", errors.New("NoSuchKey")
		}
		name, _, _ := strings.Cut(at.Key, "?")
		return body(name), nil
	}
	return &fetches
}

func TestPayloads(t *testing.T) {
	t.Run("names on the page alone", testPayloadsOfAPage)
	t.Run("search by name", testPayloadsByName)
	t.Run("payload that cannot be fetched", testPayloadsGone)
	t.Run("redrive re-opens the name", testPayloadsRedriven)
	t.Run("redrive compares payloads", testPayloadsCompared)
	t.Run("redrive without payloads", testPayloadsNotFetched)
}

func testPayloadsOfAPage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		fetches := b.fetching()
		for i := range 30 {
			b.put(b.dead, pointerTo("n-"+strconv.Itoa(i)), nil)
		}
		b.record("n-0", body("n-0"), fail(protocol.FailPermanent))
		page := b.list(Query{}, 5, "")
		if fetches.Load() != 5 || len(page.Letters) != 5 || page.Found != 30 {
			t.Errorf("for 5 of %d letters %d payloads were fetched", page.Found, fetches.Load())
		}
		rejected := 0
		for after := ""; ; after = page.Next {
			page = b.list(Query{Bodies: 1000}, 10, after)
			for i, l := range page.Letters {
				if l.Unnamed != "" || l.Body != pointerTo(l.Name) {
					t.Errorf("letter is %+v", l)
				}
				if page.Records[i].Status == protocol.Rejected {
					rejected++
				}
			}
			if page.Next == "" {
				break
			}
		}
		if rejected != 1 {
			t.Errorf("%d letters have a rejected name", rejected)
		}
	})
}

func testPayloadsByName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		fetches := b.fetching()
		for i := range 30 {
			b.put(b.dead, pointerTo("n-"+strconv.Itoa(i)), map[string]string{consumer.AttrReason: []string{"rejected", "mismatch"}[i%2]})
		}
		for want, q := range map[int]Query{1: {Name: "n-7"}, 11: {Prefix: "n-1"}, 0: {Which: "n-30"}} {
			if page := b.list(q, 100, ""); page.Found != want || !page.Complete {
				t.Errorf("%+v finds %d letters, want %d", q, page.Found, want)
			}
		}
		fetches.Store(0)
		if page := b.list(Query{Name: "n-7", Reason: "rejected"}, 100, ""); page.Found != 0 || fetches.Load() != 15 {
			t.Errorf("%d found by %d fetches", page.Found, fetches.Load())
		}
	})
}

func testPayloadsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		b.fetching()
		b.put(b.dead, pointerTo("gone"), nil)
		b.put(b.dead, pointerTo("gone-2"), map[string]string{names.NameAttribute: "named"})
		for _, l := range b.list(Query{}, 10, "").Letters {
			if l.Name == "" && l.Unnamed != "its payload s3://b/gone could not be fetched: NoSuchKey" || l.Name != "" && l.Name != "named" {
				t.Errorf("letter is %+v", l)
			}
		}
		report := b.redrive(Order{})
		if report.Count(Moved) != 1 || report.Count(Kept) != 1 {
			t.Fatalf("report is %+v", report)
		}
		for _, i := range report.Items {
			if i.Outcome == Kept && !strings.Contains(i.Why, "cannot name it: its payload s3://b/gone could not be fetched") {
				t.Errorf("item is %+v", i)
			}
		}
	})
}

// A letter that SQS has moved has no reason; with all ten attributes there is room for none.
func testPayloadsRedriven(t *testing.T) {
	for _, own := range []int{0, 9, maxAttributes} {
		t.Run(strconv.Itoa(own)+" attributes", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t, "orders", names.Config{})
				fetches := b.fetching()
				b.record("r", body("r"), fail(protocol.FailPermanent))
				b.movedBySQS(pointerTo("r"), attributes(own))
				b.put(b.dead, pointerTo("other"), nil)
				report := b.redrive(Order{Names: []string{"r"}})
				if report.Count(Moved) != 1 || len(report.Items) != 1 || fetches.Load() != 2 {
					t.Fatalf("report is %+v after %d fetches", report, fetches.Load())
				}
				m := b.drain(b.main, 60)[0]
				if *m.Body != pointerTo("r") || len(m.MessageAttributes) > maxAttributes {
					t.Errorf("the message is %s with %v", *m.Body, m.MessageAttributes)
				}
				if _, ordered := m.MessageAttributes[consumer.AttrReason]; !ordered && b.status("r") != protocol.Retrying {
					t.Errorf("no order is on the message, and the name is %s", b.status("r"))
				}
			})
		})
	}
}

// Two objects of the same content are one payload.
func testPayloadsCompared(t *testing.T) {
	for _, key := range []string{"c", "c?a copy"} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench(t, "orders", names.Config{})
			b.fetching()
			b.record("c", body("c"), complete())
			b.put(b.dead, pointerTo(key), map[string]string{names.NameAttribute: "c"})
			if report := b.redrive(Order{}); report.Count(Moved) != 1 {
				t.Errorf("%s: report is %+v", key, report)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		b.fetching()
		b.record("c", `{"name":"c","total":2}`, complete())
		b.put(b.dead, pointerTo("c"), nil)
		if report := b.redrive(Order{}); report.Count(Kept) != 1 || !strings.Contains(report.Items[0].Why, "another payload") {
			t.Errorf("report is %+v", report)
		}
	})
	// Copies of an UNKNOWN name under two keys are one payload: both go back on a word.
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		b.fetching()
		b.record("u", body("u"), fail(protocol.FailUnknown))
		b.put(b.dead, pointerTo("u"), nil)
		b.put(b.dead, pointerTo("u?a copy"), nil)
		if report := b.redrive(Order{ReopenUnknown: true}); report.Count(Moved) != 2 || report.Reopened != 1 {
			t.Errorf("report is %+v", report)
		}
	})
}

func testPayloadsNotFetched(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench(t, "orders", names.Config{})
		b.record("c", body("c"), complete())
		b.put(b.dead, pointerTo("c"), map[string]string{names.NameAttribute: "c"})
		if report := b.redrive(Order{}); report.Count(Kept) != 1 || !strings.Contains(report.Items[0].Why, "perhaps with another payload: that is in S3, and only --s3-payloads compares it") {
			t.Errorf("report is %+v", report)
		}
	})
}
