package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/sqsonce/sqsonce/internal/producercmd"
	"github.com/sqsonce/sqsonce/internal/workercmd"
)

const flagsIntro = `# Flags and environment variables

The environment variable below a flag sets it, too. A flag takes precedence over its variable.
` + "`--help`" + ` prints the same texts.

The AWS SDK reads its own variables, such as ` + "`AWS_REGION`, `AWS_PROFILE` and `AWS_ENDPOINT_URL`" + `:
[AWS SDKs and Tools](https://docs.aws.amazon.com/sdkref/latest/guide/environment-variables.html).
OpenTelemetry reads ` + "`OTEL_EXPORTER_OTLP_ENDPOINT`" + ` and its other variables:
[OTLP exporter](https://opentelemetry.io/docs/languages/sdk-configuration/otlp-exporter/).
`

func flagsPage() (string, error) {
	var b strings.Builder
	b.WriteString(flagsIntro)
	for _, model := range []func() (*kong.Application, error){workercmd.Model, producercmd.Model} {
		app, err := model()
		if err != nil {
			return "", err
		}
		for _, command := range app.Leaves(true) {
			b.WriteString(commandSection(app, command))
		}
	}
	return b.String(), nil
}

// commandSection describes one command: its help, its arguments and its flags.
func commandSection(app *kong.Application, command *kong.Node) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n## %s\n\n%s\n", command.FullPath(), wrapped(command.Help))
	var arguments [][]string
	for _, a := range command.Positional {
		arguments = append(arguments, []string{code(a.Summary()), prose(a.Help)})
	}
	if len(arguments) > 0 {
		b.WriteString("\n" + table([]string{"Argument", "Meaning"}, arguments))
	}
	flags, also := command.Flags, ""
	if main := app.DefaultCmd; main != nil && main != command && contains(flags, main.Flags) {
		flags = without(flags, main.Flags)
		also = fmt.Sprintf("\nIt also takes the flags of [%s](#%s).\n", main.FullPath(), anchor(main.FullPath()))
	}
	rows := make([][]string, 0, len(flags))
	for _, f := range flags {
		rows = append(rows, []string{flagName(f), code(defaultOf(f)), prose(f.Help)})
	}
	if len(rows) > 0 {
		b.WriteString("\n" + table([]string{"Flag and variable", "Default", "Meaning"}, rows))
	}
	return b.String() + also
}

func flagName(f *kong.Flag) string {
	name := code("--" + f.Name)
	if f.Short != 0 {
		name = code("-"+string(f.Short)) + ", " + name
	}
	if f.Required {
		name += " (required)"
	}
	for _, env := range f.Envs {
		name += "<br>" + code(env)
	}
	return name
}

// defaultOf returns a default that a user may want to know. Off and none are not shown.
func defaultOf(f *kong.Flag) string {
	if f.Default == "false" {
		return ""
	}
	return f.Default
}

// contains reports whether most flags of another command are among those of a command.
func contains(flags, others []*kong.Flag) bool {
	return 2*len(without(others, flags)) < len(others)
}

// without returns the flags that another command does not have with the same meaning.
func without(flags, others []*kong.Flag) (rest []*kong.Flag) {
	for _, f := range flags {
		if !slices.ContainsFunc(others, func(o *kong.Flag) bool { return o.Name == f.Name && o.Help == f.Help }) {
			rest = append(rest, f)
		}
	}
	return rest
}

// anchor returns the fragment of a heading without punctuation.
func anchor(heading string) string { return strings.ReplaceAll(strings.ToLower(heading), " ", "-") }

// wrapped breaks text into lines of at most 100 columns.
func wrapped(text string) string {
	var b strings.Builder
	column := 0
	for _, word := range strings.Fields(text) {
		switch {
		case column > 0 && column+1+len(word) > 100:
			b.WriteByte('\n')
			column = 0
		case column > 0:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
