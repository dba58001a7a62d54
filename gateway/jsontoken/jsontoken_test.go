package jsontoken_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/trifecta-pay/trifecta/gateway/jsontoken"
)

// pass reads one token and says where it ended; false: it is broken.
func pass(text string) (end int, ok bool) {
	r := jsontoken.Reader{Text: []byte(text)}
	if r.Next() == '"' {
		ok = r.Quoted()
	} else {
		ok = r.Literal()
	}
	return r.At, ok
}

// Guards every check that rests on it: a token passes exactly if encoding/json takes it,
// whatever its length is, and the reader then stands right behind it.
func TestTokens(t *testing.T) {
	t.Parallel()
	seeds := []string{
		`""`, `"a"`, `"\u00e9\n\"\\\/\b\f\r\t"`, `"\ud83d\ude00"`, "\"\x7f\xff\"", `"1234567"`, `"12345678"`, `"123456789\n"`,
		`0`, `-0`, `10`, `-1.5e+3`, `1E-2`, `0.5`, `true`, `false`, `null`,
		`"`, `"\`, `"\u12`, `"\u00g0"`, `"\x"`, "\"\n\"", "\"1234567\n\"", `01`, `1.`, `.5`, `-`, `+1`, `1e`, `1e+`, `0x1`, `tru`, `nul`, `NaN`, `'a'`, ``,
	}
	holds := func(t interface{ Errorf(string, ...any) }, text string) {
		end, ok := pass(text)
		if whole := ok && end == len(text); whole != json.Valid([]byte(text)) {
			t.Errorf("%q: passed %t up to %d, encoding/json says %t", text, ok, end, json.Valid([]byte(text)))
		}
	}
	for _, text := range seeds {
		holds(t, text)
		if end, ok := pass(text + " ,]"); ok && json.Valid([]byte(text)) && end != len(text) {
			t.Errorf("%q: stands at %d with something behind it", text, end)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		b := []byte(rapid.SampledFrom(seeds).Draw(rt, "token"))
		for range rapid.IntRange(1, 4).Draw(rt, "changes") {
			at := rapid.IntRange(0, len(b)).Draw(rt, "at")
			c := rapid.SampledFrom([]byte("\"\\u0e1.-+tfnaF\n\x00\x1f\x80\xff")).Draw(rt, "byte")
			b = append(b[:at], append([]byte{c}, b[at:]...)...)
		}
		if text := string(b); strings.Trim(text, "\n") == text { // white space around a value is not the token's
			holds(rt, text)
		}
	})
}
