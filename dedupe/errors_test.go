package dedupe_test

import (
	"strings"
	"testing"

	"github.com/sqsonce/sqsonce/dedupe"
	"github.com/sqsonce/sqsonce/dedupe/protocol"
)

// An error after which a name does not run by itself says how it does, with the name
// where a shell takes it as it stands.
func TestWayOut(t *testing.T) {
	for name, argument := range map[string]string{
		"o-1": `"o-1"`, "büro 17": `"büro 17"`, "it's": `"it's"`, strings.Repeat("n", 254): `"` + strings.Repeat("n", 254) + `"`,
		`["a","17"]`: "NAME", "$HOME": "NAME", "`ls`": "NAME", "a!b": "NAME", `a\b`: "NAME", "-x": "NAME", strings.Repeat("n", 255): "NAME",
	} {
		retry, forget := "producer resolve "+argument+" --retry, then redrive", "producer forget "+argument+", then redrive"
		for want, err := range map[string]error{
			retry + "): declined":                    &dedupe.RejectedError{Name: name, Attempts: 3, Text: "declined"},
			retry + "): no answer":                   &dedupe.UnknownOutcomeError{Name: name, Text: "no answer"},
			"resolve " + argument + " --completed; ": &dedupe.UnknownOutcomeError{Name: name},
			retry:                                    &dedupe.MismatchError{Name: name, Status: protocol.Rejected},
			forget:                                   &dedupe.MismatchError{Name: name, Status: protocol.Completed},
		} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%q does not say %q", err, want)
			}
		}
	}
}
