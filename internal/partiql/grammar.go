// Package partiql checks write statements against the grammar of DynamoDB's PartiQL in AWS's
// reference. Tests check the store's statements with it, because local servers accept forms that
// AWS refuses.
//
// The reference has these forms (spaces and line breaks are free):
//
//	INSERT INTO table VALUE item
//
//	UPDATE  table
//	[SET | REMOVE]  path  [=  data] […]
//	WHERE condition [RETURNING returnvalues]
//	<returnvalues>  ::= [ALL OLD | MODIFIED OLD | ALL NEW | MODIFIED NEW] *
//
//	DELETE FROM table
//	WHERE condition [RETURNING returnvalues]
//	<returnvalues>  ::= ALL OLD *
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.insert.html
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.update.html
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.delete.html
//
// Its examples repeat the keyword: "SET AwardsWon=1 SET AwardDetail={…}". The page on batches has
// one more form, a SET with several assignments:
//
//	UPDATE Music SET AwardsWon=1, AwardDetail={'Grammys':[2020, 2018]} WHERE …
//
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ql-reference.multiplestatements.batching.html
//
// Forms that no page shows are refused, such as a REMOVE with more than one path.
package partiql

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// ErrNotWellFormed is wrapped by every error of [Check]. Its text is AWS's.
var ErrNotWellFormed = errors.New("Statement wasn't well formed, can't be processed")

// Check returns nil if statement is a write statement of the reference with exactly the given
// number of parameters, and an error that wraps [ErrNotWellFormed] otherwise.
func Check(statement string, parameters int) error {
	tokens, err := scan(statement)
	if err != nil {
		return err
	}
	p := parser{tokens: tokens}
	switch {
	case p.keyword("INSERT"):
		p.insert()
	case p.keyword("UPDATE"):
		p.update()
	case p.keyword("DELETE"):
		p.remove()
	default:
		p.fail("Expected data manipulation")
	}
	if p.err == nil && p.at < len(p.tokens) {
		p.fail("Unexpected token after expression")
	}
	if p.err == nil && p.parameters != parameters {
		p.fail(fmt.Sprintf("%d parameters for %d question marks", parameters, p.parameters))
	}
	return p.err
}

// parser reads tokens from left to right. Its results after the first error are meaningless.
type parser struct {
	tokens     []token
	at         int
	parameters int
	err        error
}

func (p *parser) fail(why string) {
	if p.err == nil {
		near := "the end"
		if p.at < len(p.tokens) {
			near = fmt.Sprintf("%q", p.tokens[p.at].text)
		}
		p.err = fmt.Errorf("%w: %s (at %s)", ErrNotWellFormed, why, near)
	}
}

// keyword consumes the next token if it is the given word.
func (p *parser) keyword(word string) bool {
	if p.at < len(p.tokens) && p.tokens[p.at].kind == isWord && strings.EqualFold(p.tokens[p.at].text, word) {
		p.at++
		return true
	}
	return false
}

func (p *parser) symbol(s string) bool {
	if p.at < len(p.tokens) && p.tokens[p.at].kind == isSymbol && p.tokens[p.at].text == s {
		p.at++
		return true
	}
	return false
}

func (p *parser) want(ok bool, what string) {
	if !ok {
		p.fail("Expected " + what)
	}
}

// take consumes the next token if it is of one of the given kinds.
func (p *parser) take(kinds ...kind) bool {
	if p.at < len(p.tokens) && slices.Contains(kinds, p.tokens[p.at].kind) {
		p.at++
		return true
	}
	return false
}

func (p *parser) insert() {
	p.want(p.keyword("INTO"), "INTO")
	p.want(p.take(isWord, isName), "a table")
	p.want(p.keyword("VALUE"), "VALUE")
	p.want(p.symbol("{"), "{")
	p.tuple()
}

func (p *parser) update() {
	p.want(p.take(isWord, isName), "a table")
	for clauses := 0; p.err == nil; clauses++ {
		switch {
		case p.keyword("SET"):
			p.assignment()
			for p.err == nil && p.symbol(",") {
				p.assignment()
			}
		case p.keyword("REMOVE"):
			p.path()
		default:
			p.want(clauses > 0, "SET or REMOVE")
			p.where()
			p.returning("ALL", "MODIFIED")
			return
		}
	}
}

func (p *parser) remove() {
	p.want(p.keyword("FROM"), "FROM")
	p.want(p.take(isWord, isName), "a table")
	p.where()
	p.returning("ALL")
}

func (p *parser) returning(which ...string) {
	if !p.keyword("RETURNING") {
		return
	}
	p.want(slices.ContainsFunc(which, p.keyword), "what to return")
	p.want(p.keyword("OLD") || len(which) > 1 && p.keyword("NEW"), "OLD")
	p.want(p.symbol("*"), "*")
}

func (p *parser) where() {
	p.want(p.keyword("WHERE"), "WHERE")
	p.comparison()
	for p.err == nil && (p.keyword("AND") || p.keyword("OR")) {
		p.comparison()
	}
}

func (p *parser) comparison() {
	p.path()
	p.want(slices.ContainsFunc([]string{"=", "<>", "<=", ">=", "<", ">"}, p.symbol), "a comparison")
	p.value()
}

func (p *parser) assignment() {
	p.path()
	p.want(p.symbol("="), "=")
	p.value()
}

// path reads an attribute or a part of an attribute: AwardDetail.Grammys[2].
func (p *parser) path() {
	p.want(p.take(isWord, isName), "a path")
	for p.err == nil {
		switch {
		case p.symbol("."):
			p.want(p.take(isWord, isName), "a name")
		case p.symbol("["):
			p.want(p.take(isNumber), "an index")
			p.want(p.symbol("]"), "]")
		default:
			return
		}
	}
}

func (p *parser) value() {
	switch {
	case p.symbol("?"):
		p.parameters++
	case p.take(isString, isNumber), p.keyword("TRUE"), p.keyword("FALSE"), p.keyword("NULL"):
	case p.symbol("{"):
		p.tuple()
	case p.symbol("["):
		p.list("]")
	case p.symbol("<<"):
		p.list(">>")
	default: // an attribute, or a function call: set_add(BandMembers, <<'x'>>)
		p.path()
		if p.symbol("(") {
			p.list(")")
		}
	}
}

func (p *parser) list(end string) {
	for p.err == nil && !p.symbol(end) {
		p.value()
		if !p.symbol(",") {
			p.want(p.symbol(end), end)
			return
		}
	}
}

func (p *parser) tuple() {
	for p.err == nil && !p.symbol("}") {
		p.want(p.take(isString), "an attribute's name")
		p.want(p.symbol(":"), ":")
		p.value()
		if !p.symbol(",") {
			p.want(p.symbol("}"), "}")
			return
		}
	}
}
