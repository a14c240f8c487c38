package target

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestTarget(t *testing.T) {
	t.Run("config that cannot work is refused", testConfigThatCannotWorkIsRefused)
	t.Run("every problem is reported and no secret shown", testEveryProblemIsReportedAndNoSecretShown)
	t.Run("URL is shown without possible secrets", testURLIsShownWithoutPossibleSecrets)
}

func testConfigThatCannotWorkIsRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		cfg  Config
		want string // in the error; empty for none
	}{
		"http":                 {Config{URL: "http://127.0.0.1:8000/work"}, ""},
		"https":                {Config{URL: "https://example.com"}, ""},
		"socket":               {Config{URL: "unix:///run/app.sock"}, ""},
		"HTTP/2":               {Config{URL: "h2c://127.0.0.1:8000/work"}, ""},
		"HTTP/2, own client":   {Config{URL: "h2c://127.0.0.1", HTTP: &http.Client{}}, "built-in"},
		"none":                 {Config{}, "http, https, h2c or unix"},
		"no scheme":            {Config{URL: "example.com/work"}, `"example.com/work"`},
		"other scheme":         {Config{URL: "ftp://example.com"}, `"ftp://example.com"`},
		"no host":              {Config{URL: "http:///work"}, "has no host"},
		"socket as a host":     {Config{URL: "unix://app.sock"}, "unix:///absolute/path"},
		"socket, own client":   {Config{URL: "unix:///run/app.sock", HTTP: &http.Client{}}, "built-in"},
		"not a URL":            {Config{URL: "http://a b:c"}, "not a URL"},
		"negative timeout":     {Config{URL: "http://x", Timeout: -time.Second}, "-1s"},
		"negative result":      {Config{URL: "http://x", MaxResult: -1}, "-1"},
		"2xx as permanent":     {Config{URL: "http://x", PermanentStatuses: []int{200}}, "200"},
		"3xx as permanent":     {Config{URL: "http://x", PermanentStatuses: []int{302}}, "302"},
		"no permanent at all":  {Config{URL: "http://x", PermanentStatuses: []int{}}, ""},
		"secret not in base64": {Config{URL: "http://x", Secret: "whsec_***"}, "target secret"},
		"empty secret":         {Config{URL: "http://x", Secret: "whsec_"}, "target secret"},
		"token with a newline": {Config{URL: "http://x", Token: "abc\n"}, "target token"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(tc.cfg)
			if tc.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Fatalf("error is %v, want one with %q", err, tc.want)
			}
		})
	}
}

func testEveryProblemIsReportedAndNoSecretShown(t *testing.T) {
	_, err := New(Config{
		URL: "ftp://user:hunter2@x", Timeout: -1, MaxResult: -2, PermanentStatuses: []int{7},
		Secret: "whsec_hunter2!", Token: "hunter2\n",
	})
	if err == nil {
		t.Fatal("accepted")
	}
	for _, want := range []string{"ftp", "timeout", "max result", "status 7", "secret", "token"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error shows a secret: %v", err)
	}
	if _, err := New(Config{URL: "http://user:hunter2@a b"}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error is %v", err)
	}
}

func testURLIsShownWithoutPossibleSecrets(t *testing.T) {
	for raw, want := range map[string]string{
		"https://h/work":                          "https://h/work",
		"https://apikey@h/work":                   "https://xxxxx@h/work",
		"https://user:hunter2@h:8443/":            "https://xxxxx@h:8443/",
		"https://h/work?token=hunter2&a=b&hunter": "https://h/work?token=xxxxx&a=xxxxx&xxxxx",
		"https://h/#hunter2":                      "https://h/#xxxxx",
		"ftp:hunter2":                             "ftp:xxxxx",
	} {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		if got := Redacted(u); got != want {
			t.Errorf("%s is shown as %s, want %s", raw, got, want)
		}
	}
	if _, err := New(Config{URL: "ftp://hunter2@h/?token=hunter2"}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("error is %v", err)
	}
}
