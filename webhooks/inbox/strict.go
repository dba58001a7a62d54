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
// behind it. It allocates next to nothing: every webhook passes here.
func ambiguous(body []byte) (bool, error) {
	if !json.Valid(body) {
		return false, errNotJSON
	}
	var w walk
	for i := 0; i < len(body); i++ { // the grammar is known to be kept
		switch body[i] {
		case '{', '[':
			if len(w.open) == maxDepth {
				return true, nil
			}
			w.enter(body[i] == '{')
		case '}', ']':
			w.leave()
		case ',':
			w.next()
		case '"':
			end := i + 1 + quoted(body[i+1:])
			if w.naming() && w.name(body[i:end+1]) {
				return true, nil
			}
			i = end
		}
	}
	return false, nil
}

// quoted is the length of a string up to its closing quote.
func quoted(s []byte) int {
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\':
			i++
		case '"':
			return i
		}
	}
	return len(s)
}

// walk is where in the body we are: the open objects and arrays, and the names of
// the open objects, one after the other.
type walk struct {
	open  []level
	names [][]byte
}

// level is one open object or array.
type level struct {
	object bool
	free   bool // names are the app's own
	named  bool // the next value has its name
	meta   bool // that name is "metadata"
	from   int  // of its names
	many   map[string]bool
}

func (w *walk) enter(object bool) {
	inside := level{object: object, from: len(w.names)}
	if top := len(w.open) - 1; top >= 0 {
		inside.free = w.open[top].free || w.open[top].meta
	}
	w.open = append(w.open, inside)
}

func (w *walk) leave() {
	top := len(w.open) - 1
	w.names = w.names[:w.open[top].from]
	w.open = w.open[:top]
}

// next: a comma was passed, so an object's next name comes.
func (w *walk) next() {
	top := &w.open[len(w.open)-1]
	top.named, top.meta = false, false
}

// naming says that a string at this place is a name.
func (w *walk) naming() bool {
	top := len(w.open) - 1
	return top >= 0 && w.open[top].object && !w.open[top].named
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
	top.named, top.meta = true, bytes.EqualFold(name, []byte("metadata"))
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
