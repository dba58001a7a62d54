package sqlite

import (
	"database/sql/driver"
	"fmt"
	"testing"

	"github.com/trifecta-pay/trifecta/store"
)

// Guards the file against a read that panics in the middle of a transaction (a server lives on): the log can be copied
// into the file all the same, and reads go on.
func TestPanicLeavesNoTransactionOpen(t *testing.T) {
	t.Parallel()
	path := tempFile(t)
	e := openAt(t, path, indexed())
	for i := range 3 {
		if err := e.Insert(t.Context(), "things", store.Doc{ID: fmt.Sprint("before", i), Body: []byte(`{}`)}); err != nil {
			t.Fatal(err)
		}
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = e.readers.with(t.Context(), func(c *conn) error {
			return c.together(true, func() error {
				if found, err := c.get(t.Context(), e.tables["things"], "before1"); found == nil || err != nil {
					t.Errorf("%v, %v", found, err)
				}
				panic("a bug in what decodes")
			})
		})
	}()
	if err := e.Insert(t.Context(), "things", store.Doc{ID: "after", Body: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	c, err := connect(t.Context(), dsn(path, "rw", "busy_timeout(100)"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.close() }()
	var busy any
	err = c.rows(t.Context(), "PRAGMA wal_checkpoint(TRUNCATE)", nil, func(row []driver.Value) error {
		busy = row[0]
		return nil
	})
	if err != nil || busy != int64(0) {
		t.Errorf("the log can't be copied: busy %v, %v", busy, err)
	}
	if _, found := fromFile(t, e, "after"); !found {
		t.Error("not found")
	}
}
