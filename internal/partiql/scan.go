package partiql

import (
	"fmt"
	"strings"
)

type kind uint8

const (
	isWord   kind = iota // a keyword, or a name without quotes
	isName               // in double quotes
	isString             // in single quotes
	isNumber
	isSymbol
)

type token struct {
	kind kind
	text string
}

// scan splits a statement into tokens.
func scan(statement string) ([]token, error) {
	var tokens []token
	for rest := strings.TrimSpace(statement); rest != ""; rest = strings.TrimSpace(rest) {
		t, length := next(rest)
		if length == 0 {
			return nil, fmt.Errorf("%w: Unexpected character (at %.20q)", ErrNotWellFormed, rest)
		}
		tokens = append(tokens, t)
		rest = rest[length:]
	}
	return tokens, nil
}

// next returns the first token of text, which must not begin with white space, and its length.
func next(text string) (t token, length int) {
	switch c := text[0]; {
	case c == '"':
		return quoted(text, isName)
	case c == '\'':
		return quoted(text, isString)
	case isDigit(c) || c == '-':
		n := span(text, func(c byte) bool { return isDigit(c) || strings.IndexByte("-+.eE", c) >= 0 })
		return token{isNumber, text[:n]}, n
	case isLetter(c):
		n := span(text, func(c byte) bool { return isLetter(c) || isDigit(c) })
		return token{isWord, text[:n]}, n
	}
	for _, s := range []string{"<<", ">>", "<>", "<=", ">=", "<", ">", "=", ",", ":", "?", ".", "*", "{", "}", "[", "]", "(", ")"} {
		if strings.HasPrefix(text, s) {
			return token{isSymbol, s}, len(s)
		}
	}
	return token{}, 0
}

// quoted returns a token in quotes. A doubled quote inside it is one quote.
func quoted(text string, k kind) (token, int) {
	quote := text[:1]
	for i := 1; i < len(text); i++ {
		switch {
		case text[i] != quote[0]:
		case strings.HasPrefix(text[i+1:], quote):
			i++
		default:
			return token{k, strings.ReplaceAll(text[1:i], quote+quote, quote)}, i + 1
		}
	}
	return token{}, 0
}

func span(text string, in func(byte) bool) int {
	n := 0
	for n < len(text) && in(text[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool  { return '0' <= c && c <= '9' }
func isLetter(c byte) bool { return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' }
