package workercmd

import (
	"slices"
	"strings"
	"testing"
)

func TestPowertools(t *testing.T) {
	whole := []string{"--local", "--powertools-prefix", "f.app.handle", "--powertools-language", "python", "--powertools-key", "messageId"}
	for name, tc := range map[string]struct {
		args []string
		want []string // problems; empty: the settings are valid
	}{
		"whole":                    {whole, nil},
		"no language, no key":      {whole[:3], []string{"--powertools-language (SQSONCE_POWERTOOLS_LANGUAGE) is missing", "--powertools-key (SQSONCE_POWERTOOLS_KEY) is missing"}},
		"no prefix":                {[]string{"--local", "--powertools-table", "old"}, []string{"--powertools-table old: needs --powertools-prefix"}},
		"partition, no sort key":   {append(slices.Clone(whole), "--powertools-partition", "p"), []string{"--powertools-partition p: needs --powertools-sort-key"}},
		"a language that is not":   {[]string{"--local", "--powertools-language", "java"}, []string{"--powertools-language"}},
		"a key that is not a path": {append(slices.Clone(whole[:6]), "keys(@)"), []string{`Key "keys(@)"`}},
		"a prefix with a hash":     {append([]string{"--local", "--powertools-prefix", "f#1"}, whole[3:]...), []string{`Prefix "f#1"`}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := parse(tc.args, t.Output(), t.Output())
			if (err == nil) != (len(tc.want) == 0) {
				t.Fatal(err)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%v does not name %s", err, want)
				}
			}
		})
	}
}
