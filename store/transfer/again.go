package transfer

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/store"
)

// unchanged compares the source with what was recorded of it when the copy was finished. The target is not looked at:
// it may be in use since, and then it differs for good reasons.
func (r *run) unchanged(ctx context.Context) error {
	var err error
	if r.total, err = total(ctx, r.Options); err != nil {
		return err
	}
	var changed []string
	for _, c := range r.Collections {
		found, err := r.digestSource(ctx, c)
		if err != nil {
			return fmt.Errorf("read the source's %s: %w", c.Name, err)
		}
		// A collection that was declared later was not copied, and has no digest.
		was := r.m.Collections[c.Name]
		if found.count != was.Count || found.count > 0 && found.sum() != was.Digest {
			changed = append(changed, fmt.Sprintf("%s (%d documents then, %d now)", c.Name, was.Count, found.count))
		}
	}
	if len(changed) == 0 {
		return nil
	}
	return fmt.Errorf("%w on %s: %s. Nothing was copied now. Stop whatever still uses the source. If the target was not used yet, take a new empty one and migrate again. "+
		"If it was, keep it: two records can't be made one, and its reconciliation reports as orphans what customers paid through the source. "+
		"(A program with other indexes than the one that copied sees a change too, with as many documents as then.)",
		ErrChanged, r.m.UpdatedAt.Format(time.RFC3339), strings.Join(changed, ", "))
}

func (r *run) digestSource(ctx context.Context, c store.Collection) (*digest, error) {
	out, docs := newDigest(), &walk{e: r.Source, coll: c, pages: pacer{most: r.PageSize}}
	for {
		d, ok, err := docs.peek(ctx)
		if err != nil {
			return nil, err
		}
		if r.done%int64(r.PageSize) == 0 || !ok {
			r.Progress(Progress{State: store.MigrationVerifying, Collection: c.Name, Done: r.done, Total: r.total})
		}
		if !ok {
			return out, nil
		}
		docs.take()
		out.add(d)
		r.done++
	}
}
