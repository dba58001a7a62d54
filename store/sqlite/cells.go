package sqlite

import (
	"encoding/json"
	"strconv"
	"strings"
	"time"
)

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

// text reads a string. One with an escape is left to encoding/json, by itself.
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
