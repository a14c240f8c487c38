package main

import (
	"errors"
	"fmt"
	"go/ast"
	"go/types"
	"regexp"
	"slices"
	"strings"

	"github.com/sqsonce/sqsonce/internal/workercmd"
)

const workerYAML = `# Configuration files

## File of a worker's queues

` + "`worker --config FILE`" + ` reads a YAML file that describes several queues;
[Several queues](../several-queues.md) explains it. ` + "`worker check --config FILE`" + ` checks it. The file has
these fields:

| Field | Meaning |
|---|---|
| ` + "`queues`" + ` | List of queues, at least one. |
| ` + "`slots`" + ` | Messages handled at a time by the queues without a ` + "`concurrency`" + `. Default: ` + "`--slots`" + `. |

A queue has the fields below. Each has the name, the values and the default of the flag of
[worker run](flags.md#worker-run), which explains it. A flag or variable that is set is the default
of every queue in the file.

| Field | Default |
|---|---|
| ` + "`weight`" + ` | ` + "`1`" + `: the share of the queue in ` + "`slots`" + ` |
`

const stackSettings = `
## Settings of the CDK stack

A setting is a key of CDK context: ` + "`-c key=value`" + `, or a member of ` + "`deploy/NAME.json`" + `, which
` + "`-c config=NAME`" + ` names. [Deployment on ECS](../deploy.md) shows them in use. On a command line a list
is separated by commas, and a map is a JSON object.
`

func configurationPage() (string, error) {
	model, err := workercmd.Model()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	b.WriteString(workerYAML)
	fields := workercmd.QueueFields()
	for _, f := range model.DefaultCmd.Flags {
		if slices.Contains(fields, f.Name) {
			fmt.Fprintf(&b, "| %s | %s |\n", code(f.Name), code(defaultOf(f)))
		}
	}
	stack, err := stackRows()
	return b.String() + stackSettings + stack, err
}

// key is a key of CDK context and the field of infra.Config that it sets.
type key struct{ name, group, field, setter string }

// stackRows describes the keys of CDK context, by the type that has their field.
func stackRows() (string, error) {
	files, _, err := parsed(root + "/infra")
	if err != nil {
		return "", err
	}
	var keys []key
	structs := make(map[string]*ast.StructType) // by name of type
	for _, file := range files {
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if k, ok := keyOf(n); ok {
					keys = append(keys, k)
				}
			case *ast.TypeSpec:
				if s, ok := n.Type.(*ast.StructType); ok {
					structs[n.Name.Name] = s
				}
			}
			return true
		})
	}
	var b strings.Builder
	described := 0
	for _, group := range []string{"", "Queue", "Network", "Worker", "Target", "Scaling", "Producer", "Dashboard"} {
		s := structs[group+"Config"]
		if s == nil {
			return "", fmt.Errorf("infra has no type %sConfig", group)
		}
		of := make(map[string]key) // by field
		for _, k := range keys {
			if k.group == group {
				of[k.field] = k
			}
		}
		rows := fieldRows(s, of)
		described += len(of)
		title := group
		if group == "" {
			title = "Stack"
		}
		fmt.Fprintf(&b, "\n### %s\n\n%s", title, table([]string{"Key", "Type", "Meaning"}, rows))
	}
	if described == 0 || described != len(keys) {
		return "", errors.New("infra has keys whose type is not described")
	}
	return b.String(), nil
}

// keyOf reads an entry such as "maxTasks": integer(&c.Scaling.MaxTasks).
func keyOf(n *ast.KeyValueExpr) (k key, ok bool) {
	name, isText := unquoted(n.Key)
	call, isCall := n.Value.(*ast.CallExpr)
	if !isText || !isCall || len(call.Args) != 1 {
		return key{}, false
	}
	path, isField := strings.CutPrefix(types.ExprString(call.Args[0]), "&c.")
	if !isField {
		return key{}, false
	}
	group, field, nested := strings.Cut(path, ".")
	if !nested {
		group, field = "", path
	}
	return key{name, group, field, types.ExprString(call.Fun)}, true
}

var kinds = map[string]string{
	"text": "text", "boolean": "true or false", "negated": "true or false", "integer": "whole number",
	"duration": "duration", "list": "list", "variables": "map",
}

var capitalised = regexp.MustCompile(`\b[A-Z][A-Za-z]*`)

// fieldRows describes the fields of a type, and those that share a comment together. A comment
// names fields, for which the row has their keys.
func fieldRows(s *ast.StructType, of map[string]key) (rows [][]string) {
	named := func(text string) string {
		done := make(map[string]bool)
		text = capitalised.ReplaceAllStringFunc(text, func(word string) string {
			k, ok := of[word]
			switch {
			case !ok, done[word] && strings.ToUpper(word) == word: // FIFO, a field and a kind of queue
				return word
			case k.setter == "negated":
				return code(k.name + "=false")
			}
			done[word] = true
			return code(k.name)
		})
		// No field of this type.
		return strings.NewReplacer("`targetSecrets` Manager", "Secrets Manager", "MaxAttempts", "`maxAttempts`").Replace(text)
	}
	for _, f := range s.Fields.List {
		var keys, types []string
		for _, name := range f.Names {
			if k, ok := of[name.Name]; ok {
				keys = append(keys, k.name)
				types = append(types, kinds[k.setter])
			}
		}
		if len(keys) == 0 {
			continue
		}
		if f.Doc == nil && len(rows) > 0 { // described together
			last := rows[len(rows)-1]
			last[0] += ", " + codes(keys)
			if last[1] != types[0] {
				last[1] += ", " + types[0]
			}
			continue
		}
		rows = append(rows, []string{codes(keys), types[0], named(prose(f.Doc.Text()))})
	}
	return rows
}
