package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// K3: Promise: what nobody may guess is drawn by crypto/rand: whatever the program wires as
// a Token, a NewID or an Owner is rand.Text or made with it, and no other source of
// randomness is at hand there.
func TestTokensAreDrawn(t *testing.T) {
	t.Parallel()
	wired := map[string][]string{}
	eachFile(t, []string{"../cmd/trifecta"}, func(path string, f *ast.File, at func(token.Pos) token.Position) {
		if imports(f, "math/rand") || imports(f, "math/rand/v2") {
			t.Errorf("%s imports math/rand", path)
		}
		for _, w := range wiring(f) {
			wired[filepath.ToSlash(path)] = append(wired[filepath.ToSlash(path)], w.name)
			if !w.drawn {
				t.Errorf("%s: %s is not drawn by crypto/rand", at(w.pos), w.name)
			}
		}
	})
	for path, want := range map[string][]string{
		"../cmd/trifecta/house/house.go":  {"NewID", "NewID", "Owner", "Token"},
		"../cmd/trifecta/house/alerts.go": {"Owner"},
	} {
		slices.Sort(wired[path])
		if diff := cmp.Diff(want, wired[path]); diff != "" {
			t.Errorf("what %s wires:\n%s", path, diff)
		}
	}
}

// Guards the guard: what is not drawn is seen, however it is written.
func TestWhatIsNotDrawnIsSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, code string
		want       bool
	}{
		{"the function itself", `Options{Token: rand.Text}`, true},
		{"its answer", `Options{Owner: rand.Text()}`, true},
		{"with a word before it", `Options{NewID: func() string { return "req_" + rand.Text() }}`, true},
		{"by a function of the file", `Options{Owner: owner()}`, true},
		{"shortened, in the name of a process", `Options{Owner: rand.Text()[:6]}`, true},

		{"shortened, where it is a secret", `Options{Token: func() string { return rand.Text()[:6] }}`, false},
		{"counted", `Options{Token: counter}`, false},
		{"a hash of a count", `Options{Token: func() string { return hash(n) }}`, false},
		{"drawn and dropped", `Options{Token: func() string { _ = rand.Text(); return hash(n) }}`, false},
		{"drawn at times", `Options{Token: func() string { if odd { return "x" }; return rand.Text() }}`, false},
		{"drawn once for all", `Options{Token: func() string { return once }}`, false},
		{"by another function", `Options{Owner: host()}`, false},
	} {
		source := "package p\nimport \"crypto/rand\"\nfunc owner() string { return fmt.Sprintf(\"%s/%s\", host(), rand.Text()[:6]) }\n" +
			"func host() string { return \"h\" }\nvar _ = " + c.code + "\n"
		f, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := wiring(f); len(got) != 1 || got[0].drawn != c.want {
			t.Errorf("%s: %+v, want it drawn: %t", c.name, got, c.want)
		}
		other, err := parser.ParseFile(token.NewFileSet(), "p.go", strings.Replace(source, "crypto/rand", "example.com/rand", 1), parser.SkipObjectResolution)
		if err != nil || wiring(other)[0].drawn {
			t.Errorf("%s, by a package that only has the name: %v", c.name, err)
		}
	}
}

// wire is one place where something is given what names it or keeps it apart.
type wire struct {
	pos   token.Pos
	name  string
	drawn bool
}

// wiring finds what a file gives as Token, NewID and Owner.
func wiring(f *ast.File) (out []wire) {
	d := drawer{functions: map[string]*ast.BlockStmt{}}
	for _, decl := range f.Decls {
		if fn, ok := decl.(*ast.FuncDecl); ok && fn.Recv == nil {
			d.functions[fn.Name.Name] = fn.Body
		}
	}
	ast.Inspect(f, func(n ast.Node) bool {
		kv, ok := n.(*ast.KeyValueExpr)
		if !ok {
			return true
		}
		key, ok := kv.Key.(*ast.Ident)
		if ok && slices.Contains([]string{"Token", "NewID", "Owner"}, key.Name) {
			d.short = key.Name == "Owner" // a name that is not a secret may be short
			out = append(out, wire{kv.Pos(), key.Name, imports(f, "crypto/rand") && d.drawn(kv.Value)})
		}
		return true
	})
	return out
}

// drawer knows a file's functions, and whether what is drawn may be shortened.
type drawer struct {
	functions map[string]*ast.BlockStmt
	short     bool
}

// drawn says that an expression is rand.Text, or holds what it gave.
func (d drawer) drawn(e ast.Expr) bool {
	switch x := e.(type) {
	case *ast.SelectorExpr:
		room, ok := x.X.(*ast.Ident)
		return ok && room.Name == "rand" && x.Sel.Name == "Text"
	case *ast.CallExpr:
		if id, ok := x.Fun.(*ast.Ident); ok {
			return d.returns(d.functions[id.Name])
		}
		room, name := called(x)
		return d.drawn(x.Fun) || room == "fmt" && name == "Sprintf" && slices.ContainsFunc(x.Args, d.drawn)
	case *ast.BinaryExpr:
		return x.Op == token.ADD && (d.drawn(x.X) || d.drawn(x.Y))
	case *ast.SliceExpr:
		return d.short && d.drawn(x.X)
	case *ast.FuncLit:
		return d.returns(x.Body)
	}
	return false
}

// returns says that a function always returns what was drawn.
func (d drawer) returns(body *ast.BlockStmt) bool {
	if body == nil {
		return false
	}
	n, all := 0, true
	ast.Inspect(body, func(node ast.Node) bool {
		if r, ok := node.(*ast.ReturnStmt); ok {
			n, all = n+1, all && len(r.Results) == 1 && d.drawn(r.Results[0])
		}
		return true
	})
	return n > 0 && all
}
