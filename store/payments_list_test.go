package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
)

// simple is a stored payment of the app "shop" made n minutes after now.
func simple(t *testing.T, s *store.Payments, n int, edit func(*payment.Payment)) *payment.Payment {
	t.Helper()
	terms := payment.Terms{Amount: payment.Money{Minor: 1000, Currency: "usd"}}
	p := payment.New(fmt.Sprintf("pay_%03d", n), "shop", payment.ModeTest, terms, payment.Request{ExpiresIn: time.Hour},
		fmt.Sprintf("token%d", n), now.Add(time.Duration(n)*time.Minute))
	p.Version = 1
	if edit != nil {
		edit(p)
	}
	if err := s.Insert(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	return p
}

// varied makes payments whose properties repeat with different periods, so that every combination of filters occurs.
func varied(t *testing.T, s *store.Payments, count int) []*payment.Payment {
	t.Helper()
	var all []*payment.Payment
	for i := range count {
		all = append(all, simple(t, s, i, func(p *payment.Payment) {
			p.CreatedAt = now.Add(time.Duration(i/2) * time.Minute) // two share each moment
			p.Request.Reference = []string{"", "order-1", "order-2"}[i%3]
			p.Request.Customer.Ref = []string{"", "ann"}[i/2%2]
			if provider := []string{"", "stripe", "paypal"}[i/3%3]; provider != "" {
				p.Facts.Opened = []payment.Attempt{{N: 1, Provider: provider, Account: provider + "-eu", CreatedAt: now}}
				p.Facts.Decisions = []payment.Decision{{ID: "refused", Kind: payment.DecisionRefused, N: 1}}
			}
			if i%4 == 1 {
				p.Facts.Decisions = append(p.Facts.Decisions, payment.Decision{ID: "canceled", Kind: payment.DecisionCanceled})
			}
			if i%10 == 9 {
				p.App = "other"
			}
			if i%10 == 8 {
				p.Mode = payment.ModeLive
			}
		}))
	}
	return all
}

func listed(p *payment.Payment, f gateway.Filter) bool {
	winner, _ := p.Facts.Winner()
	return p.App == f.App && p.Mode == f.Mode && (f.Status == "" || p.Status() == f.Status) &&
		(f.Provider == "" || winner.Provider == f.Provider) && (f.Reference == "" || p.Request.Reference == f.Reference) &&
		(f.Customer == "" || p.Request.Customer.Ref == f.Customer) &&
		(f.CreatedFrom.IsZero() || !p.CreatedAt.Before(f.CreatedFrom)) && (f.CreatedTo.IsZero() || !p.CreatedAt.After(f.CreatedTo))
}

// walk reads a list to its end and fails if it does not come to one.
func walk(t *testing.T, s *store.Payments, f gateway.Filter) []string {
	t.Helper()
	out := []string{}
	for range 1000 {
		page, next, err := s.List(t.Context(), f)
		if err != nil {
			t.Fatalf("%+v: %v", f, err)
		}
		if len(page) > f.Limit {
			t.Fatalf("%+v: a page of %d", f, len(page))
		}
		for _, p := range page {
			out = append(out, p.ID)
		}
		if next == "" {
			return out
		}
		f.After = next
	}
	t.Fatalf("%+v: no end", f)
	return nil
}

// Guards the lists: every combination of filters, in pages of any size, gives each of the tenant's matching payments
// once, newest first, and nothing of anybody else.
func TestPaymentList(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewPayments(e)
		all := varied(t, s, 120)
		slices.SortFunc(all, func(a, b *payment.Payment) int {
			if c := b.CreatedAt.Compare(a.CreatedAt); c != 0 {
				return c
			}
			return strings.Compare(b.ID, a.ID)
		})
		for combination := range 64 {
			f := gateway.Filter{App: "shop", Mode: payment.ModeTest}
			for bit, set := range []func(){
				func() { f.Status = payment.StatusCanceled },
				func() { f.Provider = "paypal" },
				func() { f.Reference = "order-2" },
				func() { f.Customer = "ann" },
				func() { f.CreatedFrom = now.Add(9 * time.Minute) },
				func() { f.CreatedTo = now.Add(50 * time.Minute) },
			} {
				if combination>>bit&1 == 1 {
					set()
				}
			}
			want := []string{}
			for _, p := range all {
				if listed(p, f) {
					want = append(want, p.ID)
				}
			}
			for _, f.Limit = range []int{1, 7, 100} {
				if d := cmp.Diff(want, walk(t, s, f)); d != "" {
					t.Fatalf("%+v (-want +got):\n%s", f, d)
				}
			}
		}
	})
}

