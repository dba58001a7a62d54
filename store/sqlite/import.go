package sqlite

import (
	"context"
	"database/sql/driver"
	"fmt"

	"github.com/trifecta-pay/trifecta/store"
)

var (
	_ store.Importer = (*Engine)(nil)
	_ store.Counter  = (*Engine)(nil)
)

// Import implements store.Importer. Here it is one transaction.
func (e *Engine) Import(ctx context.Context, coll string, docs []store.Doc) error {
	t, err := e.table(coll)
	if err != nil {
		return err
	}
	if docs, err = t.decl.CheckedImport(docs); err != nil || len(docs) == 0 {
		return err
	}
	rows := make([][]any, 0, len(docs))
	for _, d := range docs {
		index, err := encodeIndex(d.Index)
		if err != nil {
			return err
		}
		rows = append(rows, append([]any{d.ID, d.Version, d.Body, index}, t.columnValues(d)...))
	}
	return e.submit(ctx, func(c *changes) error {
		for i, d := range docs {
			c.forgets(place{coll, d.ID})
			old, version := "{}", int64(0)
			err := c.rows(context.Background(), t.replacedSQL, []any{d.ID}, func(row []driver.Value) error {
				old, _ = row[0].(string)
				version, _ = row[1].(int64) // the column's type
				return nil
			})
			if err != nil {
				return err
			}
			if version > d.Version {
				continue
			}
			if err := c.dropSides(t, d.ID, old); err != nil {
				return err
			}
			if _, err := c.exec(t.importSQL, rows[i]...); err != nil {
				return err
			}
			if err := c.addSides(t, d); err != nil {
				return err
			}
		}
		return nil
	})
}

// Count implements store.Counter.
func (e *Engine) Count(ctx context.Context, coll string) (int64, error) {
	t, err := e.table(coll)
	if err != nil {
		return 0, err
	}
	if e.absent[coll] {
		return 0, nil
	}
	var n int64
	err = e.readers.with(ctx, func(c *conn) error {
		return c.longRow(ctx, "SELECT count(*) FROM "+t.name, nil, func(row []driver.Value) error {
			n, _ = row[0].(int64) // a count is an integer
			return nil
		})
	})
	if err != nil {
		return 0, fmt.Errorf("count %s: %w", coll, err)
	}
	return n, nil
}
