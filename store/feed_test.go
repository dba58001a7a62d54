package store_test

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// Guards the stored form of feed pages, and compare-and-swap on them.
func TestFeedPages(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewFeed(e)
		if _, ok, err := s.Last(t.Context(), "shop", payment.ModeTest); ok || err != nil {
			t.Errorf("last of nothing: %t, %v", ok, err)
		}
		p := outbox.Page{
			App: "shop", Mode: payment.ModeTest, N: 1, First: 1, Closed: true,
			Events:   []outbox.Event{{ID: "evt", Type: "payment.succeeded", CreatedAt: now, Sequence: 1, Payment: "pay", Object: json.RawMessage(`{"a":"<&>"}`)}},
			Unmarked: []outbox.Unmarked{{Payment: "pay", Events: []string{"evt"}}},
		}
		if err := s.InsertPage(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		if err := s.InsertPage(t.Context(), p); !errors.Is(err, outbox.ErrTaken) {
			t.Errorf("again: %v, want ErrTaken", err)
		}
		d, err := e.Get(t.Context(), "feed", "feed/test/shop/1")
		if err != nil {
			t.Fatal(err)
		}
		golden(t, "testdata/feed_v1.json", d.Body)
		got, ok, err := s.Page(t.Context(), "shop", payment.ModeTest, 1)
		p.Version = 1
		if diff := cmp.Diff(p, got); !ok || err != nil || diff != "" {
			t.Errorf("read back: %v\n%s", err, diff)
		}
		got.Closed = false
		if err := s.ReplacePage(t.Context(), got); err != nil {
			t.Fatal(err)
		}
		if err := s.ReplacePage(t.Context(), got); !errors.Is(err, outbox.ErrTaken) {
			t.Errorf("over an old version: %v, want ErrTaken", err)
		}
		for _, n := range []int64{9, 10, 11} { // in order of number, not of spelling
			if err := s.InsertPage(t.Context(), outbox.Page{App: "shop", Mode: payment.ModeTest, N: n}); err != nil {
				t.Fatal(err)
			}
		}
		if last, ok, err := s.Last(t.Context(), "shop", payment.ModeTest); !ok || err != nil || last.N != 11 {
			t.Errorf("last is %d, %v", last.N, err)
		}
		if _, ok, err := s.Page(t.Context(), "shop", payment.ModeLive, 1); ok || err != nil {
			t.Errorf("another mode's page: %t, %v", ok, err)
		}
	})
}
