package names_test

import (
	"fmt"
	"math/big"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/sqsonce/sqsonce/names"
)

// document is a JSON value that can be spelled in many ways. Numbers are integers times a power of
// ten.
type document struct {
	kind    string // "number", "text", "word", "list", or "hash"
	number  *big.Int
	power   int
	text    string // of kind text or word
	members []member
}

type member struct {
	key   string
	value document
}

var texts = rapid.StringOfN(rapid.RuneFrom([]rune("aäb\"\\/\n\x00\u2028😀\uFFFD")), 0, 6, -1)

func documents(depth int) *rapid.Generator[document] {
	return rapid.Custom(func(t *rapid.T) document {
		kinds := []string{"number", "text", "word", "list", "hash"}
		if depth == 0 {
			kinds = kinds[:3]
		}
		d := document{kind: rapid.SampledFrom(kinds).Draw(t, "kind")}
		switch d.kind {
		case "number":
			digits := rapid.StringMatching(`-?[1-9][0-9]{0,25}|0`).Draw(t, "digits")
			d.number, _ = new(big.Int).SetString(digits, 10)
			d.power = rapid.IntRange(-30, 30).Draw(t, "power")
		case "text":
			d.text = texts.Draw(t, "text")
		case "word":
			d.text = rapid.SampledFrom([]string{"true", "false", "null"}).Draw(t, "word")
		case "list":
			for _, v := range rapid.SliceOfN(documents(depth-1), 0, 4).Draw(t, "list") {
				d.members = append(d.members, member{value: v})
			}
		default:
			for _, key := range rapid.SliceOfNDistinct(texts, 0, 4, rapid.ID[string]).Draw(t, "keys") {
				d.members = append(d.members, member{key, documents(depth-1).Draw(t, "value")})
			}
		}
		return d
	})
}

// write appends a random spelling of d.
func (d document) write(t *rapid.T, b *strings.Builder) {
	space := func() { b.WriteString(rapid.SampledFrom([]string{"", "", " ", "\n\t", "\r\n"}).Draw(t, "space")) }
	space()
	defer space()
	switch d.kind {
	case "number":
		b.WriteString(d.spell(t))
	case "text":
		quote(t, b, d.text)
	case "word":
		b.WriteString(d.text)
	default:
		brackets := map[string]string{"list": "[]", "hash": "{}"}[d.kind]
		members := d.members
		if d.kind == "hash" {
			members = rapid.Permutation(members).Draw(t, "order")
		}
		b.WriteByte(brackets[0])
		for i, m := range members {
			if i > 0 {
				b.WriteByte(',')
			}
			if d.kind == "hash" {
				space()
				quote(t, b, m.key)
				space()
				b.WriteByte(':')
			}
			m.value.write(t, b)
		}
		b.WriteByte(brackets[1])
	}
}

// spell writes number·10^power with a random position of the point and a random exponent.
func (d document) spell(t *rapid.T) string {
	digits, sign := new(big.Int).Abs(d.number).String(), ""
	if d.number.Sign() < 0 || d.number.Sign() == 0 && rapid.Bool().Draw(t, "minus zero") {
		sign = "-"
	}
	zeros := rapid.IntRange(0, 3).Draw(t, "zeros")
	if d.number.Sign() == 0 {
		zeros = 0 // JSON allows one leading zero
	}
	fraction := rapid.IntRange(0, 30).Draw(t, "fraction")
	digits += strings.Repeat("0", zeros)
	power := d.power - zeros + fraction
	if fraction >= len(digits) {
		digits = strings.Repeat("0", fraction-len(digits)+1) + digits
	}
	text := sign + digits[:len(digits)-fraction]
	if fraction > 0 {
		text += "." + digits[len(digits)-fraction:]
	}
	if power != 0 || rapid.Bool().Draw(t, "e0") {
		e := rapid.SampledFrom([]string{"e%d", "E%d", "e%+d", "E%+03d"}).Draw(t, "e")
		text += fmt.Sprintf(e, power)
	}
	return text
}

func quote(t *rapid.T, b *strings.Builder, s string) {
	short := map[rune]string{'"': `\"`, '\\': `\\`, '\n': `\n`, '/': `\/`}
	b.WriteByte('"')
	for _, r := range s {
		plain := r >= 0x20 && r != '"' && r != '\\'
		switch way := rapid.IntRange(0, 2).Draw(t, "way"); {
		case plain && way == 0:
			b.WriteRune(r)
		case short[r] != "" && way != 1:
			b.WriteString(short[r])
		case r > 0xffff:
			fmt.Fprintf(b, `\u%04x\u%04X`, 0xd800+(r-0x10000)>>10, 0xdc00+(r-0x10000)&0x3ff)
		default:
			fmt.Fprintf(b, `\u%04x`, r)
		}
	}
	b.WriteByte('"')
}

// value returns a text that is equal for all spellings of d.
func (d document) value() string {
	switch d.kind {
	case "number":
		return "n" + new(big.Rat).Mul(new(big.Rat).SetInt(d.number), power10(d.power)).String()
	case "text":
		return fmt.Sprintf("t%q", d.text)
	case "word":
		return d.text
	}
	parts := make(map[string]string, len(d.members))
	for i, m := range d.members {
		key := m.key
		if d.kind == "list" {
			key = fmt.Sprint(i)
		}
		parts[key] = m.value.value()
	}
	return d.kind + fmt.Sprint(parts) // maps print in the order of their keys
}

func power10(n int) *big.Rat {
	p := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(n, -n))), nil))
	if n < 0 {
		p.Inv(p)
	}
	return p
}

func TestProperty(t *testing.T) {
	t.Run("one form for each value however it is spelled", testOneFormForEachValueHoweverItIsSpelled)
}

func testOneFormForEachValueHoweverItIsSpelled(t *testing.T) {
	forms := map[string]string{}
	rapid.Check(t, func(t *rapid.T) {
		d := documents(3).Draw(t, "document")
		want := ""
		for range 3 {
			var b strings.Builder
			d.write(t, &b)
			form, err := names.Canonical(nil, []byte(b.String()))
			if err != nil {
				t.Fatalf("%s: %v", b.String(), err)
			}
			if want == "" {
				want = string(form)
			}
			if string(form) != want {
				t.Fatalf("%s has the form %s, spelled otherwise %s", b.String(), form, want)
			}
		}
		if other, ok := forms[want]; ok && other != d.value() {
			t.Fatalf("%s and %s have one form %s", d.value(), other, want)
		}
		forms[want] = d.value()
	})
}
