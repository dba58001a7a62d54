package paypalspec

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/getkin/kin-openapi/openapi3"
)

// maxDepth bounds the walk through schemas that refer to each other.
const maxDepth = 12

// unknownFields names every member of body that schema does not describe. PayPal's
// documents never set additionalProperties to false, so kin-openapi lets them pass.
func unknownFields(body []byte, schema *openapi3.SchemaRef) []string {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		return []string{fmt.Sprintf("body is not JSON: %v", err)}
	}
	var out []string
	walk("", v, schema, &out)
	slices.Sort(out)
	return out
}

func walk(path string, v any, s *openapi3.SchemaRef, out *[]string) {
	switch x := v.(type) {
	case map[string]any:
		known := openapi3.Schemas{}
		properties(s, known, 0)
		if len(known) == 0 {
			return // a free-form object
		}
		for k, member := range x {
			if p, ok := known[k]; ok {
				walk(path+"/"+k, member, p, out)
			} else {
				*out = append(*out, path+"/"+k+": unknown field")
			}
		}
	case []any:
		item := items(s, 0)
		for i, e := range x {
			walk(fmt.Sprintf("%s/%d", path, i), e, item, out)
		}
	}
}

// properties collects the members of an object schema through its compositions.
func properties(s *openapi3.SchemaRef, into openapi3.Schemas, depth int) {
	if s == nil || s.Value == nil || depth > maxDepth {
		return
	}
	for k, v := range s.Value.Properties {
		into[k] = v
	}
	for _, list := range []openapi3.SchemaRefs{s.Value.AllOf, s.Value.OneOf, s.Value.AnyOf} {
		for _, part := range list {
			properties(part, into, depth+1)
		}
	}
}

// items finds the element schema of an array through its compositions.
func items(s *openapi3.SchemaRef, depth int) *openapi3.SchemaRef {
	if s == nil || s.Value == nil || depth > maxDepth {
		return nil
	}
	if s.Value.Items != nil {
		return s.Value.Items
	}
	for _, list := range []openapi3.SchemaRefs{s.Value.AllOf, s.Value.OneOf, s.Value.AnyOf} {
		for _, part := range list {
			if found := items(part, depth+1); found != nil {
				return found
			}
		}
	}
	return nil
}
