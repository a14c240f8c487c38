package names

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxBytes bounds a name, in bytes of UTF-8.
const MaxBytes = 512

// Check returns nil when name is 1 to [MaxBytes] bytes of UTF-8 without control
// characters. The error says what is wrong in words that follow the field, as in
// "is empty".
func Check(name string) error {
	switch {
	case name == "":
		return errors.New("is empty")
	case len(name) > MaxBytes:
		return fmt.Errorf("has %d bytes, more than %d", len(name), MaxBytes)
	case !utf8.ValidString(name):
		return fmt.Errorf("%q is not valid UTF-8", name)
	}
	if i := strings.IndexFunc(name, isControl); i >= 0 {
		return fmt.Errorf("%q has a control character at byte %d", name, i)
	}
	return nil
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }
