package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/trifecta-pay/trifecta/gateway/jsontoken"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// maxDepth is how deeply arrays and objects of a body may nest.
const maxDepth = 32

// kind is the JSON type of a value.
type kind string

const (
	kindNull   kind = "null"
	kindBool   kind = "boolean"
	kindNumber kind = "number"
	kindString kind = "string"
	kindArray  kind = "array"
	kindObject kind = "object"
)

// node is one JSON value as it stood in the body. text is a string's value, a
// number's own digits, or "true" and "false".
type node struct {
	kind    kind
	text    string
	items   []node
	members []member // in the order of the body
}

type member struct {
	key   string
	value node
}

// parseJSON reads one JSON value strictly, where two readers could disagree:
// keys that repeat (also in another case), anything behind the value, deep
// nesting, and text that is not Unicode are refused. The error is a 400 that
// names the place.
func parseJSON(raw []byte) (node, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		return node{}, malformed("", "must be a JSON object")
	}
	if !utf8.Valid(raw) {
		return node{}, malformed("", "must be valid UTF-8")
	}
	if !json.Valid(raw) { // the whole grammar, trailing data included
		var whole json.RawMessage
		var syntax *json.SyntaxError
		if errors.As(json.Unmarshal(raw, &whole), &syntax) {
			return node{}, malformed("", fmt.Sprintf("is not valid JSON at byte %d", syntax.Offset))
		}
		return node{}, malformed("", "is not valid JSON")
	}
	if at := loneSurrogate(raw); at >= 0 {
		return node{}, malformed("", fmt.Sprintf("has half a surrogate pair at byte %d", at))
	}
	p := parser{jsontoken.Reader{Text: raw}}
	return p.value(nil, 0)
}

// parser walks over JSON whose grammar was found valid, so it looks for what grammar
// does not forbid, and for where things end.
type parser struct{ jsontoken.Reader }

// place is where a value stands: told in errors only, so it is not written out before.
type place struct {
	in    *place // nil at the top
	key   string
	index int // where key is not used
	list  bool
}

func (at *place) pointer() string {
	switch {
	case at == nil:
		return ""
	case at.list:
		return at.in.pointer() + "/" + strconv.Itoa(at.index)
	}
	return at.in.pointer() + "/" + escapePointer(at.key)
}

// skip passes white space and the separators, which the grammar has put in order.
func (p *parser) skip() {
	for p.At < len(p.Text) && strings.IndexByte(" \t\r\n,:", p.Text[p.At]) >= 0 {
		p.At++
	}
}

func (p *parser) value(at *place, depth int) (node, error) {
	p.skip()
	from := p.At
	switch p.Text[from] {
	case '"':
		text, err := p.text(at)
		return node{kind: kindString, text: text}, err
	case '[', '{':
		if depth++; depth > maxDepth {
			return node{}, malformed(at.pointer(), fmt.Sprintf("nests more than %d levels deep", maxDepth))
		}
		p.At++
		if p.Text[from] == '[' {
			return p.array(at, depth)
		}
		return p.object(at, depth)
	}
	if !p.Literal() {
		return node{}, malformed(at.pointer(), "is not valid JSON")
	}
	switch text := string(p.Text[from:p.At]); text {
	case "null":
		return node{kind: kindNull}, nil
	case "true", "false":
		return node{kind: kindBool, text: text}, nil
	default:
		return node{kind: kindNumber, text: text}, nil
	}
}

// text reads a string. What stands in it as it is needs no decoding.
func (p *parser) text(at *place) (string, error) {
	from := p.At
	if !p.Quoted() {
		return "", malformed(at.pointer(), "is not valid JSON")
	}
	written := p.Text[from:p.At]
	if bytes.IndexByte(written, '\\') < 0 {
		return string(written[1 : len(written)-1]), nil
	}
	var text string
	if err := json.Unmarshal(written, &text); err != nil {
		return "", malformed(at.pointer(), "is not valid JSON")
	}
	return text, nil
}

