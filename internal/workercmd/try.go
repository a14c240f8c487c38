package workercmd

import (
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

	"github.com/alecthomas/kong"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"

	"github.com/sqsonce/sqsonce"
	"github.com/sqsonce/sqsonce/consumer"
	"github.com/sqsonce/sqsonce/internal/awsenv"
	"github.com/sqsonce/sqsonce/internal/target"
	"github.com/sqsonce/sqsonce/internal/visible"
	"github.com/sqsonce/sqsonce/names"
)

const (
	mostTried   = 10        // messages of --from-queue
	tryHidden   = 30        // visibility timeout in seconds; the messages are returned earlier
	mostShown   = 64 << 10  // printed bytes of a body
	mostTryRead = 256 << 20 // bytes of standard input
	// madeUpID is the message id of a body without one.
	madeUpID = "00000000-0000-0000-0000-000000000000"
)

// errNoName is the error of "worker try" if the worker would not handle a message, because its name
// or fingerprint is missing.
var errNoName = errors.New("not handled")

// trial holds the settings of "worker try": those of the worker, and the source of the messages.
type trial struct {
	Config    string `placeholder:"FILE" help:"YAML file of several queues, as for the worker. --queue selects one of them."`
	Queue     string `placeholder:"NAME" env:"-" help:"Name of the queue in the file of --config. Not needed if the file has a single queue."`
	FromQueue int    `placeholder:"N" help:"Receive up to N messages, at most 10, from --queue-url instead of reading standard input, and return them at once. Raises the receive count of each by one. 0: read standard input."`
	queueSettings
}

// settings returns the settings of the trial, or a [*awsenv.SettingsError] with all problems.
func (s *trial) settings(flags []*kong.Flag) (any, error) {
	problems := s.problems(flags)
	if len(problems) > 0 {
		return nil, &awsenv.SettingsError{Problems: problems}
	}
	return *s, nil
}

// choose sets the settings of the selected queue of the file in Config, if there is one.
func (s *trial) choose(flags []*kong.Flag) error {
	if s.Config == "" && s.Queue != "" {
		return fmt.Errorf("--queue %q: needs --config", s.Queue)
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
			s.TargetSecretFile, s.TargetTokenFile, s.AdminTokenFile = "", "", "" // readConfig has read them
			return nil
		}
		known = append(known, q.queueName())
	}
	return fmt.Errorf("--queue %q: must be one of %s", s.Queue, strings.Join(known, ", "))
}

// problems returns the problems of the settings that the command uses.
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
		problems = append(problems, joinedTexts(err)...)
	}
	return problems
}

// runTry prints how the worker would handle messages.
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

// messages returns the messages of the queue or of standard input.
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

// readMessages reads the output of "aws sqs receive-message", or a single message of it. All other
// input is a body; a line feed at its end, as from echo or an editor, is dropped.
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
		return nil, errors.New("standard input: holds no message: pass a body, or the output of aws sqs receive-message")
	}
	return []consumer.Message{{ID: madeUpID, Body: body, ReceiveCount: 1}}, nil
}

// peek receives up to n messages and makes them visible again.
func peek(ctx context.Context, queue *sqs.Client, queueURL string, n int) (all []consumer.Message, err error) {
	defer func() {
		// Also after an interrupt, because the received messages are invisible to the worker.
		if back := giveBack(context.WithoutCancel(ctx), queue, queueURL, all); back != nil {
			err = errors.Join(err, fmt.Errorf("messages could not be returned and stay invisible for %d seconds: %w", tryHidden, back))
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
		return nil, fmt.Errorf("receive from %s: got no message", queueURL)
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

// explain prints how the worker would handle messages. Its error wraps [errNoName] if a message has
// no name.
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

// explanation prints the treatment of a message.
type explanation struct {
	*trial
	out          io.Writer
	given, inner consumer.Message
	named        names.Named
}

func (e *explanation) line(what, value string) {
	_, _ = fmt.Fprintf(e.out, "%-12s %s\n", what, visible.Text(value, "\n\t"))
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
	// Name the envelope that is left after opening, such as a pointer in a notification.
	left := names.Message{Body: cmp.Or(e.named.Body, e.given.Body), Attributes: make(map[string]names.Attribute)}
	for name, v := range e.given.Attributes {
		left.Attributes[name] = names.Attribute{Type: aws.ToString(v.DataType), Value: aws.ToString(v.StringValue)}
	}
	if is := names.Recognise(left); is != "" {
		opened += "; " + is
	}
	e.line("envelope", opened)
}

// rest prints all lines after the head. Its error wraps [errNoName] if the worker would delete the
// message because it has no name.
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
	if err := e.limits(); err != nil {
		return err
	}
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

// limits prints the group of --group-by and its limits, if there are any.
func (e *explanation) limits() error {
	var bounds []string
	if e.GroupConcurrency > 0 {
		bounds = append(bounds, fmt.Sprintf("%d at a time", e.GroupConcurrency))
	}
	if e.GroupRate > 0 {
		bounds = append(bounds, fmt.Sprintf("%g a second", e.GroupRate))
	}
	group := e.given.GroupID
	if e.GroupBy != "" {
		by, err := sqsonce.GroupBy(e.GroupBy, e.Unwrap)
		if err != nil {
			return err
		}
		group = by(e.given)
	}
	switch {
	case len(bounds) == 0:
	case group == "":
		e.line("limits", "none: the message has no group at "+cmp.Or(e.GroupBy, "its message group id"))
	default:
		e.line("limits", fmt.Sprintf("%s of group %q", strings.Join(bounds, " and "), group))
	}
	return nil
}

// batch prints the request of a batch with this message alone.
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

// fingerprint describes the fingerprint of the message.
func (e *explanation) fingerprint() string {
	over := "the whole body"
	switch {
	case e.named.Fingerprint == (names.Fingerprint{}):
		return "none: payloads are not compared"
	case e.named.Compared != "":
		over = e.named.Compared
	}
	return fmt.Sprintf("%x, over %s", e.named.Fingerprint, over)
}

// headers prints the headers sorted by name, with Authorization masked.
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
	_, _ = fmt.Fprintf(e.out, "%s\n", visible.Text(shown, "\n\t"))
	if len(shown) < len(body) {
		_, _ = fmt.Fprintf(e.out, "… and %d more bytes\n", len(body)-len(shown))
	}
}
