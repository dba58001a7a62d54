package store

import (
	"encoding/binary"
	"math/bits"
)

// quickDepth is how deep the quick look goes; the standard decoder judges what is deeper.
const quickDepth = 64

// quicklyValid says that b is one JSON object and nothing else, as encoding/json does, in less than half of its time:
// every write passes here. False means "ask encoding/json"; it never says true where that would say false.
func quicklyValid(b []byte) bool {
	p := quickReader{b: b}
	return len(b) > 0 && b[0] == '{' && p.value(0) && p.next() == 0 && p.at == len(b)
}

type quickReader struct {
	b  []byte
	at int
}

// next skips white space and shows the byte that follows, or 0 at the end.
func (p *quickReader) next() byte {
	for p.at < len(p.b) {
		switch c := p.b[p.at]; c {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return c
		}
	}
	return 0
}

func (p *quickReader) value(depth int) bool {
	switch p.next() {
	case '{':
		return depth < quickDepth && p.list('}', func() bool {
			if p.next() != '"' || !p.text() || p.next() != ':' {
				return false
			}
			p.at++
			return p.value(depth + 1)
		})
	case '[':
		return depth < quickDepth && p.list(']', func() bool { return p.value(depth + 1) })
	case '"':
		return p.text()
	case 't':
		return p.word("true")
	case 'f':
		return p.word("false")
	case 'n':
		return p.word("null")
	default:
		return p.number()
	}
}

// list reads items with commas between them, from the opening bracket to the end one.
func (p *quickReader) list(end byte, item func() bool) bool {
	p.at++
	if p.next() == end {
		p.at++
		return true
	}
	for item() {
		switch p.next() {
		case ',':
			p.at++
		case end:
			p.at++
			return true
		default:
			return false
		}
	}
	return false
}

func (p *quickReader) word(w string) bool {
	if len(p.b)-p.at < len(w) || string(p.b[p.at:p.at+len(w)]) != w {
		return false
	}
	p.at += len(w)
	return true
}

func (p *quickReader) text() bool {
	for i := p.at + 1; i < len(p.b); i++ {
		for len(p.b)-i >= 8 {
			n := plain(binary.LittleEndian.Uint64(p.b[i:]))
			if i += n; n < 8 {
				break
			}
		}
		if i == len(p.b) {
			return false
		}
		switch c := p.b[i]; {
		case c == '"':
			p.at = i + 1
			return true
		case c < ' ':
			return false
		case c == '\\':
			i++
			if i == len(p.b) {
				return false
			}
			switch p.b[i] {
			case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
			case 'u':
				if len(p.b)-i < 5 || !hex4(p.b[i+1:i+5]) {
					return false
				}
				i += 4
			default:
				return false
			}
		}
	}
	return false
}

// plain counts the bytes before the first quote, backslash or control character of eight: such a byte, less what it may
// be, borrows into its highest bit. A borrow may run on into bytes after the first, which nobody looks at.
func plain(eight uint64) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, backslash := eight^(ones*'"'), eight^(ones*'\\')
	special := ((eight-ones*' ')&^eight | (quote-ones)&^quote | (backslash-ones)&^backslash) & highs
	return bits.TrailingZeros64(special) / 8 // 8 for none
}

func hex4(b []byte) bool {
	for _, c := range b {
		if !digit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
			return false
		}
	}
	return true
}

func digit(c byte) bool { return c >= '0' && c <= '9' }

// number reads -? (0 | 1-9 digits) (. digits)? (e +-? digits)?
func (p *quickReader) number() bool {
	peek := func() byte {
		if p.at < len(p.b) {
			return p.b[p.at]
		}
		return 0
	}
	digits := func() bool {
		from := p.at
		for digit(peek()) {
			p.at++
		}
		return p.at > from
	}
	if peek() == '-' {
		p.at++
	}
	if peek() == '0' {
		p.at++
	} else if !digits() {
		return false
	}
	if peek() == '.' {
		p.at++
		if !digits() {
			return false
		}
	}
	if peek()|0x20 == 'e' {
		p.at++
		if c := peek(); c == '+' || c == '-' {
			p.at++
		}
		return digits()
	}
	return true
}
