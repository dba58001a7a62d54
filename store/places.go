package store

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// places is a tree of declared places in a JSON body ("payment.Outbox[].Body").
type places struct {
	members map[string]*places
	elems   *places
	path    string // of a leaf; "" above one
}

func newPlaces(paths []string) (*places, error) {
	if len(paths) == 0 {
		return nil, nil //nolint:nilnil // no place is declared: nothing to walk to
	}
	root := &places{}
	for _, path := range paths {
		at := root
		for part := range strings.SplitSeq(path, ".") {
			name, list := strings.CutSuffix(part, "[]")
			if name == "" || strings.ContainsAny(name, `[]"\`) {
				return nil, fmt.Errorf("place %q is malformed", path)
			}
			at = at.member(name)
			if list {
				if at.elems == nil {
					at.elems = &places{}
				}
				at = at.elems
			}
		}
		if at.path != "" || at.members != nil || at.elems != nil {
			return nil, fmt.Errorf("place %q is declared twice or holds another one", path)
		}
		at.path = path
	}
	return root, root.checkLeaves()
}

func (p *places) member(name string) *places {
	if p.members == nil {
		p.members = map[string]*places{}
	}
	if p.members[name] == nil {
		p.members[name] = &places{}
	}
	return p.members[name]
}

// checkLeaves refuses a place inside another one.
func (p *places) checkLeaves() error {
	if p.path != "" && (p.members != nil || p.elems != nil) {
		return fmt.Errorf("place %q holds another one", p.path)
	}
	for _, m := range p.members {
		if err := m.checkLeaves(); err != nil {
			return err
		}
	}
	if p.elems != nil {
		return p.elems.checkLeaves()
	}
	return nil
}

// rewrite replaces the JSON values at the declared places by what fn returns for them; nil leaves a value as it is.
// Every other byte of the body stays, so that writing a value and its inverse gives the very same body: lost
// acknowledgements are recognised by bytes. Decoding and encoding anew would not do.
func (p *places) rewrite(body []byte, fn func(path string, raw []byte) ([]byte, error)) ([]byte, error) {
	w := rewriter{in: body, fn: fn}
	w.space()
	if err := w.value(p); err != nil {
		return nil, err
	}
	if w.out == nil {
		return body, nil
	}
	return append(w.out, body[w.copied:]...), nil
}

// rewriter walks one body. It only needs to find values, since every body that an engine keeps is valid JSON
// (Collection.Checked); what it can't follow is an error, never a guess.
type rewriter struct {
	in     []byte
	at     int
	out    []byte
	copied int // of in, into out
	fn     func(path string, raw []byte) ([]byte, error)
}

var errBroken = errors.New("store: the body is not JSON that can be followed")

func (w *rewriter) space() {
	for w.at < len(w.in) && (w.in[w.at] == ' ' || w.in[w.at] == '\n' || w.in[w.at] == '\t' || w.in[w.at] == '\r') {
		w.at++
	}
}

func (w *rewriter) peek() byte {
	if w.at < len(w.in) {
		return w.in[w.at]
	}
	return 0
}

// value walks one value beside its node of the tree; nil: nothing in it is wanted.
func (w *rewriter) value(p *places) error {
	switch {
	case p == nil:
		return w.skip()
	case p.path != "":
		return w.leaf(p.path)
	case w.peek() == '{' && p.members != nil:
		return w.object(p)
	case w.peek() == '[' && p.elems != nil:
		return w.list('[', ']', func() error { return w.value(p.elems) })
	}
	return w.skip()
}

func (w *rewriter) object(p *places) error {
	return w.list('{', '}', func() error {
		start := w.at
		if w.peek() != '"' {
			return errBroken
		}
		if err := w.skip(); err != nil {
			return err
		}
		name := w.in[start+1 : w.at-1]
		w.space()
		if w.peek() != ':' {
			return errBroken
		}
		w.at++
		w.space()
		return w.value(p.members[string(name)])
	})
}

// list walks the comma-separated items between two brackets.
func (w *rewriter) list(opening, closing byte, item func() error) error {
	if w.peek() != opening {
		return errBroken
	}
	w.at++
	for first := true; ; first = false {
		w.space()
		if w.peek() == closing {
			w.at++
			return nil
		}
		if !first {
			if w.peek() != ',' {
				return errBroken
			}
			w.at++
			w.space()
		}
		if err := item(); err != nil {
			return err
		}
	}
}

func (w *rewriter) leaf(path string) error {
	start := w.at
	if err := w.skip(); err != nil {
		return err
	}
	replaced, err := w.fn(path, w.in[start:w.at])
	if err != nil || replaced == nil {
		return err
	}
	if w.out == nil {
		w.out = make([]byte, 0, len(w.in)+len(w.in)/2)
	}
	w.out = append(append(w.out, w.in[w.copied:start]...), replaced...)
	w.copied = w.at
	return nil
}

// skip moves past one value.
func (w *rewriter) skip() error {
	start, depth := w.at, 0
	for w.at < len(w.in) {
		switch c := w.in[w.at]; c {
		case '"':
			if err := w.text(); err != nil {
				return err
			}
		case '{', '[':
			depth++
			w.at++
		case '}', ']':
			if depth == 0 {
				return w.scalarEnd(start)
			}
			depth--
			w.at++
		case ',', ' ', '\n', '\t', '\r':
			if depth == 0 {
				return w.scalarEnd(start)
			}
			w.at++
			continue
		default:
			w.at++
			continue // within a number, true, false, null; or a colon in between
		}
		if depth == 0 {
			return nil
		}
	}
	return w.scalarEnd(start)
}

func (w *rewriter) scalarEnd(start int) error {
	if w.at == start {
		return errBroken
	}
	return nil
}

// text moves past a string, which begins here.
func (w *rewriter) text() error {
	for w.at++; w.at < len(w.in); w.at++ {
		next := bytes.IndexAny(w.in[w.at:], `"\`)
		if next < 0 {
			break
		}
		w.at += next
		if w.in[w.at] == '"' {
			w.at++
			return nil
		}
		w.at++ // what a backslash escapes
	}
	return errBroken
}
