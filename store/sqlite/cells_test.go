package sqlite

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// Guards what documents are found by: the quick reader of index values reads what is
// written, and never anything else than the standard decoder does.
func TestQuickIndex(t *testing.T) {
	t.Parallel()
	for _, index := range []map[string]any{
		nil,
		{"a": "text", "n": int64(-7), "yes": true, "no": false, "at": time.UnixMilli(1767323045123).UTC()},
		{"empty": "", "quote": "a\"b\\", "angle": "<&>", "sep": "acct\x1fpi_1", "umlaut": "ü\u2028"},
		{"refs": []string{"one", "t\"wo", "acct\x1fthree"}},
		{"max": int64(9223372036854775807)},
	} {
		text, err := encodeIndex(index)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := quickIndex(text)
		if d := cmp.Diff(index, got); !ok || d != "" {
			t.Errorf("%s: ok %v, differs (-want +got):\n%s", text, ok, d)
		}
	}
}

// slowEncoded is the form that index values have in the file: what encoding/json makes of cells.
func slowEncoded(index map[string]any) (string, error) {
	cells := make(map[string]cell, len(index))
	for f, v := range index {
		switch v := v.(type) {
		case string:
			cells[f] = cell{String: &v}
		case int64:
			cells[f] = cell{Int: &v}
		case bool:
			cells[f] = cell{Bool: &v}
		case time.Time:
			ms := v.UnixMilli()
			cells[f] = cell{TimeMS: &ms}
		case []string:
			cells[f] = cell{Array: v}
		}
	}
	data, err := json.Marshal(cells)
	if err != nil {
		return "", fmt.Errorf("encode index values: %w", err)
	}
	return string(data), nil
}

// Guards the file's format, and that equal values are equal text: the encoder writes what encoding/json would.
func TestEncodeIndex(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.StringOf(rapid.RuneFrom([]rune("ab<>&\"\\\b\f\n\r\t\x00\x1f\x7f\u2028\u2029\ufffdüß€😀"))))
	value := rapid.OneOf(
		text.AsAny(), rapid.Int64().AsAny(), rapid.Bool().AsAny(), rapid.SliceOfN(text, 1, 4).AsAny(),
		rapid.Map(rapid.Int64Range(-1e14, 1e14), time.UnixMilli).AsAny(),
	)
	rapid.Check(t, func(rt *rapid.T) {
		index := rapid.MapOfN(rapid.StringMatching(`[a-z][a-z0-9_]{0,9}`), value, 0, 12).Draw(rt, "index")
		got, err := encodeIndex(index)
		if err != nil {
			rt.Fatal(err)
		}
		want, err := slowEncoded(index)
		if err != nil {
			rt.Fatal(err)
		}
		if got != want {
			rt.Fatalf("wrote %s, encoding/json %s", got, want)
		}
		if len(index) == 0 {
			return
		}
		for f, v := range index {
			if at, ok := v.(time.Time); ok {
				index[f] = at.UTC()
			}
		}
		back, ok := quickIndex(got)
		if d := cmp.Diff(index, back); !ok || d != "" {
			rt.Fatalf("%s read back: ok %v, differs (-want +got):\n%s", got, ok, d)
		}
	})
}

func FuzzQuickIndex(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":{"s":"x"}}`, `{"a":{"s":"x\"y"},"b":{"i":-1},"c":{"b":true},"d":{"t":5},"e":{"a":["p","q"]}}`, `{"a":{"s":"\u0000"}}`, `{"a":{"i":01}}`, `{"a":{"i":+1}}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if !utf8.ValidString(text) {
			return // encodeIndex writes nothing else
		}
		quick, ok := quickIndex(text)
		if !ok {
			return
		}
		slow, err := slowIndex(text)
		if err != nil {
			return // nothing that we wrote
		}
		if d := cmp.Diff(slow, quick); d != "" {
			t.Errorf("%q (-slow +quick):\n%s", text, d)
		}
	})
}
