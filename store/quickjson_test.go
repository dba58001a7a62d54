package store

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

var quickSeeds = []string{
	`{}`, `{"a":1}`, ` {}`, `{} `, "{\n\t\"a\" : [ ] }\r\n", `{"a":[1,-0,0.5,1e9,1E-2,-1.5e+3]}`, `{"a":"\u00e9\n\"\\\/\b\f\r\t"}`,
	`{"a":true,"b":false,"c":null,"d":{"e":[{}]}}`, `{"a":01}`, `{"a":1.}`, `{"a":.5}`, `{"a":-}`, `{"a":+1}`, `{"a":1e}`, `{"a":0x1}`,
	`{"a":"\u00g0"}`, `{"a":"\x"}`, "{\"a\":\"\n\"}", `{"a":"`, `{"a":"\`, `{"a":"\u12`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{,}`, `{"a":[1,]}`,
	`{"a":tru}`, `{"a":truex}`, `{"a":1}}`, `{"a":1}{}`, `[]`, `"a"`, `1`, ``, "{\"a\":1}\x00", "{\"a\":\"\x7f\xff\"}", `{"a":NaN}`, `{'a':1}`, `{"a":1 "b":2}`,
}

func holdsQuick(t interface{ Errorf(string, ...any) }, b []byte) {
	if quicklyValid(b) && !(json.Valid(b) && b[0] == '{') {
		t.Errorf("quickly valid, but encoding/json refuses %q", b)
	}
	if len(b) > 0 && b[0] == '{' && json.Valid(b) && bytes.Count(b, []byte("{"))+bytes.Count(b, []byte("[")) < quickDepth && !quicklyValid(b) {
		t.Errorf("encoding/json takes %q, the quick look does not", b)
	}
}

// Guards the store's promise that a body is a JSON object: the quick look takes exactly what the standard decoder does,
// also after any cut or change.
func TestQuicklyValid(t *testing.T) {
	t.Parallel()
	docs := quickSeeds
	names, err := filepath.Glob("testdata/*.json")
	if err != nil || len(names) == 0 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if b = bytes.TrimSpace(b); !quicklyValid(b) {
			t.Errorf("%s is left to the slow way", name)
		}
		docs = append(docs, string(b))
	}
	for _, s := range docs {
		holdsQuick(t, []byte(s))
	}
	deep := strings.Repeat(`{"a":`, 200) + `1` + strings.Repeat(`}`, 200)
	if quicklyValid([]byte(deep)) {
		t.Error("went deeper than it should")
	}
	if _, err := (Collection{Name: "things"}).Checked(Doc{ID: "a", Body: []byte(deep)}); err != nil {
		t.Errorf("a deep body: %v", err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := []byte(rapid.SampledFrom(docs).Draw(rt, "doc"))
		for range rapid.IntRange(1, 3).Draw(rt, "changes") {
			if len(b) == 0 {
				break
			}
			at := rapid.IntRange(0, len(b)-1).Draw(rt, "at")
			switch rapid.IntRange(0, 2).Draw(rt, "how") {
			case 0:
				b = b[:at]
			case 1:
				b[at] = rapid.SampledFrom([]byte("{}[]\",:\\u0e1.-+ tfn\n\x00\x1f\xff")).Draw(rt, "byte")
			default:
				b = append(b[:at], b[at+1:]...)
			}
		}
		holdsQuick(rt, b)
	})
}

func FuzzQuicklyValid(f *testing.F) {
	for _, s := range quickSeeds {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) { holdsQuick(t, b) })
}

func BenchmarkChecked(b *testing.B) {
	body, err := os.ReadFile("testdata/payment_v1.json")
	if err != nil {
		b.Fatal(err)
	}
	d := Doc{ID: "a", Body: body, Index: map[string]any{"tenant": "test/shop", "status": "open", "reference": "r", "refs": []string{"a", "b"}}}
	c := PaymentCollection()
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Checked(d); err != nil {
			b.Fatal(err)
		}
	}
}
