package inbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// Guards A21 and A22: whatever two readers could read differently is seen, and
// nothing else.
func TestAmbiguous(t *testing.T) {
	t.Parallel()
	var many, twice strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, `"k%d":1,`, i)
	}
	twice.WriteString(many.String())
	for _, c := range []struct {
		name, body string
		odd, fails bool
	}{
		{"plain", `{"id":"evt_1","data":{"object":{"id":"x"}},"list":[{"id":1},{"id":2}]}`, false, false},
		{"twice", `{"id":1,"id":2}`, true, false},
		{"case", `{"id":1,"ID":2}`, true, false},
		{"Kelvin sign", `{"k":1,"\u212a":2}`, true, false},
		{"escaped", `{"id":1,"\u0069d":2}`, true, false},
		{"deep", `{"a":{"b":[{"c":1,"C":2}]}}`, true, false},
		{"siblings", `{"a":{"id":1},"b":{"id":2}}`, false, false},
		{"after a nested object", `{"a":{"x":1},"a":2}`, true, false},
		{"values that look like names", `{"a":"id","b":"id","c":["id","id"]}`, false, false},
		{"a quote in a value", `{"a":"\"id\":1,","b":2}`, false, false},
		{"metadata keeps case", `{"metadata":{"Id":1,"id":2}}`, false, false},
		{"metadata twice", `{"metadata":{"id":1,"id":2}}`, true, false},
		{"beside metadata", `{"metadata":{"id":1},"x":{"Id":1,"id":2}}`, true, false},
		{"many names", `{` + many.String() + `"z":1}`, false, false},
		{"many names and one again", `{` + twice.String() + `"K99":1}`, true, false},
		{"too deep", strings.Repeat("[", 300) + strings.Repeat("]", 300), true, false},
		{"trailing", `{} x`, false, true},
		{"two values", `{}{}`, false, true},
		{"cut", `{"a":`, false, true},
		{"empty", ``, false, true},
		{"broken name", "{\"\xff\":1,\"\xfe\":2}", true, false},
	} {
		odd, err := ambiguous([]byte(c.body))
		if odd != c.odd || (err != nil) != c.fails {
			t.Errorf("%s: odd %v err %v, want %v and fails %v", c.name, odd, err, c.odd, c.fails)
		}
	}
}

// Guards the walk over bytes by another one, over the decoder's tokens: both see the
// same doubles, whatever the bytes are.
func FuzzAmbiguous(f *testing.F) {
	for _, s := range []string{`{"id":1,"ID":2}`, `{"metadata":{"a":1,"A":{"b":1,"B":2}}}`, `[{"a":"\\\"","a":1}]`, `{"a":1}x`, "{\"\xff\":1,\"\xfe\":2}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		got, err := ambiguous(body)
		if (err == nil) != json.Valid(body) {
			t.Fatalf("error %v, valid %v", err, json.Valid(body))
		}
		if err != nil {
			return
		}
		if want := doubles(t, body); got != want {
			t.Errorf("%q: %v, by tokens %v", body, got, want)
		}
	})
}

// doubles looks for repeated names with the standard decoder.
func doubles(t *testing.T, body []byte) bool {
	t.Helper()
	type place struct {
		object, free, named, meta bool
		names                     map[string]bool
	}
	d := json.NewDecoder(strings.NewReader(string(body)))
	var open []place
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return false
		}
		if err != nil {
			t.Fatal(err)
		}
		top := len(open) - 1
		delim, isDelim := token.(json.Delim)
		switch {
		case isDelim && (delim == '}' || delim == ']'):
			open = open[:top]
		case top >= 0 && open[top].object && !open[top].named:
			name, _ := token.(string)
			open[top].named, open[top].meta = true, strings.EqualFold(name, "metadata")
			if !open[top].free {
				name = fold(name)
			}
			if open[top].names[name] {
				return true
			}
			open[top].names[name] = true
			continue
		case isDelim:
			if len(open) == maxDepth {
				return true
			}
			open = append(open, place{object: delim == '{', free: top >= 0 && (open[top].free || open[top].meta), names: map[string]bool{}})
			continue
		}
		if len(open) > 0 {
			open[len(open)-1].named = false
		}
	}
}
