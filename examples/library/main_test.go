package main

import (
	"bytes"
	"testing"
	"testing/synctest"
)

func TestEachOrderIsChargedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the pool's last long poll costs no time
		var out bytes.Buffer
		if err := run(t.Context(), &out); err != nil {
			t.Fatal(err)
		}
		const want = "charging 30 for 17\ncharging 12 for 18\n5 deliveries done\n"
		if out.String() != want {
			t.Errorf("printed\n%swant\n%s", out.String(), want)
		}
	})
}
