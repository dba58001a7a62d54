package inbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxDepth bounds nesting; providers stay far below.
const maxDepth = 200

// fewNames is up to how many names of one object are compared one by one; beyond, a
// map finds them, so that a body of nothing but names costs no more than its length.
const fewNames = 32

// errNotJSON: no JSON at all, or something behind it.
var errNotJSON = errors.New("inbox: not JSON")

// ambiguous says whether a JSON body can be read in two ways: a name twice in one
// object, or two names that differ only in case, which Go's decoder takes for
// one. Below "metadata" names are the app's own and case counts. So does nesting
// that nobody needs. The error is for what is no JSON at all, or has something
// behind it. Every webhook passes here, so one walk over the bytes sees all of it,
// and allocates next to nothing.
func ambiguous(body []byte) (bool, error) {
	w := walk{in: body}
	for next := value; next != nil; {
		next = next(&w)
	}
	switch {
	case w.odd && json.Valid(body): // the walk ended there
		return true, nil
	case w.odd || w.at != len(body): // it ends behind the last byte of what is valid
		return false, errNotJSON
	}
	return false, nil
}

// walk is where in the body we are: the open objects and arrays, and the names of
// the open objects, one after the other.
type walk struct {
	in    []byte
	at    int
	odd   bool
	open  []level
	names [][]byte
}

// level is one open object or array.
type level struct {
	object bool
	free   bool // names are the app's own
	meta   bool // the latest name is "metadata"
	from   int  // of its names
	many   map[string]bool
}

// A step reads one piece and says what must follow; nil: the end, or a mistake,
// behind which w.at never is the body's end.
type step func(w *walk) step

// peek is the next byte that is not white space; 0 at the end.
func (w *walk) peek() byte {
	for ; w.at < len(w.in); w.at++ {
		switch c := w.in[w.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// mistake ends the walk before the body's end, wherever it is.
func (w *walk) mistake() step {
	w.at = -1
	return nil
}

func value(w *walk) step {
	switch c := w.peek(); c {
	case '{', '[':
		return w.enter(c == '{')
	case '"':
		if !w.text() {
			return w.mistake()
		}
	case 't':
		return w.word("true")
	case 'f':
		return w.word("false")
	case 'n':
		return w.word("null")
	default:
		if !w.number() {
			return w.mistake()
		}
	}
	return after
}

func (w *walk) enter(object bool) step {
	top := len(w.open) - 1
	if top+1 == maxDepth {
		w.odd = true
		return nil
	}
	inside := level{object: object, from: len(w.names)}
	if top >= 0 {
		inside.free = w.open[top].free || w.open[top].meta
	}
	w.open = append(w.open, inside)
	w.at++
	c := w.peek()
	switch {
	case object && c == '}', !object && c == ']':
		return w.leave()
	case object:
		return name
	}
	return value
}

func (w *walk) leave() step {
	top := len(w.open) - 1
	w.names = w.names[:w.open[top].from]
	w.open = w.open[:top]
	w.at++
	return after
}

// after is what follows a value.
func after(w *walk) step {
	c := w.peek()
	top := len(w.open) - 1
	switch {
	case top < 0 && w.at == len(w.in):
		return nil
	case top < 0:
		return w.mistake()
	case c == ',' && w.open[top].object:
		w.at++
		return name
	case c == ',':
		w.at++
		return value
	case c == '}' && w.open[top].object, c == ']' && !w.open[top].object:
		return w.leave()
	}
	return w.mistake()
}

// name is a name and its colon.
func name(w *walk) step {
	if w.peek() != '"' {
		return w.mistake()
	}
	from := w.at
	if !w.text() {
		return w.mistake()
	}
	if w.name(w.in[from:w.at]) {
		w.odd = true
		return nil
	}
	if w.peek() != ':' {
		return w.mistake()
	}
	w.at++
	return value
}

// text passes a string; false: it is broken.
func (w *walk) text() bool {
	for w.at++; w.at < len(w.in); w.at++ {
		switch c := w.in[w.at]; {
		case c == '"':
			w.at++
			return true
		case c < ' ':
			return false
		case c == '\\' && !w.escape():
			return false
		}
	}
	return false
}

// escape passes what is escaped, up to its last byte.
func (w *walk) escape() bool {
	w.at++
	if w.at == len(w.in) {
		return false
	}
	switch w.in[w.at] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if w.at++; w.at == len(w.in) || !hexDigit(w.in[w.at]) {
				return false
			}
		}
		return true
	}
	return false
}

func hexDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

func (w *walk) word(text string) step {
	if !bytes.HasPrefix(w.in[w.at:], []byte(text)) {
		return w.mistake()
	}
	w.at += len(text)
	return after
}

func (w *walk) number() bool {
	w.skip("-")
	if !w.skip("0") && !w.digits() {
		return false
	}
	if w.skip(".") && !w.digits() {
		return false
	}
	if w.skip("eE") {
		w.skip("+-")
		return w.digits()
	}
	return true
}

// skip passes one byte of a set.
func (w *walk) skip(set string) bool {
	if w.at == len(w.in) || strings.IndexByte(set, w.in[w.at]) < 0 {
		return false
	}
	w.at++
	return true
}

// digits passes one digit or more.
func (w *walk) digits() bool {
	from := w.at
	for w.at < len(w.in) && '0' <= w.in[w.at] && w.in[w.at] <= '9' {
		w.at++
	}
	return w.at > from
}

// name notes a name and says whether it was there before.
func (w *walk) name(text []byte) (again bool) {
	top := &w.open[len(w.open)-1]
	name := text[1 : len(text)-1]
	if bytes.IndexByte(name, '\\') >= 0 || !utf8.Valid(name) {
		var s string
		if json.Unmarshal(text, &s) != nil {
			return true // can't be: the whole is valid
		}
		name = []byte(s)
	}
	top.meta = bytes.EqualFold(name, []byte("metadata"))
	if top.many != nil {
		return top.note(name)
	}
	for _, have := range w.names[top.from:] {
		if bytes.Equal(have, name) || !top.free && bytes.EqualFold(have, name) {
			return true
		}
	}
	w.names = append(w.names, name)
	if mine := w.names[top.from:]; len(mine) > fewNames {
		top.many = make(map[string]bool, 4*fewNames)
		for _, have := range mine {
			top.note(have)
		}
	}
	return false
}

// note keeps a name in the map of an object with many.
func (l *level) note(name []byte) (again bool) {
	key := string(name)
	if !l.free {
		key = fold(key)
	}
	again = l.many[key]
	l.many[key] = true
	return again
}

// fold makes names equal that Go's decoder takes for one.
func fold(name string) string {
	return strings.Map(func(r rune) rune {
		for { // the smallest of all runes that differ in case only
			next := unicode.SimpleFold(r)
			if next <= r {
				return next
			}
			r = next
		}
	}, name)
}
