package sqstest

// A standard queue whose messages have groups is fair: it delivers messages of quiet groups
// first while a noisy one has a backlog.
// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-fair-queues-detailed.html
//
// Of the two documented measures only the share of messages in flight is here; that of the
// processing time is not. A group is noisy for as long as the measure says so.
const (
	noisyInFlight = 30 // messages of the group in flight, at least
	noisyShare    = 10 // and more than one in so many of all in flight
)

// isNoisy reports whether others go before a group. A message without a group is a group of
// its own.
func (q *queue) isNoisy(group string) bool {
	n := q.flights[group]
	return group != "" && n >= noisyInFlight && n*noisyShare > q.flying
}

// fly counts a message of a group that is in flight; n is -1 at the end.
func (q *queue) fly(m *message, n int) {
	q.flying += n
	if m.group == "" || q.fifo != nil {
		return
	}
	if q.flights == nil {
		q.flights = make(map[string]int)
	}
	if q.flights[m.group] += n; q.flights[m.group] == 0 {
		delete(q.flights, m.group)
	}
}

// fairest returns the message that a standard queue delivers next, or nil: the first of a quiet
// group, or else the first of the noisy group that has the fewest in flight.
func (q *queue) fairest() *message {
	found := q.ready.head
	if found == nil || !q.isNoisy(found.group) {
		return found
	}
	for m := found.next; m != nil; m = m.next {
		if !q.isNoisy(m.group) {
			return m
		}
		if q.flights[m.group] < q.flights[found.group] {
			found = m
		}
	}
	return found
}
