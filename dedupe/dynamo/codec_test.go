package dynamo

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"maps"
	"math"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/feature/dynamodb/attributevalue"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/sqsonce/sqsonce/dedupe"
)

func str(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func num(s string) types.AttributeValue { return &types.AttributeValueMemberN{Value: s} }

// good is the smallest item that is a record.
func good() item {
	return item{
		AttrID: str("q#a"), AttrName: str("a"), AttrFormat: num("1"), AttrStatus: str("COMPLETED"), AttrVersion: num("7"),
	}
}

var claimTerms = dedupe.Terms{Lease: time.Minute, Window: time.Hour, MaxAttempts: 5}

// verdicts returns what the protocol makes of a record, whatever happens.
func verdicts(r dedupe.Record) []dedupe.Verdict {
	now, owner := time.UnixMilli(1_800_000_000_000), dedupe.Token{9}
	var vs []dedupe.Verdict
	for _, e := range []dedupe.Event{
		dedupe.Claim{Now: now, Owner: owner, Terms: claimTerms, ID: "q#a", Name: "a"},
		dedupe.Renew{Now: now, Owner: owner, Terms: claimTerms},
		dedupe.Complete{Now: now, Owner: owner, Terms: claimTerms},
		dedupe.Fail{Now: now, Owner: owner, Terms: claimTerms},
		dedupe.Release{Now: now, Owner: owner, Terms: claimTerms},
		dedupe.Reopen{Now: now, Terms: claimTerms},
		dedupe.Resolve{Now: now, Terms: claimTerms},
		dedupe.Forget{Now: now, Terms: claimTerms, Force: true},
	} {
		_, v := dedupe.Step(r, e)
		vs = append(vs, v)
	}
	return vs
}

func leftAlone(r dedupe.Record) bool {
	return !slices.ContainsFunc(verdicts(r), func(v dedupe.Verdict) bool { return v != dedupe.VerdictUnreadable })
}

func TestAnItemThatIsNoRecordIsLeftAlone(t *testing.T) {
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

func TestARecordOfANewerFormatIsLeftAloneWithoutAComplaint(t *testing.T) {
	it := good()
	it[AttrFormat], it[AttrOwner], it[AttrResult] = num("2"), str("another kind of owner"), &types.AttributeValueMemberNS{Value: []string{"1"}}
	r, err := decode(it)
	if err != nil || r.Format != 2 || r.ID != "q#a" || !leftAlone(r) {
		t.Errorf("decoded to %+v, %v", r, err)
	}
	// Even where known attributes have other types there.
	it[AttrStatus], it[AttrAttempts] = num("3"), str("many")
	if r, err = decode(it); err != nil || r.Format != 2 || !leftAlone(r) {
		t.Errorf("decoded to %+v, %v", r, err)
	}
}

func TestAnUnknownAttributeChangesNothing(t *testing.T) {
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

// What is written is what attributevalue would have written.
func TestEncodingAgreesWithAttributevalue(t *testing.T) {
	for _, r := range []dedupe.Record{completedRecord(), {ID: "q#a", Format: 1, Version: 1}, {
		ID: "q#b", Name: "b", Format: 1, Status: dedupe.InProgress, Version: math.MaxInt64, Fence: 5, Owner: dedupe.Token{15: 1},
		LeaseUntil: time.UnixMilli(1), Attempts: 3, Error: "e", MessageID: "m", ReopenedBy: "r", ResultType: "text/plain", Result: []byte("x"),
	}} {
		a := attributes{
			ID: r.ID, Name: r.Name, Format: r.Format, Status: string(r.Status), Version: int64(r.Version), Fence: int64(r.Fence),
			LeaseUntil: millis(r.LeaseUntil), Attempts: r.Attempts, ResultType: r.ResultType, Error: r.Error, MessageID: r.MessageID,
			ReopenedBy: r.ReopenedBy, CreatedAt: millis(r.CreatedAt), CompletedAt: millis(r.CompletedAt), ExpiresAt: secondsUp(r.ExpiresAt),
		}
		if r.Owner != (dedupe.Token{}) {
			a.Owner = hex.EncodeToString(r.Owner[:])
		}
		if r.Fingerprint != (dedupe.Fingerprint{}) {
			a.Fingerprint = r.Fingerprint[:]
		}
		want, err := attributevalue.MarshalMap(a)
		if err != nil {
			t.Fatal(err)
		}
		if v, _ := encodeResult(r.Result, r.ResultType); v != nil {
			want[AttrResult] = stored(t, v)
		}
		if got := itemOf(t, r); !reflect.DeepEqual(got, want) {
			t.Errorf("encoded\n%+v, want\n%+v", got, want)
		}
	}
}

func TestStatementsAreOfTheFormThatIsAccepted(t *testing.T) {
	s := newStatements("orders")
	insert := s.of(newWrite(0, dedupe.Record{ID: "q#a", Name: "a", Format: 1, Status: dedupe.InProgress, Version: 7, Owner: dedupe.Token{1}})).text
	if want := `INSERT INTO "orders" VALUE {'id':?,'name':?,'status':?,'owner':?,'format':?,'version':?,'attempts':?}`; insert != want {
		t.Errorf("got  %s\nwant %s", insert, want)
	}
	update := s.of(newWrite(7, completedRecord())).text
	want := `UPDATE "orders" SET "name"=?, "status"=?, "owner"=?, "message_id"=?, "format"=?, "version"=?, "fence"=?, "attempts"=?, ` +
		`"created_at"=?, "completed_at"=?, "expires_at"=?, "fingerprint"=?, "result"=? ` +
		`REMOVE "result_type", "error", "reopened_by", "lease_until" WHERE "id"=? AND "version"=?`
	if update != want {
		t.Errorf("got  %s\nwant %s", update, want)
	}
	again := s.of(newWrite(9, completedRecord()))
	if first := s.of(newWrite(8, completedRecord())); again != first {
		t.Error("the text is made anew for each statement")
	}
}

func TestATimeIsNeverCutShort(t *testing.T) {
	r := dedupe.Record{ID: "q#a", Name: "a", Format: 1, Status: dedupe.Retrying, Version: 7, ExpiresAt: time.UnixMilli(1_790_000_000_001)}
	it := itemOf(t, r)
	if got, err := decode(it); err != nil || got.ExpiresAt.Unix() != 1_790_000_001 {
		t.Errorf("expires at %s, %v", got.ExpiresAt, err)
	}
}

func TestAResultIsNativeWhereNothingIsLost(t *testing.T) {
	for result, want := range map[string]bool{
		`null`: true, `true`: true, `17`: true, `-0.5`: true, `"text"`: true, `[1,{"a":[]}]`: true, `{"a":{"b":""}}`: true,
		`12345678901234567890123456789012345678`: true, `0.000001`: true,
		`123456789012345678901234567890123456789`: false, `0.0000001`: false, `1e3`: false, `1.0`: false, `-0`: false,
		`{"":1}`: false, `{"a":1,"a":2}`: false, `{"\ud800":1}`: false, `"\ud800"`: false, `[1] [2]`: false, `nothing`: false, `[1`: false,
		"\"\xff\"": false,
	} {
		v, resultType := encodeResult([]byte(result), "")
		if native := resultType == ""; native != want {
			t.Errorf("%s: native %v, want %v", result, native, want)
		}
		data, mediaType, err := decodeResult(stored(t, v), resultType)
		if err != nil || mediaType != "" {
			t.Errorf("%s: came back as %q, %v", result, mediaType, err)
		}
		if !want && !bytes.Equal(data, []byte(result)) {
			t.Errorf("%s: came back as %s", result, data)
		}
	}
}

// FuzzItemCodec turns any attributes into an item: decoding it never panics,
// and what is no record, or a newer one, is left alone; what is a record comes
// back from another trip as it was.
func FuzzItemCodec(f *testing.F) {
	f.Add([]byte(`{"id":"q#a","name":"a","format":1,"status":"COMPLETED","version":7,"result":{"a":[1,null,"x"]}}`), "", []byte(nil))
	f.Add([]byte(`{"id":"q#a","format":1,"status":"IN_PROGRESS","version":7,"owner":"000102030405060708090a0b0c0d0e0f","lease_until":9}`), "", []byte(nil))
	f.Add([]byte(`{"id":"q#a","format":2,"status":["new"],"version":7}`), "", []byte(nil))
	f.Add([]byte(`{"format":1,"status":"REJECTED","version":1e3,"attempts":-1,"result":"AA","result_type":"=json"}`), AttrFingerprint, make([]byte, 37))
	f.Add([]byte(`{"version":"7"}`), AttrResult, []byte{0xff})
	f.Fuzz(func(t *testing.T, attributes []byte, binaryName string, binary []byte) {
		it := garbage(t, attributes)
		if binaryName != "" {
			it[binaryName] = &types.AttributeValueMemberB{Value: binary}
		}
		before := maps.Clone(it)
		r, err := decode(it)
		if !reflect.DeepEqual(it, before) {
			t.Fatal("decoding has changed the item")
		}
		if err != nil || r.Format > dedupe.Format {
			if !leftAlone(r) {
				t.Fatalf("verdicts %v on %+v", verdicts(r), r)
			}
			return
		}
		if len(it) == 0 {
			return
		}
		if r.Version <= 0 || r.Status == "" || r.Format != dedupe.Format || r.Attempts < 0 || len(r.Result) > math.MaxInt32 {
			t.Fatalf("accepted %+v", r)
		}
		back, err := decode(itemOf(t, r))
		if err != nil {
			t.Fatalf("decode what was encoded of %+v: %v", r, err)
		}
		if !sameJSON(r, back) {
			t.Fatalf("came back as\n%+v, was\n%+v", back, r)
		}
	})
}

// FuzzResult stores any bytes as a result: they come back, JSON as the same
// value, all else to the byte.
func FuzzResult(f *testing.F) {
	for _, seed := range []string{``, `{}`, `{"a":[1,2.50,"\u0000"],"b":{"":null}}`, `1E400`, `"\ud83d\ude00"`, "\xff"} {
		f.Add([]byte(seed), "")
		f.Add([]byte(seed), "text/plain")
	}
	f.Add([]byte(`{}`), "json")
	f.Add([]byte(`{}`), "==")
	f.Fuzz(func(t *testing.T, data []byte, mediaType string) {
		v, resultType := encodeResult(data, mediaType)
		got, gotType, err := decodeResult(stored(t, v), resultType)
		if err != nil {
			t.Fatalf("stored as %s %q: %v", v, resultType, err)
		}
		a := dedupe.Record{Result: data, ResultType: mediaType}
		b := dedupe.Record{Result: got, ResultType: gotType}
		if !sameJSON(a, b) {
			t.Fatalf("came back as %q %q, was %q %q", got, gotType, data, mediaType)
		}
	})
}

// garbage makes an item of a JSON object: any shape, any types.
func garbage(t *testing.T, data []byte) item {
	t.Helper()
	v, err := native(data)
	if err != nil {
		t.Skip("not an object")
	}
	m, ok := stored(t, v).(*types.AttributeValueMemberM)
	if !ok {
		t.Skip("not an object")
	}
	return m.Value
}

// stored is a value out of DynamoDB's JSON; none is nil.
func stored(t testing.TB, data []byte) types.AttributeValue {
	t.Helper()
	if data == nil {
		return nil
	}
	v, err := attributevalue.UnmarshalJSON(data)
	if err != nil {
		t.Fatalf("%v in %s", err, data)
	}
	return v
}

// itemOf is the record as an item.
func itemOf(t testing.TB, r dedupe.Record) item {
	t.Helper()
	w := encode(r)
	it, err := w.item()
	if err != nil {
		t.Fatal(err)
	}
	return it
}

// sameJSON reports whether two records are equal, their results as JSON values.
func sameJSON(a, b dedupe.Record) bool {
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
