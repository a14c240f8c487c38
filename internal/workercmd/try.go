package workercmd

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"unicode"

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/target"
	"github.com/sqsonce/sqsonce/names"
)

const (
	mostTried   = 10        // messages of --from-queue
	tryHidden   = 30        // seconds for which they are received; they are given back before
	mostShown   = 64 << 10  // bytes of a body that are printed
	mostTryRead = 256 << 20 // bytes of standard input
	// madeUpID is the message id of a body that comes without one.
	madeUpID = "00000000-0000-0000-0000-000000000000"
)

// errNoName is what "worker try" fails with where the worker would not handle a message,
// for want of a name or of what it is compared by.
var errNoName = errors.New("not handled")

// trial is the settings of "worker try": those of the worker, and where the messages
// come from.
type trial struct {
	Config    string `placeholder:"FILE" help:"File of several queues, as for the worker; --queue says which one."`
	Queue     string `placeholder:"NAME" env:"-" help:"Name of the queue in the file of --config. Not needed where it is the only one."`
	FromQueue int    `placeholder:"N" help:"Receive up to N messages (at most 10) from --queue-url instead of reading standard input, and give them back at once. Each counts one receive more."`
	queueSettings
}

// settings returns the settings of the trial, or all that is wrong with them.
func (s *trial) settings(flags []*kong.Flag) (any, error) {
	problems := s.problems(flags)
	if len(problems) > 0 {
		return nil, &awsenv.SettingsError{Problems: problems}
	}
	return *s, nil
}

// choose takes the settings of one queue of the file, if there is one.
func (s *trial) choose(flags []*kong.Flag) error {
	if s.Config == "" && s.Queue != "" {
		return fmt.Errorf("--queue %q: is for the file of --config", s.Queue)
	}
	if s.Config == "" {
		s.presets()
		return nil
	}
	c, err := readConfig(s.Config, flags, &s.queueSettings)
	if err != nil {
		return err
	}
	var known []string
	for _, q := range c.queues() {
		if s.Queue == q.queueName() || s.Queue == "" && len(c.Queues) == 1 {
			s.queueSettings = q
			s.TargetSecretFile, s.TargetTokenFile, s.AdminTokenFile = "", "", "" // read
			return nil
		}
		known = append(known, q.queueName())
	}
	return fmt.Errorf("--queue %q: must be one of %s", s.Queue, strings.Join(known, ", "))
}

// problems returns what is wrong with the settings that are looked at.
func (s *trial) problems(flags []*kong.Flag) []string {
	if err := s.choose(flags); err != nil {
		if several, ok := errors.AsType[*awsenv.SettingsError](err); ok {
			return several.Problems
		}
		return []string{err.Error()}
	}
	problems := s.readSecrets()
	switch {
	case s.FromQueue < 0 || s.FromQueue > mostTried:
		problems = append(problems, fmt.Sprintf("--from-queue %d: must be from 1 to %d", s.FromQueue, mostTried))
	case s.FromQueue > 0 && s.QueueURL == "":
		problems = append(problems, "--from-queue: --queue-url (SQSONCE_QUEUE_URL) is missing")
	}
	if s.QueueURL != "" {
		if _, err := awsenv.QueueName(s.QueueURL); err != nil {
			problems = append(problems, fmt.Sprintf("--queue-url: %v", err))
		}
	}
	problems = append(problems, s.sizeProblems()...)
	if len(problems) > 0 {
		return problems
	}
	for _, err := range s.messageProblems(s.queueName()) {
		problems = append(problems, leaves(err)...)
	}
	return problems
}

// runTry says what the worker would do with messages.
func runTry(ctx context.Context, s trial, stdin io.Reader, stdout io.Writer) error {
	log := awsenv.Logger(os.Stderr, s.LogFormat, s.level())
	var cfg aws.Config
	if s.FromQueue > 0 || s.S3Payloads {
		var err error
		if cfg, err = awsenv.Load(ctx, log); err != nil {
			return err
		}
	}
	messages, err := s.messages(ctx, sqs.NewFromConfig(cfg), stdin)
	if err != nil {
		return err
	}
	return s.explain(ctx, messages, s.newPayloads(cfg, log), stdout)
}