// array keeps one item more than any list may have: whoever looks sees that there are too
// many, and a body full of them takes no memory for each.
func (p *parser) array(at *place, depth int) (node, error) {
	n := node{kind: kindArray}
	for i := 0; ; i++ {
		if p.skip(); p.Text[p.At] == ']' {
			p.At++
			return n, nil
		}
		item, err := p.value(&place{in: at, index: i, list: true}, depth)
		if err != nil {
			return node{}, err
		}
		if i <= maxItems {
			n.items = append(n.items, item)
		}
	}
}

func (p *parser) object(at *place, depth int) (node, error) {
	n := node{kind: kindObject}
	if depth == 1 { // the body itself: nearly all have a handful of fields
		n.members = make([]member, 0, 8)
	}
	seen := map[string]bool{}
	for {
		if p.skip(); p.Text[p.At] == '}' {
			p.At++
			return n, nil
		}
		key, err := p.text(at)
		if err != nil {
			return node{}, err
		}
		here := place{in: at, key: key}
		folded := foldKey(key)
		if seen[folded] {
			return node{}, malformed(here.pointer(), "stands twice in its object")
		}
		seen[folded] = true
		value, err := p.value(&here, depth)
		if err != nil {
			return node{}, err
		}
		n.members = append(n.members, member{key: key, value: value})
	}
}

// foldKey makes keys equal that a reader ignoring case takes for the same one.
func foldKey(key string) string {
	for i := range len(key) {
		if c := key[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return strings.ToLower(strings.ToUpper(key))
		}
	}
	return key // as nearly every key is written
}

// maxFaults is how many broken rules one answer tells; maxKeyText is how much of
// a strange key it repeats: nobody reads more, and a body may be full of them.
// maxItems bounds any list before its items are looked at.
const (
	maxFaults  = 50
	maxItems   = 1000
	maxKeyText = 100
)

// escapePointer writes a key as a part of a JSON pointer, cut where it is absurd.
func escapePointer(key string) string {
	if len(key) > maxKeyText {
		key = strings.ToValidUTF8(key[:maxKeyText], "") + "…"
	}
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}

// loneSurrogate finds a \uD800–\uDFFF escape that is not half of a pair: JSON's
// grammar lets it pass, but it is no character, and readers replace it. raw is
// valid JSON, so backslashes stand in strings only.
func loneSurrogate(raw []byte) int {
	for i := 0; i < len(raw); i++ {
		if raw[i] != '\\' {
			continue
		}
		unit, ok := escapedUnit(raw[i:])
		if !ok {
			i++ // another escape: skip what it escapes, it may be a backslash
			continue
		}
		if unit < 0xD800 || unit > 0xDFFF {
			i += 5
			continue
		}
		low, ok := escapedUnit(raw[i+6:])
		if unit > 0xDBFF || !ok || low < 0xDC00 || low > 0xDFFF {
			return i
		}
		i += 11
	}
	return -1
}

// escapedUnit reads a \uXXXX escape at the start of raw.
func escapedUnit(raw []byte) (uint64, bool) {
	if len(raw) < 6 || raw[0] != '\\' || raw[1] != 'u' {
		return 0, false
	}
	unit, err := strconv.ParseUint(string(raw[2:6]), 16, 16)
	return unit, err == nil
}

// faults collects every broken rule of a body, so that a caller hears of all at
// once.
type faults struct {
	fields      []payment.FieldError
	unsupported []payment.FieldError
}

func (f *faults) add(pointer, format string, args ...any) {
	if len(f.fields) == maxFaults {
		return
	}
	f.fields = append(f.fields, payment.FieldError{Pointer: pointer, Rule: fmt.Sprintf(format, args...)})
}

// err is a 422: invalid_request where a rule is broken, unsupported where a
// field is merely not available yet.
func (f *faults) err() error {
	code, all := payment.CodeInvalid, append(f.fields, f.unsupported...)
	if len(all) == 0 {
		return nil
	}
	e := &payment.Error{Code: code, Message: "The request breaks a rule: " + all[0].Pointer + " " + all[0].Rule + ".", Fields: all}
	if len(f.fields) == 0 {
		e.Code, e.Message = payment.CodeUnsupported, "Not supported: "+all[0].Pointer+" "+all[0].Rule+"."
	}
	return e
}

