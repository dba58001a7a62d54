// Package docs has no code of its own: its tests keep the pages in this folder,
// and the rules they state, in step with the code.
package docs

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Promise: the runbook lists every metric there is, and no page names one that there isn't.
func TestMetricsAreListed(t *testing.T) {
	t.Parallel()
	exist := map[string]bool{}
	for _, m := range regexp.MustCompile(`Name: "(trifecta_\w+)"`).FindAllStringSubmatch(read(t, "../cmd/trifecta/house/metrics.go"), -1) {
		exist[m[1]] = true
		if !strings.Contains(read(t, "runbook.md"), "| `"+m[1]+"` |") {
			t.Errorf("runbook.md does not list the metric %s", m[1])
		}
	}
	if len(exist) == 0 {
		t.Fatal("no metric found")
	}
	for _, page := range []string{"runbook.md", "alerts.md", "risk.md", "mongodb.md", "../README.md"} {
		for _, m := range regexp.MustCompile("`(trifecta_\\w+)`").FindAllStringSubmatch(read(t, page), -1) {
			if !exist[m[1]] {
				t.Errorf("%s names a metric %s, which does not exist", page, m[1])
			}
		}
	}
}

// Promise: every direct dependency is explained in dependencies.md, and nothing
// is explained there that is gone.
func TestDependenciesAreExplained(t *testing.T) {
	t.Parallel()
	page := read(t, "dependencies.md")
	block := regexp.MustCompile(`(?m)^\s*(?:require )?([a-z0-9.-]+\.[a-z]+/\S+) v\S+$`)
	direct := map[string]bool{}
	for _, m := range block.FindAllStringSubmatch(read(t, "../go.mod"), -1) {
		direct[m[1]] = true
		if !strings.Contains(page, "| `"+m[1]+"` |") {
			t.Errorf("go.mod requires %s, dependencies.md does not say why", m[1])
		}
	}
	if len(direct) == 0 {
		t.Fatal("found no requirement in go.mod")
	}
	product, _, _ := strings.Cut(page, "Not in `go.mod`")
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(product, -1) {
		if !direct[m[1]] {
			t.Errorf("dependencies.md explains %s, which go.mod does not require directly", m[1])
		}
	}
	for _, row := range regexp.MustCompile("(?m)^\\| `.*$").FindAllString(page, -1) {
		for cell := range strings.SplitSeq(strings.Trim(row, "| "), "|") {
			if strings.TrimSpace(cell) == "" {
				t.Errorf("an empty cell in %s", row)
			}
		}
	}
}

// Promise: an alert that somebody waits for, because alerts.md names its kind, is raised
// somewhere: a pager that is routed to a kind which nobody raises stays silent for ever.
func TestEveryKindOfAlertIsRaised(t *testing.T) {
	t.Parallel()
	kinds := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (?:info|warning|critical) \\|").FindAllStringSubmatch(read(t, "alerts.md"), -1)
	if len(kinds) < 20 {
		t.Fatalf("found %d kinds in alerts.md", len(kinds))
	}
	var source strings.Builder
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		skip := strings.HasSuffix(path, "_test.go") || strings.HasSuffix(path, "alerts/kinds.go") || strings.HasSuffix(path, "watch/causes.go")
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".go") && !skip {
			source.WriteString(read(t, path))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range kinds {
		if !strings.Contains(source.String(), `"`+k[1]+`"`) {
			t.Errorf("nothing raises %s", k[1])
		}
	}
}

