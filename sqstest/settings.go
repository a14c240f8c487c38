package sqstest

import (
	"encoding/json"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// settings are the attributes of a queue that SetQueueAttributes can set.
type settings struct {
	raw map[string]string // the set values, and the defaults of the others

	delay        time.Duration
	retention    time.Duration
	visibility   time.Duration
	wait         time.Duration
	maxSize      int
	redrive      *redrivePolicy
	allow        *allowPolicy
	contentDedup bool
	groupDedup   bool
}

// redrivePolicy moves messages to a dead-letter queue after maxReceive receives.
type redrivePolicy struct {
	target     string // queue name
	maxReceive int
}

// allowPolicy lists the queues that may use this one as their dead-letter queue.
type allowPolicy struct {
	permission string
	sources    []string // queue names
}

func (p *allowPolicy) allows(source string) bool {
	switch {
	case p == nil || p.permission == "allowAll":
		return true
	case p.permission == "byQueue":
		return slices.Contains(p.sources, source)
	default:
		return false
	}
}

const (
	attrDelay        = "DelaySeconds"
	attrMaxSize      = "MaximumMessageSize"
	attrRetention    = "MessageRetentionPeriod"
	attrWait         = "ReceiveMessageWaitTimeSeconds"
	attrVisibility   = "VisibilityTimeout"
	attrRedrive      = "RedrivePolicy"
	attrRedriveAllow = "RedriveAllowPolicy"
	attrFIFO         = "FifoQueue"
	attrContentDedup = "ContentBasedDeduplication"
	attrDedupScope   = "DeduplicationScope"
	attrThroughput   = "FifoThroughputLimit"
	attrManagedSSE   = "SqsManagedSseEnabled"
	attrKMSKey       = "KmsMasterKeyId"
	attrKMSReuse     = "KmsDataKeyReusePeriodSeconds"
)

var defaultAttributes = map[string]string{
	attrDelay:      "0",
	attrMaxSize:    strconv.Itoa(maxMessageSize),
	attrRetention:  "345600",
	attrWait:       "0",
	attrVisibility: "30",
	attrManagedSSE: "true",
}

var defaultFIFOAttributes = map[string]string{
	attrFIFO:         "true",
	attrContentDedup: "false",
	attrDedupScope:   "queue",
	attrThroughput:   "perQueue",
}

// inertAttributes are stored and returned without effect.
var inertAttributes = []string{"Policy", attrKMSKey, attrKMSReuse, attrManagedSSE}

// removableAttributes are removed by an empty value. Recorded: test_set_empty_redrive_policy,
// test_set_empty_queue_policy, test_set_queue_attributes_default_values.
var removableAttributes = []string{attrRedrive, attrRedriveAllow, "Policy", attrKMSKey}

// encrypt applies the rules between the encryption attributes to raw: a KMS key turns SQS's own
// encryption off, a request may set only one of the two, and the reuse period needs a key.
// Recorded: test_set_queue_attributes_default_values, test_sse_kms_and_sqs_are_mutually_exclusive.
func encrypt(raw, changes map[string]string) error {
	switch {
	case raw[attrKMSKey] == "":
		delete(raw, attrKMSReuse)
	case canonical(attrManagedSSE, changes[attrManagedSSE]) != "true":
		raw[attrManagedSSE] = "false"
	case changes[attrKMSKey] != "":
		return sender("InvalidAttributeName", "You can use one type of server-side encryption (SSE) at one time. You can either enable KMS SSE or SQS SSE.")
	default:
		delete(raw, attrKMSKey)
		delete(raw, attrKMSReuse)
	}
	return nil
}

// counterAttributes are read-only.
var counterAttributes = []string{
	"ApproximateNumberOfMessages", "ApproximateNumberOfMessagesDelayed", "ApproximateNumberOfMessagesNotVisible",
	"CreatedTimestamp", "LastModifiedTimestamp", "QueueArn",
}

func isQueueAttribute(name string) bool {
	if slices.Contains(counterAttributes, name) || slices.Contains(inertAttributes, name) {
		return true
	}
	_, standard := defaultAttributes[name]
	_, fifo := defaultFIFOAttributes[name]
	return standard || fifo || name == attrRedrive || name == attrRedriveAllow
}

// newSettings returns the defaults.
func newSettings(fifo bool) settings {
	raw := maps.Clone(defaultAttributes)
	if fifo {
		maps.Copy(raw, defaultFIFOAttributes)
	}
	s, err := settings{raw: raw}.with(nil, fifo)
	if err != nil {
		panic(err) // the defaults are valid
	}
	return s
}

// with returns s with the changes, or the error of the first invalid change.
func (s settings) with(changes map[string]string, fifo bool) (settings, error) {
	raw := maps.Clone(s.raw)
	for _, name := range slices.Sorted(maps.Keys(changes)) {
		value := changes[name]
		_, fifoOnly := defaultFIFOAttributes[name]
		switch {
		case !isQueueAttribute(name) || slices.Contains(counterAttributes, name):
			return s, sender("InvalidAttributeName", "Unknown Attribute %s.", name)
		case fifoOnly && !fifo && (name == attrDedupScope || name == attrThroughput):
			return s, sender("InvalidAttributeName", "You can specify the %s only when FifoQueue is set to true.", name)
		case fifoOnly && !fifo:
			return s, sender("InvalidAttributeName", "Unknown Attribute %s.", name)
		case value == "" && slices.Contains(removableAttributes, name):
			delete(raw, name)
			continue
		}
		raw[name] = canonical(name, value)
	}
	if err := encrypt(raw, changes); err != nil {
		return s, err
	}

	next := settings{raw: raw}
	for _, f := range []struct {
		name     string
		low, top int
		set      func(n int)
	}{
		{attrDelay, 0, 900, func(n int) { next.delay = seconds(n) }},
		{attrMaxSize, 1024, maxMessageSize, func(n int) { next.maxSize = n }},
		{attrRetention, 60, 1209600, func(n int) { next.retention = seconds(n) }},
		{attrWait, 0, 20, func(n int) { next.wait = seconds(n) }},
		{attrVisibility, 0, maxVisibilitySeconds, func(n int) { next.visibility = seconds(n) }},
	} {
		n, err := strconv.Atoi(raw[f.name])
		if err != nil || n < f.low || n > f.top {
			return s, invalidAttribute(f.name, raw[f.name])
		}
		f.set(n)
	}
	if fifo {
		if err := next.setFIFO(); err != nil {
			return s, err
		}
	}
	if policy, ok := raw[attrRedrive]; ok {
		if next.redrive = parseRedrive(policy); next.redrive == nil {
			return s, invalidAttribute(attrRedrive, policy)
		}
		raw[attrRedrive] = numberedRedrive(policy, next.redrive.maxReceive)
	}
	if policy, ok := raw[attrRedriveAllow]; ok {
		if next.allow = parseAllow(policy); next.allow == nil {
			return s, invalidAttribute(attrRedriveAllow, policy)
		}
	}
	return next, nil
}

// setFIFO parses the attributes of FIFO queues.
func (s *settings) setFIFO() error {
	if s.raw[attrFIFO] != "true" {
		return invalidAttribute(attrFIFO, s.raw[attrFIFO])
	}
	s.contentDedup = s.raw[attrContentDedup] == "true"
	if v := s.raw[attrContentDedup]; v != "true" && v != "false" {
		return invalidAttribute(attrContentDedup, v)
	}
	switch s.raw[attrDedupScope] {
	case "queue":
	case "messageGroup":
		s.groupDedup = true
	default:
		return invalidAttribute(attrDedupScope, s.raw[attrDedupScope])
	}
	if v := s.raw[attrThroughput]; v != "perQueue" && v != "perMessageGroupId" {
		return invalidAttribute(attrThroughput, v)
	}
	return nil
}

// canonical returns the value in the spelling that SQS stores and returns. SQS accepts the "True"
// of Python and .NET for "true".
func canonical(name, value string) string {
	switch name {
	case attrFIFO, attrContentDedup, attrManagedSSE:
		if lower := strings.ToLower(value); lower == "true" || lower == "false" {
			return lower
		}
	}
	return value
}

func invalidAttribute(name, value string) *Error {
	return sender("InvalidAttributeValue", "Invalid value for the parameter %s: %q.", name, value)
}

// parseRedrive returns nil for an invalid redrive policy.
func parseRedrive(policy string) *redrivePolicy {
	var in struct {
		DeadLetterTargetArn string          `json:"deadLetterTargetArn"`
		MaxReceiveCount     json.RawMessage `json:"maxReceiveCount"`
	}
	if json.Unmarshal([]byte(policy), &in) != nil || in.DeadLetterTargetArn == "" {
		return nil
	}
	// SQS accepts both 5 and "5".
	n, err := strconv.Atoi(strings.Trim(string(in.MaxReceiveCount), `"`))
	if err != nil || n < 1 || n > 1000 {
		return nil
	}
	return &redrivePolicy{target: lastPart(in.DeadLetterTargetArn, ":"), maxReceive: n}
}

// numberedRedrive returns a redrive policy with its count as a number. SQS returns a number even if
// the count was sent as a string.
func numberedRedrive(policy string, maxReceive int) string {
	return strings.Replace(policy, strconv.Quote(strconv.Itoa(maxReceive)), strconv.Itoa(maxReceive), 1)
}

// parseAllow returns nil for an invalid redrive allow policy.
func parseAllow(policy string) *allowPolicy {
	var in struct {
		RedrivePermission string   `json:"redrivePermission"`
		SourceQueueArns   []string `json:"sourceQueueArns"`
	}
	if json.Unmarshal([]byte(policy), &in) != nil {
		return nil
	}
	switch in.RedrivePermission {
	case "allowAll", "denyAll":
		if len(in.SourceQueueArns) > 0 {
			return nil
		}
	case "byQueue":
		if n := len(in.SourceQueueArns); n < 1 || n > 10 {
			return nil
		}
	default:
		return nil
	}
	p := &allowPolicy{permission: in.RedrivePermission}
	for _, arn := range in.SourceQueueArns {
		p.sources = append(p.sources, lastPart(arn, ":"))
	}
	return p
}

// sameAttribute reports whether two values of an attribute are equivalent. A redrive policy has
// several spellings.
func sameAttribute(name, a, b string) bool {
	if canonical(name, a) == canonical(name, b) {
		return true
	}
	if name != attrRedrive {
		return false
	}
	p, q := parseRedrive(a), parseRedrive(b)
	return p != nil && q != nil && *p == *q
}

func seconds(n int) time.Duration { return time.Duration(n) * time.Second }

func lastPart(s, separator string) string {
	return s[strings.LastIndex(s, separator)+1:]
}
