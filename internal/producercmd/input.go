package producercmd

import (
	"bufio"
	"io"
)

// byteOrderMark is what some editors and exports write before a text in UTF-8.
const byteOrderMark = "\uFEFF"

// withoutMark returns a reader of in without a byte order mark at its beginning. The mark would
// become a part of the first name.
func withoutMark(in io.Reader) *bufio.Reader {
	r := bufio.NewReaderSize(in, 1<<16)
	if begin, _ := r.Peek(len(byteOrderMark)); string(begin) == byteOrderMark {
		_, _ = r.Discard(len(begin)) // it is in the buffer
	}
	return r
}
