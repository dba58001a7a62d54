package transfer_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/mem"
	"github.com/trifecta-pay/trifecta/store/transfer"
)

// pausing calls hook once, after it has read a page of payments.
type pausing struct {
	*mem.Engine
	hook func()
}

func (p *pausing) Scan(ctx context.Context, coll, after string, limit int) ([]store.Doc, string, error) {
	docs, next, err := p.Engine.Scan(ctx, coll, after, limit)
	if hook := p.hook; coll == "payments" && hook != nil {
		p.hook = nil
		hook()
	}
	return docs, next, err
}

// Guards what a shop writes on its new store against a copier that was stopped (a suspended machine), was taken over
// meanwhile, and wakes up with what it read before: while it copies, and while it repairs.
func TestStoppedCopierLeavesTheLiveTargetAlone(t *testing.T) {
	t.Parallel()
	for name, verifying := range map[string]bool{"copying": false, "repairing": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			source, target, now := newMem(t), newMem(t), start
			fill(t, source, 3, 8)
			opts := func(from store.Engine, owner string) transfer.Options {
				o := options(from, target)
				o.Owner, o.SourceExclusive, o.Clock = owner, false, func() time.Time { return now }
				return o
			}
			slow, live := &pausing{Engine: source}, map[string][]store.Doc(nil)
			slow.hook = func() { // a second process takes over and ends, and a server starts on the target
				now = now.Add(time.Minute)
				if _, err := transfer.Run(t.Context(), opts(source, "second")); err != nil {
					t.Fatal(err)
				}
				docs, _, err := target.Scan(t.Context(), "payments", "", 0)
				if err != nil || len(docs) != 3 {
					t.Fatal(err)
				}
				changed := docs[0].Clone()
				changed.Body = []byte(`{"n":"refunded"}`)
				err = errors.Join(target.Replace(t.Context(), "payments", changed, changed.Version),
					target.Delete(t.Context(), "payments", docs[1].ID, docs[1].Version),
					target.Insert(t.Context(), "payments", store.Doc{ID: "payments/new", Body: []byte(`{}`)}))
				if err != nil {
					t.Fatal(err)
				}
				live = content(t, target)
			}
			if verifying { // an earlier run copied everything and was refused at its end
				o, asked := opts(source, "earlier"), 0
				o.Alive = func(context.Context, store.Engine) ([]string, error) {
					if asked++; asked > 4 { // two looks at both stores
						return []string{"a server"}, nil
					}
					return nil, nil
				}
				if _, err := transfer.Run(t.Context(), o); !errors.Is(err, transfer.ErrRefused) {
					t.Fatal(err)
				}
				now = now.Add(time.Minute)
			}
			_, err := transfer.Run(t.Context(), opts(slow, "stopped"))
			if !errors.Is(err, store.ErrConflict) || live == nil {
				t.Errorf("the stopped process went on: %v", err)
			}
			if diff := differ(live, content(t, target)); diff != "" {
				t.Errorf("what the live store held was overwritten (-want +got):\n%s", diff)
			}
			if err := store.CheckMigrated(t.Context(), target); err != nil {
				t.Errorf("the target is no longer complete: %v", err)
			}
		})
	}
}

// Guards the comparison's repair: a document that the source deleted and made anew since it was copied begins again at
// version 1, below what the target has.
func TestMadeAnewMeanwhile(t *testing.T) {
	t.Parallel()
	source, target := newMem(t), newMem(t)
	old := store.Doc{ID: "p", Version: 5, Body: []byte(`{"n":"old"}`)}
	if err := source.Import(t.Context(), "payments", []store.Doc{old}); err != nil {
		t.Fatal(err)
	}
	o, asked := options(source, target), 0
	o.Alive = func(context.Context, store.Engine) ([]string, error) {
		if asked++; asked == 5 { // after everything was copied
			return []string{"a server"}, nil
		}
		return nil, nil
	}
	if _, err := transfer.Run(t.Context(), o); !errors.Is(err, transfer.ErrRefused) {
		t.Fatal(err)
	}
	if err := errors.Join(source.Delete(t.Context(), "payments", "p", 5), source.Insert(t.Context(), "payments", store.Doc{ID: "p", Body: []byte(`{"n":"new"}`)})); err != nil {
		t.Fatal(err)
	}
	if _, err := transfer.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if diff := differ(content(t, source), content(t, target)); diff != "" {
		t.Errorf("(-source +target):\n%s", diff)
	}
}