// Guards the lists' honesty: a rare combination gives a short page and a cursor that goes on, and a cursor of another
// list, a damaged one or another tenant's is refused.
func TestPaymentListCursors(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewPayments(e)
		for i := range 60 {
			simple(t, s, i, func(p *payment.Payment) {
				p.Request.Reference = "same"
				if i == 0 {
					p.Request.Customer.Ref = "rare"
				}
			})
		}
		f := gateway.Filter{App: "shop", Mode: payment.ModeTest, Reference: "same", Customer: "rare", Limit: 1}
		page, next, err := s.List(t.Context(), f)
		if err != nil || len(page) != 0 || next == "" {
			t.Fatalf("first page: %d payments, cursor %q, %v", len(page), next, err)
		}
		if got := walk(t, s, f); !slices.Equal(got, []string{"pay_000"}) {
			t.Errorf("found %v", got)
		}
		broken := []gateway.Filter{f, f, f, f}
		broken[0].Reference = "another"
		broken[1].App = "other"
		broken[2].Mode = payment.ModeLive
		broken[3].Reference = ""
		for i, b := range broken {
			b.After = next
			if _, _, err := s.List(t.Context(), b); !errors.Is(err, gateway.ErrBadCursor) {
				t.Errorf("cursor of another list, %d: %v", i, err)
			}
		}
		f.After = next[:len(next)-1] + "!"
		if _, _, err := s.List(t.Context(), f); !errors.Is(err, gateway.ErrBadCursor) {
			t.Errorf("damaged cursor: %v", err)
		}
	})
}

func attemptFact(account, id, intent string) payment.AttemptFact {
	return payment.AttemptFact{
		Key: payment.ObjectKey{Provider: "stripe", Account: account, ID: id}, N: 1, State: payment.AttemptComplete,
		Refs: payment.Refs{PaymentIntent: intent}, Stamp: payment.Stamp{Created: now, AsOf: now}, CompleteAsOf: now,
	}
}

func idsOf(list []*payment.Payment) []string {
	out := []string{}
	for _, p := range list {
		out = append(out, p.ID)
	}
	return out
}

// Guards the way from a webhook to its payment: every object's id leads there, within its account only; refunds and
// disputes are found by our own ids too.
func TestPaymentByRef(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewPayments(e)
		key := func(id string) payment.ObjectKey { return payment.ObjectKey{Provider: "stripe", Account: "eu", ID: id} }
		var refunds []string
		simple(t, s, 1, func(p *payment.Payment) {
			p.Facts.Attempts = []payment.AttemptFact{attemptFact("eu", "cs_1", "pi_1")}
			p.Facts.Authorizations = []payment.Authorization{{Key: key("auth_1"), N: 1}}
			p.Facts.Captures = []payment.Capture{{Key: key("ch_1"), N: 1}}
			p.Facts.Refunds = []payment.Refund{{Key: key("re_1"), Capture: "ch_1"}}
			p.Facts.Disputes = []payment.Dispute{{Key: key("du_1"), Capture: "ch_1"}}
			p.Operations = []payment.Operation{{ID: "rfd_ordered", Kind: payment.OpRefund, N: 1}}
			for _, r := range p.Refunds() {
				refunds = append(refunds, r.ID)
			}
		})
		simple(t, s, 2, func(p *payment.Payment) {
			p.Facts.Attempts = []payment.AttemptFact{attemptFact("us", "cs_1", "pi_9")}
		})
		for _, c := range []struct {
			account string
			refs    []string
			want    []string
		}{
			{"eu", []string{"cs_1"}, []string{"pay_001"}},
			{"us", []string{"cs_1"}, []string{"pay_002"}},
			{"asia", []string{"cs_1"}, []string{}},
			{"", []string{"cs_1"}, []string{}},
			{"us", []string{"pi_1", "ch_1", "re_1", "auth_1", "du_1"}, []string{}},
			{"eu", []string{"re_1"}, []string{"pay_001"}},
			{"eu", []string{"nobody", "", "auth_1", "du_1", "pi_1"}, []string{"pay_001"}},
			{"", []string{payment.DisputeID(key("du_1"))}, []string{"pay_001"}},
			{"", []string{refunds[0]}, []string{"pay_001"}},
			{"", []string{refunds[1]}, []string{"pay_001"}},
			{"eu", nil, []string{}},
			{"eu", []string{""}, []string{}},
		} {
			got, err := s.ByRef(t.Context(), c.account, c.refs...)
			if d := cmp.Diff(c.want, idsOf(got)); err != nil || d != "" {
				t.Errorf("%s %v: %v %s", c.account, c.refs, err, d)
			}
		}
	})
}

