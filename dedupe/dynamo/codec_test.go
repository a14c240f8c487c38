package dynamo

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

// good returns the smallest item that is a record.
func good() item {
	return item{
		AttrID: str("q#a"), AttrName: str("a"), AttrFormat: num("1"), AttrStatus: str("COMPLETED"), AttrVersion: num("7"),
	}
}

var claimTerms = protocol.Terms{Lease: time.Minute, Window: time.Hour, MaxAttempts: 5}

// verdicts returns the protocol's verdicts on a record for every event.
func verdicts(r protocol.Record) []protocol.Verdict {
	now, owner := time.UnixMilli(1_800_000_000_000), protocol.Token{9}
	var vs []protocol.Verdict
	for _, e := range []protocol.Event{
		protocol.Claim{Now: now, Owner: owner, Terms: claimTerms, ID: "q#a", Name: "a"},
		protocol.Renew{Now: now, Owner: owner, Terms: claimTerms},
		protocol.Complete{Now: now, Owner: owner, Terms: claimTerms},
		protocol.Fail{Now: now, Owner: owner, Terms: claimTerms},
		protocol.Release{Now: now, Owner: owner, Terms: claimTerms},
		protocol.Reopen{Now: now, Terms: claimTerms},
		protocol.Resolve{Now: now, Terms: claimTerms},
		protocol.Forget{Now: now, Terms: claimTerms, Force: true},
	} {
		_, v := protocol.Step(r, e)
		vs = append(vs, v)
	}
	return vs
}

func leftAlone(r protocol.Record) bool {
	return !slices.ContainsFunc(verdicts(r), func(v protocol.Verdict) bool { return v != protocol.VerdictUnreadable })
}

func TestCodec(t *testing.T) {
	t.Run("item that is no record is left alone", testAnItemThatIsNoRecordIsLeftAlone)
	t.Run("record of a newer format is left alone without a complaint", testARecordOfANewerFormatIsLeftAloneWithoutAComplaint)
	t.Run("unknown attribute changes nothing", testAnUnknownAttributeChangesNothing)
	t.Run("time is never cut short", testATimeIsNeverCutShort)
}

func testAnItemThatIsNoRecordIsLeftAlone(t *testing.T) {
	for what, change := range map[string]item{
		"no status":                {AttrStatus: nil},
		"a status of a number":     {AttrStatus: num("1")},
		"no version":               {AttrVersion: nil},
		"a version of text":        {AttrVersion: str("7")},
		"a fraction of a version":  {AttrVersion: num("7.5")},
		"a version beyond 64 bit":  {AttrVersion: num("9223372036854775808")},
		"a negative version":       {AttrVersion: num("-7")},
		"no format":                {AttrFormat: nil},
		"format zero":              {AttrFormat: num("0")},
		"an owner that is none":    {AttrOwner: str("somebody")},
		"half an owner":            {AttrOwner: str("0123456789abcdef")},
		"a short fingerprint":      {AttrFingerprint: &types.AttributeValueMemberB{Value: []byte{1, 2}}},
		"a result of a set":        {AttrResult: &types.AttributeValueMemberSS{Value: []string{"a"}}},
		"a typed result of a map":  {AttrResult: &types.AttributeValueMemberM{}, AttrResultType: str("text/plain")},
		"JSON text of a number":    {AttrResult: num("1"), AttrResultType: str("json")},
		"negative attempts":        {AttrAttempts: num("-1")},
		"attempts beyond counting": {AttrAttempts: num("1e30")},
	} {
		t.Run(what, func(t *testing.T) {
			it := good()
			for name, v := range change {
				if it[name] = v; v == nil {
					delete(it, name)
				}
			}
			r, err := decode(it)
			if !errors.Is(err, ErrMalformed) {
				t.Errorf("decoded to %+v, %v", r, err)
			}
			if r.ID != "q#a" || r.Name != "a" || !leftAlone(r) {
				t.Errorf("verdicts %v on %+v", verdicts(r), r)
			}
		})
	}
}

