package paypalspec

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
)

// table finds the operation of one document that a path and method address.
// kin-openapi's own routers either need another module or refuse these documents.
type table struct {
	doc   *openapi3.T
	paths []template
}

type template struct {
	raw   string
	parts []string // "{name}" stands for one segment
}

func newTable(doc *openapi3.T) table {
	t := table{doc: doc}
	for raw := range doc.Paths.Map() {
		t.paths = append(t.paths, template{raw: raw, parts: strings.Split(raw, "/")})
	}
	// A literal path wins over one with parameters, whatever the map's order was.
	slices.SortFunc(t.paths, func(a, b template) int {
		return cmp.Or(cmp.Compare(strings.Count(a.raw, "{"), strings.Count(b.raw, "{")), strings.Compare(a.raw, b.raw))
	})
	return t
}

// find answers the operation and its path parameters, or false.
func (t table) find(method, escapedPath string) (*routers.Route, map[string]string, bool) {
	parts := strings.Split(strings.TrimSuffix(escapedPath, "/"), "/")
	for _, p := range t.paths {
		params, ok := p.match(parts)
		if !ok {
			continue
		}
		item := t.doc.Paths.Value(p.raw)
		if op := item.GetOperation(method); op != nil {
			return &routers.Route{Spec: t.doc, Path: p.raw, PathItem: item, Method: method, Operation: op}, params, true
		}
	}
	return nil, nil, false
}

func (p template) match(parts []string) (map[string]string, bool) {
	if len(parts) != len(p.parts) {
		return nil, false
	}
	params := map[string]string{}
	for i, want := range p.parts {
		if !strings.HasPrefix(want, "{") {
			if want != parts[i] {
				return nil, false
			}
			continue
		}
		v, err := url.PathUnescape(parts[i])
		if err != nil || v == "" {
			return nil, false
		}
		params[strings.Trim(want, "{}")] = v
	}
	return params, true
}

// route looks through all documents.
func (v *Validator) route(method, escapedPath string) (*routers.Route, map[string]string, error) {
	for _, t := range v.tables {
		if r, params, ok := t.find(method, escapedPath); ok {
			return r, params, nil
		}
	}
	return nil, nil, fmt.Errorf("no PayPal document has the operation %s %s", method, escapedPath)
}
