package mem

import (
	"context"

	"github.com/trifecta-pay/trifecta/store"
)

var (
	_ store.Importer = (*Engine)(nil)
	_ store.Counter  = (*Engine)(nil)
)

// Import implements store.Importer.
func (e *Engine) Import(ctx context.Context, coll string, docs []store.Doc) error {
	c, err := e.open(ctx, coll)
	if err != nil {
		return err
	}
	defer e.mu.Unlock()
	if docs, err = c.decl.CheckedImport(docs); err != nil {
		return err
	}
	for _, d := range docs {
		if old, ok := c.docs[d.ID]; ok {
			if old.Version > d.Version {
				continue
			}
			c.drop(old)
		}
		c.put(d)
	}
	return nil
}

// Count implements store.Counter.
func (e *Engine) Count(ctx context.Context, coll string) (int64, error) {
	c, err := e.open(ctx, coll)
	if err != nil {
		return 0, err
	}
	defer e.mu.Unlock()
	return int64(len(c.docs)), nil
}
