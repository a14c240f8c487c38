package workercmd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"

	"github.com/sqsonce/sqsonce/internal/awsenv"
)

// Fields of the file of --config that are not flags of a queue.
const (
	fieldQueues = "queues" // top level
	fieldSlots  = "slots"  // top level; same as --slots
	fieldWeight = "weight" // of a queue
)

// queueFile reads a file of --config.
type queueFile struct {
	source   string // "--config" or "--config-text"
	name     string // of the file in problems
	read     func() ([]byte, error)
	flags    map[string]*kong.Flag // flags of a queue, by name
	settings *queueSettings        // settings of the command, which the flags set
	problems []string
}

// queueEntry is one queue of the file.
type queueEntry struct {
	queueConfig
	line  int
	given map[string]bool // fields that the entry sets
}

// readConfig reads the file of --config. See [queueFile.config].
func readConfig(path string, flags []*kong.Flag, base *queueSettings) (config, error) {
	f := &queueFile{source: "--config", name: filepath.Base(path), read: func() ([]byte, error) { return os.ReadFile(path) }}
	return f.config(flags, base)
}

// readConfigText reads the text of --config-text. See [queueFile.config].
func readConfigText(text string, flags []*kong.Flag, base *queueSettings) (config, error) {
	f := &queueFile{source: "--config-text", name: "--config-text", read: func() ([]byte, error) { return []byte(text), nil }}
	return f.config(flags, base)
}

// config returns the settings in the file. base holds the defaults of its queues. The error is a
// [*awsenv.SettingsError] with all problems of the settings and of the file, with their lines.
func (f *queueFile) config(flags []*kong.Flag, base *queueSettings) (config, error) {
	f.flags, f.settings = make(map[string]*kong.Flag), base
	for _, field := range settingsOf(reflect.TypeFor[queueConfig]()) {
		if i := slices.IndexFunc(flags, func(flag *kong.Flag) bool { return flag.Name == field.flag }); i >= 0 {
			f.flags[field.flag] = flags[i]
		}
	}
	if base.Local {
		f.problems = append(f.problems, "--local has its own queue: leave out "+f.source+", or --local")
	}
	if base.QueueURL != "" {
		f.problems = append(f.problems, "--queue-url "+base.QueueURL+": cannot be used with "+f.source+", which lists the queues")
	}
	f.problems = append(f.problems, readSecret("--admin-token", base.AdminTokenFile, &base.AdminToken)...)
	f.problems = append(f.problems, base.processProblems()...)
	entries := f.entries()
	f.share(entries)
	c := config{}
	for _, entry := range entries {
		c.Queues = append(c.Queues, f.finish(entry))
	}
	f.compare(entries)
	if len(f.problems) > 0 {
		return config{}, &awsenv.SettingsError{Problems: f.problems}
	}
	c.processConfig = base.processConfig
	return c, nil
}

// bad adds a problem of a line; 0 means the whole file.
func (f *queueFile) bad(line int, format string, args ...any) {
	at := f.name
	if line > 0 {
		at += ":" + strconv.Itoa(line)
	}
	f.problems = append(f.problems, at+": "+fmt.Sprintf(format, args...))
}

// entries reads the queues of the file.
func (f *queueFile) entries() (all []queueEntry) {
	data, err := f.read()
	if err != nil {
		f.problems = append(f.problems, fmt.Sprintf("%s: %v", f.source, err))
		return nil
	}
	var document, more yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	if err := decoder.Decode(&document); err != nil && !errors.Is(err, io.EOF) {
		f.bad(0, "%v", err)
		return nil
	}
	if err := decoder.Decode(&more); !errors.Is(err, io.EOF) {
		f.bad(more.Line, "second document: the file must hold a single document")
	}
	if len(document.Content) == 0 {
		f.bad(0, "is empty: it must have a list %q", fieldQueues)
		return nil
	}
	fields, ok := f.mapping(document.Content[0], "the file")
	if !ok {
		return nil
	}
	for _, field := range fields {
		switch field.name {
		case fieldSlots:
			f.settings.Slots = f.number(field)
		case fieldQueues:
			if all, ok = f.queues(field); !ok {
				return nil
			}
		default:
			f.bad(field.line, "%s: unknown field; the file has %s and %s, other settings belong to a queue or to flags", field.name, fieldQueues, fieldSlots)
		}
	}
	if len(all) == 0 && len(f.problems) == 0 {
		f.bad(0, "%s: must list at least one queue", fieldQueues)
	}
	return all
}

