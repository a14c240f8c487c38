package console

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
)

// The page. vendor holds uPlot's built files as npm has them, with its licence.
//
//go:embed web
var web embed.FS

// contentTypes are those of the page's files; the system's own table is not asked.
var contentTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
	".svg": "image/svg+xml", ".LICENSE": "text/plain; charset=utf-8",
}

// asset serves one file of the page. A browser that has it gets no second copy.
func asset(name string) http.HandlerFunc {
	data, err := fs.ReadFile(web, "web/"+name)
	if err != nil {
		return func(w http.ResponseWriter, r *http.Request) { problem(w, http.StatusNotFound, "no such file") }
	}
	sum := sha256.Sum256(data)
	tag := `"` + hex.EncodeToString(sum[:12]) + `"`
	return func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "no-cache")
		w.Header().Set("ETag", tag)
		w.Header().Set("Content-Type", contentTypes[path.Ext(name)])
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(data) // a client that has gone needs no answer
	}
}

func serveAsset(w http.ResponseWriter, r *http.Request) { asset(r.PathValue("file"))(w, r) }
