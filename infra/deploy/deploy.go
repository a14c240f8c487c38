package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sqsonce/sqsonce/infra/internal/guard"
)

// deployment is one run of the command.
type deployment struct {
	args []string // of the CDK's command line
	// cdk runs the CDK's command line.
	cdk func(ctx context.Context, args ...string) error
	// deployed returns the template of a stack, nil if the stack does not exist.
	deployed func(ctx context.Context, stack string) ([]byte, error)
	dir      string // of the new templates
	out      io.Writer
}

// refusal is the error for losses that the command line does not name.
type refusal struct {
	stack  string
	losses []guard.Loss
}

func (r *refusal) Error() string {
	lines := make([]string, len(r.losses))
	for i, l := range r.losses {
		lines[i] = l.String()
	}
	return fmt.Sprintf("stack %s: the deployment\n  %s\nName the keys to have it so; nothing was deployed", r.stack, strings.Join(lines, "\n  "))
}

// run synthesises the templates, compares them with the deployed ones, and deploys. A first
// deployment leaves out the deletion protection of the table; a second one follows and adds it.
func (d deployment) run(ctx context.Context) error {
	if err := d.cdk(ctx, d.synth()...); err != nil {
		return err
	}
	stacks, err := stacksIn(d.dir)
	if err != nil {
		return err
	}
	first := false
	for _, s := range stacks {
		deployed, err := d.deployed(ctx, s.name)
		if err != nil {
			return fmt.Errorf("stack %s: read the deployed template: %w", s.name, err)
		}
		if deployed == nil {
			first = true
			continue
		}
		losses, err := guard.Losses(deployed, s.template)
		if err != nil {
			return fmt.Errorf("stack %s: %w", s.name, err)
		}
		if left := unnamed(losses, d.changes()); len(left) > 0 {
			return &refusal{s.name, left}
		}
		for _, l := range losses {
			_, _ = fmt.Fprintf(d.out, "stack %s: %s\n", s.name, l)
		}
	}
	if first {
		if err := d.cdk(ctx, slices.Concat([]string{"deploy", "--all", "-c", "firstDeployment=true"}, d.args)...); err != nil {
			return err
		}
		_, _ = fmt.Fprintln(d.out, "the stack is there; now the deletion protection of its table")
	}
	return d.cdk(ctx, slices.Concat([]string{"deploy", "--all"}, d.args)...)
}

// synth returns the command line that writes the templates: the arguments of deploy that synth
// accepts.
func (d deployment) synth() []string {
	args := []string{"synth", "-q", "--output", d.dir}
	for i, arg := range d.args {
		switch name, _, joined := strings.Cut(arg, "="); {
		case name != "-c" && name != "--context" && name != "--profile":
		case joined:
			args = append(args, arg)
		case i+1 < len(d.args):
			args = append(args, arg, d.args[i+1])
		}
	}
	return args
}

// changes returns the keys in -c change=KEY.
func (d deployment) changes() (keys []string) {
	for _, arg := range d.args {
		arg = strings.TrimPrefix(strings.TrimPrefix(arg, "--context="), "-c=")
		if value, ok := strings.CutPrefix(arg, "change="); ok {
			for key := range strings.SplitSeq(value, ",") {
				keys = append(keys, strings.TrimSpace(key))
			}
		}
	}
	return keys
}

// unnamed returns the losses whose key is not in keys.
func unnamed(losses []guard.Loss, keys []string) []guard.Loss {
	return slices.DeleteFunc(slices.Clone(losses), func(l guard.Loss) bool { return slices.Contains(keys, l.Key) })
}

// stack is a synthesised stack.
type stack struct {
	name     string
	template []byte
}

// stacksIn reads the stacks of a cloud assembly.
func stacksIn(dir string) (found []stack, err error) {
	data, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	if err != nil {
		return nil, fmt.Errorf("cloud assembly: %w", err)
	}
	var manifest struct {
		Artifacts map[string]struct {
			Type       string
			Properties struct{ TemplateFile, StackName string }
		}
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		return nil, fmt.Errorf("cloud assembly: %w", err)
	}
	for id, a := range manifest.Artifacts {
		if a.Type != "aws:cloudformation:stack" {
			continue
		}
		s := stack{name: a.Properties.StackName}
		if s.name == "" {
			s.name = id
		}
		if s.template, err = os.ReadFile(filepath.Join(dir, a.Properties.TemplateFile)); err != nil {
			return nil, fmt.Errorf("cloud assembly: %w", err)
		}
		found = append(found, s)
	}
	slices.SortFunc(found, func(a, b stack) int { return strings.Compare(a.name, b.name) })
	return found, nil
}
