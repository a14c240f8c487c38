package target

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http"
	"testing"
	"testing/synctest"
	"time"
)

func TestSign(t *testing.T) {
	t.Run("signature is that of standard webhooks", testSignatureIsThatOfStandardWebhooks)
	t.Run("signed request can be verified by its receiver", testSignedRequestCanBeVerifiedByItsReceiver)
	t.Run("each attempt is signed with its own time", testEachAttemptIsSignedWithItsOwnTime)
}

// The figures were computed with openssl, not with this code.
func testSignatureIsThatOfStandardWebhooks(t *testing.T) {
	key, err := signingKey("whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3")
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	sign(h, key, "6b2f0d0e", `{"name":"order-17"}`, time.Unix(1790000000, 0))
	for name, want := range map[string]string{
		"webhook-id":        "6b2f0d0e",
		"webhook-timestamp": "1790000000",
		"webhook-signature": "v1,SbREHwADEklh3tKyTH+4kuoaPpDS+ZJQV2WEKXmISNE=",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
}

func testSignedRequestCanBeVerifiedByItsReceiver(t *testing.T) {
	for _, secret := range []string{"whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "0123456789abcdef01234567"} {
		req, body := received(t, Config{Secret: secret}, Request{Name: "n", Body: `{"é":1}`, MessageID: "id-1"})
		mac := hmac.New(sha256.New, []byte("0123456789abcdef01234567"))
		_, _ = fmt.Fprintf(mac, "%s.%s.%s", req.Header.Get("webhook-id"), req.Header.Get("webhook-timestamp"), body)
		want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
		if got := req.Header.Get("webhook-signature"); got != want || req.Header.Get("webhook-id") != "id-1" {
			t.Errorf("signature is %q, want %q", got, want)
		}
	}
}

func testEachAttemptIsSignedWithItsOwnTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var stamps []string
		target, stop := newPiped(t, Config{Secret: "s"}, func(_ http.ResponseWriter, r *http.Request) {
			stamps = append(stamps, r.Header.Get("webhook-timestamp"))
		})
		defer stop()
		for range 2 {
			if _, err := target.Post(t.Context(), Request{Name: "n", Body: "{}", MessageID: "m"}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if len(stamps) != 2 || stamps[0] == stamps[1] {
			t.Errorf("timestamps are %q", stamps)
		}
	})
}
