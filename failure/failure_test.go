package failure_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/sqsonce/sqsonce/failure"
)

type declined struct{ final bool }

func (declined) Error() string     { return "declined" }
func (d declined) Permanent() bool { return d.final }

func TestIs(t *testing.T) {
	for name, tc := range map[string]struct {
		err  error
		want bool
	}{
		"nil":                   {nil, false},
		"without the method":    {errors.New("x"), false},
		"shown":                 {declined{true}, true},
		"wrapped":               {fmt.Errorf("charge: %w", declined{true}), true},
		"joined":                {errors.Join(errors.New("x"), declined{true}), true},
		"denied":                {declined{false}, false},
		"the outer one decides": {fmt.Errorf("%w, then %w", declined{false}, declined{true}), false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := failure.Is(tc.err, failure.Permanent.Permanent); got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
		})
	}
}
