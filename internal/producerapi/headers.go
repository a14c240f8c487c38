package producerapi

import (
	"errors"
	"fmt"
	"math"
	"mime"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Headers of messages.
const (
	headerKey   = "Idempotency-Key"
	headerDelay = "X-Sqsonce-Delay"
	headerRetry = "X-Sqsonce-Retry-Rejected"
)

// Limits of SQS.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	maxDelay = 15 * time.Minute
	maxID    = 128 // message group and deduplication ids
)

// maxWait is the longest wait. A longer preference is shortened to it.
const maxWait = time.Minute

// preferredWait reads "Prefer: wait=N" (RFC 7240). It ignores invalid preferences, as the RFC
// requires.
func preferredWait(prefer string) (wait time.Duration, asked bool) {
	for preference := range strings.SplitSeq(prefer, ",") {
		preference, _, _ = strings.Cut(preference, ";")
		name, value, _ := strings.Cut(preference, "=")
		if !strings.EqualFold(strings.TrimSpace(name), "wait") {
			continue
		}
		n, err := strconv.ParseUint(strings.Trim(strings.TrimSpace(value), `"`), 10, 64)
		if errors.Is(err, strconv.ErrRange) {
			n, err = math.MaxUint64, nil
		}
		if err == nil && !asked { // the first one applies
			wait, asked = time.Duration(min(n, uint64(maxWait/time.Second)))*time.Second, true
		}
	}
	return wait, asked
}

// idempotencyKey reads the header as a structured-field string ("order-17", with the escapes \" and
// \\) or as bare text.
func idempotencyKey(h http.Header) (key string, given bool, err error) {
	values := h.Values(headerKey)
	switch len(values) {
	case 0:
		return "", false, nil
	case 1:
	default:
		return "", true, badRequest(headerKey, "must not be repeated")
	}
	key = strings.TrimSpace(values[0])
	if strings.HasPrefix(key, `"`) {
		if key, err = unquote(key); err != nil {
			return "", true, badRequest(headerKey, err.Error())
		}
	}
	if key == "" {
		return "", true, badRequest(headerKey, "must not be empty")
	}
	return key, true, nil
}

// unquote reads a string of RFC 8941, section 3.3.3. It also accepts text beyond ASCII, because
// names may hold it and clients send it.
func unquote(s string) (string, error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			if i != len(s)-1 {
				return "", errors.New("must end with the closing quote")
			}
			return b.String(), nil
		case '\\':
			if i++; i == len(s) || s[i] != '"' && s[i] != '\\' {
				return "", errors.New(`only \" and \\ may be escaped`)
			}
		}
		b.WriteByte(s[i])
	}
	return "", errors.New("the closing quote is missing")
}

// delay reads the delay in a header or a member: whole seconds or a Go duration. SQS delays single
// messages by up to 15 minutes, and not on FIFO queues. Other delays need a schedule, which
// scheduling allows.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
func delay(field, text string, fifo, scheduling bool) (bySQS int32, later time.Duration, err error) {
	if text == "" {
		return 0, 0, nil
	}
	d, err := time.ParseDuration(text)
	if n, nerr := strconv.ParseUint(text, 10, 32); nerr == nil {
		d, err = time.Duration(n)*time.Second, nil
	}
	most, inWords, example := maxDelay, "", "30s"
	if scheduling {
		most, inWords, example = maxLater, " (a year)", "3h"
	}
	switch {
	case err != nil || d < 0 || d > most || d%time.Second != 0:
		detail := fmt.Sprintf("%.60q must be whole seconds from 0 to %d%s, such as 30 or %s",
			text, most/time.Second, inWords, example)
		if d > most && !scheduling {
			detail += "; a longer delay needs --schedule-role on the server"
		}
		return 0, 0, badRequest(field, detail)
	case fifo && d > 0 && !scheduling:
		return 0, 0, badRequest(field, "needs --schedule-role on the server, because SQS does not delay single messages of a FIFO queue")
	case fifo || d > maxDelay:
		return 0, d, nil
	}
	return int32(d / time.Second), 0, nil
}

// retries reads [headerRetry], for requests that huma does not read.
func retries(h http.Header) (bool, error) {
	text := h.Get(headerRetry)
	if text == "" {
		return false, nil
	}
	is, err := strconv.ParseBool(text)
	if err != nil {
		return false, badRequest(headerRetry, fmt.Sprintf("%.60q must be true or false", text))
	}
	return is, nil
}

// mediaType checks the Content-Type and reports whether it is NDJSON, which lines allows.
func mediaType(h http.Header, lines bool) (ndjson bool, err error) {
	if coding := h.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		return false, newProblem(http.StatusUnsupportedMediaType, "Content-Encoding", fmt.Sprintf("must not be %q: the body must not be encoded", coding))
	}
	media, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	switch {
	case err == nil && (media == "application/json" || strings.HasPrefix(media, "application/") && strings.HasSuffix(media, "+json")):
		return false, nil
	case err == nil && lines && (media == "application/x-ndjson" || media == "application/jsonl"):
		return true, nil
	case lines:
		return false, newProblem(http.StatusUnsupportedMediaType, "Content-Type", "must be application/json or application/x-ndjson")
	default:
		return false, newProblem(http.StatusUnsupportedMediaType, "Content-Type", "must be application/json")
	}
}

// traceParent matches version 00 and later versions.
// https://www.w3.org/TR/trace-context/#traceparent-header
var traceParent = regexp.MustCompile(`^([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})$`)

const (
	noTrace  = "00000000000000000000000000000000"
	noParent = "0000000000000000"
)

// trace returns a valid W3C traceparent, and its X-Ray form. It ignores an invalid one, as the
// standard requires.
func trace(sent string) (parent, xray string) {
	m := traceParent.FindStringSubmatch(sent)
	if m == nil || m[1] == "ff" || m[2] == noTrace || m[3] == noParent {
		return "", ""
	}
	sampled := "0"
	if flags, err := strconv.ParseUint(m[4], 16, 8); err == nil && flags&1 == 1 {
		sampled = "1"
	}
	// https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
	return m[0], "Root=1-" + m[2][:8] + "-" + m[2][8:] + ";Parent=" + m[3] + ";Sampled=" + sampled
}
