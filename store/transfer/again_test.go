package transfer_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/transfer"
)

// Guards a finished migration that is run again: a source that has gone on is not called copied, whatever changed in
// it, and the target, which may be in use, is left alone.
func TestRunAgainAfterTheSourceWentOn(t *testing.T) {
	t.Parallel()
	tests := map[string]func(ctx context.Context, e store.Engine, d store.Doc) error{
		"a new document": func(ctx context.Context, e store.Engine, _ store.Doc) error {
			return e.Insert(ctx, "payments", store.Doc{ID: "later", Body: []byte(`{}`)})
		},
		"a change": func(ctx context.Context, e store.Engine, d store.Doc) error {
			return e.Replace(ctx, "payments", d, d.Version)
		},
		"a deletion": func(ctx context.Context, e store.Engine, d store.Doc) error {
			return e.Delete(ctx, "payments", d.ID, d.Version)
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			from, to := newMem(t), newMem(t)
			fill(t, from, 5, 7)
			if _, err := transfer.Run(t.Context(), options(from, to)); err != nil {
				t.Fatal(err)
			}
			docs, _, err := from.Scan(t.Context(), "payments", "", 1)
			if err != nil {
				t.Fatal(err)
			}
			if err := change(t.Context(), from, docs[0]); err != nil {
				t.Fatal(err)
			}
			before := content(t, to)
			_, err = transfer.Run(t.Context(), options(from, to))
			if !errors.Is(err, transfer.ErrChanged) || !strings.Contains(err.Error(), "payments (5 documents then") || strings.Contains(err.Error(), "disputes") {
				t.Errorf("error %v", err)
			}
			if _, err := transfer.Plan(t.Context(), options(from, to)); !errors.Is(err, transfer.ErrChanged) {
				t.Errorf("the plan: %v", err)
			}
			if diff := differ(before, content(t, to)); diff != "" {
				t.Errorf("the target changed:\n%s", diff)
			}
			if err := store.CheckMigrated(t.Context(), to); err != nil {
				t.Errorf("the target is no longer complete: %v", err)
			}
		})
	}
}

// Guards a finished migration that is run again: a target that is in use since differs from the source rightly.
func TestRunAgainAfterTheTargetWentOn(t *testing.T) {
	t.Parallel()
	from, to := newMem(t), newMem(t)
	fill(t, from, 5, 7)
	if _, err := transfer.Run(t.Context(), options(from, to)); err != nil {
		t.Fatal(err)
	}
	if err := to.Insert(t.Context(), "payments", store.Doc{ID: "later", Body: []byte(`{}`)}); err != nil {
		t.Fatal(err)
	}
	o := options(from, to)
	last := transfer.Progress{}
	o.Progress = func(p transfer.Progress) { last = p }
	again, err := transfer.Run(t.Context(), o)
	if err != nil || !again.Already || last.Done != last.Total || last.Total == 0 {
		t.Errorf("%+v, %v, progress %+v", again, err, last)
	}
}