// Promise: links between pages lead somewhere.
func TestLinksLeadSomewhere(t *testing.T) {
	t.Parallel()
	link := regexp.MustCompile(`\]\(([^)#\s]+)(?:#[^)]*)?\)`)
	for _, root := range []string{".", "../README.md", "../CONTRIBUTING.md", "../CHANGELOG.md"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".md" {
				return err
			}
			for _, m := range link.FindAllStringSubmatch(read(t, path), -1) {
				if strings.Contains(m[1], "://") {
					continue
				}
				if _, err := os.Stat(filepath.Join(filepath.Dir(path), m[1])); err != nil {
					t.Errorf("%s links to %s: %v", path, m[1], err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Promise: no goroutine starts in a room that decides: work there is a step that
// somebody calls, so that a simulator can call it too. (No linter has this rule.)
func TestHouseNoBareGoroutines(t *testing.T) {
	t.Parallel()
	eachFile(t, []string{"../gateway", "../webhooks", "../reconcile"}, func(path string, f *ast.File, at func(token.Pos) token.Position) {
		ast.Inspect(f, func(n ast.Node) bool {
			if g, ok := n.(*ast.GoStmt); ok {
				t.Errorf("%s: a go statement in %s", at(g.Pos()), path)
			}
			return true
		})
	})
}

// Promise: nothing runs before main: no init functions, so that importing a
// package never changes the program.
func TestHouseNoInit(t *testing.T) {
	t.Parallel()
	eachFile(t, []string{".."}, func(_ string, f *ast.File, at func(token.Pos) token.Position) {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: an init function", at(fn.Pos()))
			}
		}
	})
}

// eachFile parses every non-test Go file below those roots that exist; one must.
func eachFile(t *testing.T, roots []string, visit func(path string, f *ast.File, at func(token.Pos) token.Position)) {
	t.Helper()
	files, fset := 0, token.NewFileSet()
	for _, root := range roots {
		if _, err := os.Stat(root); errors.Is(err, fs.ErrNotExist) {
			continue
		}
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
				return err
			}
			f, err := parser.ParseFile(fset, path, planted(t, path), parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			files++
			visit(path, f, fset.Position)
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files == 0 {
		t.Fatalf("no Go file below %v", roots)
	}
}

// planted is a file with a bug in it, nil where there is none: cmd/planted builds with an
// overlay of the source, and who reads source must read that one.
func planted(t *testing.T, path string) any {
	t.Helper()
	var overlay struct{ Replace map[string]string }
	list := os.Getenv("TRIFECTA_SOURCE_OVERLAY")
	if list == "" {
		return nil
	}
	whole, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal([]byte(read(t, list)), &overlay); err != nil {
		t.Fatal(err)
	}
	if file := overlay.Replace[whole]; file != "" {
		return read(t, file)
	}
	return nil
}

// Promise: proof.md lists exactly the fuzz targets there are, each in its package.
func TestFuzzTargetsAreListed(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	eachTest(t, "Fuzz", func(pkg, name string) { have[name+" "+pkg] = true })
	listed := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| (Fuzz\\w+) \\| `([^`]+)` \\|").FindAllStringSubmatch(read(t, "proof.md"), -1) {
		listed[m[1]+" "+m[2]] = true
	}
	if len(have) < 15 {
		t.Fatalf("found only %v", have)
	}
	for k := range have {
		if !listed[k] {
			t.Errorf("%s is not in proof.md", k)
		}
	}
	for k := range listed {
		if !have[k] {
			t.Errorf("proof.md lists %s, which is not there", k)
		}
	}
}

// eachTest visits the test functions of the product whose names begin with prefix.
func eachTest(t *testing.T, prefix string, visit func(pkg, name string)) {
	t.Helper()
	form := regexp.MustCompile(`(?m)^func (` + prefix + `\w+)\((?:t|f|_) \*testing\.[TF]\)`)
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, "_test.go") {
			return err
		}
		for _, m := range form.FindAllStringSubmatch(read(t, path), -1) {
			visit(strings.TrimPrefix(filepath.ToSlash(filepath.Dir(path)), "../"), m[1])
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Promise: every test that security.md names is there, in its package, and every row
// has a verdict; a row that is held names a test.
func TestSecurityListNamesItsTests(t *testing.T) {
	t.Parallel()
	have := map[string]bool{}
	for _, prefix := range []string{"Test", "Fuzz"} {
		eachTest(t, prefix, func(pkg, name string) { have[pkg+" "+name] = true })
	}
	rows := regexp.MustCompile(`(?m)^\| ([A-L]\d+) \|[^|]*\|[^|]*\|([^|]*)\|([^|]*)\|$`).FindAllStringSubmatch(read(t, "security.md"), -1)
	if len(rows) < 100 {
		t.Fatalf("only %d rows were read", len(rows))
	}
	seen := map[string]bool{}
	for _, r := range rows {
		if seen[r[1]] {
			t.Errorf("%s is there twice", r[1])
		}
		seen[r[1]] = true
		named := namedTests(r[2])
		for _, name := range named {
			if !have[name] {
				t.Errorf("%s: there is no %s", r[1], name)
			}
		}
		verdict := strings.TrimSpace(r[3])
		if !regexp.MustCompile(`^(held|partly|open|not there)`).MatchString(verdict) || strings.HasPrefix(verdict, "held") && len(named) == 0 {
			t.Errorf("%s: verdict %q with %d tests", r[1], verdict, len(named))
		}
	}
}

// namedTests are the tests that a cell names, each after its package: "store TestX".
func namedTests(cell string) (names []string) {
	pkg := ""
	for _, m := range regexp.MustCompile("`([^`]+)`|\\b((?:Test|Fuzz)\\w+)").FindAllStringSubmatch(cell, -1) {
		if m[1] != "" {
			pkg = m[1]
			continue
		}
		names = append(names, pkg+" "+m[2])
	}
	return names
}

// Promise: who integrates an app is told what to do about every status and every error code there is, and of none that
// there isn't.
func TestIntegratingIsComplete(t *testing.T) {
	t.Parallel()
	page := read(t, "integrating.md")
	section := func(from, to string) string {
		_, rest, ok := strings.Cut(page, from)
		if !ok {
			t.Fatalf("integrating.md has no section %q", from)
		}
		body, _, _ := strings.Cut(rest, to)
		return body
	}
	for _, c := range []struct{ file, code, told, section string }{
		{"../gateway/payment/status.go", `Status\w+ +Status += "(\w+)"`, "(?m)^\\| `(\\w+)` \\|", section("## What each status", "Dead is not")},
		{"../gateway/payment/errors.go", `Code\w+ +Code = "(\w+)"`, "`([a-z]+_?[a-z_]*)`", section("| answer | what happened", "**Keys.**")},
	} {
		exist := map[string]bool{}
		for _, m := range regexp.MustCompile(c.code).FindAllStringSubmatch(read(t, c.file), -1) {
			exist[m[1]] = true
			if !strings.Contains(c.section, "`"+m[1]+"`") {
				t.Errorf("integrating.md does not say what to do about %s", m[1])
			}
		}
		if len(exist) < 8 {
			t.Fatalf("only %d names found in %s", len(exist), c.file)
		}
		for _, m := range regexp.MustCompile(c.told).FindAllStringSubmatch(c.section, -1) {
			if !exist[m[1]] && !slices.Contains([]string{"status", "errors", "detail"}, m[1]) {
				t.Errorf("integrating.md names %s, which does not exist", m[1])
			}
		}
	}
}
