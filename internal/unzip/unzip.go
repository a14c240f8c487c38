// Package unzip decompresses the gzips that messages may carry.
package unzip

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
)

// Bound is the most that a gzip of a message may unpack to, in bytes.
const Bound = 16 << 20

// Text decompresses a gzip. It fails for more than bound bytes of output.
func Text(data []byte, bound int64) (string, error) {
	r, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return "", err
	}
	text, err := io.ReadAll(io.LimitReader(r, bound+1))
	if err == nil && int64(len(text)) > bound {
		err = fmt.Errorf("unpacks to more than %d bytes", bound)
	}
	return string(text), err
}
