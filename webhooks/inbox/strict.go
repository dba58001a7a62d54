package inbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/trifecta-pay/trifecta/gateway/jsontoken"
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
	w := walk{Reader: jsontoken.Reader{Text: body}}
	for next := value; next != nil; {
		next = next(&w)
	}
	switch {
	case w.odd && json.Valid(body): // the walk ended there
		return true, nil
	case w.odd || w.At != len(body): // it ends behind the last byte of what is valid
		return false, errNotJSON
	}
	return false, nil
}

// walk is where in the body we are: the open objects and arrays, and the names of
// the open objects, one after the other.
type walk struct {
	jsontoken.Reader
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
// behind which w.At never is the body's end.
type step func(w *walk) step

// mistake ends the walk before the body's end, wherever it is.
func (w *walk) mistake() step {
	w.At = -1
	return nil
}

func value(w *walk) step {
	switch c := w.Next(); c {
	case '{', '[':
		return w.enter(c == '{')
	case '"':
		if !w.Quoted() {
			return w.mistake()
		}
	default:
		if !w.Literal() {
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
	w.At++
	c := w.Next()
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
	w.At++
	return after
}

// after is what follows a value.
func after(w *walk) step {
	c := w.Next()
	top := len(w.open) - 1
	switch {
	case top < 0 && w.At == len(w.Text):
		return nil
	case top < 0:
		return w.mistake()
	case c == ',' && w.open[top].object:
		w.At++
		return name
	case c == ',':
		w.At++
		return value
	case c == '}' && w.open[top].object, c == ']' && !w.open[top].object:
		return w.leave()
	}
	return w.mistake()
}

// name is a name and its colon.
func name(w *walk) step {
	if w.Next() != '"' {
		return w.mistake()
	}
	from := w.At
	if !w.Quoted() {
		return w.mistake()
	}
	if w.name(w.Text[from:w.At]) {
		w.odd = true
		return nil
	}
	if w.Next() != ':' {
		return w.mistake()
	}
	w.At++
	return value
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
