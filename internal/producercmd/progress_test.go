package producercmd

import (
	"bytes"
	"testing"
	"testing/synctest"
	"time"
)

func TestProgress(t *testing.T) {
	for name, tc := range map[string]struct {
		total int64
		want  string
	}{
		"of a total": {400, "\r\x1b[Ksending 25% (100/400), 50 a second\r\x1b[Ksending 100% (400/400), 100 a second\r\x1b[K"},
		"unknown":    {-1, "\r\x1b[Ksending 100, 50 a second\r\x1b[Ksending 400, 100 a second\r\x1b[K"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var screen bytes.Buffer
				p := progress(&screen, tc.total, "sending")
				p.to = &screen
				time.Sleep(2 * time.Second)
				p.add(100)
				p.set(150) // too soon to be drawn
				time.Sleep(2 * time.Second)
				p.set(400)
				p.finish()
				p.add(1)
				if got := screen.String(); got != tc.want {
					t.Errorf("drawn is %q, want %q", got, tc.want)
				}
			})
		})
	}
	t.Run("no terminal", func(t *testing.T) {
		var file bytes.Buffer
		p := progress(&file, 10, "sending")
		p.add(5)
		p.finish()
		if file.Len() > 0 {
			t.Errorf("a file gets %q", file.String())
		}
	})
}
