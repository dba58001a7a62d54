package inbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// maxDepth bounds nesting; providers stay far below.
const maxDepth = 200

// errTrailing: something follows the JSON value.
var errTrailing = errors.New("inbox: data after the JSON value")

// ambiguous says whether a JSON body can be read in two ways: a name twice in one
// object, or two names that differ only in case, which Go's decoder takes for
// one. Below "metadata" names are the app's own and case counts. The error is
// for what is no JSON at all, or has something behind it.
func ambiguous(body []byte) (bool, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	d.UseNumber()
	odd, err := oddObject(d)
	if err != nil {
		return false, err
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return false, errTrailing
	}
	return odd, nil
}

// level is one open object or array.
type level struct {
	object bool
	free   bool            // names are the app's own
	names  map[string]bool // seen in this object
	key    string          // the name whose value comes next; empty: a name comes next
	named  bool
}

// oddObject walks one value.
func oddObject(d *json.Decoder) (odd bool, err error) {
	var open []level
	for {
		t, err := d.Token()
		if err != nil {
			return false, fmt.Errorf("inbox: not JSON: %w", err)
		}
		top := len(open) - 1
		delim, isDelim := t.(json.Delim)
		switch {
		case isDelim && (delim == '}' || delim == ']'):
			open = open[:top]
		case top >= 0 && open[top].object && !open[top].named:
			name, _ := t.(string) // the decoder allows nothing else here
			odd = open[top].name(name) || odd
			continue
		case isDelim:
			if len(open) == maxDepth {
				return true, skipRest(d)
			}
			inside := level{object: delim == '{'}
			if top >= 0 {
				inside.free = open[top].free || strings.EqualFold(open[top].key, "metadata")
			}
			open = append(open, inside)
			continue
		}
		if len(open) == 0 {
			return odd, nil
		}
		open[len(open)-1].named = false
	}
}

// name notes a name and says whether it was there before.
func (l *level) name(name string) bool {
	l.key, l.named = name, true
	if !l.free {
		name = fold(name)
	}
	if l.names == nil {
		l.names = map[string]bool{}
	}
	again := l.names[name]
	l.names[name] = true
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

// skipRest reads a value that is too deep to its end.
func skipRest(d *json.Decoder) error {
	for {
		if _, err := d.Token(); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return fmt.Errorf("inbox: not JSON: %w", err)
		}
	}
}