// yamlField is a field of a mapping.
type yamlField struct {
	name  string
	line  int
	value *yaml.Node
}

// mapping returns the fields of a node in order; false if the node is not a mapping.
func (f *queueFile) mapping(node *yaml.Node, what string) (fields []yamlField, ok bool) {
	node = resolved(node)
	if node.Kind != yaml.MappingNode {
		f.bad(node.Line, "%s: must have fields, as in \"name: value\"", what)
		return nil, false
	}
	seen := make(map[string]int)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key := node.Content[i]
		if first, twice := seen[key.Value]; twice {
			f.bad(key.Line, "%s: must not be repeated; it is set in line %d", key.Value, first)
			continue
		}
		seen[key.Value] = key.Line
		fields = append(fields, yamlField{key.Value, key.Line, resolved(node.Content[i+1])})
	}
	return fields, true
}

// resolved returns the node, or the target of an alias.
func resolved(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

// queues reads the list of queues; false if it is not a list.
func (f *queueFile) queues(list yamlField) (all []queueEntry, ok bool) {
	if list.value.Kind != yaml.SequenceNode {
		f.bad(list.line, "%s: must be a list of queues", fieldQueues)
		return nil, false
	}
	base := f.settings.queueConfig
	defer func() { f.settings.queueConfig = base }()
	for _, item := range list.value.Content {
		fields, ok := f.mapping(item, "a queue")
		if !ok {
			continue
		}
		f.settings.queueConfig = base
		entry := queueEntry{line: item.Line, given: make(map[string]bool)}
		weight := 0
		for _, field := range fields {
			entry.given[field.name] = true
			if field.name == fieldWeight {
				weight = f.number(field)
			} else {
				f.set(field)
			}
		}
		entry.queueConfig = f.settings.queueConfig
		entry.Weight = weight
		for _, secret := range []struct {
			flag        string
			value, file *string
		}{
			{"target-secret", &entry.TargetSecret, &entry.TargetSecretFile},
			{"target-token", &entry.TargetToken, &entry.TargetTokenFile},
		} { // the queue's own value or file replaces both forms of the default
			switch value, file := entry.given[secret.flag], entry.given[secret.flag+"-file"]; {
			case value && !file:
				*secret.file = ""
			case file && !value:
				*secret.value = ""
			}
		}
		all = append(all, entry)
	}
	return all, true
}

// mostSlots bounds slots and weights. Their products fit an int.
const mostSlots = 1_000_000

// number reads a whole number from 1 to mostSlots.
func (f *queueFile) number(field yamlField) int {
	n, err := strconv.Atoi(field.value.Value)
	if field.value.Kind != yaml.ScalarNode || err != nil || n < 1 || n > mostSlots {
		f.bad(field.line, "%s %q: must be a whole number from 1 to %d", field.name, field.value.Value, mostSlots)
		return 1
	}
	return n
}

// set sets a flag to the value of a field, like the command line.
func (f *queueFile) set(field yamlField) {
	flag, known := f.flags[field.name]
	if !known {
		f.bad(field.line, "%s: unknown field%s", field.name, f.hint(field.name))
		return
	}
	text, err := textOf(field.value, flag)
	if err == nil {
		if flag.IsSlice() {
			flag.Target.Set(reflect.MakeSlice(flag.Target.Type(), 0, 0)) // a list replaces the default
		}
		if text != "" || !flag.IsSlice() {
			err = flag.Parse(kong.ScanFromTokens(kong.Token{Type: kong.FlagValueToken, Value: text}), flag.Target)
		}
	}
	if err == nil && flag.Enum != "" && !flag.EnumMap()[text] {
		err = fmt.Errorf("must be one of %s", strings.Join(flag.EnumSlice(), ", "))
	}
	if err != nil {
		f.bad(field.line, "%s %q: %s", field.name, text, strings.TrimPrefix(err.Error(), "--"+flag.Name+": "))
	}
}

// textOf returns the text of a value as on the command line.
func textOf(node *yaml.Node, flag *kong.Flag) (string, error) {
	switch {
	case node.Kind == yaml.ScalarNode && node.Tag == "!!null":
		return "", errors.New("has no value")
	case node.Kind == yaml.ScalarNode:
		return node.Value, nil
	case node.Kind != yaml.SequenceNode || !flag.IsSlice():
		return "", errors.New("must be a single value")
	}
	var items []string
	for _, item := range node.Content {
		item = resolved(item)
		if item.Kind != yaml.ScalarNode || item.Tag == "!!null" {
			return "", fmt.Errorf("line %d: must be a single value", item.Line)
		}
		items = append(items, item.Value)
	}
	return kong.JoinEscaped(items, flag.Tag.Sep), nil
}

// hint returns the place or the right spelling of a setting that is not a field of a queue.
func (f *queueFile) hint(name string) string {
	for _, field := range settingsOf(reflect.TypeFor[processConfig]()) {
		if field.flag == name {
			return fmt.Sprintf("; it is a setting of the process: set it by --%s or SQSONCE_%s", name, strings.ToUpper(strings.ReplaceAll(name, "-", "_")))
		}
	}
	plain := func(s string) string {
		return strings.ToLower(strings.NewReplacer("-", "", "_", "", " ", "").Replace(s))
	}
	for known := range f.flags {
		if plain(known) == plain(name) {
			return "; did you mean " + known + "?"
		}
	}
	return "; the fields of a queue are its flags without the dashes, and weight"
}

// finish completes the settings of a queue and checks them.
func (f *queueFile) finish(entry queueEntry) queueConfig {
	settings := queueSettings{processConfig: f.settings.processConfig, queueConfig: entry.queueConfig}
	settings.AdminTokenFile = "" // readConfig has read it
	settings.presets()
	problems := settings.readSecrets()
	if settings.QueueURL == "" {
		problems = append(problems, "queue-url is missing")
		settings.QueueURL = localQueue // for the other checks
	}
	problems = append(problems, settings.queueProblems(len(problems) == 0)...)
	for _, problem := range problems {
		f.bad(entry.line, "queue %s: %s", entry.queueName(), problem)
	}
	return settings.queueConfig
}

// queueName returns the name of the queue for an error.
func (e queueEntry) queueName() string {
	name, err := awsenv.QueueName(e.QueueURL)
	if err != nil {
		return "without a name"
	}
	return name
}

// compare refuses queues of the same name, because metrics and the admin server identify a queue by
// its name.
func (f *queueFile) compare(entries []queueEntry) {
	first := make(map[string]int)
	for _, entry := range entries {
		name, err := awsenv.QueueName(entry.QueueURL)
		if err != nil {
			continue // reported before
		}
		if line, twice := first[name]; twice {
			f.bad(entry.line, "queue-url %s: the queue in line %d is named %s, too; metrics and the admin server identify queues by name", entry.QueueURL, line, name)
			continue
		}
		first[name] = entry.line
	}
}

// share divides --slots among the queues that set no concurrency.
func (f *queueFile) share(entries []queueEntry) {
	slots, weights := f.settings.Slots, make([]int, len(entries))
	for i, entry := range entries {
		switch {
		case slots == 0 && entry.Weight > 0:
			f.bad(entry.line, "queue %s: weight %d: needs slots; set slots, or the queue's concurrency", entry.queueName(), entry.Weight)
		case entry.given["concurrency"] && entry.Weight > 0:
			f.bad(entry.line, "queue %s: weight %d: cannot be used with concurrency %d", entry.queueName(), entry.Weight, entry.Concurrency)
		case slots > 0 && !entry.given["concurrency"]:
			weights[i] = max(entry.Weight, 1)
		}
	}
	for i, n := range byWeight(slots, weights) {
		if weights[i] == 0 {
			continue
		}
		entries[i].Weight, entries[i].Concurrency = weights[i], n
		if n == 0 {
			f.bad(entries[i].line, "queue %s: weight %d: is too small for a share of %d slots", entries[i].queueName(), weights[i], slots)
			entries[i].Concurrency = 1
		}
	}
}
