package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Fault is one thing wrong with a configuration. It never contains the value of
// a secret.
type Fault struct {
	// Path names the key, such as accounts[0].secret_key; empty for the file as
	// a whole.
	Path string
	// Line is where the key stands in the file, counted from 1, or the nearest
	// line that is there when the key is missing; 0 if it is not from a file.
	Line int
	// Env is the environment variable that gave the value, if one did.
	Env string
	// Problem is the rule that is broken; Fix is what to change.
	Problem, Fix string
}

// String prints the fault on one line.
func (f Fault) String() string {
	var b strings.Builder
	switch {
	case f.Env != "":
		fmt.Fprintf(&b, "%s: ", f.Env)
	case f.Line > 0:
		fmt.Fprintf(&b, "line %d: ", f.Line)
	}
	if f.Path != "" {
		fmt.Fprintf(&b, "%s: ", f.Path)
	}
	b.WriteString(f.Problem)
	if f.Fix != "" {
		b.WriteString(". " + f.Fix)
	}
	return b.String()
}

// Error is every fault of a configuration at once, so that nobody has to start
// the server ten times to find ten of them.
type Error struct {
	// File is the file that was read, "" for none.
	File string
	// Faults are in order of line; it is never empty.
	Faults []Fault
}

// Error prints one fault a line below a heading.
func (e *Error) Error() string {
	var b strings.Builder
	name := e.File
	if name == "" {
		name = "from the environment alone (no file was named)"
	}
	fmt.Fprintf(&b, "configuration %s refused, %d fault", name, len(e.Faults))
	if len(e.Faults) != 1 {
		b.WriteByte('s')
	}
	b.WriteByte(':')
	for _, f := range e.Faults {
		b.WriteString("\n  - " + f.String())
	}
	return b.String()
}

// faults collects, and turns into an error only at the end.
type faults struct{ list []Fault }

func (fs *faults) add(path, problem, fix string, args ...any) {
	fs.list = append(fs.list, Fault{Path: path, Problem: problem, Fix: fmt.Sprintf(fix, args...)})
}

func (fs *faults) has(path string) bool {
	return slices.ContainsFunc(fs.list, func(f Fault) bool { return f.Path == path })
}

// err sorts by line, keeping the order of the rules within a line.
func (fs *faults) err(file string) error {
	if len(fs.list) == 0 {
		return nil
	}
	slices.SortStableFunc(fs.list, func(a, b Fault) int { return cmp.Compare(a.Line, b.Line) })
	return &Error{File: file, Faults: fs.list}
}
