package sqlite

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
)

// files are the bytes that make up a store: the file and its log. (The shared-memory index of the log and the lock file
// hold nothing of it.)
func files(t *testing.T, path string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	for _, name := range []string{path, path + "-wal"} {
		b, err := os.ReadFile(name)
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			t.Fatal(err)
		}
		if len(b) > 0 {
			out[filepath.Base(name)] = b
		}
	}
	return out
}

// Guards: a store that is copied stays as it was, byte for byte, also when its last process was killed and the latest
// writes are in the log only; and those are read.
func TestReadOnlyTouchesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "killed.db")
	cmd, out, stderr := startChild(t, path)
	last := ""
	for range 40 {
		line, err := out.ReadString('\n')
		if err != nil {
			t.Fatalf("the child ended: %v, %s", err, stderr)
		}
		last, _, _ = strings.Cut(line, " ")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	before := files(t, path)
	if len(before) != 2 {
		t.Fatalf("the killed process left %d files, want the file and its log", len(before))
	}
	colls := append(enginetest.Collections(), store.Collection{Name: "newer", Indexes: []store.Index{{Name: "by_x", Fields: []string{"x"}}}})
	e, err := Open(t.Context(), Options{Path: path, Collections: colls, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Get(t.Context(), "things", last); err != nil {
		t.Errorf("what was acknowledged is not read from the log: %v", err)
	}
	n, err := e.Count(t.Context(), "things")
	docs, _, serr := e.Scan(t.Context(), "things", "", 500)
	if err != nil || serr != nil || n < 10 || int(n) != len(docs) {
		t.Errorf("count %d (%v), scan %d (%v)", n, err, len(docs), serr)
	}
	if docs, next, err := e.Scan(t.Context(), "newer", "", 0); err != nil || len(docs) > 0 || next != "" {
		t.Errorf("scan of a collection that the file lacks: %v, %v", docs, err)
	}
	if _, err := e.Get(t.Context(), "newer", "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("get from a collection that the file lacks: %v", err)
	}
	d := store.Doc{ID: "x", Version: 1, Body: []byte(`{}`)}
	for what, err := range map[string]error{
		"insert": e.Insert(t.Context(), "things", d), "replace": e.Replace(t.Context(), "things", d, 1),
		"delete": e.Delete(t.Context(), "things", last, 3), "import": e.Import(t.Context(), "things", []store.Doc{d}),
	} {
		if !errors.Is(err, store.ErrInvalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := Open(t.Context(), Options{Path: path, Collections: colls}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("a writer beside a reader: %v", err)
	}
	mustClose(t, e)
	if diff := cmp.Diff(before, files(t, path), cmp.Comparer(bytes.Equal)); diff != "" {
		t.Error("the files were changed")
	}
	if _, err := Open(t.Context(), Options{Path: path + ".nope", Collections: colls, ReadOnly: true}); err == nil {
		t.Error("a file that isn't there was opened")
	}
	if _, err := os.Stat(path + ".nope"); err == nil {
		t.Error("a file that isn't there was made")
	}
}
