package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// schema is the subset of OpenAPI 3.0 schemas that Stripe's document uses.
type schema struct {
	Ref        string             `json:"$ref"`
	Type       string             `json:"type"`
	Nullable   bool               `json:"nullable"`
	Enum       []any              `json:"enum"`
	AnyOf      []*schema          `json:"anyOf"`
	Items      *schema            `json:"items"`
	Properties map[string]*schema `json:"properties"`
	Required   []string           `json:"required"`
	MaxLength  int                `json:"maxLength"`
	Pattern    string             `json:"pattern"`
	Additional additional         `json:"additionalProperties"`
}

// additional is additionalProperties: absent, a boolean, or a schema.
type additional struct{ schema *schema }

func (a *additional) UnmarshalJSON(raw []byte) error {
	if raw = bytes.TrimSpace(raw); len(raw) == 0 || raw[0] != '{' {
		return nil
	}
	return json.Unmarshal(raw, &a.schema)
}

const refPrefix = "#/components/schemas/"

// check returns every way in which v breaks s, each with the JSON pointer of
// the place. Fields that the document does not know are faults, because a
// stand-in that invents fields teaches its client something false; only
// free-form objects (no properties at all) may hold anything.
func (d *document) check(s *schema, v any, at string) []string {
	if s.Ref != "" {
		target := d.Components.Schemas[strings.TrimPrefix(s.Ref, refPrefix)]
		if target == nil {
			return fault(at, "the document has a dangling reference %s", s.Ref)
		}
		return d.check(target, v, at)
	}
	if v == nil {
		if s.Nullable || (s.Type == "" && len(s.AnyOf) == 0) {
			return nil
		}
		return fault(at, "must not be null")
	}
	if len(s.AnyOf) > 0 {
		return d.checkAnyOf(s.AnyOf, v, at)
	}
	if out := checkType(s, v, at); out != nil {
		return out
	}
	var out []string
	if len(s.Enum) > 0 && !slices.Contains(s.Enum, v) {
		out = append(out, fault(at, "%v is not one of %v", v, s.Enum)...)
	}
	switch x := v.(type) {
	case string:
		out = append(out, checkString(s, x, at)...)
	case []any:
		if s.Items == nil {
			break
		}
		for i, e := range x {
			out = append(out, d.check(s.Items, e, fmt.Sprintf("%s/%d", at, i))...)
		}
	case map[string]any:
		out = append(out, d.checkObject(s, x, at)...)
	}
	return out
}

// checkAnyOf accepts v if one branch does. An expandable field is
// anyOf(string id, object), so when none fits, the reasons of the branch that v
// means (same "object" value) or else of the nearest one are returned.
func (d *document) checkAnyOf(branches []*schema, v any, at string) []string {
	var nearest []string
	bestScore := -1
	for _, b := range branches {
		out := d.check(b, v, at)
		if len(out) == 0 {
			return nil
		}
		score := 1
		if d.means(b, v) {
			score = 2
		}
		if score > bestScore || (score == bestScore && len(out) < len(nearest)) {
			nearest, bestScore = out, score
		}
	}
	return nearest
}

// means says whether v names itself as the object that s describes.
func (d *document) means(s *schema, v any) bool {
	m, ok := v.(map[string]any)
	if !ok {
		return false
	}
	if s.Ref != "" {
		s = d.Components.Schemas[strings.TrimPrefix(s.Ref, refPrefix)]
	}
	if s == nil || s.Properties["object"] == nil {
		return false
	}
	return slices.Contains(s.Properties["object"].Enum, m["object"])
}

func (d *document) checkObject(s *schema, m map[string]any, at string) []string {
	var out []string
	for _, name := range s.Required {
		if _, ok := m[name]; !ok {
			out = append(out, fault(at+"/"+name, "is required")...)
		}
	}
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		place := at + "/" + name
		switch p := s.Properties[name]; {
		case p != nil:
			out = append(out, d.check(p, m[name], place)...)
		case s.Additional.schema != nil:
			out = append(out, d.check(s.Additional.schema, m[name], place)...)
		case len(s.Properties) > 0:
			out = append(out, fault(place, "is not in the document")...)
		}
	}
	return out
}

func checkType(s *schema, v any, at string) []string {
	ok := true
	switch s.Type {
	case "string":
		_, ok = v.(string)
	case "boolean":
		_, ok = v.(bool)
	case "array":
		_, ok = v.([]any)
	case "object":
		_, ok = v.(map[string]any)
	case "number":
		_, ok = v.(json.Number)
	case "integer":
		n, isNumber := v.(json.Number)
		_, err := n.Int64()
		ok = isNumber && err == nil
	}
	if ok {
		return nil
	}
	return fault(at, "must be of type %s, not %T", s.Type, v)
}

func checkString(s *schema, x, at string) []string {
	if s.MaxLength > 0 && utf8.RuneCountInString(x) > s.MaxLength {
		return fault(at, "is longer than %d characters", s.MaxLength)
	}
	if s.Pattern == "" {
		return nil
	}
	re, err := regexp.Compile(s.Pattern)
	if err != nil {
		return fault(at, "the document's pattern %q does not compile: %v", s.Pattern, err)
	}
	if !re.MatchString(x) {
		return fault(at, "does not match %s", s.Pattern)
	}
	return nil
}

func fault(at, format string, args ...any) []string {
	if at == "" {
		at = "/"
	}
	return []string{at + ": " + fmt.Sprintf(format, args...)}
}
