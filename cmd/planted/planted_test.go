package main

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The catalogue fits the source as it is: each patch has its one place and changes
// it, each name is its own, what the simulator must say is said of nothing else, and
// there are at least thirty.
func TestCatalogue(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for _, b := range catalogue() {
		if _, err := b.patched("../.."); err != nil || b.old == b.new {
			t.Errorf("%s: %v", b.name, err)
		}
		if seen[b.name] || (b.test == "") == (b.mode == "") || b.mode != "" && b.seeds == 0 {
			t.Errorf("%s is no entry", b.name)
		}
		// The simulator says many things, with random ids in them: a letter and a digit are in most of it.
		if b.mode != "" && len(b.says) < len("I7 pay_") {
			t.Errorf("%s is caught by whatever the simulator says: %q", b.name, b.says)
		}
		seen[b.name] = true
	}
	if len(seen) < 30 {
		t.Errorf("only %d bugs", len(seen))
	}
}

// docs/proof.md lists the catalogue; TRIFECTA_WRITE_DOCS=1 writes the list.
func TestDocsPlanted(t *testing.T) {
	t.Parallel()
	const file, from, to = "../../docs/proof.md", "<!-- planted bugs, from cmd/planted -->\n", "<!-- end of planted bugs -->"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var want strings.Builder
	want.WriteString("\n| bug | in | caught by |\n|---|---|---|\n")
	for _, b := range catalogue() {
		fmt.Fprintf(&want, "| %s | `%s` | %s |\n", strings.ReplaceAll(b.name, "_", " "), b.file, b.by())
	}
	want.WriteString("\n")
	head, rest, ok := strings.Cut(string(page), from)
	have, foot, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatal("docs/proof.md lost the marks around the list")
	}
	if os.Getenv("TRIFECTA_WRITE_DOCS") != "" {
		if err := os.WriteFile(file, []byte(head+from+want.String()+to+foot), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have != want.String() {
		t.Error("docs/proof.md does not list the catalogue: make docs")
	}
}
