package outbox_test

import (
	"context"
	"fmt"
	"testing"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// deposed gives pages as another store has them, one of before, for so many answers, and writes to the
// true one: as a member of a replica set that was primary a moment ago.
type deposed struct {
	outbox.Pages
	old     outbox.Pages
	answers int
	down    bool
	writes  int
}

func (d *deposed) from() outbox.Pages {
	if d.answers--; d.answers >= 0 {
		return d.old
	}
	return d.Pages
}

func (d *deposed) Last(ctx context.Context, app string, mode payment.Mode) (outbox.Page, bool, error) {
	return d.from().Last(ctx, app, mode)
}

func (d *deposed) First(ctx context.Context, app string, mode payment.Mode) (outbox.Page, bool, error) {
	return d.from().First(ctx, app, mode)
}

func (d *deposed) Page(ctx context.Context, app string, mode payment.Mode, n int64) (outbox.Page, bool, error) {
	return d.from().Page(ctx, app, mode, n)
}

func (d *deposed) ReplacePage(ctx context.Context, p outbox.Page) error {
	d.writes++
	if d.down {
		return errDown
	}
	return d.Pages.ReplacePage(ctx, p)
}

// Guards an app's place in the feed through a fail-over: its cursor is not taken for one of before a restored backup
// because a read is old; it goes on, or is told to come again, until the read is new.
func TestCursorAheadOfAStaleRead(t *testing.T) {
	t.Parallel()
	for _, before := range []int{3, outbox.MaxPageEvents - 1, outbox.MaxPageEvents} { // in the old page
		for _, more := range []int{1, outbox.MaxPageEvents, 3 * outbox.MaxPageEvents} {
			t.Run(fmt.Sprintf("before=%d more=%d", before, more), func(t *testing.T) {
				t.Parallel()
				old, r := newRig(t), newRig(t)
				for _, rig := range []*rig{old, r} {
					rig.pay("shop", payment.ModeTest, "a", before)
					rig.run(rig.relay())
				}
				for i := range more {
					r.pay("shop", payment.ModeTest, fmt.Sprint("b", i), 1)
					r.run(r.relay())
				}
				cursor := ""
				for range before + more { // to the end
					_, next, err := r.reader.Read(t.Context(), "shop", payment.ModeTest, cursor, 1)
					if err != nil {
						t.Fatal(err)
					}
					cursor = next
				}
				for answers := range 12 {
					d := &deposed{Pages: store.NewFeed(r.engine), old: store.NewFeed(old.engine), answers: answers}
					events, next, err := outbox.NewReader(d).Read(t.Context(), "shop", payment.ModeTest, cursor, 5)
					if payment.CodeOf(err) == payment.CodeStoreUnavailable {
						events, next, err = outbox.NewReader(d).Read(t.Context(), "shop", payment.ModeTest, cursor, 5)
					}
					switch {
					case err != nil && payment.CodeOf(err) != payment.CodeStoreUnavailable, err == nil && (len(events) != 0 || next != cursor):
						t.Errorf("%d old answers: %d events, %v", answers, len(events), err)
					case err != nil && answers < 4:
						t.Errorf("%d old answers: told to come again twice: %v", answers, err)
					}
				}
			})
		}
	}
}

// Guards the refusal of a cursor: it rests on a feed that could be written over as it was read. While it can't, the app is
// told to come again; and nothing about the feed is changed by it.
func TestCursorIsRefusedOnProofOnly(t *testing.T) {
	t.Parallel()
	ahead, r := newRig(t), newRig(t)
	ahead.pay("shop", payment.ModeTest, "a", 9)
	ahead.run(ahead.relay())
	want := r.pay("shop", payment.ModeTest, "a", 5)
	relay := r.relay()
	r.run(relay)
	_, cursor, err := ahead.reader.Read(t.Context(), "shop", payment.ModeTest, "", 9)
	if err != nil {
		t.Fatal(err)
	}
	d := &deposed{Pages: store.NewFeed(r.engine), down: true}
	read := func() error {
		_, _, err := outbox.NewReader(d).Read(t.Context(), "shop", payment.ModeTest, cursor, 5)
		return err
	}
	if err := read(); payment.CodeOf(err) != payment.CodeStoreUnavailable {
		t.Errorf("without a primary: %v", err)
	}
	d.down = false
	if err := read(); payment.CodeOf(err) != payment.CodeMalformed || d.writes != 2 {
		t.Errorf("%v after %d writes", err, d.writes)
	}
	r.wantFed("shop", payment.ModeTest, want)
	want = append(want, r.pay("shop", payment.ModeTest, "b", 2)...)
	r.run(relay)
	r.wantFed("shop", payment.ModeTest, want)
}
