package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// plain turns a node into what encoding/json makes of the same value.
func plain(n node) any {
	switch n.kind {
	case kindBool:
		return n.text == "true"
	case kindNumber:
		return json.Number(n.text)
	case kindString:
		return n.text
	case kindArray:
		out := []any{}
		for _, item := range n.items {
			out = append(out, plain(item))
		}
		return out
	case kindObject:
		out := map[string]any{}
		for _, m := range n.members {
			out[m.key] = plain(m.value)
		}
		return out
	case kindNull:
	}
	return nil
}

// Promise: what the strict reader accepts, any other reader of JSON reads as the
// same value; and a request body it accepts means the same to encoding/json.
func FuzzStrictJSON(f *testing.F) {
	for _, seed := range []string{
		`{"amount":1999,"currency":"usd","return_url":"https://shop.test/","metadata":{"a":"1"},"customer":{"ref":"x"},"line_items":[{"name":"a","quantity":1,"unit_amount":1999}]}`,
		`{"amount":1e3}`, `{"amount":-0}`, `{"amount":9007199254740993}`, `{"a":1,"A":2}`, `{"a":1,"a":2}`, `{"ID":1,"id":2}`, `{"K":1,"k":2}`, `{"ſ":1,"s":2}`,
		`{} {}`, `[1,2,{"b":[]}]`, `"\ud83d\ude00"`, `"\ud83d"`, `"\\ud83d"`, `"\u0000"`, "\"\xff\"", `null`, ` 1 `, `[[[[[[]]]]]]`, `{"customer":"cus_1"}`, "\ufeff{}", `{"final":true,"amount":5}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := parseJSON(raw)
		if err != nil {
			if payment.CodeOf(err) != payment.CodeMalformed {
				t.Fatalf("%q: %v", raw, err)
			}
			return
		}
		if bytes.Count(raw, []byte{','}) > maxItems {
			return // a longer list is cut, and refused by whoever reads it
		}
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		var want any
		if err := dec.Decode(&want); err != nil {
			t.Fatalf("%q: accepted, encoding/json says %v", raw, err)
		}
		if _, err := dec.Token(); err != io.EOF {
			t.Fatalf("%q: trailing data accepted", raw)
		}
		if diff := cmp.Diff(want, plain(n)); diff != "" {
			t.Fatalf("%q reads differently:\n%s", raw, diff)
		}
		body, err := bindCreate(raw)
		if err != nil {
			return
		}
		var other createBody
		strict := json.NewDecoder(bytes.NewReader(raw))
		strict.DisallowUnknownFields()
		if err := strict.Decode(&other); err != nil {
			t.Fatalf("%q: bound, encoding/json says %v", raw, err)
		}
		if diff := cmp.Diff(marshal(t, other), marshal(t, body)); diff != "" {
			t.Fatalf("%q binds differently:\n%s", raw, diff)
		}
	})
}

func marshal(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Promise: each way in which two readers could differ is refused.
func TestStrictJSONTable(t *testing.T) {
	t.Parallel()
	for raw, ok := range map[string]bool{
		`{}`: true, ` { "a" : [ 1 , "x" , null , true ] } `: true, `"\ud83d\ude00"`: true, `"\\ud83d"`: true, `"\\\\"`: true, `{"a":{"b":1},"b":{"a":1}}`: true, `-0`: true, `1e400`: true,
		strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth): true,
		``: false, ` `: false, `{`: false, `{}{}`: false, `{},`: false, `{}x`: false, `{"a":1,"a":1}`: false, `{"a":1,"A":1}`: false, `{"K":1,"k":1}`: false,
		`{"straße":1,"STRASSE":1}`: true, `[{"x":1,"x":2}]`: false, `{"a":{"b":1,"B":2}}`: false, `{"\u0061":1,"a":2}`: false, `"\ud800"`: false, `"\udc00"`: false, `"\ud800\ud800"`: false,
		`"\ud800x"`: false, `"\ud83d\n"`: false, "\"\xc0\xaf\"": false, "\"a\x00b\"": false, `01`: false, `+1`: false, `.5`: false, `1.`: false, `NaN`: false, `'a'`: false, `{a:1}`: false,
		`[1,]`: false, `// x`: false, "\ufeff{}": false,
		strings.Repeat("[", maxDepth+1) + strings.Repeat("]", maxDepth+1): false,
	} {
		if _, err := parseJSON([]byte(raw)); (err == nil) != ok {
			t.Errorf("%.60q: %v", raw, err)
		}
	}
}

// Promise: whole numbers are digits only and within their range.
func TestIntegers(t *testing.T) {
	t.Parallel()
	for raw, ok := range map[string]bool{
		"1": true, "999999999999": true, "1000000000000": false, "0": false, "-1": false, "-0": false, "1.0": false, "1e3": false, "1E3": false, "9007199254740993": false,
		"99999999999999999999": false, `"1"`: false, "null": false, "true": false, "[]": false,
	} {
		f := &faults{}
		n, err := parseJSON([]byte(`{"n":` + raw + `}`))
		if err != nil {
			t.Fatal(err)
		}
		var v int64
		o := f.object(n, "")
		if set := o.integer("n", &v, 1, payment.MaxMinor); set != ok || (f.err() == nil) != ok {
			t.Errorf("%s: set %v, %v", raw, set, f.err())
		}
	}
}

// Promise: the largest bodies of the worst shapes are answered quickly and briefly.
func TestHostileBodiesAreCheap(t *testing.T) {
	t.Parallel()
	keys, metadata := []string{}, []string{}
	for i := range 20_000 {
		keys = append(keys, fmt.Sprintf(`"k%d":0`, i))
		metadata = append(metadata, fmt.Sprintf(`"k%d":0`, i))
	}
	for name, raw := range map[string]string{
		"keys":        "{" + strings.Join(keys, ",") + "}",
		"metadata":    `{"metadata":{` + strings.Join(metadata, ",") + "}}",
		"items":       `{"line_items":[0` + strings.Repeat(",0", maxBody/2-20) + "]}",
		"objects":     `{"line_items":[{}` + strings.Repeat(",{}", maxBody/3-20) + "]}",
		"one key":     `{"` + strings.Repeat("k", maxBody-10) + `":1}`,
		"one string":  `{"currency":"` + strings.Repeat("\\u0061", maxBody/6-20) + `"}`,
		"one number":  `{"amount":` + strings.Repeat("9", maxBody-20) + `}`,
		"brackets":    strings.Repeat("[", maxBody),
		"surrogates":  `"` + strings.Repeat(`\ud83d\ude00`, maxBody/12-1) + `"`,
		"backslashes": `"` + strings.Repeat(`\\`, maxBody/2-1) + `"`,
	} {
		// The yardstick is the standard decoder on the same bytes, so that a busy machine
		// slows both; what grows faster than the body would take thousands of its times.
		start := time.Now()
		var anything any
		_ = json.Unmarshal([]byte(raw), &anything) // some of these are no JSON
		yard := time.Since(start)
		start = time.Now()
		_, err := bindCreate([]byte(raw))
		took := time.Since(start)
		t.Logf("%s: %d bytes in %v, the standard decoder takes %v", name, len(raw), took, yard)
		if took > 300*yard+2*time.Second {
			t.Errorf("%s: %v, the standard decoder takes %v", name, took, yard)
		}
		var e *payment.Error
		if name == "one string" {
			continue // right in its shape; gateway refuses the value
		}
		if !errors.As(err, &e) || len(e.Fields) > maxFaults || len(e.Error()) > 50_000 {
			t.Errorf("%s: %.300v", name, err)
		}
	}
}

func BenchmarkBindCreate(b *testing.B) {
	raw := []byte(`{"amount":1999,"currency":"usd","return_url":"https://shop.test/","metadata":{"a":"1"},"customer":{"ref":"x"},"line_items":[{"name":"a","quantity":1,"unit_amount":1999}]}`)
	for b.Loop() {
		if _, err := bindCreate(raw); err != nil {
			b.Fatal(err)
		}
	}
}