// object reads the members of one JSON object into variables. What is left over
// at done is unknown, and a fault.
type object struct {
	f     *faults
	at    string
	left  []member
	valid bool
}

// object takes a value as an object.
func (f *faults) object(n node, at string) *object {
	o := &object{f: f, at: at, left: append([]member(nil), n.members...), valid: n.kind == kindObject}
	if !o.valid {
		f.wrong(at, n, "an object")
	}
	return o
}

func (f *faults) wrong(at string, n node, want string) {
	if n.kind == kindNull {
		f.add(at, "must not be null; leave it out instead")
		return
	}
	f.add(at, "must be %s, not a %s", want, n.kind)
}

// take removes a member and says where it stands.
func (o *object) take(key string) (n node, at string, ok bool) {
	for i, m := range o.left {
		if m.key == key {
			o.left = append(o.left[:i], o.left[i+1:]...)
			return m.value, o.at + "/" + escapePointer(key), true
		}
	}
	return node{}, "", false
}

// str reads a string.
func (o *object) str(key string, dst *string) {
	if n, at, ok := o.take(key); ok {
		if n.kind != kindString {
			o.f.wrong(at, n, "a string")
			return
		}
		*dst = n.text
	}
}

// enum reads a string that must be one of a few.
func (o *object) enum(key string, dst *string, allowed ...string) {
	n, at, ok := o.take(key)
	if !ok {
		return
	}
	if n.kind != kindString {
		o.f.wrong(at, n, "a string")
		return
	}
	for _, a := range allowed {
		if n.text == a {
			*dst = n.text
			return
		}
	}
	o.f.add(at, "must be one of: %s", strings.Join(allowed, ", "))
}

// boolean reads true or false.
func (o *object) boolean(key string, dst *bool) {
	if n, at, ok := o.take(key); ok {
		if n.kind != kindBool {
			o.f.wrong(at, n, "true or false")
			return
		}
		*dst = n.text == "true"
	}
}

// integer reads a whole number written as digits only: 1e3, 1.0 and -0 are other
// spellings that readers round differently. It reports whether dst was set.
func (o *object) integer(key string, dst *int64, low, high int64) bool {
	n, at, ok := o.take(key)
	if !ok {
		return false
	}
	if n.kind != kindNumber {
		o.f.wrong(at, n, "a whole number")
		return false
	}
	if strings.ContainsAny(n.text, ".eE") || n.text == "-0" {
		o.f.add(at, "must be a whole number, written with digits only")
		return false
	}
	v, err := strconv.ParseInt(n.text, 10, 64)
	if err != nil || v < low || v > high {
		o.f.add(at, "must be from %d to %d", low, high)
		return false
	}
	*dst = v
	return true
}

// strings reads an object whose values are strings.
func (o *object) strings(key string, dst *map[string]string) {
	n, at, ok := o.take(key)
	if !ok {
		return
	}
	if n.kind != kindObject {
		o.f.wrong(at, n, "an object of strings")
		return
	}
	*dst = make(map[string]string, len(n.members))
	for _, m := range n.members {
		if m.value.kind != kindString {
			o.f.wrong(at+"/"+escapePointer(m.key), m.value, "a string")
			continue
		}
		(*dst)[m.key] = m.value.text
	}
}

// list reads an array, item by item.
func (o *object) list(key string, read func(n node, at string)) {
	n, at, ok := o.take(key)
	if !ok {
		return
	}
	if n.kind != kindArray {
		o.f.wrong(at, n, "an array")
		return
	}
	if len(n.items) > maxItems {
		o.f.add(at, "must have at most %d items", maxItems)
		return
	}
	for i, item := range n.items {
		read(item, at+"/"+strconv.Itoa(i))
	}
}

// later names fields of the contract that are not available yet: they are
// refused, never silently ignored.
func (o *object) later(keys ...string) {
	for _, key := range keys {
		if _, at, ok := o.take(key); ok {
			o.f.unsupported = append(o.f.unsupported, payment.FieldError{Pointer: at, Rule: "is not available yet"})
		}
	}
}

// done reports what nobody read.
func (o *object) done() {
	for _, m := range o.left {
		o.f.add(o.at+"/"+escapePointer(m.key), "is not a known field")
	}
	o.left = nil
}
