package workercmd

import (
	"cmp"
	"net/url"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/sqsonce/sqsonce/internal/target"
)

// mask replaces a secret that is set.
const mask = "***"

// shown returns the effective configuration by flag, with secrets masked.
func (c queueSettings) shown() map[string]any {
	secret := map[string]bool{"target-secret": true, "target-token": true, "admin-token": true, "auth-token": true}
	all := make(map[string]any)
	settings := reflect.ValueOf(c)
	for _, setting := range settingsOf(settings.Type()) {
		flag, value := setting.flag, settings.FieldByIndex(setting.index).Interface()
		switch v := value.(type) {
		case time.Duration:
			value = v.String()
		case string:
			if secret[flag] && v != "" {
				value = mask
			}
		case []string:
			if secret[flag] && len(v) > 0 {
				value = mask
			}
		}
		all[flag] = value
	}
	for flag, raw := range map[string]string{"target-url": c.TargetURL, "target-health": c.TargetHealth} {
		if u, err := url.Parse(raw); err == nil {
			all[flag] = target.Redacted(u)
		} else {
			all[flag] = mask // it cannot be parsed and may hold a password
		}
	}
	return all
}

// setting is a field of the settings.
type setting struct {
	flag  string
	index []int
}

// settingsOf lists the fields of a type of settings, including those of embedded types.
func settingsOf(t reflect.Type) (all []setting) {
	for _, field := range reflect.VisibleFields(t) {
		if field.Anonymous {
			continue
		}
		all = append(all, setting{cmp.Or(field.Tag.Get("name"), kebab(field.Name)), field.Index})
	}
	return all
}

// kebab returns kong's flag name of a field: target-health for TargetHealth.
func kebab(field string) string {
	var b strings.Builder
	for i, r := range field {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}
