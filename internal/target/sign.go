package target

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// secretPrefix marks a secret in base64.
const secretPrefix = "whsec_"

// signingKey returns the key in a secret: the decoded base64 after whsec_, or the bytes of any
// other secret. Its errors never contain the secret.
func signingKey(secret string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(secret, secretPrefix)
	if !ok {
		return []byte(secret), nil
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil || len(key) == 0 {
		return nil, errors.New("target secret: the text after " + secretPrefix + " is not base64")
	}
	return key, nil
}

// sign adds the three headers of Standard Webhooks.
func sign(h http.Header, key []byte, id, body string, now time.Time) {
	timestamp := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + timestamp + "." + body)) // never fails, as documented for hash.Hash
	h.Set("Webhook-Id", id)
	h.Set("Webhook-Timestamp", timestamp)
	h.Set("Webhook-Signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
}
