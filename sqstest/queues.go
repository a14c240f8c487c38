package sqstest

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *Server) createQueue(in createQueueInput) (queueURLOutput, error) {
	if in.QueueName == nil {
		return queueURLOutput{}, missing("QueueName")
	}
	name := *in.QueueName
	base, fifo := strings.CutSuffix(name, ".fifo")
	// Recorded: test_fifo_queue_requires_suffix, test_standard_queue_cannot_have_fifo_suffix.
	if !simpleName(base) || len(name) > 80 || fifo != strings.EqualFold(in.Attributes[attrFIFO], "true") {
		return queueURLOutput{}, invalid("QueueName", name,
			"Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in length. The name of a FIFO queue, and only of one, ends in .fifo")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if q, ok := s.queues[name]; ok {
		for _, attr := range slices.Sorted(maps.Keys(in.Attributes)) {
			if have := q.settings.raw[attr]; !sameAttribute(attr, have, in.Attributes[attr]) {
				return queueURLOutput{}, sender("QueueNameExists",
					"A queue already exists with the same name and a different value for attribute %s", attr)
			}
		}
		return queueURLOutput{s.url(q)}, nil
	}
	st, err := newSettings(fifo).with(in.Attributes, fifo)
	if err != nil {
		return queueURLOutput{}, err
	}
	if err := s.checkRedrive(name, st, fifo); err != nil {
		return queueURLOutput{}, err
	}
	q := newQueue(name, fifo, st, now(), s.nextMove)
	q.tags = maps.Clone(in.Tags)
	s.queues[q.name] = q
	return queueURLOutput{s.url(q)}, nil
}

// checkRedrive fails if the named queue cannot use the dead-letter queue in its settings. s.mu is
// held.
func (s *Server) checkRedrive(name string, st settings, fifo bool) error {
	if st.redrive == nil {
		return nil
	}
	policy := st.raw[attrRedrive]
	target, ok := s.queues[st.redrive.target]
	switch {
	case st.redrive.target == name: // SQS takes it. Recorded: test_set_empty_redrive_policy.
		return nil
	case !ok:
		return invalid(attrRedrive, policy, "Dead letter target does not exist")
	case (target.fifo != nil) != fifo:
		return invalid(attrRedrive, policy, "Dead-letter target owner should be of the same queue type as the source")
	case !target.settings.allow.allows(name):
		return invalid(attrRedrive, policy, "The RedriveAllowPolicy of the dead letter target does not allow this queue")
	}
	return nil
}

func (s *Server) getQueueURL(in getQueueURLInput) (queueURLOutput, error) {
	if in.QueueName == "" {
		return queueURLOutput{}, missing("QueueName")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	q, ok := s.queues[in.QueueName]
	if !ok {
		return queueURLOutput{}, noQueue()
	}
	return queueURLOutput{s.url(q)}, nil
}

func (s *Server) getQueueAttributes(in getQueueAttributesInput) (getQueueAttributesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl, now())
	if err != nil {
		return getQueueAttributesOutput{}, err
	}
	all := maps.Clone(q.settings.raw)
	all["ApproximateNumberOfMessages"] = strconv.Itoa(q.visible)
	all["ApproximateNumberOfMessagesNotVisible"] = strconv.Itoa(q.flying)
	all["ApproximateNumberOfMessagesDelayed"] = strconv.Itoa(q.waiting)
	all["CreatedTimestamp"] = strconv.FormatInt(q.created.seconds(), 10)
	all["LastModifiedTimestamp"] = strconv.FormatInt(q.modified.seconds(), 10)
	all["QueueArn"] = s.arn(q.name)
	out := map[string]string{}
	for _, name := range in.AttributeNames {
		switch v, ok := all[name]; {
		case name == "All":
			maps.Copy(out, all)
		case ok:
			out[name] = v
		case !isQueueAttribute(name):
			return getQueueAttributesOutput{}, sender("InvalidAttributeName", "Unknown Attribute %s.", name)
		}
	}
	return getQueueAttributesOutput{out}, nil
}

func (s *Server) setQueueAttributes(in setQueueAttributesInput) (empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now()
	q, err := s.find(in.QueueUrl, at)
	if err != nil {
		return empty{}, err
	}
	if len(in.Attributes) == 0 {
		return empty{}, missing("Attributes")
	}
	if v, ok := in.Attributes[attrFIFO]; ok && q.fifo != nil && !strings.EqualFold(v, "true") {
		return empty{}, sender("InvalidAttributeValue", "Invalid value for the parameter %s. Reason: Modifying queue type is not supported.", attrFIFO)
	}
	st, err := q.settings.with(in.Attributes, q.fifo != nil)
	if err != nil {
		return empty{}, err
	}
	// Only a new policy is checked, because the target of an old one may have been deleted.
	if _, ok := in.Attributes[attrRedrive]; ok {
		if err := s.checkRedrive(q.name, st, q.fifo != nil); err != nil {
			return empty{}, err
		}
	}
	q.reconfigure(st, at)
	q.advance(at)
	q.wake()
	return empty{}, nil
}

func (s *Server) listQueues(in listQueuesInput) (listQueuesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for _, name := range s.names() {
		if strings.HasPrefix(name, in.QueueNamePrefix) {
			names = append(names, name)
		}
	}
	urls, next, err := s.page(names, in.MaxResults, in.NextToken)
	return listQueuesOutput{urls, next}, err
}

func (s *Server) listSources(in listSourcesInput) (listSourcesOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl, now())
	if err != nil {
		return listSourcesOutput{}, err
	}
	urls, next, err := s.page(s.sources(q.name), in.MaxResults, in.NextToken)
	return listSourcesOutput{urls, next}, err
}