func testARecordOfANewerFormatIsLeftAloneWithoutAComplaint(t *testing.T) {
	it := good()
	it[AttrFormat], it[AttrOwner], it[AttrResult] = num("2"), str("another kind of owner"), &types.AttributeValueMemberNS{Value: []string{"1"}}
	r, err := decode(it)
	if err != nil || r.Format != 2 || r.ID != "q#a" || !leftAlone(r) {
		t.Errorf("decoded to %+v, %v", r, err)
	}
	// Even if known attributes have other types there.
	it[AttrStatus], it[AttrAttempts] = num("3"), str("many")
	if r, err = decode(it); err != nil || r.Format != 2 || !leftAlone(r) {
		t.Errorf("decoded to %+v, %v", r, err)
	}
}

func testAnUnknownAttributeChangesNothing(t *testing.T) {
	it := good()
	want, err := decode(it)
	if err != nil {
		t.Fatal(err)
	}
	it["ours"] = &types.AttributeValueMemberM{Value: item{"a": num("1")}}
	if got, err := decode(it); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v, want %+v", got, err, want)
	}
}

// smallest returns a record with only the required fields.
func smallest() protocol.Record {
	return protocol.Record{
		ID: "q#a", Name: "a", Format: 1, Status: protocol.InProgress, Version: 7, ExpiresAt: time.Unix(1_790_000_000, 0),
	}
}

func TestEncode(t *testing.T) {
	t.Run("every column has a value", func(t *testing.T) {
		for _, r := range []protocol.Record{smallest(), completedRecord()} {
			it := itemOf(t, r)
			for _, name := range columns {
				if it[name] == nil {
					t.Errorf("%s is missing of %+v", name, r)
				}
			}
			if _, err := decode(it); err != nil || len(it) != len(columns)+1 {
				t.Errorf("%d attributes, %v", len(it), err)
			}
		}
	})
	t.Run("unset fields read as unset", func(t *testing.T) {
		if got, err := decode(itemOf(t, smallest())); err != nil || !reflect.DeepEqual(got, smallest()) {
			t.Errorf("got %+v, %v, want %+v", got, err, smallest())
		}
	})
	t.Run("set fields come back", func(t *testing.T) {
		want := completedRecord()
		want.LeaseUntil, want.Error, want.ReopenedBy, want.Attempts = time.UnixMilli(1), "e", "r", math.MaxInt32
		want.Version, want.Fence = math.MaxInt64, math.MaxInt64-1
		if got, err := decode(itemOf(t, want)); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("got %+v, %v, want %+v", got, err, want)
		}
	})
}

func TestEncode_incomplete(t *testing.T) {
	for field, spoil := range map[string]func(*protocol.Record){
		AttrID:       func(r *protocol.Record) { r.ID = "" },
		AttrName:     func(r *protocol.Record) { r.Name = "" },
		AttrFormat:   func(r *protocol.Record) { r.Format = 0 },
		AttrStatus:   func(r *protocol.Record) { r.Status = "" },
		AttrVersion:  func(r *protocol.Record) { r.Version = 0 },
		AttrAttempts: func(r *protocol.Record) { r.Attempts = -1 },
		AttrTTL:      func(r *protocol.Record) { r.ExpiresAt = time.Time{} },
	} {
		t.Run(field, func(t *testing.T) {
			r := completedRecord()
			spoil(&r)
			s, err := New(struct{ API }{}, Config{Table: "t"}) // a call would panic
			if err != nil {
				t.Fatal(err)
			}
			for what, err := range map[string]error{
				"swap": s.Swap(t.Context(), 0, r), "commit": s.Commit(t.Context(), 0, r, nil),
			} {
				if !errors.Is(err, ErrInvalid) || !errors.Is(err, dedupe.ErrUnavailable) || !strings.Contains(err.Error(), field+" is") {
					t.Errorf("%s: got %v", what, err)
				}
			}
		})
	}
}

func testATimeIsNeverCutShort(t *testing.T) {
	r := smallest()
	r.ExpiresAt = time.UnixMilli(1_790_000_000_001)
	it := itemOf(t, r)
	if got, err := decode(it); err != nil || got.ExpiresAt.Unix() != 1_790_000_001 {
		t.Errorf("expires at %s, %v", got.ExpiresAt, err)
	}
}

