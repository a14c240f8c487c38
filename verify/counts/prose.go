package main

import (
	"fmt"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

const (
	vagueAllowed = 2   // vague words in 1,000; a shorter file may have as many
	proseColumns = 100 // longest line of prose or comment
	longSentence = 35  // longest sentence, in words
)

// vague matches words that often replace a noun of the field.
var vague = regexp.MustCompile(`(?i)\b(what|who|whoever|whatever|whichever|somebody|nobody|anybody|someone|one that|the one)\b`)

var (
	fence     = regexp.MustCompile("^\\s*(```|~~~)")
	codeSpan  = regexp.MustCompile("`[^`]*`")
	link      = regexp.MustCompile(`\]\([^)]*\)|<?https?://[^\s)>]+>?`)
	wordRE    = regexp.MustCompile(`[\p{L}\p{N}][\p{L}\p{N}'’_-]*`)
	listItem  = regexp.MustCompile(`^\s*([-*+]|\d+\.)\s+`)
	endOf     = regexp.MustCompile(`[.!?:;]["')\]*_]*(\s|$)`)
	directive = regexp.MustCompile(`^//[a-z]+:`)
)

// prose is the text of a document or of the comments of a Go file.
type prose struct {
	path       string
	paragraphs []string // without code and addresses
	long       []int    // numbers of lines that are too long
}

// problems lists the violations of the rules in CONTRIBUTING.md. With guide it also checks the
// length of sentences.
func (p prose) problems(guide bool) (list []string) {
	text := strings.Join(p.paragraphs, "\n")
	total, n := len(wordRE.FindAllString(text, -1)), len(vague.FindAllString(text, -1))
	if n > vagueAllowed && n*1000 > vagueAllowed*total {
		list = append(list, fmt.Sprintf("%d vague words in %d, such as %q", n, total, vague.FindString(text)))
	}
	for _, line := range p.long {
		list = append(list, fmt.Sprintf("line %d has more than %d columns", line, proseColumns))
	}
	if !guide {
		return list
	}
	for _, paragraph := range p.paragraphs {
		for _, s := range endOf.Split(paragraph, -1) {
			if n := len(wordRE.FindAllString(s, -1)); n > longSentence {
				list = append(list, fmt.Sprintf("a sentence of %d words: %.60s…", n, strings.TrimSpace(s)))
			}
		}
	}
	return list
}

// readProse reads a Markdown file, or the comments of a Go file.
func readProse(root, path string) (prose, error) {
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		return prose{}, err
	}
	if strings.HasSuffix(path, ".md") {
		return markdown(path, string(text)), nil
	}
	return comments(path, text)
}

// markdown reads a document. Cells of tables and headings are paragraphs. Rows of tables may be
// longer than proseColumns, because Markdown cannot break them.
func markdown(path, text string) prose {
	p, inCode, open := prose{path: path}, false, false
	for i, line := range strings.Split(text, "\n") {
		bare := strings.TrimSpace(line)
		switch {
		case fence.MatchString(line):
			inCode, open = !inCode, false
		case inCode || bare == "":
			open = false
		case strings.HasPrefix(bare, "|"):
			for cell := range strings.SplitSeq(strings.Trim(bare, "|"), "|") {
				p.paragraphs = append(p.paragraphs, plain(cell))
			}
			open = false
		default:
			if utf8.RuneCountInString(link.ReplaceAllString(line, "](")) > proseColumns {
				p.long = append(p.long, i+1)
			}
			if !open || listItem.MatchString(line) || strings.HasPrefix(bare, "#") {
				p.paragraphs = append(p.paragraphs, "")
			}
			p.paragraphs[len(p.paragraphs)-1] += " " + plain(listItem.ReplaceAllString(line, ""))
			open = !strings.HasPrefix(bare, "#")
		}
	}
	return p
}

// plain replaces the code and the addresses in a line.
func plain(line string) string {
	return link.ReplaceAllString(codeSpan.ReplaceAllString(line, "x"), "]")
}

// comments reads the comments of a Go file without directives and indented examples.
func comments(path string, text []byte) (prose, error) {
	positions := token.NewFileSet()
	file, err := parser.ParseFile(positions, path, text, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return prose{}, err
	}
	p := prose{path: path}
	for _, group := range file.Comments {
		paragraph := ""
		for _, c := range group.List {
			at := positions.Position(c.Pos())
			for i, line := range strings.Split(c.Text, "\n") {
				if directive.MatchString(line) || strings.HasPrefix(line, "//\t") {
					continue
				}
				columns := utf8.RuneCountInString(link.ReplaceAllString(line, ""))
				if columns > proseColumns {
					p.long = append(p.long, at.Line+i)
				}
				paragraph += " " + plain(strings.Trim(line, "/* "))
			}
		}
		p.paragraphs = append(p.paragraphs, paragraph)
	}
	return p, nil
}

// isGuide reports whether a file is the README or a page of the guide.
func isGuide(path string) bool {
	return path == "README.md" || filepath.Dir(path) == "docs" && strings.HasSuffix(path, ".md")
}

// unread lists the folders that are not checked.
var unread = []string{"node_modules", "testdata", "dist", "bin"}

// hasProse reports whether the rules apply to a tracked file.
func hasProse(path string) bool {
	if !strings.HasSuffix(path, ".md") && !strings.HasSuffix(path, ".go") {
		return false
	}
	return !slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool { return slices.Contains(unread, part) })
}
