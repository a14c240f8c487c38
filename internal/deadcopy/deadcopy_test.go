package deadcopy

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce/internal/attributes"
)

func TestAttributes(t *testing.T) {
	t.Run("limits are kept", testCopyKeepsToTheLimits)
	t.Run("earlier trip is forgotten", testCopyForgetsAnEarlierTrip)
}

func testCopyKeepsToTheLimits(t *testing.T) {
	long := strings.Repeat("é", 5000)
	const id = "0d9e5f8e-1111-2222-3333-444455556666"
	d := Details{Reason: "rejected", Err: fmt.Errorf("%s\x00", long), Name: "order\x00-17", OriginalID: id, Attempts: 4}
	for taken := range 11 {
		for _, left := range []int{0, 14, 40, 60, 90, 130, 200, 500, 5000} {
			own := map[string]types.MessageAttributeValue{}
			size := 0
			for i := range taken {
				name := fmt.Sprint("a", i)
				own[name] = text("x")
				size += attributeBytes(name, own[name])
			}
			body := MaxMessageBytes - size - left
			result, ok := Attributes(own, body, d)
			room := len(attributes.Reason) + len("String") + len("rejected")
			if want := taken < 10 && left >= room; ok != want {
				t.Fatalf("%d attributes, %d bytes left: %v, want %v", taken, left, ok, want)
			}
			if !ok {
				continue
			}
			if len(result) > maxAttributes || body+Bytes(result) > MaxMessageBytes {
				t.Errorf("%d attributes, %d bytes left: %d attributes, %d bytes", taken, left, len(result), body+Bytes(result))
			}
			for name, v := range result {
				if !utf8.ValidString(*v.StringValue) || strings.ContainsRune(*v.StringValue, 0) || *v.StringValue == "" || len(*v.StringValue) > 2*maxErrorBytes {
					t.Errorf("%s = %q", name, *v.StringValue)
				}
			}
			reason := *result[attributes.Reason].StringValue
			if !strings.HasPrefix(reason, "rejected") {
				t.Errorf("reason %q", reason)
			}
			if packed := strings.Contains(reason, "original-id: "+id); packed != (taken >= 8 && left >= 200) && left != 130 {
				t.Errorf("%d attributes, %d bytes left: reason %q", taken, left, reason)
			}
		}
	}
}

func testCopyForgetsAnEarlierTrip(t *testing.T) {
	own := map[string]types.MessageAttributeValue{
		attributes.Reason: text("old"), attributes.Error: text("old"), attributes.Attempts: text("9"), attributes.OriginalID: text("old"), attributes.Name: text("kept"),
	}
	result, _ := Attributes(own, 0, Details{Reason: "stopped", Name: "other", OriginalID: "new", Attempts: 1})
	got := map[string]string{}
	for name, v := range result {
		got[name] = *v.StringValue
	}
	want := map[string]string{attributes.Reason: "stopped", attributes.Attempts: "1", attributes.OriginalID: "new", attributes.Name: "kept"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// A long name does not push the cause out of the error.
func TestLongName(t *testing.T) {
	name := strings.Repeat("\u00e9\n", 300)
	err := fmt.Errorf("%q was rejected: card declined", name)
	result, _ := Attributes(nil, 0, Details{Reason: "rejected", Err: err, Name: name, OriginalID: "id", Attempts: 1})
	if got := *result[attributes.Error].StringValue; !strings.HasSuffix(got, "was rejected: card declined") || len(got) > maxErrorBytes {
		t.Errorf("the error is %q", got)
	}
}

// Characters that an attribute may not have are replaced by longer ones, within the bound.
func TestUnprintableError(t *testing.T) {
	result, _ := Attributes(nil, 0, Details{Reason: "rejected", Err: errors.New(strings.Repeat("\x01", 2*maxErrorBytes)), OriginalID: "id"})
	if got := *result[attributes.Error].StringValue; len(got) > maxErrorBytes {
		t.Errorf("the error has %d bytes, want at most %d", len(got), maxErrorBytes)
	}
}
