package console

import (
	"bytes"
	"compress/gzip"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestAssets(t *testing.T) {
	t.Run("vendored files are those of npm", testVendoredFilesAreThoseOfNpm)
	t.Run("page never makes markup of text", testThePageNeverMakesMarkupOfText)
	t.Run("page fetches nothing from elsewhere", testThePageFetchesNothingFromElsewhere)
	t.Run("every file that the page names is there", testEveryFileThatThePageNamesIsThere)
	t.Run("file that a browser has is not sent again", testAFileThatABrowserHasIsNotSentAgain)
}

func testVendoredFilesAreThoseOfNpm(t *testing.T) {
	for ours, theirs := range map[string]string{
		"uPlot.iife.min.js": "dist/uPlot.iife.min.js", "uPlot.min.css": "dist/uPlot.min.css", "uPlot.LICENSE": "LICENSE",
	} {
		want, err := os.ReadFile(filepath.Join("..", "..", "node_modules", "uplot", theirs))
		if err != nil {
			t.Fatalf("npm ci has not been run: %v", err)
		}
		got, err := fs.ReadFile(web, "web/vendor/"+ours)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s differs from uplot/%s of package-lock.json; copy it", ours, theirs)
		}
	}
}

// The page's sources, without the vendored ones.
func sources(t *testing.T) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := fs.WalkDir(web, "web", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || strings.Contains(path, "vendor") {
			return err
		}
		data, err := fs.ReadFile(web, path)
		files[strings.TrimPrefix(path, "web/")] = string(data)
		return err
	})
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	return files
}

func testThePageNeverMakesMarkupOfText(t *testing.T) {
	forbidden := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(|new Function|srcdoc|javascript:`)
	inline := regexp.MustCompile(`(?i)<script(?:[^>]*)>[^<]|<style|\son[a-z]+=|\sstyle=`)
	for name, text := range sources(t) {
		if found := forbidden.FindString(text); found != "" {
			t.Errorf("%s uses %s", name, found)
		}
		if found := inline.FindString(text); strings.HasSuffix(name, ".html") && found != "" {
			t.Errorf("%s has inline code or style: %s", name, found)
		}
	}
}

func testThePageFetchesNothingFromElsewhere(t *testing.T) {
	elsewhere := regexp.MustCompile(`(?i)(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}`)
	for name, text := range sources(t) {
		for _, found := range elsewhere.FindAllString(text, -1) {
			if !strings.Contains(found, "www.w3.org") { // a namespace, not an address
				t.Errorf("%s names %s", name, found)
			}
		}
	}
}

func testEveryFileThatThePageNamesIsThere(t *testing.T) {
	reference := regexp.MustCompile(`(?:src|href)="/assets/([^"]+)"|from '\./([^']+)'`)
	files := sources(t)
	for name, text := range files {
		for _, m := range reference.FindAllStringSubmatch(text, -1) {
			w := httptest.NewRecorder()
			r := httptest.NewRequest(http.MethodGet, "/assets/"+m[1]+m[2], nil)
			r.SetPathValue("file", m[1]+m[2])
			serveAsset(w, r)
			if w.Code != http.StatusOK || w.Header().Get("Content-Type") == "" {
				t.Errorf("%s names %s: %d %s", name, m[1]+m[2], w.Code, w.Header().Get("Content-Type"))
			}
			if strings.HasSuffix(m[2], ".js") && files[m[2]] == "" {
				t.Errorf("%s imports %s, which is not there", name, m[2])
			}
		}
	}
}

func testAFileThatABrowserHasIsNotSentAgain(t *testing.T) {
	first := httptest.NewRecorder()
	asset("app.js")(first, httptest.NewRequest(http.MethodGet, "/", nil))
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set("If-None-Match", first.Header().Get("ETag"))
	again := httptest.NewRecorder()
	asset("app.js")(again, r)
	if first.Code != http.StatusOK || again.Code != http.StatusNotModified || again.Body.Len() > 0 {
		t.Errorf("answers are %d and %d with %d bytes", first.Code, again.Code, again.Body.Len())
	}
	for _, name := range []string{"../console.go", "vendor", "", "/etc/passwd", "nothing.js"} {
		w := httptest.NewRecorder()
		asset(name)(w, httptest.NewRequest(http.MethodGet, "/", nil))
		if w.Code != http.StatusNotFound {
			t.Errorf("%q answers %d", name, w.Code)
		}
	}
}

// The page is compressed for browsers that accept gzip, and plain for others.
func TestCompressedAssets(t *testing.T) {
	ask := func(name string, headers ...string) *http.Response {
		r := httptest.NewRequest(http.MethodGet, "/", http.NoBody)
		for i := 0; i < len(headers); i += 2 {
			r.Header.Set(headers[i], headers[i+1])
		}
		w := httptest.NewRecorder()
		asset(name)(w, r)
		return w.Result()
	}
	body := func(resp *http.Response) []byte {
		t.Helper()
		data, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	plain, small := 0, 0
	for _, path := range []string{"index.html", "app.js", "console.css", "vendor/uPlot.iife.min.js", "icon.svg"} {
		whole := body(ask(path))
		for _, taken := range []string{"gzip", "br, GZIP;q=0.5", "deflate, gzip;q=1.0, *;q=0"} {
			resp := ask(path, "Accept-Encoding", taken)
			sent := body(resp)
			r, err := gzip.NewReader(bytes.NewReader(sent))
			if err != nil {
				t.Fatalf("%s for %q: %v, %v", path, taken, err, resp.Header)
			}
			if got, err := io.ReadAll(r); err != nil || !bytes.Equal(got, whole) || resp.Header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("%s for %q: %v, %v", path, taken, err, resp.Header)
			}
			if again := ask(path, "Accept-Encoding", taken, "If-None-Match", resp.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
				t.Errorf("%s is sent again: %d", path, again.StatusCode)
			}
			if taken == "gzip" {
				plain, small = plain+len(whole), small+len(sent)
			}
		}
		for _, refused := range []string{"", "br", "gzip;q=0", "gzip;q=none", "xgzip"} {
			if resp := ask(path, "Accept-Encoding", refused); resp.Header.Get("Content-Encoding") != "" || !bytes.Equal(body(resp), whole) {
				t.Errorf("%s for %q is compressed", path, refused)
			}
		}
	}
	if small*2 > plain {
		t.Errorf("%d bytes of %d are left", small, plain)
	}
}

// The page preloads every module that it imports, directly or indirectly.
func TestModulesArePreloaded(t *testing.T) {
	files := sources(t)
	for name := range files {
		if strings.HasSuffix(name, ".js") && name != "app.js" && !strings.Contains(files["index.html"], `<link rel="modulepreload" href="/assets/`+name+`">`) {
			t.Errorf("%s is not preloaded", name)
		}
	}
}
