package sqlite

import (
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
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
