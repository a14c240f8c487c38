package powertools

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
)

// The vectors are hashes that Python 3.11 and Node 20 have made, by the code of Powertools; see
// testdata/README.md.
func TestKey(t *testing.T) {
	text, err := os.ReadFile("testdata/keys.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Value              json.RawMessage
		Python, TypeScript *string
	}
	if err := json.Unmarshal(text, &vectors); err != nil || len(vectors) < 30 {
		t.Fatalf("%d vectors, %v", len(vectors), err)
	}
	for _, v := range vectors {
		for language, want := range map[string]*string{Python: v.Python, TypeScript: v.TypeScript} {
			value, err := decode(v.Value)
			if err != nil {
				t.Fatal(err)
			}
			key, ok, err := (Config{Language: language, Prefix: "f.app.handle", Hash: "md5"}).keyOf(value)
			switch {
			case err != nil || ok != (want != nil):
				t.Errorf("%s of %s: %v, %v", language, v.Value, ok, err)
			case ok && key != "f.app.handle#"+*want:
				t.Errorf("%s of %s: key %s, want %s", language, v.Value, key, *want)
			}
		}
	}
}

func TestNew(t *testing.T) {
	_, err := New(nil, Config{Language: "java", Prefix: "a#b", Hash: "crc", SortKeyAttr: "id", Key: "["})
	for _, want := range []string{`Table ""`, `Language "java"`, `Prefix "a#b"`, `Hash "crc"`, `SortKeyAttr "id"`, `Key "["`, "client: must not be nil"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v does not name %s", err, want)
		}
	}
	for _, key := range []string{"keys(@)", "*.a", "to_string(body)", "no_such(body)", "a["} {
		if _, err := compile(key); err == nil {
			t.Errorf("%s is taken", key)
		}
	}
}