// FuzzItemCodec turns any attributes into an item. Decoding it never panics. An item that is not a
// record, or of a newer format, is left alone. A record survives another encoding and decoding.
func FuzzItemCodec(f *testing.F) {
	f.Add([]byte(`{"id":"q#a","name":"a","format":1,"status":"COMPLETED","version":7,"result":{"a":[1,null,"x"]}}`), "", []byte(nil))
	f.Add([]byte(`{"id":"q#a","format":1,"status":"IN_PROGRESS","version":7,"owner":"000102030405060708090a0b0c0d0e0f","lease_until":9}`), "", []byte(nil))
	f.Add([]byte(`{"id":"q#a","format":2,"status":["new"],"version":7}`), "", []byte(nil))
	f.Add([]byte(`{"format":1,"status":"REJECTED","version":1e3,"attempts":-1,"result":"AA","result_type":"=json"}`), AttrFingerprint, make([]byte, 37))
	f.Add([]byte(`{"version":"7"}`), AttrResult, []byte{0xff})
	f.Fuzz(func(t *testing.T, attributes []byte, binaryName string, binary []byte) {
		it := garbage(attributes)
		if binaryName != "" {
			it[binaryName] = &types.AttributeValueMemberB{Value: binary}
		}
		before := maps.Clone(it)
		r, err := decode(it)
		if !reflect.DeepEqual(it, before) {
			t.Fatal("decoding has changed the item")
		}
		if err != nil || r.Format > protocol.Format {
			if !leftAlone(r) {
				t.Fatalf("verdicts %v on %+v", verdicts(r), r)
			}
			return
		}
		if len(it) == 0 {
			return
		}
		if r.Version <= 0 || r.Status == "" || r.Format != protocol.Format || r.Attempts < 0 || len(r.Result) > math.MaxInt32 {
			t.Fatalf("accepted %+v", r)
		}
		w, err := encode(r)
		if errors.Is(err, errIncomplete) {
			return // no release has written it
		}
		back, err := decode(w.item())
		if err != nil {
			t.Fatalf("decode the encoding of %+v: %v", r, err)
		}
		if !sameJSON(r, back) {
			t.Fatalf("came back as\n%+v, was\n%+v", back, r)
		}
	})
}

// garbage makes an item of a JSON object of any shape and any types, and an empty item of all else.
func garbage(data []byte) item {
	var object map[string]any
	if json.Unmarshal(data, &object) != nil {
		object = nil // Unmarshal may have filled a part
	}
	return valueOf(object).(*types.AttributeValueMemberM).Value
}

// valueOf returns the attribute value of a value that encoding/json decoded.
func valueOf(v any) types.AttributeValue {
	switch v := v.(type) {
	case string:
		return &types.AttributeValueMemberS{Value: v}
	case float64:
		return &types.AttributeValueMemberN{Value: strconv.FormatFloat(v, 'f', -1, 64)}
	case bool:
		return &types.AttributeValueMemberBOOL{Value: v}
	case []any:
		list := make([]types.AttributeValue, len(v))
		for i := range v {
			list[i] = valueOf(v[i])
		}
		return &types.AttributeValueMemberL{Value: list}
	case map[string]any:
		object := make(item, len(v))
		for key := range v {
			object[key] = valueOf(v[key])
		}
		return &types.AttributeValueMemberM{Value: object}
	default:
		return &types.AttributeValueMemberNULL{Value: true}
	}
}

// itemOf returns the record as an item.
func itemOf(t testing.TB, r protocol.Record) item {
	t.Helper()
	w, err := encode(r)
	if err != nil {
		t.Fatal(err)
	}
	return w.item()
}

// writeOf returns a write of the record.
func writeOf(t testing.TB, old protocol.Version, r protocol.Record) *write {
	t.Helper()
	w, err := newWrite(old, r)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// sameJSON reports whether two records are equal, with their results compared as JSON values.
func sameJSON(a, b protocol.Record) bool {
	if !bytes.Equal(a.Result, b.Result) {
		var av, bv any
		if a.ResultType != "" || jsonValue(a.Result, &av) != nil || jsonValue(b.Result, &bv) != nil || !reflect.DeepEqual(av, bv) {
			return false
		}
	}
	a.Result, b.Result = nil, nil
	return reflect.DeepEqual(a, b)
}

func jsonValue(data []byte, v *any) error {
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.UseNumber()
	return dec.Decode(v)
}
