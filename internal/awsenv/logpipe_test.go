package awsenv

import (
	"bytes"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

// gated is a pipe that takes one line for each token.
type gated struct {
	tokens chan struct{}
	lines  bytes.Buffer
}

func (g *gated) Write(line []byte) (int, error) {
	<-g.tokens
	return g.lines.Write(line)
}

func TestLogPipe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gated{tokens: make(chan struct{}, 10)}
		l := NewLogPipe(g)
		var through atomic.Int32
		log := func(line string) {
			if n, err := l.Write([]byte(line)); n != len(line) || err != nil {
				t.Errorf("%q: %d, %v", line, n, err)
			}
			through.Add(1)
		}
		go log("a")
		synctest.Wait()
		if through.Load() != 0 {
			t.Error("a line is given up before the stop")
		}
		g.tokens <- struct{}{}
		synctest.Wait()
		go log("b")
		synctest.Wait()
		l.Stop()
		for _, line := range []string{"c", "d"} { // b delays neither
			log(line)
		}
		g.tokens <- struct{}{}
		g.tokens <- struct{}{}
		synctest.Wait()
		log("e")
		synctest.Wait()
		if got := g.lines.String(); got != "abe" || through.Load() != 5 {
			t.Errorf("written %q, %d calls have returned", got, through.Load())
		}
	})
}
