package producercmd

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// completionCmd is "producer completion".
type completionCmd struct {
	Shell string `arg:"" enum:"bash,zsh,fish" help:"Shell: ${enum}."`
}

func (s *completionCmd) check() error { return nil }

// word is a command and what may follow it.
type word struct {
	path  string // commands up to here, as in "dlq ls"
	next  []candidate
	flags []candidate
}

// candidate is something that may be typed.
type candidate struct{ text, help string }

// words lists the commands of the command line with what may follow each.
func words(n *kong.Node, path string, inherited []candidate) []word {
	flags := append([]candidate(nil), inherited...)
	for _, f := range n.Flags {
		if !f.Hidden {
			flags = append(flags, candidate{"--" + f.Name, firstSentence(f.Help)})
		}
	}
	w := word{path: path, flags: flags}
	all := []word{}
	for _, child := range n.Children {
		w.next = append(w.next, candidate{child.Name, firstSentence(child.Help)})
		all = append(all, words(child, strings.TrimSpace(path+" "+child.Name), flags)...)
	}
	for _, arg := range n.Positional {
		for _, value := range arg.EnumSlice() {
			if value != "" {
				w.next = append(w.next, candidate{value, ""})
			}
		}
	}
	return append([]word{w}, all...)
}

func firstSentence(s string) string {
	s, _, _ = strings.Cut(s, ". ")
	return strings.TrimSuffix(strings.Join(strings.Fields(s), " "), ".")
}

func (s *completionCmd) run(_ context.Context, io stdio) error {
	parser, err := newParser(&cli{}, io.out, io.err)
	if err != nil {
		return err
	}
	all := words(parser.Model.Node, "", nil)
	switch s.Shell {
	case "bash":
		writeBash(io.out, all)
	case "zsh":
		_, _ = fmt.Fprint(io.out, "#compdef producer\nautoload -U +X bashcompinit && bashcompinit\n")
		writeBash(io.out, all)
	case "fish":
		writeFish(io.out, all)
	}
	return nil
}

// writeBash writes a completion function for bash; zsh can use it too.
func writeBash(w io.Writer, all []word) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	p("# source <(producer completion bash)\n_producer() {\n\tlocal at='' w cur=\"${COMP_WORDS[COMP_CWORD]}\"\n")
	p("\tfor w in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n\t\tcase \"$at $w\" in\n")
	for _, w := range all {
		if w.path != "" {
			p("\t\t' %s') at=' %s' ;;\n", w.path, w.path)
		}
	}
	p("\t\tesac\n\tdone\n\tcase \"$at\" in\n")
	for _, w := range all {
		path := w.path
		if path != "" {
			path = " " + path
		}
		p("\t'%s') COMPREPLY=($(compgen -W '%s' -- \"$cur\")) ;;\n", path, texts(append(w.next, w.flags...)))
	}
	p("\tesac\n}\ncomplete -F _producer producer\n")
}

func texts(all []candidate) string {
	out := make([]string, len(all))
	for i, c := range all {
		out[i] = c.text
	}
	return strings.Join(out, " ")
}

// writeFish writes completions for fish, which shows the help beside them.
func writeFish(w io.Writer, all []word) {
	p := func(format string, args ...any) { _, _ = fmt.Fprintf(w, format, args...) }
	p("# producer completion fish | source\ncomplete -c producer -f\n")
	for _, w := range all {
		condition := "__fish_use_subcommand"
		if w.path != "" {
			parts := strings.Fields(w.path)
			condition = "__fish_seen_subcommand_from " + parts[len(parts)-1]
		}
		for _, c := range w.next {
			p("complete -c producer -n '%s' -a %s -d '%s'\n", condition, c.text, fishQuote(c.help))
		}
		for _, c := range w.flags {
			p("complete -c producer -n '%s' -l %s -d '%s'\n", condition, strings.TrimPrefix(c.text, "--"), fishQuote(c.help))
		}
	}
}

func fishQuote(s string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s)
}

// shellQuote is s as one word of a shell's command line.
func shellQuote(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@%+,", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
