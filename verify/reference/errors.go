package main

import (
	"fmt"
	"go/ast"
	"go/doc"
	"go/types"
	"path"
	"strings"
)

const errorsIntro = `# Errors

Error texts name the setting, the field or the call at fault, and its value.
`

// withErrors are the packages of the library that export errors.
var withErrors = []string{"consumer", "dedupe", "dedupe/dynamo", "dedupe/listing", "dedupe/protocol", "names", "powertools"}

func errorsPage() (string, error) {
	var b strings.Builder
	b.WriteString(errorsIntro)
	for _, section := range []func() (string, error){exitCodes, deadLetterReasons, httpProblems, behaviours, exportedErrors} {
		text, err := section()
		if err != nil {
			return "", err
		}
		b.WriteString("\n" + text)
	}
	return b.String(), nil
}

func exitCodes() (string, error) {
	var rows [][]string
	for _, file := range []string{"awsenv/settings.go", "producercmd/config.go"} {
		codes, err := commented(root+"/internal/"+file, valueSpec("exit"))
		if err != nil {
			return "", err
		}
		rows = append(rows, codes...)
	}
	for _, row := range rows {
		row[1] = capital(prose(sentence(row[1])))
	}
	return "## Exit codes\n\n`worker` exits with 0, 1 or 2, `producer` with any of these.\n\n" +
		table([]string{"Code", "Meaning"}, rows), nil
}

func deadLetterReasons() (string, error) {
	rows, err := commented(root+"/internal/telemetry/reasons.go", valueSpec("reasons"))
	for _, row := range rows {
		row[0], row[1] = code(row[0]), prose(row[1])
	}
	return `## Reasons of dead letters

A worker copies a message to the dead-letter queue with its reason in the attribute
` + "`sqsonce.reason`" + `. An error of a handler may give its own reason. A message without one was moved
by SQS. The [runbook](../runbook.md#dead-letter-queue-not-empty) says what to do.

` + table([]string{"Reason", "Meaning"}, rows), err
}

func httpProblems() (string, error) {
	document, err := openAPI()
	if err != nil {
		return "", err
	}
	return `## HTTP problems

The producer's API answers an error with a problem document
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)): ` + "`application/problem+json`" + `. Its ` + "`type`" + ` is always
` + "`about:blank`" + `, and its ` + "`field`" + ` names the member, header or parameter at fault.

` + table([]string{"Status", "Title", "Meaning"}, problemRows(document)), nil
}

func behaviours() (string, error) {
	p, err := exported("failure")
	if err != nil {
		return "", err
	}
	var rows [][]string
	for _, t := range p.Types {
		spec, ok := t.Decl.Specs[0].(*ast.TypeSpec)
		if !ok {
			continue
		}
		behaviour, ok := spec.Type.(*ast.InterfaceType)
		if !ok {
			continue
		}
		method := behaviour.Methods.List[1]
		signature := method.Names[0].Name + strings.TrimPrefix(types.ExprString(method.Type), "func")
		rows = append(rows, []string{code(signature), plainDoc(p, t.Doc, t.Name)})
	}
	return `## Behaviours of a handler's error

The guard and the pool look for these methods in the tree of a handler's error, as ` + "`errors.As`" + ` does.
Package [failure](https://pkg.go.dev/github.com/sqsonce/sqsonce/failure) declares them as interfaces.
An error without any of them is an ordinary failure, which is tried again. "Guard" is the effect on
the record of the name, "Pool" the effect on the message.

` + table([]string{"Method", "Meaning"}, rows), nil
}

func exportedErrors() (string, error) {
	var b strings.Builder
	b.WriteString("## Exported errors of the library\n")
	for _, dir := range withErrors {
		p, err := exported(dir)
		if err != nil {
			return "", err
		}
		var rows [][]string
		for _, v := range append(p.Vars, typedVars(p)...) {
			rows = append(rows, variables(p, v)...)
		}
		for _, t := range p.Types {
			if strings.HasSuffix(t.Name, "Error") {
				rows = append(rows, []string{code("*" + t.Name), plainDoc(p, t.Doc, t.Name)})
			}
		}
		fmt.Fprintf(&b, "\n### Package %s\n\n%s", path.Base(dir), table([]string{"Error", "Meaning"}, rows))
	}
	return b.String(), nil
}

// typedVars are the variables that go/doc lists with a type.
func typedVars(p *doc.Package) (vars []*doc.Value) {
	for _, t := range p.Types {
		vars = append(vars, t.Vars...)
	}
	return vars
}

// variables describes the errors of a declaration. An error without a comment of its own has its
// text and the comment of its group.
func variables(p *doc.Package, v *doc.Value) (rows [][]string) {
	for _, spec := range v.Decl.Specs {
		value, ok := spec.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(value.Names[0].Name, "Err") {
			continue
		}
		name, text := value.Names[0].Name, value.Doc.Text()
		if text == "" {
			text = v.Doc
			if call, ok := value.Values[0].(*ast.CallExpr); ok && v.Decl.Lparen.IsValid() {
				own, _ := unquoted(call.Args[0])
				text = capital(sentence(own)) + " " + text
			}
		}
		rows = append(rows, []string{code(name), plainDoc(p, text, name)})
	}
	return rows
}

// plainDoc returns a doc comment as a cell, without links and the name that it begins with.
func plainDoc(p *doc.Package, text, subject string) string {
	printer := p.Printer()
	printer.TextWidth = -1
	printed := strings.TrimSpace(string(printer.Text(p.Parser().Parse(text))))
	printed, _, _ = strings.Cut(printed, "\n[") // definitions of links
	for _, verb := range []string{" says that ", " is ", ": "} {
		if rest, ok := strings.CutPrefix(printed, subject+verb); ok {
			return prose(capital(rest))
		}
	}
	return prose(printed)
}
