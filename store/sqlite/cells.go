package sqlite

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// encodeIndex writes index values as a JSON object of cells, fields in order: byte for byte what encoding/json makes of
// them, so that a file's old rows and new ones compare. Every write passes here.
func encodeIndex(index map[string]any) (string, error) {
	fields := make([]string, 0, 16)
	for f := range index {
		fields = append(fields, f)
	}
	slices.Sort(fields)
	out := append(make([]byte, 0, 512), '{')
	for i, f := range fields {
		if i > 0 {
			out = append(out, ',')
		}
		out = append(appendText(out, f), ':', '{')
		switch v := index[f].(type) {
		case string:
			out = appendText(append(out, `"s":`...), v)
		case int64:
			out = strconv.AppendInt(append(out, `"i":`...), v, 10)
		case bool:
			out = strconv.AppendBool(append(out, `"b":`...), v)
		case time.Time:
			out = strconv.AppendInt(append(out, `"t":`...), v.UnixMilli(), 10)
		case []string:
			if len(v) == 0 {
				return "", fmt.Errorf("encode index values: field %s is an empty list", f)
			}
			out = append(out, `"a":`...)
			for n, s := range v {
				out = appendText(append(out, "[,"[min(n, 1)]), s)
			}
			out = append(out, ']')
		default:
			return "", fmt.Errorf("encode index values: field %s is a %T", f, v)
		}
		out = append(out, '}')
	}
	return string(append(out, '}')), nil
}

// appendText writes a string as encoding/json does. What needs more than an escape of the form \u00xx is left to it.
func appendText(out []byte, s string) []byte {
	const hex = "0123456789abcdef"
	from := len(out)
	out = append(out, '"')
	for i := range len(s) {
		switch c := s[i]; {
		case c >= utf8.RuneSelf, c == '\b', c == '\f', c == '\n', c == '\r', c == '\t', c == '"', c == '\\':
			text, err := json.Marshal(s)
			if err != nil { // a string always encodes
				return out
			}
			return append(out[:from], text...)
		case c < ' ', c == '<', c == '>', c == '&':
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}

// quickIndex reads index values in the very form that encodeIndex writes. Every read
// of a document passes here, and encoding/json would take a third of its time. ok is
// false for any other spelling of the same: then encoding/json reads it.
func quickIndex(data string) (index map[string]any, ok bool) {
	p := cellReader{rest: data}
	if !p.skip("{") {
		return nil, false
	}
	if p.skip("}") {
		return nil, p.rest == ""
	}
	index = map[string]any{}
	for {
		field, ok := p.text()
		if !ok || !p.skip(":{") {
			return nil, false
		}
		value, ok := p.value()
		if !ok || !p.skip("}") {
			return nil, false
		}
		index[field] = value
		if p.skip("}") {
			return index, p.rest == ""
		}
		if !p.skip(",") {
			return nil, false
		}
	}
}

type cellReader struct{ rest string }

func (p *cellReader) skip(s string) (ok bool) {
	p.rest, ok = strings.CutPrefix(p.rest, s)
	return ok
}

// text reads a string. One with any other escape than that of the separator in refs is left to encoding/json, by itself.
func (p *cellReader) text() (string, bool) {
	if !p.skip(`"`) {
		return "", false
	}
	for i := 0; i < len(p.rest); i++ {
		switch p.rest[i] {
		case '"':
			s := p.rest[:i]
			p.rest = p.rest[i+1:]
			return s, true
		case '\\':
			return p.escaped(i)
		}
	}
	return "", false
}

func (p *cellReader) escaped(i int) (s string, ok bool) {
	const separator, escape = "\x1f", `\u001f`
	if strings.HasPrefix(p.rest[i:], escape) {
		head, tail := p.rest[:i], p.rest[i+len(escape):]
		if end := strings.IndexAny(tail, `"\`); end >= 0 && tail[end] == '"' {
			p.rest = tail[end+1:]
			return head + separator + tail[:end], true
		}
	}
	for ; i < len(p.rest); i++ {
		switch p.rest[i] {
		case '\\':
			i++
		case '"':
			if json.Unmarshal([]byte(`"`+p.rest[:i+1]), &s) != nil {
				return "", false
			}
			p.rest = p.rest[i+1:]
			return s, true
		}
	}
	return "", false
}

func (p *cellReader) number() (int64, bool) {
	end := strings.IndexByte(p.rest, '}')
	if end < 0 {
		return 0, false
	}
	n, err := strconv.ParseInt(p.rest[:end], 10, 64)
	p.rest = p.rest[end:]
	return n, err == nil
}

// value reads one cell between its braces.
func (p *cellReader) value() (any, bool) {
	switch {
	case p.skip(`"s":`):
		return p.text()
	case p.skip(`"i":`):
		return p.number()
	case p.skip(`"t":`):
		ms, ok := p.number()
		return time.UnixMilli(ms).UTC(), ok
	case p.skip(`"b":`):
		if p.skip("true") {
			return true, true
		}
		return false, p.skip("false")
	case p.skip(`"a":[`):
		return p.list()
	}
	return nil, false
}

func (p *cellReader) list() ([]string, bool) {
	var out []string
	for {
		s, ok := p.text()
		if !ok {
			return nil, false
		}
		out = append(out, s)
		if p.skip("]") {
			return out, true
		}
		if !p.skip(",") {
			return nil, false
		}
	}
}
