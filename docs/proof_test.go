package docs

import (
	"go/ast"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Promise: every test that proof.md or write-points.md names is there. (What the planted
// bugs name may be patterns; cmd/planted runs them.)
func TestProofNamesItsTests(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	eachTest(t, "Test", func(_, name string) { have[name] = true })
	pages := read(t, "write-points.md")
	head, rest, _ := strings.Cut(read(t, "proof.md"), "<!-- planted bugs")
	_, foot, ok := strings.Cut(rest, "<!-- end of planted bugs -->")
	if !ok {
		t.Fatal("proof.md lost the marks around the planted bugs")
	}
	names := regexp.MustCompile(`\bTest[A-Z]\w+`).FindAllString(pages+head+foot, -1)
	if len(names) < 100 {
		t.Fatalf("only %d tests are named", len(names))
	}
	for _, name := range names {
		if !have[name] {
			t.Errorf("there is no %s", name)
		}
	}
}

// Promise: those who check the books share no code with whom they check, their tests
// included, so that they can't share a mistake.
func TestCheckersShareNoCode(t *testing.T) {
	t.Parallel()
	for _, root := range []string{"../cmd/sim/judge", "../cmd/checkbooks"} {
		eachFile(t, []string{root}, func(path string, f *ast.File, _ func(token.Pos) token.Position) {
			for _, i := range f.Imports {
				if name, err := strconv.Unquote(i.Path.Value); err != nil || strings.Contains(name, ".") {
					t.Errorf("%s imports %s", path, i.Path.Value)
				}
			}
		})
	}
}

// K1: Promise: what is compared with a secret or a signature is compared in constant
// time: a file that makes signatures compares bytes with hmac.Equal or crypto/subtle.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	files := 0
	eachFile(t, []string{"../config", "../gateway", "../providers/stripe", "../providers/paypal", "../store", "../webhooks"}, func(path string, f *ast.File, at func(token.Pos) token.Position) {
		secret := false
		for _, i := range f.Imports {
			secret = secret || i.Path.Value == `"crypto/hmac"` || i.Path.Value == `"crypto/subtle"`
		}
		if !secret {
			return
		}
		files++
		ast.Inspect(f, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.CallExpr:
				if s, ok := x.Fun.(*ast.SelectorExpr); ok {
					if room, ok := s.X.(*ast.Ident); ok && (room.Name == "bytes" || room.Name == "slices") && (s.Sel.Name == "Equal" || s.Sel.Name == "Compare") {
						t.Errorf("%s: %s.%s beside signatures", at(x.Pos()), room.Name, s.Sel.Name)
					}
				}
			case *ast.BinaryExpr:
				if (x.Op == token.EQL || x.Op == token.NEQ) && (texted(x.X) || texted(x.Y)) {
					t.Errorf("%s: bytes compared as texts beside signatures", at(x.Pos()))
				}
			}
			return true
		})
	})
	if files < 4 {
		t.Errorf("only %d files compare secrets", files)
	}
}

// texted says that an expression makes a string of bytes.
func texted(e ast.Expr) bool {
	c, ok := e.(*ast.CallExpr)
	if !ok {
		return false
	}
	name, ok := c.Fun.(*ast.Ident)
	return ok && name.Name == "string"
}

// Promise: fuzzing starts from examples: each target has seeds in its code.
func TestFuzzTargetsHaveSeeds(t *testing.T) {
	t.Parallel()
	target := regexp.MustCompile(`(?ms)^func (Fuzz\w+)\(f \*testing\.F\) \{\n(.*?)^\}`)
	n := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range target.FindAllStringSubmatch(read(t, path), -1) {
			n++
			if !strings.Contains(m[2], "f.Add(") && !strings.Contains(m[2], "(f)") && !strings.Contains(m[2], "(f,") {
				t.Errorf("%s: %s has no seeds", path, m[1])
			}
		}
		return nil
	})
	if err != nil || n < 20 {
		t.Errorf("%d targets, %v", n, err)
	}
}
