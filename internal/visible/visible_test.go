package visible

import "testing"

func TestText(t *testing.T) {
	for in, want := range map[string]string{
		"order-17 ü €\U0001F600": "order-17 ü €\U0001F600",
		"a\x1b[31mred":           `a\u001b[31mred`,
		"a\u009b31mred":          `a\u009b31mred`,
		"a\u202eb\u2066c\u200bd": `a\u202eb\u2066c\u200bd`,
		"a\ufeffb\u2028c\u00ad":  `a\ufeffb\u2028c\u00ad`,
		"a\tb\nc\rd":             "a\\u0009b\nc\\u000dd",
		"a\x7fb":                 `a\u007fb`,
		"a\xffb\uFFFDc":          "a\\xffb\uFFFDc",
		"\U000E0041":             `\udb40\udc41`,
		"":                       "",
	} {
		if got := Text(in, "\n"); got != want {
			t.Errorf("%q became %q, want %q", in, got, want)
		}
	}
}
