package store

import "github.com/trifecta-pay/trifecta/gateway/jsontoken"

// quickDepth is how deep the quick look goes; the standard decoder judges what is deeper.
const quickDepth = 64

// quicklyValid says that b is one JSON object and nothing else, as encoding/json does, in less than half of its time:
// every write passes here. False means "ask encoding/json"; it never says true where that would say false.
func quicklyValid(b []byte) bool {
	p := quickReader{jsontoken.Reader{Text: b}}
	return len(b) > 0 && b[0] == '{' && p.value(0) && p.Next() == 0 && p.At == len(b)
}

type quickReader struct{ jsontoken.Reader }

func (p *quickReader) value(depth int) bool {
	switch p.Next() {
	case '{':
		return depth < quickDepth && p.list('}', func() bool {
			if p.Next() != '"' || !p.Quoted() || p.Next() != ':' {
				return false
			}
			p.At++
			return p.value(depth + 1)
		})
	case '[':
		return depth < quickDepth && p.list(']', func() bool { return p.value(depth + 1) })
	case '"':
		return p.Quoted()
	}
	return p.Literal()
}

// list reads items with commas between them, from the opening bracket to the end one.
func (p *quickReader) list(end byte, item func() bool) bool {
	p.At++
	if p.Next() == end {
		p.At++
		return true
	}
	for item() {
		switch p.Next() {
		case ',':
			p.At++
		case end:
			p.At++
			return true
		default:
			return false
		}
	}
	return false
}
