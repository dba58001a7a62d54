package sqlite

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/enginetest"
)

const things = "things"

// Guards what docs/runbook.md tells operators: VACUUM INTO, run by another program beside a running server, gives a file
// that is a store of that moment, and disturbs no write.
func TestBackupOfARunningStore(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	e := openAt(t, path, enginetest.Collections())
	for i := range 50 {
		d := store.Doc{ID: fmt.Sprint("d", i), Body: []byte(`{"n":1}`), Index: map[string]any{"tags": []string{"t"}}}
		if err := e.Insert(t.Context(), things, d); err != nil {
			t.Fatal(err)
		}
	}
	copied := filepath.Join(t.TempDir(), "backup.db")
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), "VACUUM INTO ?", copied); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if err := e.Replace(t.Context(), things, store.Doc{ID: "d1", Body: []byte(`{"n":2}`)}, 1); err != nil {
		t.Fatal(err)
	}
	restored := openAt(t, copied, enginetest.Collections())
	docs, _, err := restored.Scan(t.Context(), things, "", store.MaxLimit)
	if err != nil || len(docs) != 50 {
		t.Fatalf("%d documents, %v", len(docs), err)
	}
	for _, d := range docs {
		if d.Version != 1 || string(d.Body) != `{"n":1}` {
			t.Errorf("not of that moment: %+v", d)
		}
	}
	found, _, err := restored.Query(t.Context(), things, store.Query{Index: "by_tag", Where: []store.Filter{store.Where("tags", store.Eq, "t")}})
	if err != nil || len(found) != 50 {
		t.Errorf("by tag: %d, %v", len(found), err)
	}
}

// Guards docs/privacy.md: what was overwritten or deleted does not stand in the file any more, neither in its free pages
// nor in the rests of pages in use, large or small, once the log is copied.
func TestOverwrittenTextsLeaveTheFile(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	e := openAt(t, path, enginetest.Collections())
	body := func(text string, n int) []byte { return fmt.Appendf(nil, `{"t":"%s"}`, strings.Repeat(text, n)) }
	const secret = "anna@example.com"
	for i, n := range []int{1, 20, 600, 6000} {
		for _, id := range []string{"replaced", "shortened", "deleted"} {
			d := store.Doc{ID: fmt.Sprint(id, i), Body: body(secret, n), Index: map[string]any{"name": secret, "tags": []string{secret}}}
			if err := e.Insert(t.Context(), things, d); err != nil {
				t.Fatal(err)
			}
		}
	}
	for i, n := range []int{1, 20, 600, 6000} {
		for _, err := range []error{
			e.Replace(t.Context(), things, store.Doc{ID: fmt.Sprint("replaced", i), Body: body("[erased]________", n)}, 1),
			e.Replace(t.Context(), things, store.Doc{ID: fmt.Sprint("shortened", i), Body: []byte(`{"t":""}`)}, 1),
			e.Delete(t.Context(), things, fmt.Sprint("deleted", i), 1),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	mustClose(t, e)
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(data, []byte(secret)); n > 0 {
		t.Errorf("the address stands in the file %d times", n)
	}
	if _, err := os.Stat(path + "-wal"); err == nil {
		t.Error("the log is still there")
	}
}

// Guards against a mixture of two states: a backup that is put back while the log of a killed process still lies beside
// it is refused, in words that help, and neither file is changed. Without the log the backup opens; and the log of a
// killed process beside its own file is no reason to refuse.
func TestBackupBesideAStrangeLogIsRefused(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	insert := func(e *Engine, from, n int) {
		for i := range n {
			if err := e.Insert(t.Context(), things, store.Doc{ID: fmt.Sprintf("d%05d", from+i), Body: fmt.Appendf(nil, `{"n":"%0500d"}`, i)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	read := func(path string) []byte {
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	put := func(file, log []byte) string {
		to := tempFile(t)
		for name, data := range map[string][]byte{to: file, to + "-wal": log} {
			if err := os.WriteFile(name, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		return to
	}
	e := openAt(t, path, enginetest.Collections())
	insert(e, 0, 100)
	mustClose(t, e)
	backup := read(path)
	e = openAt(t, path, enginetest.Collections())
	insert(e, 1000, 300)
	other, err := connect(t.Context(), dsn(path, "rw", "synchronous(FULL)"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.exec("PRAGMA wal_checkpoint(RESTART)"); err != nil { // what follows fits no state of the backup's
		t.Fatal(err)
	}
	if err := other.close(); err != nil {
		t.Fatal(err)
	}
	insert(e, 2000, 200)
	file, log := read(path), read(path+"-wal") // as kill -9 leaves them

	mixed := put(backup, log)
	for _, readOnly := range []bool{true, false} {
		_, err := Open(t.Context(), Options{Path: mixed, Collections: enginetest.Collections(), ReadOnly: readOnly})
		if !errors.Is(err, ErrDamaged) || !strings.Contains(err.Error(), "t.db-wal") {
			t.Errorf("a backup beside a strange log, to be read only: %v: %v", readOnly, err)
		}
	}
	if !bytes.Equal(read(mixed), backup) || !bytes.Equal(read(mixed+"-wal"), log) {
		t.Error("the refusal changed the files")
	}
	if err := os.Remove(mixed + "-wal"); err != nil {
		t.Fatal(err)
	}
	if n, err := openAt(t, mixed, enginetest.Collections()).Count(t.Context(), things); err != nil || n != 100 {
		t.Errorf("the backup without the log: %d documents, %v", n, err)
	}
	if n, err := openAt(t, put(file, log), enginetest.Collections()).Count(t.Context(), things); err != nil || n != 600 {
		t.Errorf("what kill -9 left: %d documents, %v", n, err)
	}
}