// Guards the way from a webhook to its payment also where a payment has more ids than one index field takes: the
// money and its checkout stay findable, and so do the newest refunds.
func TestPaymentByRefOfManyRefunds(t *testing.T) {
	t.Parallel()
	s := store.NewPayments(newMem(t))
	key := func(id string) payment.ObjectKey { return payment.ObjectKey{Provider: "stripe", Account: "eu", ID: id} }
	simple(t, s, 1, func(p *payment.Payment) {
		p.Facts.Attempts = []payment.AttemptFact{attemptFact("eu", "cs_1", "pi_1")}
		p.Facts.Captures = []payment.Capture{{Key: key("ch_1"), N: 1}}
		p.Facts.Disputes = []payment.Dispute{{Key: key("du_1"), Capture: "ch_1"}}
		for i := range 80 {
			id := fmt.Sprintf("rfd_%02d", i)
			at := now.Add(time.Duration(i) * time.Minute)
			p.Operations = append(p.Operations, payment.Operation{ID: id, Kind: payment.OpRefund, N: 1, State: payment.OpDone, CreatedAt: at})
			p.Facts.Refunds = append(p.Facts.Refunds, payment.Refund{
				Key: key(fmt.Sprintf("re_%02d", i)), Capture: "ch_1", Operation: id, Stamp: payment.Stamp{Created: at, AsOf: at},
			})
		}
	})
	for _, ref := range []string{"cs_1", "pi_1", "ch_1", "du_1", "re_79"} {
		if got, err := s.ByRef(t.Context(), "eu", ref); err != nil || len(got) != 1 {
			t.Errorf("%s: found %d (%v)", ref, len(got), err)
		}
	}
	for _, id := range []string{"rfd_00", "rfd_40", "rfd_79"} {
		if got, err := s.ByRef(t.Context(), "", id); err != nil || len(got) != 1 {
			t.Errorf("%s: found %d (%v)", id, len(got), err)
		}
	}
}

// Guards the workers: what is due comes soonest first, what is not due does not come, and a payment whose work is done
// leaves the queue.
func TestPaymentQueues(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewPayments(e)
		for i, minute := range []int{30, 10, 20, 40, 0} {
			simple(t, s, i, func(p *payment.Payment) {
				due := now.Add(time.Duration(minute) * time.Minute)
				if minute == 0 { // nothing to do, ever
					p.Facts.Decisions = []payment.Decision{{ID: "canceled", Kind: payment.DecisionCanceled}}
					return
				}
				p.Operations = []payment.Operation{{ID: "op", Kind: payment.OpClose, State: payment.OpPending, NextAt: due}}
				p.NextSyncAt, p.UpdatedAt = due, due
				p.Outbox = []payment.Event{{ID: "evt", Type: "payment.canceled"}}
			})
		}
		check := func(what string, got []string, err error, want ...string) {
			t.Helper()
			if err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %v (%v), want %v", what, got, err, want)
			}
		}
		at := now.Add(30 * time.Minute)
		got, err := s.WorkDue(t.Context(), at, 10)
		check("work", got, err, "pay_001", "pay_002", "pay_000")
		got, err = s.WorkDue(t.Context(), at, 2)
		check("two of the work", got, err, "pay_001", "pay_002")
		got, err = s.SyncDue(t.Context(), at.Add(-time.Millisecond), 10)
		check("sync", got, err, "pay_001", "pay_002")
		got, err = s.SyncFresh(t.Context(), at.Add(-time.Millisecond), 1)
		check("sync, the latest first", got, err, "pay_002")
		unfed := func(limit int) ([]string, error) {
			found, unreadable, _, err := s.Unfed(t.Context(), limit, "")
			var ids []string
			for _, p := range found {
				ids = append(ids, p.ID)
			}
			return ids, errors.Join(append(unreadable, err)...)
		}
		got, err = unfed(10)
		check("unfed", got, err, "pay_001", "pay_002", "pay_000", "pay_003")
		p, err := s.Get(t.Context(), "pay_001")
		if err != nil {
			t.Fatal(err)
		}
		p.Version, p.Outbox, p.NextSyncAt = 2, nil, time.Time{}
		p.Operations[0].State = payment.OpDone
		p.Facts.Decisions = []payment.Decision{{ID: "canceled", Kind: payment.DecisionCanceled}}
		if err := s.Replace(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		got, err = s.WorkDue(t.Context(), at, 1)
		check("work after one is done", got, err, "pay_002")
		got, err = s.SyncDue(t.Context(), at, 1)
		check("sync after one is done", got, err, "pay_002")
		got, err = unfed(1)
		check("unfed after one is fed", got, err, "pay_002")
	})
}
