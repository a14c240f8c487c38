package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

// web holds the page. vendor holds uPlot's built files from npm, with its licence.
//
//go:embed web
var web embed.FS

// contentTypes holds the types of the page's files, because the system's own table may differ.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml", ".LICENSE": "text/plain; charset=utf-8",
}

// file is a file of the page.
type file struct {
	kind, tag      string
	plain, gzipped []byte // gzipped is empty if it saves nothing
}

// files returns the page's files by name. They are compressed once, at the first call.
var files = sync.OnceValue(func() map[string]file {
	all := make(map[string]file)
	err := fs.WalkDir(web, "web", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		plain, err := fs.ReadFile(web, name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(plain)
		f := file{kind: contentTypes[path.Ext(name)], tag: hex.EncodeToString(sum[:12]), plain: plain}
		if small := compressed(plain); len(small) < len(plain) {
			f.gzipped = small
		}
		all[strings.TrimPrefix(name, "web/")] = f
		return nil
	})
	if err != nil {
		panic(err) // the files are embedded in the program
	}
	return all
})

func compressed(plain []byte) []byte {
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.BestCompression)
	if err != nil {
		panic(err) // the level is valid
	}
	_, _ = w.Write(plain) // into memory
	_ = w.Close()
	return b.Bytes()
}

// asset serves a file of the page, compressed if the browser accepts gzip. It answers 304 if the
// browser has the file already.
func asset(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f, ok := files()[name]
		if !ok {
			problem(w, http.StatusNotFound, "no such file")
			return
		}
		data, tag := f.plain, `"`+f.tag+`"`
		h := w.Header()
		h.Set("Vary", "Accept-Encoding")
		if len(f.gzipped) > 0 && takesGzip(r.Header.Get("Accept-Encoding")) {
			data, tag = f.gzipped, `"`+f.tag+`-gzip"`
			h.Set("Content-Encoding", "gzip")
		}
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		h.Set("Content-Type", f.kind)
		if r.Header.Get("If-None-Match") == tag {
			h.Del("Content-Encoding")
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(data) // fails if the client has gone
	}
}

// takesGzip reports whether an Accept-Encoding accepts gzip:
// https://www.rfc-editor.org/rfc/rfc9110.html#section-12.5.3
func takesGzip(accepted string) bool {
	for coding := range strings.SplitSeq(accepted, ",") {
		name, weight, _ := strings.Cut(coding, ";")
		if !strings.EqualFold(strings.TrimSpace(name), "gzip") {
			continue
		}
		_, q, weighted := strings.Cut(weight, "q=")
		n, err := strconv.ParseFloat(strings.TrimSpace(q), 64)
		return !weighted || err == nil && n > 0
	}
	return false
}

func serveAsset(w http.ResponseWriter, r *http.Request) { asset(r.PathValue("file"))(w, r) }
