package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/trifecta-pay/trifecta/store"
)

// openToRead opens an existing file without changing a byte of it: no schema is brought up to date, and what the log
// of a killed process holds is read, but stays in the log.
func (e *Engine) openToRead(ctx context.Context, path string, colls []store.Collection) (err error) {
	close(e.done) // there is no writer to wait for
	e.readOnly, e.absent = true, map[string]bool{}
	e.readers = newPool(dsn(path, "ro", "query_only(1)"))
	db, err := sql.Open("sqlite", e.readers.dsn)
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	conn, err := db.Conn(ctx)
	if err != nil {
		return classify(ctx, "open", err)
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	fresh, err := checkHeader(ctx, conn)
	if err != nil {
		return err
	}
	if fresh {
		return errors.New("the file holds no store")
	}
	for _, c := range colls {
		t := newTable(c)
		e.tables[c.Name] = t
		var there int
		if err := conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?", t.name).Scan(&there); err != nil {
			return classify(ctx, "read schema", err)
		}
		e.absent[c.Name] = there == 0
	}
	return nil
}
