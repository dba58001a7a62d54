package payment

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// pureImports is all that this room may import: nothing that waits, reads a
// clock, draws randomness or touches the outside. Adding to it is a decision.
var pureImports = []string{
	"bytes", "cmp", "crypto/sha256", "encoding/base32", "encoding/json", "errors", "fmt", "maps", "reflect", "math", "slices", "strings", "time",
}

// impureSelectors are what the allowed packages offer beyond that.
var impureSelectors = map[string][]string{
	"time": {"Now", "Since", "Until", "Sleep", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Local", "LoadLocation"},
	"fmt":  {"Print", "Printf", "Println", "Fprint", "Scan", "Scanf", "Scanln"},
}

// Guards that the room stays pure, from the source itself: no import beyond the
// list, no clock, no goroutine, no channel, no init, no variable that could change,
// and no float.
func TestPurity(t *testing.T) {
	t.Parallel()
	names, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		seen++
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, complaint := range impurities(file) {
			t.Errorf("%s: %s", name, complaint)
		}
	}
	if seen < 10 {
		t.Fatalf("only %d files were read", seen)
	}
}

// Guards the guard: a file with every impurity gets a complaint for each.
func TestPurityFindsImpurity(t *testing.T) {
	t.Parallel()
	const dirty = `package payment
import ("os"; "time"; "fmt")
var counter int
func init() { go fmt.Println(os.Args, time.Now(), counter) }
func f(c chan int, x float64) {}
`
	file, err := parser.ParseFile(token.NewFileSet(), "dirty.go", dirty, parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	if got := impurities(file); len(got) != 8 {
		t.Fatalf("%d complaints, want 8: %q", len(got), got)
	}
}

func impurities(file *ast.File) []string {
	var out []string
	for _, imported := range file.Imports {
		path, err := strconv.Unquote(imported.Path.Value)
		if err != nil || !slices.Contains(pureImports, path) {
			out = append(out, "imports "+imported.Path.Value)
		}
		if imported.Name != nil {
			out = append(out, "renames "+imported.Path.Value+", which would hide what it uses")
		}
	}
	for _, decl := range file.Decls {
		out = append(out, impureDecl(decl)...)
	}
	ast.Inspect(file, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.SelectorExpr:
			if from, ok := x.X.(*ast.Ident); ok && slices.Contains(impureSelectors[from.Name], x.Sel.Name) {
				out = append(out, "uses "+from.Name+"."+x.Sel.Name)
			}
		case *ast.GoStmt:
			out = append(out, "starts a goroutine")
		case *ast.ChanType:
			out = append(out, "has a channel")
		case *ast.Ident:
			if x.Name == "float64" || x.Name == "float32" {
				out = append(out, "has a float")
			}
		}
		return true
	})
	return out
}

// impureDecl complains about init functions and package variables other than
// errors and the rank orders, which are constant tables.
func impureDecl(decl ast.Decl) []string {
	var out []string
	switch d := decl.(type) {
	case *ast.FuncDecl:
		if d.Recv == nil && d.Name.Name == "init" {
			out = append(out, "has an init function")
		}
	case *ast.GenDecl:
		if d.Tok != token.VAR {
			return nil
		}
		for _, spec := range d.Specs {
			value, ok := spec.(*ast.ValueSpec)
			if !ok {
				continue
			}
			for _, name := range value.Names {
				if !strings.HasPrefix(name.Name, "Err") && !strings.HasSuffix(name.Name, "States") {
					out = append(out, "has the variable "+name.Name)
				}
			}
		}
	}
	return out
}
