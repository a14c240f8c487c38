// Command reference writes docs/reference from the code: the flags, the metrics, the errors, the
// configuration files and the HTTP API. "make reference" runs it, and a test reports pages that no
// longer fit the code.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// root is the repository, seen from this directory.
const root = "../.."

// notice is the first line of every page.
const notice = "<!-- Written by make reference. Do not edit. -->\n\n"

// pages are the functions that write the pages of docs/reference, by file name.
var pages = map[string]func() (string, error){
	"flags.md":         flagsPage,
	"metrics.md":       metricsPage,
	"errors.md":        errorsPage,
	"configuration.md": configurationPage,
	"http-api.md":      apiPage,
}

func main() {
	for name, page := range pages {
		text, err := page()
		if err == nil {
			err = os.WriteFile(filepath.Join(root, "docs", "reference", name), []byte(notice+text), 0o600)
		}
		if err != nil {
			fmt.Fprintf(os.Stderr, "reference: %s: %v\n", name, err)
			os.Exit(1)
		}
	}
}

// table returns a Markdown table.
func table(head []string, rows [][]string) string {
	var b strings.Builder
	line := func(cells []string) {
		b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
	}
	line(head)
	b.WriteString(strings.Repeat("|---", len(head)) + "|\n")
	for _, row := range rows {
		line(row)
	}
	return b.String()
}

// prose escapes text for a cell of a table. Neither GitHub nor the site may read it as HTML.
func prose(text string) string {
	text = strings.Join(strings.Fields(text), " ")
	return strings.NewReplacer("|", `\|`, "<", "&lt;", ">", "&gt;", "*", `\*`, "{{", "{ {").Replace(text)
}

// code returns text as code in a cell, or nothing for an empty text.
func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + strings.ReplaceAll(text, "|", `\|`) + "`"
}

// codes returns texts as code, separated by commas.
func codes(texts []string) string {
	all := make([]string, len(texts))
	for i, text := range texts {
		all[i] = code(text)
	}
	return strings.Join(all, ", ")
}
