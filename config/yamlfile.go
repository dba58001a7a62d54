package config

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// readYAML parses the file into r: it expands ${VAR}, notes every key's line and
// every unknown key. What makes the rest meaningless sets unreadable.
func (l *loader) readYAML(r *raw) {
	text, _, err := readFile(l.file)
	if err != nil {
		l.broken(0, err.Error())
		if errors.Is(err, os.ErrNotExist) {
			l.faults.list[len(l.faults.list)-1].Fix = "Copy docs/trifecta.example.yaml to start from"
		} else {
			l.faults.list[len(l.faults.list)-1].Fix = "Name a YAML file that this user may read"
		}
		return
	}
	f, err := parser.ParseBytes(text, 0)
	if err != nil {
		l.brokenBy(err)
		return
	}
	if len(f.Docs) > 1 {
		l.broken(0, "the file has several YAML documents")
		return
	}
	if len(f.Docs) == 0 || f.Docs[0].Body == nil {
		return
	}
	body := f.Docs[0].Body
	if _, isNull := body.(*ast.NullNode); isNull {
		return
	}
	l.walk(body, "", reflect.TypeFor[raw]())
	if l.unreadable {
		return
	}
	// Unknown keys have been noted by walk, all of them; Strict would stop at the
	// first.
	if err := yaml.NodeToValue(body, r); err != nil {
		l.brokenBy(err)
	}
}

func (l *loader) broken(line int, problem string) {
	l.unreadable = true
	l.faults.list = append(l.faults.list, Fault{Line: line, Problem: problem})
}

// quoted is what a message of the library's quotes of the file.
var quoted = regexp.MustCompile(`(?s)".*"`)

// unquoted takes out what a message quotes, which may be a secret, but for a key that is
// there twice.
func unquoted(message string) string {
	return quoted.ReplaceAllStringFunc(message, func(q string) string {
		if strings.HasPrefix(message, "mapping key ") && keyText.MatchString(strings.Trim(q, `"`)) {
			return q
		}
		return "(not shown)"
	})
}

// brokenBy takes message and line only: the library's Error() quotes the lines
// around the place, which may hold secrets.
func (l *loader) brokenBy(err error) {
	if e, ok := errors.AsType[yaml.Error](err); ok {
		line := 0
		if t := e.GetToken(); t != nil && t.Position != nil {
			line = t.Position.Line
		}
		l.broken(line, unquoted(e.GetMessage()))
		return
	}
	l.broken(0, "the file is not valid YAML of the expected shape")
}

// walk goes through the tree beside the type it should have.
func (l *loader) walk(n ast.Node, path string, t reflect.Type) {
	line := n.GetToken().Position.Line
	switch n := n.(type) {
	case *ast.MappingNode:
		for _, v := range n.Values {
			l.walkKey(v, path, t)
		}
	case *ast.MappingValueNode: // A mapping of one key.
		l.walkKey(n, path, t)
	case *ast.SequenceNode:
		if t.Kind() != reflect.Slice { // the whole file; fits has judged the rest
			l.broken(line, fmt.Sprintf("%s must not be a list", path))
			return
		}
		for i, v := range n.Values {
			at := fmt.Sprintf("%s[%d]", path, i)
			l.lines[at] = v.GetToken().Position.Line
			if !l.fits(v, at, l.lines[at], t.Elem()) {
				n.Values[i] = ast.Null(v.GetToken())
				continue
			}
			l.walk(v, at, t.Elem())
		}
	case *ast.StringNode:
		n.Value = l.expand(n.Value, path, line)
	case *ast.LiteralNode:
		n.Value.Value = l.expand(n.Value.Value, path, line)
	case *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode:
		l.broken(line, fmt.Sprintf("%s: YAML anchors, aliases and tags are not supported", path))
	}
}

// keyText is what keys look like. One that looks otherwise is not told: where a blank or
// a colon is missing, a secret may be in it.
var keyText = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

func (l *loader) walkKey(v *ast.MappingValueNode, path string, t reflect.Type) {
	key := v.Key.GetToken().Value
	at := key
	if !keyText.MatchString(key) {
		at = "(not a name)"
	}
	if path != "" {
		at = path + "." + at
	}
	line := v.Key.GetToken().Position.Line
	if t.Kind() == reflect.Map { // any key will do
		l.walkValue(v, at, line, t.Elem())
		return
	}
	i := slices.Index(tagValues(t, "yaml"), key)
	if i < 0 {
		l.faults.list = append(l.faults.list, Fault{
			Path: at, Line: line, Problem: "unknown key",
			Fix: "Known here are " + strings.Join(tagValues(t, "yaml"), ", "),
		})
		return
	}
	l.walkValue(v, at, line, t.Field(i).Type)
}

func (l *loader) walkValue(v *ast.MappingValueNode, at string, line int, t reflect.Type) {
	l.lines[at] = line
	if !l.fits(v.Value, at, line, t) {
		v.Value = ast.Null(v.Value.GetToken())
		return
	}
	l.walk(v.Value, at, t)
}

// fits says whether a value has the shape of a type. Where it has not, that is one
// fault, and the caller leaves the value out: so the rest of the file is still read.
func (l *loader) fits(n ast.Node, path string, line int, t reflect.Type) bool {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	var list, keys, truth, whole bool
	switch n.(type) {
	case *ast.NullNode, *ast.AnchorNode, *ast.AliasNode, *ast.TagNode, *ast.MergeKeyNode: // walk judges those
		return true
	case *ast.MappingNode, *ast.MappingValueNode:
		keys = true
	case *ast.SequenceNode:
		list = true
	case *ast.BoolNode:
		truth = true
	case *ast.IntegerNode:
		whole = true
	}
	fits, problem, fix := !list && !keys, "is not one value", "Write text"
	switch t.Kind() {
	case reflect.Slice:
		fits, problem, fix = list, "is not a list", "Begin each item with a dash, or write [a, b]"
	case reflect.Struct, reflect.Map:
		fits, problem, fix = keys, "has no keys", "Write its keys below it, indented"
	case reflect.Bool:
		fits, problem, fix = truth, "is not true or false", "Write true or false (yes and no are text)"
	case reflect.Int, reflect.Int64:
		fits, problem, fix = whole, "is not a whole number", "Write digits only"
	default:
	}
	if !fits {
		l.faults.list = append(l.faults.list, Fault{Path: path, Line: line, Problem: problem, Fix: fix})
	}
	return fits
}

var reference = regexp.MustCompile(`\$\$\{|\$\{[^}]*\}`)

// expand replaces ${VAR} by the environment's value, and $${ by a plain ${. A
// variable that is not set is a fault, because an empty secret must never pass
// for one.
func (l *loader) expand(s, path string, line int) string {
	return reference.ReplaceAllStringFunc(s, func(m string) string {
		if m == "$${" {
			return "${"
		}
		name := m[2 : len(m)-1]
		if v := l.environ[name]; v != "" {
			return v
		}
		l.faults.list = append(l.faults.list, Fault{
			Path: path, Line: line,
			Problem: fmt.Sprintf("the environment variable %q is not set", name), Fix: "Set it, or write $${ for a plain ${",
		})
		return ""
	})
}
