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
	vagueAllowed = 2   // vague words in 1,000; a file of fewer words may have as many
	proseColumns = 100 // of a line of prose or comment
	longSentence = 35  // words
)

// vague are the words that stand where a noun of the field belongs.
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

// prose is the text of a file: paragraphs without code, tables and headings, and its lines.
type prose struct {
	path       string
	paragraphs []string
	long       []int // the lines that are too long
}

// problems lists what the house rules forbid. Sentences are looked at in guides only.
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

// markdown reads a document. Cells of tables and headings count as paragraphs; their lines may be
// long, because Markdown cannot break them.
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

// plain takes code and addresses out of a line.
func plain(line string) string {
	return link.ReplaceAllString(codeSpan.ReplaceAllString(line, "x"), "]")
}

// comments reads the comments of a Go file, but for directives and indented examples.
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

// isGuide tells whether a file is README or a page of the guide.
func isGuide(path string) bool {
	return path == "README.md" || filepath.Dir(path) == "docs" && strings.HasSuffix(path, ".md")
}

// unread lists the folders whose prose is no part of the project's.
var unread = []string{"node_modules", "testdata", "dist", "bin"}

// hasProse tells whether the house rules of prose hold for a tracked file.
func hasProse(path string) bool {
	if !strings.HasSuffix(path, ".md") && !strings.HasSuffix(path, ".go") {
		return false
	}
	return !slices.ContainsFunc(strings.Split(path, "/"), func(part string) bool { return slices.Contains(unread, part) })
}
