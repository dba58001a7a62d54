package store_test

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
)

// Guards that dispute records are listed newest first, filtered, by tenant; that an
// orphan is nobody's; and that a record is made and changed by one call.
func TestDisputeRecords(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewDisputes(e)
		begin := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
		for i, r := range []gateway.DisputeRecord{
			{ID: "dsp_a", App: "shop", Mode: payment.ModeTest, Payment: "pay_a"},
			{ID: "dsp_b", App: "other", Mode: payment.ModeTest, Payment: "pay_b"},
			{ID: "dsp_c"},
			{ID: "dsp_d", App: "shop", Mode: payment.ModeTest, Payment: "pay_d", CheckAt: begin.Add(time.Hour)},
		} {
			r.OpenedAt = begin.Add(time.Duration(i) * time.Minute)
			r.Dispute = payment.Dispute{Key: payment.ObjectKey{Provider: "stripe", Account: "a", ID: r.ID}, Status: payment.DisputeNeedsResponse}
			if i == 3 {
				r.Dispute.DueBy = begin.Add(48 * time.Hour)
			}
			for range 2 { // the second time it is there
				if _, err := s.ChangeDispute(t.Context(), r.ID, func(old gateway.DisputeRecord, found bool) (gateway.DisputeRecord, bool) { return r, true }); err != nil {
					t.Fatal(err)
				}
			}
		}
		shop := gateway.DisputeFilter{App: "shop", Mode: payment.ModeTest, Limit: 10}
		due, mine, won := shop, shop, shop
		due.DueBefore, mine.Payment, won.Status = begin.Add(72*time.Hour), "pay_a", payment.DisputeWon
		late := gateway.DisputeFilter{Limit: 10, CreatedFrom: begin.Add(2 * time.Minute)}
		for name, c := range map[string]struct {
			f    gateway.DisputeFilter
			want []string
		}{
			"an app's": {shop, []string{"dsp_d", "dsp_a"}}, "everybody's": {gateway.DisputeFilter{Limit: 10}, []string{"dsp_d", "dsp_c", "dsp_b", "dsp_a"}},
			"due": {due, []string{"dsp_d"}}, "of a payment": {mine, []string{"dsp_a"}}, "won": {won, nil}, "late": {late, []string{"dsp_d", "dsp_c"}},
		} {
			list, _, err := s.ListDisputes(t.Context(), c.f)
			var got []string
			for _, r := range list {
				got = append(got, r.ID)
			}
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("%s: %v %s", name, err, diff)
			}
		}
		if ids, err := s.DisputesDue(t.Context(), begin.Add(2*time.Hour), 10); err != nil || !cmp.Equal(ids, []string{"dsp_d"}) {
			t.Errorf("due: %v %v", ids, err)
		}
		if _, err := s.GetDispute(t.Context(), "dsp_none"); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("none: %v", err)
		}
	})
}

// Guards documents larger than one record: whole again, byte for byte, however often
// they are stored; one that is too large is refused and leaves nothing.
func TestEvidenceFiles(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewDisputes(e)
		data := bytes.Repeat([]byte("0123456789abcde"), 100_000) // no multiple of a chunk
		for range 2 {
			if err := s.PutFile(t.Context(), "fil_a", data); err != nil {
				t.Fatal(err)
			}
		}
		if got, err := s.GetFile(t.Context(), "fil_a"); err != nil || !bytes.Equal(got, data) {
			t.Errorf("%d bytes of %d, %v", len(got), len(data), err)
		}
		if err := s.PutFile(t.Context(), "fil_b", make([]byte, 9<<20)); err == nil {
			t.Error("nine megabytes were taken")
		}
		if _, err := s.GetFile(t.Context(), "fil_b"); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("of what was refused: %v", err)
		}
		e1 := gateway.Evidence{ID: "evd_a", Dispute: "dsp_a", Texts: map[string]string{"product_description": "A book"}}
		if err := s.PutEvidence(t.Context(), e1); err != nil {
			t.Fatal(err)
		}
		if got, err := s.GetEvidence(t.Context(), "evd_a"); err != nil || cmp.Diff(e1, got) != "" {
			t.Errorf("%+v %v", got, err)
		}
	})
}