// messages returns what is to be explained.
func (s *trial) messages(ctx context.Context, queue *sqs.Client, stdin io.Reader) ([]consumer.Message, error) {
	if s.FromQueue > 0 {
		return peek(ctx, queue, s.QueueURL, s.FromQueue)
	}
	data, err := io.ReadAll(io.LimitReader(stdin, mostTryRead+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("standard input: %w", err)
	case len(data) > mostTryRead:
		return nil, fmt.Errorf("standard input: has more than %d bytes", mostTryRead)
	}
	return readMessages(data)
}

// readMessages reads what "aws sqs receive-message" prints, or one message of it;
// everything else is a body. The line feed that an editor or echo leaves at the end of
// a body is no part of it.
func readMessages(data []byte) ([]consumer.Message, error) {
	var document struct {
		types.Message
		Messages []types.Message
	}
	if json.Unmarshal(data, &document) == nil {
		found := document.Messages
		if document.MessageId != nil && (document.ReceiptHandle != nil || document.MD5OfBody != nil) {
			found = []types.Message{document.Message}
		}
		var all []consumer.Message
		for _, m := range found {
			if m.Body != nil {
				all = append(all, consumer.Message{})
				all[len(all)-1].Read(m)
			}
		}
		if len(all) > 0 && len(all) == len(found) {
			return all, nil
		}
	}
	body := strings.TrimSuffix(strings.TrimSuffix(string(data), "\n"), "\r")
	if body == "" {
		return nil, errors.New("standard input: holds no message: give a body, or what aws sqs receive-message prints")
	}
	return []consumer.Message{{ID: madeUpID, Body: body, ReceiveCount: 1}}, nil
}

// peek receives up to n messages and gives them back.
func peek(ctx context.Context, queue *sqs.Client, queueURL string, n int) (all []consumer.Message, err error) {
	defer func() {
		// Also after an interrupt: what is received would be hidden from the worker.
		if back := giveBack(context.WithoutCancel(ctx), queue, queueURL, all); back != nil {
			err = errors.Join(err, fmt.Errorf("messages are not given back, and are hidden for %d seconds: %w", tryHidden, back))
		}
	}()
	for len(all) < n {
		out, err := queue.ReceiveMessage(ctx, &sqs.ReceiveMessageInput{
			QueueUrl: &queueURL, MaxNumberOfMessages: int32(n - len(all)), VisibilityTimeout: tryHidden, WaitTimeSeconds: 2,
			MessageAttributeNames: []string{"All"}, MessageSystemAttributeNames: []types.MessageSystemAttributeName{types.MessageSystemAttributeNameAll},
		})
		if err != nil {
			return all, fmt.Errorf("receive from %s: %w", queueURL, err)
		}
		if len(out.Messages) == 0 {
			break
		}
		for _, m := range out.Messages {
			all = append(all, consumer.Message{})
			all[len(all)-1].Read(m)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("receive from %s: no message came", queueURL)
	}
	return all, nil
}

// giveBack makes messages visible again.
func giveBack(ctx context.Context, queue *sqs.Client, queueURL string, all []consumer.Message) error {
	if len(all) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, callDeadline)
	defer cancel()
	in := &sqs.ChangeMessageVisibilityBatchInput{QueueUrl: &queueURL}
	for i, m := range all {
		in.Entries = append(in.Entries, types.ChangeMessageVisibilityBatchRequestEntry{Id: aws.String(fmt.Sprint(i)), ReceiptHandle: &m.ReceiptHandle})
	}
	out, err := queue.ChangeMessageVisibilityBatch(ctx, in)
	if err != nil {
		return err
	}
	var errs []error
	for _, f := range out.Failed {
		errs = append(errs, fmt.Errorf("message %s: %s", aws.ToString(f.Id), aws.ToString(f.Message)))
	}
	return errors.Join(errs...)
}

// explain prints what the worker would do with messages. Its error wraps [errNoName] if
// one of them has none.
func (s *trial) explain(ctx context.Context, messages []consumer.Message, fetching *payloads, out io.Writer) error {
	keys, err := names.New(s.keyConfig())
	if err != nil {
		return err
	}
	var aim *target.Target
	if s.TargetURL != "" {
		if aim, err = target.New(s.targetConfig(s.queueName())); err != nil {
			return err
		}
	}
	var payloads sqsonce.Payloads
	if fetching != nil {
		payloads = fetching
	}
	var errs []error
	for i, m := range messages {
		if i > 0 {
			_, _ = fmt.Fprintln(out)
		}
		inner, named, release, err := sqsonce.Open(ctx, m, keys, payloads)
		e := explanation{trial: s, out: out, given: m, inner: inner, named: named}
		e.head()
		if err != nil {
			e.line("error", err.Error())
			if _, ok := errors.AsType[*names.FieldError](err); ok {
				err = fmt.Errorf("%w: message %s: %w", errNoName, m.ID, err)
			}
			errs = append(errs, err)
			continue
		}
		err = e.rest(ctx, aim)
		release()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// explanation is what is printed of a message.
type explanation struct {
	*trial
	out          io.Writer
	given, inner consumer.Message
	named        names.Named
}

func (e *explanation) line(what, value string) {
	_, _ = fmt.Fprintf(e.out, "%-12s %s\n", what, clean(value))
}

func (e *explanation) head() {
	id := e.given.ID
	if id == madeUpID {
		id += " (made up)"
	}
	e.line("message", id)
	opened := e.named.Headers["X-Sqsonce-Envelope"]
	if opened == "" {
		opened = "none opened"
	}
	// What is left after all that was opened: a pointer in a notification, say.
	left := names.Message{Body: cmp.Or(e.named.Body, e.given.Body), Attributes: make(map[string]names.Attribute)}
	for name, v := range e.given.Attributes {
		left.Attributes[name] = names.Attribute{Type: aws.ToString(v.DataType), Value: aws.ToString(v.StringValue)}
	}
	if is := names.Recognise(left); is != "" {
		opened += "; " + is
	}
	e.line("envelope", opened)
}

// rest prints all but the head. The error wraps [errNoName] if the message is deleted for
// want of a name.
func (e *explanation) rest(ctx context.Context, aim *target.Target) error {
	switch e.named.Ignored {
	case names.IgnoredByExpression:
		e.line("ignored", "deleted and counted, by --ignore "+e.Ignore)
		return nil
	case names.IgnoredUnnamed:
		e.line("ignored", "deleted and counted, because it has no name (--unnamed ignore)")
		return fmt.Errorf("%w: message %s", errNoName, e.given.ID)
	}
	e.line("name", e.named.Name)
	e.line("scope", cmp.Or(e.Scope, e.queueName()))
	e.line("fingerprint", e.fingerprint())
	e.line("group", cmp.Or(e.given.GroupID, "none"))
	if aim == nil {
		e.line("target", "none: --target-url is not set")
		e.body(e.inner.Body)
		return nil
	}
	r, err := targetRequest(e.inner, e.named, e.PathPrefix)
	if err != nil {
		e.line("error", err.Error())
		return fmt.Errorf("%w: message %s: %w", errNoName, e.given.ID, err)
	}
	r.Fence, r.Attempt = 1, 1
	if e.TargetBatch > 0 {
		return e.batch(ctx, aim, r)
	}
	req, err := aim.Preview(ctx, r)
	if err != nil {
		return err
	}
	e.line("target", req.Method+" "+target.Redacted(req.URL))
	e.headers(req.Header)
	e.body(e.inner.Body)
	return nil
}

// batch prints the request for a message that is alone in its batch.
func (e *explanation) batch(ctx context.Context, aim *target.Target, r target.Request) error {
	req, err := aim.PreviewBatch(ctx, []target.Request{r})
	if err != nil {
		return err
	}
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return err
	}
	e.line("target", req.Method+" "+target.Redacted(req.URL)+" (a batch of one)")
	e.headers(req.Header)
	e.body(strings.TrimSuffix(string(body), "\n"))
	return nil
}

// fingerprint is what the message is compared by.
func (e *explanation) fingerprint() string {
	over := "the whole body"
	switch {
	case e.named.Fingerprint == (names.Fingerprint{}):
		return "none: nothing is compared"
	case e.named.Compared != "":
		over = e.named.Compared
	}
	return fmt.Sprintf("%x, over %s", e.named.Fingerprint, over)
}

// headers prints them in the order of their names, without the secret one.
func (e *explanation) headers(h http.Header) {
	for _, name := range slices.Sorted(maps.Keys(h)) {
		value := strings.Join(h[name], ", ")
		if name == "Authorization" {
			value = mask
		}
		_, _ = fmt.Fprintf(e.out, "  %s: %s\n", name, value)
	}
}

func (e *explanation) body(body string) {
	e.line("body", fmt.Sprintf("%d bytes", len(body)))
	shown := body[:min(len(body), mostShown)]
	_, _ = fmt.Fprintf(e.out, "%s\n", clean(shown))
	if len(shown) < len(body) {
		_, _ = fmt.Fprintf(e.out, "… and %d bytes more\n", len(body)-len(shown))
	}
}

// clean is a text fit for a terminal: a message may hold what steers one.
func clean(s string) string {
	var b bytes.Buffer
	for _, r := range s {
		if unicode.IsControl(r) && r != '\n' && r != '\t' {
			_, _ = fmt.Fprintf(&b, "\\x%02x", r)
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}
