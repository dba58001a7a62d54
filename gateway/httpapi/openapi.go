package httpapi

import (
	_ "embed" // the document
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/gin-gonic/gin"
)

//go:embed openapi.yaml
var openapiYAML []byte

// loaded is the document in its other forms.
type loaded struct {
	doc  *openapi3.T
	json []byte
}

func loadDocument() (loaded, error) {
	doc, err := Document()
	if err != nil {
		return loaded{}, err
	}
	b, err := doc.MarshalJSON()
	if err != nil {
		return loaded{}, fmt.Errorf("httpapi: openapi.json: %w", err)
	}
	return loaded{doc: doc, json: b}, nil
}

// Document loads a fresh copy of the OpenAPI document that is served.
func Document() (*openapi3.T, error) {
	doc, err := openapi3.NewLoader().LoadFromData(openapiYAML)
	if err != nil {
		return nil, fmt.Errorf("httpapi: openapi.yaml: %w", err)
	}
	return doc, nil
}

func (a *api) openapiYAML(c *gin.Context) error {
	c.Data(http.StatusOK, "application/yaml", openapiYAML)
	return nil
}

func (a *api) openapiJSON(c *gin.Context) error {
	l, err := a.document()
	if err != nil {
		return err
	}
	c.Data(http.StatusOK, "application/json", l.json)
	return nil
}

// docsData is the document cut for reading.
type docsData struct {
	Title, Summary string
	Paragraphs     []string
	Groups         []docsGroup
	Schemas        []docsSchema
	Problems       []problemKind
	Style          template.CSS
}

type docsGroup struct {
	Name, Anchor, Description string
	Operations                []docsOperation
}

type docsOperation struct {
	Method, Path, Summary, Description, Body string
	Parameters                               []docsField
	Answers                                  []docsField
}

type docsSchema struct {
	Name, Description, Values string
	Fields                    []docsField
}

// docsField is one row: a parameter, a member of a schema, or an answer.
type docsField struct{ Name, Type, Note, Ref string }

// docsPage is the document for people, without any script.
func (a *api) docsPage(c *gin.Context) error {
	l, err := a.document()
	if err != nil {
		return err
	}
	data := docsOf(l.doc)
	data.Style = a.pages.style
	return a.pages.write(c, http.StatusOK, a.pages.docs, data, "'none'")
}

func docsOf(doc *openapi3.T) docsData {
	data := docsData{
		Title: doc.Info.Title, Summary: doc.Info.Summary,
		Paragraphs: strings.Split(strings.TrimSpace(doc.Info.Description), "\n\n"), Problems: problemKinds,
	}
	for _, tag := range doc.Tags {
		data.Groups = append(data.Groups, docsGroup{Name: tag.Name, Anchor: anchor(tag.Name), Description: tag.Description})
	}
	paths := doc.Paths.Keys()
	slices.Sort(paths)
	for _, path := range paths {
		item := doc.Paths.Value(path)
		for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodGet, http.MethodDelete} {
			op := item.GetOperation(method)
			if op == nil {
				continue
			}
			for i := range data.Groups {
				if slices.Contains(op.Tags, data.Groups[i].Name) {
					data.Groups[i].Operations = append(data.Groups[i].Operations, docsOperationOf(method, path, item, op))
				}
			}
		}
	}
	names := make([]string, 0, len(doc.Components.Schemas))
	for name := range doc.Components.Schemas {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		data.Schemas = append(data.Schemas, docsSchemaOf(name, doc.Components.Schemas[name].Value))
	}
	return data
}

// anchor makes a tag's name fit for an id.
func anchor(name string) string {
	return "tag-" + strings.Map(func(r rune) rune {
		if r == ' ' || r == '\'' {
			return '-'
		}
		return r
	}, strings.ToLower(name))
}

func docsOperationOf(method, path string, item *openapi3.PathItem, op *openapi3.Operation) docsOperation {
	out := docsOperation{Method: method, Path: path, Summary: op.Summary, Description: op.Description}
	for _, p := range slices.Concat(item.Parameters, op.Parameters) {
		where := p.Value.In
		if p.Value.Required {
			where += ", required"
		}
		out.Parameters = append(out.Parameters, docsField{Name: p.Value.Name, Type: where, Note: p.Value.Description})
	}
	if op.RequestBody != nil {
		for _, media := range op.RequestBody.Value.Content {
			out.Body = refName(media.Schema)
		}
	}
	codes := op.Responses.Keys()
	slices.Sort(codes)
	for _, code := range codes {
		answer := op.Responses.Value(code).Value
		f := docsField{Name: code}
		if answer.Description != nil {
			f.Note = *answer.Description
		}
		for _, media := range answer.Content {
			if name := refName(media.Schema); name != "" {
				f.Ref = name
			}
		}
		out.Answers = append(out.Answers, f)
	}
	return out
}

func docsSchemaOf(name string, s *openapi3.Schema) docsSchema {
	out := docsSchema{Name: name, Description: s.Description, Values: enumText(s)}
	fields := make([]string, 0, len(s.Properties))
	for field := range s.Properties {
		fields = append(fields, field)
	}
	slices.SortFunc(fields, func(a, b string) int { // required ones first, in the order they are listed
		ia, ib := slices.Index(s.Required, a), slices.Index(s.Required, b)
		if ia >= 0 && ib >= 0 {
			return ia - ib
		}
		if ia != ib {
			return ib - ia
		}
		return strings.Compare(a, b)
	})
	for _, field := range fields {
		ref := s.Properties[field]
		row := docsField{Name: field, Type: typeText(ref), Ref: refName(ref), Note: ref.Value.Description}
		if values := enumText(ref.Value); values != "" && row.Ref == "" {
			row.Type = values
		}
		if slices.Contains(s.Required, field) && s.AdditionalProperties.Has != nil {
			row.Note = strings.TrimSpace("Required. " + row.Note) // requests only: answers always have all
		}
		out.Fields = append(out.Fields, row)
	}
	return out
}

func typeText(ref *openapi3.SchemaRef) string {
	s := ref.Value
	if s.Items != nil {
		if name := refName(s.Items); name != "" {
			return "list of " + name
		}
		return "list"
	}
	for _, alternative := range s.AnyOf {
		if name := refName(alternative); name != "" {
			return name + " or null"
		}
	}
	if s.Type == nil {
		return ""
	}
	return strings.Join(s.Type.Slice(), " or ")
}

func enumText(s *openapi3.Schema) string {
	var words []string
	for _, v := range s.Enum {
		words = append(words, fmt.Sprint(v))
	}
	return strings.ReplaceAll(strings.Join(words, " | "), "<nil>", "null")
}

// refName is the name of the component a schema refers to, empty if it stands
// in place.
func refName(ref *openapi3.SchemaRef) string {
	if ref == nil {
		return ""
	}
	return strings.TrimPrefix(ref.Ref, "#/components/schemas/")
}
