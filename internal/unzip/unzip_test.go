package unzip

import (
	"bytes"
	"compress/gzip"
	"strings"
	"testing"
)

func TestText(t *testing.T) {
	var zipped bytes.Buffer
	w := gzip.NewWriter(&zipped)
	if _, err := w.Write([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	t.Run("at the bound", func(t *testing.T) {
		if text, err := Text(zipped.Bytes(), 5); text != "hello" || err != nil {
			t.Errorf("got %q, %v", text, err)
		}
	})
	for name, tc := range map[string]struct {
		data  []byte
		bound int64
		want  string
	}{
		"over the bound": {zipped.Bytes(), 4, "unpacks to more than 4 bytes"},
		"cut short":      {zipped.Bytes()[:20], 5, "unexpected EOF"},
		"no gzip":        {[]byte("hello, hello"), 5, "invalid header"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := Text(tc.data, tc.bound); err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error is %v, want %q in it", err, tc.want)
			}
		})
	}
}