// sources returns the names of the queues that use name as their dead-letter queue. s.mu is held.
func (s *Server) sources(name string) []string {
	var out []string
	for _, source := range s.names() {
		if p := s.queues[source].settings.redrive; p != nil && p.target == name {
			out = append(out, source)
		}
	}
	return out
}

// page returns the URLs of the page of names after the token. Without a limit it returns at most
// 1000 and no token for the next page, as SQS does.
func (s *Server) page(names []string, limit *int, token string) (urls []string, next string, err error) {
	n := valueOr(limit, 1000)
	if n < 1 || n > 1000 {
		return nil, "", invalid("MaxResults", n, "Must be between 1 and 1000")
	}
	if token != "" {
		last, err := base64.URLEncoding.DecodeString(token)
		if err != nil {
			return nil, "", invalid("NextToken", token, "It is not one of this server")
		}
		i, found := slices.BinarySearch(names, string(last))
		if found {
			i++
		}
		names = names[i:]
	}
	if len(names) > n {
		names = names[:n]
		if limit != nil {
			next = base64.URLEncoding.EncodeToString([]byte(names[n-1]))
		}
	}
	for _, name := range names {
		urls = append(urls, s.url(s.queues[name]))
	}
	return urls, next, nil
}

func (s *Server) deleteQueue(in onQueue) (empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl, now())
	if err != nil {
		return empty{}, err
	}
	delete(s.queues, q.name)
	q.clear()
	q.deleted = true
	q.wake() // each poller wakes the next
	return empty{}, nil
}

// purgeInterval is the time after a purge during which SQS refuses another.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_PurgeQueue.html
const purgeInterval = 60 * time.Second

func (s *Server) purgeQueue(in onQueue) (empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := now()
	q, err := s.find(in.QueueUrl, at)
	if err != nil {
		return empty{}, err
	}
	if q.purged != 0 && at < q.purged.add(purgeInterval) {
		return empty{}, sender("PurgeQueueInProgress", "Only one PurgeQueue operation on %s is allowed every 60 seconds.", q.name)
	}
	q.purged = at
	q.clear()
	return empty{}, nil
}

func (s *Server) tagQueue(in tagQueueInput) (empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl, now())
	if err != nil {
		return empty{}, err
	}
	if len(in.Tags) == 0 {
		return empty{}, missing("Tags")
	}
	tags := maps.Clone(q.tags)
	if tags == nil {
		tags = map[string]string{}
	}
	maps.Copy(tags, in.Tags)
	if len(tags) > 50 {
		return empty{}, sender(codeInvalidParameter, "Too many tags for queue %s: %d, at most 50.", q.name, len(tags))
	}
	q.tags = tags
	return empty{}, nil
}

func (s *Server) untagQueue(in untagQueueInput) (empty, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl, now())
	if err != nil {
		return empty{}, err
	}
	if len(in.TagKeys) == 0 {
		return empty{}, missing("TagKeys")
	}
	for _, k := range in.TagKeys {
		delete(q.tags, k)
	}
	return empty{}, nil
}

func (s *Server) listQueueTags(in onQueue) (listQueueTagsOutput, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	q, err := s.find(in.QueueUrl, now())
	if err != nil {
		return listQueueTagsOutput{}, err
	}
	return listQueueTagsOutput{maps.Clone(q.tags)}, nil
}
