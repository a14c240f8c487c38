package names

import (
	"bytes"
	"strconv"
)

// maxExponentDigits bounds the digits of an exponent without leading zeros, so that arithmetic on
// the exponent stays within an int64.
const maxExponentDigits = 17

// number reads a number and returns its canonical form: the digits without leading and trailing
// zeros, then "e" and the power of ten if that is not 0, as in 15e-1. Equal numbers have equal
// forms, and every digit is kept.
func (p *parser) number() ([]byte, error) {
	start := p.at
	negative := p.src[p.at] == '-'
	if negative {
		p.at++
	}
	whole := p.digits()
	if len(whole) == 0 {
		return nil, p.wrong("bad number")
	}
	if len(whole) > 1 && whole[0] == '0' {
		return nil, p.bad("bad number")
	}
	var fraction []byte
	if p.at < len(p.src) && p.src[p.at] == '.' {
		p.at++
		if fraction = p.digits(); len(fraction) == 0 {
			return nil, p.wrong("bad number")
		}
	}
	exponent, err := p.exponent()
	if err != nil {
		return nil, err
	}
	if plain := p.src[start:p.at]; len(fraction) == 0 && exponent == 0 && whole[len(whole)-1] != '0' && isDigit(plain[len(plain)-1]) && !bytes.ContainsAny(plain, "eE") {
		return plain, nil // most numbers need no rewriting
	}
	begin := len(p.arena)
	if negative {
		p.arena = append(p.arena, '-')
	}
	first := len(p.arena)
	p.arena = append(p.arena, bytes.TrimLeft(whole, "0")...)
	if len(p.arena) == first {
		fractionStart := bytes.TrimLeft(fraction, "0")
		p.arena = append(p.arena, fractionStart...)
	} else {
		p.arena = append(p.arena, fraction...)
	}
	exponent -= int64(len(fraction))
	digits := bytes.TrimRight(p.arena[first:], "0")
	exponent += int64(len(p.arena) - first - len(digits))
	if len(digits) == 0 {
		p.arena = append(p.arena[:begin], '0') // zero has no sign and no power
	} else {
		p.arena = p.arena[:first+len(digits)]
		if exponent != 0 {
			p.arena = append(p.arena, 'e')
			p.arena = strconv.AppendInt(p.arena, exponent, 10)
		}
	}
	return p.arena[begin:len(p.arena):len(p.arena)], nil
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

func (p *parser) digits() []byte {
	start := p.at
	for p.at < len(p.src) && isDigit(p.src[p.at]) {
		p.at++
	}
	return p.src[start:p.at]
}

func (p *parser) exponent() (int64, error) {
	if p.at >= len(p.src) || p.src[p.at]|0x20 != 'e' {
		return 0, nil
	}
	p.at++
	negative := false
	if p.at < len(p.src) && (p.src[p.at] == '+' || p.src[p.at] == '-') {
		negative = p.src[p.at] == '-'
		p.at++
	}
	digits := p.digits()
	if len(digits) == 0 {
		return 0, p.wrong("bad number")
	}
	digits = bytes.TrimLeft(digits, "0")
	if len(digits) > maxExponentDigits {
		return 0, p.bad("number with an exponent out of range")
	}
	if len(digits) == 0 {
		return 0, nil
	}
	v, err := strconv.ParseInt(string(digits), 10, 64)
	if negative {
		v = -v
	}
	return v, err
}
