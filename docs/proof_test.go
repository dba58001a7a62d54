package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"iter"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
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

// Promise: of a write that no scene reaches, write-points.md names a test that is there, in
// its package.
func TestWritePointsNameTheirTests(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	eachTest(t, "Test", func(pkg, name string) { have[pkg+" "+name] = true })
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\| \\| \\| \\| \\|(.*)\\|$").FindAllStringSubmatch(read(t, "write-points.md"), -1)
	if len(rows) < 20 {
		t.Fatalf("only %d rows were read", len(rows))
	}
	for _, r := range rows {
		named := namedTests(r[2])
		for _, name := range named {
			if !have[name] {
				t.Errorf("%s: there is no %s", r[1], name)
			}
		}
		if len(named) == 0 {
			t.Errorf("%s: no scene reaches it, and no test is named: %s", r[1], r[2])
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

// constantTime are the files that hold secrets or make signatures; true where they compare
// them too. A file is judged because it stands here, not because of what it imports: one
// that compares with == needs no import.
var constantTime = map[string]bool{
	"../cmd/bench/floor.go":                    true,
	"../config/secret.go":                      true,
	"../gateway/service.go":                    true, // customers' tokens
	"../providers/sandbox/stripeapi/events.go": false,
	"../providers/stripe/verify.go":            true,
	"../store/erasedearlier.go":                true, // of an address
	"../store/pagecursor.go":                   true,
	"../store/seal/seal.go":                    true,
	"../webhooks/egress/sign.go":               false, // our signatures, which receivers compare
}

// K1: Promise: what is compared with a secret or a signature is compared in constant
// time: a file that makes signatures compares bytes with hmac.Equal or crypto/subtle,
// and a signature in whatever spelling with nothing else.
func TestSecretsAreComparedInConstantTime(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	eachFile(t, []string{".."}, func(path string, f *ast.File, at func(token.Pos) token.Position) {
		compares, known := constantTime[filepath.ToSlash(path)]
		if !known && !imports(f, "crypto/hmac") && !imports(f, "crypto/subtle") {
			return
		}
		seen[filepath.ToSlash(path)] = true
		if !known {
			t.Errorf("%s handles secrets: name it in constantTime", path)
		}
		if compares != patiently(f) {
			t.Errorf("%s compares in constant time: %t, want %t", path, !compares, compares)
		}
		for pos, what := range hastyComparisons(f) {
			t.Errorf("%s: %s beside signatures", at(pos), what)
		}
	})
	for path := range constantTime {
		if !seen[path] {
			t.Errorf("there is no %s", path)
		}
	}
}

func imports(f *ast.File, path string) bool {
	return slices.ContainsFunc(f.Imports, func(i *ast.ImportSpec) bool { return i.Path.Value == strconv.Quote(path) })
}

// patiently says that a file compares in constant time somewhere.
func patiently(f *ast.File) (found bool) {
	ast.Inspect(f, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			room, name := called(c)
			found = found || room == "hmac" && name == "Equal" || room == "subtle" && name == "ConstantTimeCompare"
		}
		return !found
	})
	return found
}

// Guards the guard: each way to compare a signature hastily is seen, and what a file with
// signatures rightly does is not.
func TestHastyComparisonsAreSeen(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, code string
		want       int
	}{
		{"as texts", `ok = string(mac.Sum(nil)) == sig`, 1},
		{"as texts of any bytes", `ok = sig != string(given)`, 1},
		{"in hex", `want := hex.EncodeToString(mac.Sum(nil)); ok = want == sig`, 1},
		{"in hex, by way of the bytes", `sum := mac.Sum(nil); want := hex.EncodeToString(sum); ok = sig != want`, 1},
		{"in hex, on the spot", `ok = base64.StdEncoding.EncodeToString(mac.Sum(nil)) == sig`, 1},
		{"printed", `var want = fmt.Sprintf("%x", mac.Sum(nil)); if want != sig { return }`, 1},
		{"made by a function", `ok = hex.EncodeToString(made(given)) == sig`, 1},
		{"in any case", `want := hex.EncodeToString(mac.Sum(nil)); ok = strings.EqualFold(sig, want)`, 1},
		{"as texts, in order", `ok = strings.Compare(sig, hex.EncodeToString(mac.Sum(nil))) == 0`, 1},
		{"as bytes", `ok = bytes.Equal(given, other)`, 1},
		{"as slices", `ok = slices.Equal(given, other)`, 1},
		{"as arrays", `ok = [32]byte(mac.Sum(nil)) == array`, 1},
		{"in a switch", `switch hex.EncodeToString(mac.Sum(nil)) { case sig: }`, 1},
		{"as a map's key", `ok = known[hex.EncodeToString(mac.Sum(nil))]`, 1},
		{"by its letters", `ok = strings.HasPrefix(hex.EncodeToString(mac.Sum(nil)), sig)`, 1},

		{"in constant time", `want := mac.Sum(nil); ok = hmac.Equal(want, given) || ok; if ok == true { return }`, 0},
		{"in constant time, by subtle", `ok = subtle.ConstantTimeCompare(mac.Sum(nil), given) == 1`, 0},
		{"lengths", `want := mac.Sum(nil); ok = len(want) == len(given)`, 0},
		{"errors", `out, err := write(mac.Sum(nil)); ok = err == nil && out != nil`, 0},
		{"what another function calls so", `want := hex.EncodeToString(mac.Sum(nil)); h.Set("s", want) }; func g(want string) { ok = want == sig`, 0},
		{"other texts", `ok = sig == "v1" || strings.EqualFold(sig, "v1")`, 0},
	} {
		source := "package p\nfunc made(b []byte) []byte { return mac.Sum(b)[:16] }\nfunc f() {\n" + c.code + "\n}\n"
		f, err := parser.ParseFile(token.NewFileSet(), "p.go", source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := maps.Collect(hastyComparisons(f)); len(got) != c.want {
			t.Errorf("%s: %d complaints, want %d: %v", c.name, len(got), c.want, got)
		}
	}
}

// hastyComparisons are the comparisons in a file with signatures that may end at the first
// difference: of bytes at all, and of whatever came out of a MAC's Sum, by its name.
func hastyComparisons(f *ast.File) iter.Seq2[token.Pos, string] {
	var made sums // within the function
	signed := signatures(f)
	return func(yield func(token.Pos, string) bool) {
		ast.Inspect(f, func(n ast.Node) bool {
			if d, ok := n.(ast.Decl); ok && signed[d] != nil {
				made = signed[d]
			}
			switch x := n.(type) {
			case *ast.CallExpr:
				room, name := called(x)
				switch {
				case (room == "bytes" || room == "slices") && (name == "Equal" || name == "Compare"),
					(room == "strings" || room == "bytes") && slices.ContainsFunc(x.Args, made.in):
					return !compares(name) || yield(x.Pos(), room+"."+name)
				}
			case *ast.BinaryExpr:
				if (x.Op == token.EQL || x.Op == token.NEQ) && !isNil(x.X) && !isNil(x.Y) && (texted(x.X) || texted(x.Y) || made.in(x.X) || made.in(x.Y)) {
					return yield(x.Pos(), x.Op.String())
				}
			case *ast.SwitchStmt:
				return x.Tag == nil || !made.in(x.Tag) || yield(x.Pos(), "a switch")
			case *ast.IndexExpr:
				return !made.in(x.Index) || yield(x.Pos(), "a map")
			}
			return true
		})
	}
}

// sums are the names, in one function, of what came out of a MAC's Sum.
type sums map[string]bool

// signatures follows what comes out of Sum, within each function through assignments and
// from one of the file's functions to the next, until nothing new is named.
func signatures(f *ast.File) map[ast.Decl]sums {
	makers, out := sums{}, map[ast.Decl]sums{}
	for before := -1; before < len(makers); {
		before = len(makers)
		for _, d := range f.Decls {
			out[d] = maps.Clone(makers)
			if fn, ok := d.(*ast.FuncDecl); out[d].follow(d) && ok {
				makers[fn.Name.Name] = true
			}
		}
	}
	return out
}

// follow names what a function makes of sums, and says whether it returns one.
func (s sums) follow(d ast.Decl) (returned bool) {
	for before := -1; before < len(s); {
		before = len(s)
		ast.Inspect(d, func(n ast.Node) bool {
			switch x := n.(type) {
			case *ast.ReturnStmt:
				returned = returned || slices.ContainsFunc(x.Results, s.in)
			case *ast.AssignStmt:
				if slices.ContainsFunc(x.Rhs, s.in) {
					for _, name := range x.Lhs {
						s.name(name)
					}
				}
			case *ast.ValueSpec:
				if slices.ContainsFunc(x.Values, s.in) {
					for _, name := range x.Names {
						s.name(name)
					}
				}
			}
			return true
		})
	}
	return returned
}

func (s sums) name(e ast.Expr) {
	if id, ok := e.(*ast.Ident); ok && id.Name != "_" && id.Name != "err" {
		s[id.Name] = true
	}
}

// in says that an expression holds such a sum. Its length, and the answer of a comparison in
// constant time, hold nothing of it.
func (s sums) in(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		switch x := n.(type) {
		case *ast.CallExpr:
			switch room, name := called(x); {
			case name == "len", room == "hmac" && name == "Equal", room == "subtle":
				return false
			case name == "Sum":
				found = true
			}
		case *ast.Ident:
			found = found || s[x.Name]
		}
		return !found
	})
	return found
}

// called is what a call names: a package or variable, and its function.
func called(c *ast.CallExpr) (room, name string) {
	switch x := c.Fun.(type) {
	case *ast.Ident:
		return "", x.Name
	case *ast.SelectorExpr:
		if id, ok := x.X.(*ast.Ident); ok {
			room = id.Name
		}
		return room, x.Sel.Name
	}
	return "", ""
}

// compares says that a function of strings or bytes tells whether two texts are alike.
func compares(name string) bool {
	return slices.Contains([]string{"Equal", "EqualFold", "Compare", "HasPrefix", "HasSuffix", "Contains", "Index"}, name)
}

func isNil(e ast.Expr) bool {
	id, ok := e.(*ast.Ident)
	return ok && id.Name == "nil"
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
