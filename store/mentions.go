package store

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"slices"
	"strings"
)

// needles are the texts by which a customer is looked for, each in the spellings in which it may stand inside other
// texts: plain, in a URL, and escaped in JSON. Everything is compared without regard to case.
type needles struct {
	asked, emails, names [][]byte
}

// newNeedles looks for the addresses that were asked for, and for those and the names that the customer's payments held.
func newNeedles(asked, emails, names []string) needles {
	return needles{asked: spellings(asked), emails: spellings(emails), names: spellings(names)}
}

func spellings(texts []string) [][]byte {
	var out [][]byte
	add := func(s string) {
		if b := asciiLower([]byte(s)); len(b) >= minNeedle && !slices.ContainsFunc(out, func(have []byte) bool { return bytes.Equal(have, b) }) {
			out = append(out, b)
		}
	}
	for _, t := range texts {
		add(t)
		add(url.QueryEscape(t))
		add(url.PathEscape(t))
		if quoted, err := json.Marshal(t); err == nil { // a string always encodes
			add(strings.Trim(string(quoted), `"`))
		}
	}
	return out
}

// mention says what of the customer stands somewhere; asked: the very address that was asked for.
type mention struct{ asked, email, name bool }

func (m mention) any() bool { return m.email || m.name }

func (m mention) with(o mention) mention {
	return mention{m.asked || o.asked, m.email || o.email, m.name || o.name}
}

// minNeedle is the shortest text that is looked for, in bytes: fewer stand everywhere.
const minNeedle = 3

// asciiLower lowers ASCII letters and keeps every other byte, so that places in it are places in b.
func asciiLower(b []byte) []byte {
	out := bytes.Clone(b)
	for i, c := range out {
		if c >= 'A' && c <= 'Z' {
			out[i] = c + 'a' - 'A'
		}
	}
	return out
}

// minBase64 is the shortest text that is looked into as base64: an address has at least three bytes.
const minBase64 = 4

// text looks into one text, and into what it says in base64, which is how bytes stand in JSON.
func (n needles) text(s string) mention {
	m := n.bytes([]byte(s))
	if len(s) >= minBase64 && len(s)%4 == 0 {
		if raw, err := base64.StdEncoding.DecodeString(s); err == nil {
			m = m.with(n.bytes(raw))
		}
	}
	return m
}

func (n needles) bytes(b []byte) mention {
	lower := asciiLower(b)
	in := func(needle []byte) bool { return bytes.Contains(lower, needle) }
	return mention{asked: slices.ContainsFunc(n.asked, in), email: slices.ContainsFunc(n.emails, in), name: slices.ContainsFunc(n.names, in)}
}

// json looks into every member and text of a JSON value.
func (n needles) json(body []byte) mention {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return n.bytes(body)
	}
	return n.value(v)
}

func (n needles) value(v any) mention {
	var m mention
	switch v := v.(type) {
	case string:
		return n.text(v)
	case []any:
		for _, e := range v {
			m = m.with(n.value(e))
		}
	case map[string]any:
		for k, e := range v {
			m = m.with(n.text(k)).with(n.value(e))
		}
	}
	return m
}

// doc looks into everything that is kept of a document.
func (n needles) doc(d Doc) mention {
	m := n.text(d.ID).with(n.json(d.Body))
	for _, v := range d.Index {
		switch v := v.(type) {
		case string:
			m = m.with(n.text(v))
		case []string:
			for _, s := range v {
				m = m.with(n.text(s))
			}
		}
	}
	return m
}

// overwrite replaces the needles in a JSON body by mark. Only those with an @ or a space in them: these stand within
// texts alone, while a customer called Open would else change what an alert's state says.
func (n needles) overwrite(body []byte, mark string) []byte {
	for _, needle := range slices.Concat(n.emails, n.names) {
		if !bytes.ContainsAny(needle, "@ ") {
			continue
		}
		for from := 0; ; {
			at := bytes.Index(asciiLower(body[from:]), needle)
			if at < 0 {
				break
			}
			at += from
			body = slices.Concat(body[:at], []byte(mark), body[at+len(needle):])
			from = at + len(mark)
		}
	}
	return body
}
