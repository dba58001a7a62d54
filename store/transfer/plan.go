package transfer

import (
	"context"
	"fmt"

	"github.com/trifecta-pay/trifecta/store"
)

// Planned is one collection of a plan.
type Planned struct {
	Name      string
	Documents int64 // in the source
	Copied    int64 // of them, by an earlier run
}

// Plan says what Run would copy, and refuses what Run would refuse. It writes nothing. Target may be nil if it does not
// exist yet.
func Plan(ctx context.Context, o Options) ([]Planned, error) {
	if err := o.prepare(); err != nil {
		return nil, err
	}
	m, found, err := check(ctx, o)
	if err == nil && found && m.State == store.MigrationDone {
		err = (&run{Options: o, m: m}).unchanged(ctx)
	}
	if err != nil {
		return nil, err
	}
	out := make([]Planned, 0, len(o.Collections))
	for _, c := range o.Collections {
		n, err := count(ctx, o.Source, c, o.PageSize)
		if err != nil {
			return nil, err
		}
		out = append(out, Planned{Name: c.Name, Documents: n, Copied: m.Collections[c.Name].Copied})
	}
	return out, nil
}

func total(ctx context.Context, o Options) (int64, error) {
	sum := int64(0)
	for _, c := range o.Collections {
		n, err := count(ctx, o.Source, c, o.PageSize)
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// count asks the engine if it can count, and reads everything otherwise.
func count(ctx context.Context, e store.Engine, c store.Collection, page int) (int64, error) {
	if counter, ok := e.(store.Counter); ok {
		n, err := counter.Count(ctx, c.Name)
		if err != nil {
			return 0, fmt.Errorf("count %s: %w", c.Name, err)
		}
		return n, nil
	}
	n, after, pages := int64(0), "", pacer{most: page}
	for {
		docs, next, err := e.Scan(ctx, c.Name, after, pages.size())
		if err != nil {
			return 0, fmt.Errorf("count %s: %w", c.Name, err)
		}
		pages.saw(docs)
		n += int64(len(docs))
		if next == "" {
			return n, nil
		}
		after = next
	}
}
