// Package jsontoken passes over the tokens of JSON text, exactly those that encoding/json
// takes, without decoding or allocating: for checks that every request, webhook or write
// goes through. It must not know what a document means, nor what follows what: its users
// walk, each with a promise of its own.
package jsontoken

import (
	"encoding/binary"
	"math/bits"
)

// Reader stands at a place in a text.
type Reader struct {
	Text []byte
	At   int
}

// Next passes white space and shows the byte that follows; 0 at the end.
func (r *Reader) Next() byte {
	for ; r.At < len(r.Text); r.At++ {
		switch c := r.Text[r.At]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// Quoted passes a string; its quote is the byte at r.At. False: it is broken, and r.At
// stays. Bytes that are no UTF-8 pass, as they do in encoding/json.
func (r *Reader) Quoted() bool {
	for i := r.At + 1; i < len(r.Text); i++ {
		for len(r.Text)-i >= 8 {
			n := plain(binary.LittleEndian.Uint64(r.Text[i:]))
			if i += n; n < 8 {
				break
			}
		}
		if i == len(r.Text) {
			return false
		}
		switch c := r.Text[i]; {
		case c == '"':
			r.At = i + 1
			return true
		case c < ' ':
			return false
		case c == '\\':
			n := escaped(r.Text[i+1:])
			if n == 0 {
				return false
			}
			i += n
		}
	}
	return false
}

// plain counts the bytes before the first quote, backslash or control character of eight:
// such a byte, less what it may be, borrows into its highest bit. A borrow may run on into
// bytes after the first, which nobody looks at.
func plain(eight uint64) int {
	const ones, highs = 0x0101010101010101, 0x8080808080808080
	quote, backslash := eight^(ones*'"'), eight^(ones*'\\')
	special := ((eight-ones*' ')&^eight | (quote-ones)&^quote | (backslash-ones)&^backslash) & highs
	return bits.TrailingZeros64(special) / 8 // 8 for none
}

// escaped is how many bytes behind a backslash belong to it; 0: none that may.
func escaped(b []byte) int {
	if len(b) == 0 {
		return 0
	}
	switch b[0] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return 1
	case 'u':
		if len(b) >= 5 && hex(b[1]) && hex(b[2]) && hex(b[3]) && hex(b[4]) {
			return 5
		}
	}
	return 0
}

func hex(c byte) bool { return digit(c) || 'a' <= c|0x20 && c|0x20 <= 'f' }

func digit(c byte) bool { return '0' <= c && c <= '9' }

// Literal passes any value but a string, an array and an object.
func (r *Reader) Literal() bool {
	switch r.byte() {
	case 't':
		return r.word("true")
	case 'f':
		return r.word("false")
	case 'n':
		return r.word("null")
	}
	return r.number()
}

func (r *Reader) word(w string) bool {
	if len(r.Text)-r.At < len(w) || string(r.Text[r.At:r.At+len(w)]) != w {
		return false
	}
	r.At += len(w)
	return true
}

// number passes -? (0 | 1-9 digits) (. digits)? (e +-? digits)?
func (r *Reader) number() bool {
	r.skip('-', '-')
	if !r.skip('0', '0') && !r.digits() {
		return false
	}
	if r.skip('.', '.') && !r.digits() {
		return false
	}
	if r.skip('e', 'E') {
		r.skip('+', '-')
		return r.digits()
	}
	return true
}

// byte is the byte at r.At, or 0 at the end.
func (r *Reader) byte() byte {
	if r.At < len(r.Text) {
		return r.Text[r.At]
	}
	return 0
}

// skip passes one of two bytes.
func (r *Reader) skip(a, b byte) bool {
	if c := r.byte(); c != a && c != b {
		return false
	}
	r.At++
	return true
}

// digits passes one digit or more.
func (r *Reader) digits() bool {
	from := r.At
	for digit(r.byte()) {
		r.At++
	}
	return r.At > from
}
