package names

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// MaxBytes bounds a name, in bytes of UTF-8.
const MaxBytes = 1024

// Check returns nil if name is 1 to [MaxBytes] bytes of UTF-8 without control characters. The text
// of an error continues a sentence about the field, as in "is empty".
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

// hashed returns the substitute for a name that is too long: the beginning of the name, "~sha256:"
// and the SHA-256 of the name in hex. It has at most MaxBytes bytes.
func hashed(name string) string {
	const mark = "~sha256:"
	sum := sha256.Sum256([]byte(name))
	begin := MaxBytes - len(mark) - 2*len(sum)
	for begin > 0 && !utf8.RuneStart(name[begin]) {
		begin--
	}
	return name[:begin] + mark + hex.EncodeToString(sum[:])
}

func isControl(r rune) bool { return r < 0x20 || r >= 0x7f && r < 0xa0 }
