package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

const (
	annEmail = "Ann.Canary+shop@post.example"
	annName  = "Ann Canary"
)

// plainEraser erases payments as gateway does, without the rest of it.
type plainEraser struct{ s *store.Payments }

func (p plainEraser) Erase(ctx context.Context, id string, e payment.Erasure) (*payment.Payment, error) {
	old, err := p.s.Get(ctx, id)
	if err != nil {
		return nil, err
	}
	next, err := old.Change(e.Source(), now, func(c *payment.Payment) error { return c.Erase(e, now) })
	if err != nil || next == old {
		return next, err
	}
	next.Version++
	return next, p.s.Replace(ctx, next)
}

// trade fills a store with a paid payment of Ann's and everything that repeats her data, beside other people's.
func trade(t *testing.T, e store.Engine) {
	t.Helper()
	ctx, payments := t.Context(), store.NewPayments(e)
	person := func(n int, app, ref, email, name string) {
		simple(t, payments, n, func(p *payment.Payment) {
			p.App, p.Answered = app, true
			p.Request.Customer = payment.Customer{Ref: ref, Email: email, Name: name}
			p.Request.Metadata = map[string]string{"note": "for " + name}
			p.Facts = p.Facts.Merge(payment.Facts{Decisions: []payment.Decision{{ID: "c", Kind: payment.DecisionCanceled, At: now}}})
			p.Operations = []payment.Operation{{ID: "op", Kind: payment.OpCreate, State: payment.OpDone, Params: []byte(`{"CustomerEmail":"` + email + `"}`)}}
		})
	}
	person(1, "shop", "ann", annEmail, annName)
	person(2, "shop", "bob", "bob@post.example", "Bob Canary")
	person(3, "other", "ann", annEmail, annName)
	person(4, "shop", "namesake", "another.ann@post.example", annName)
	object := func(email, name string) json.RawMessage {
		return json.RawMessage(`{"id":"pay","amount":1000,"customer":{"ref":"r","email":"` + email + `","name":"` + name + `"},"metadata":{"note":"for ` + name + `"},"description":null}`)
	}
	for app, events := range map[string][]outbox.Event{
		"shop": {
			{ID: "evt_1", Sequence: 1, Payment: "pay_001", Object: object(annEmail, annName)},
			{ID: "evt_2", Sequence: 2, Payment: "pay_002", Object: object("bob@post.example", "Bob Canary")},
			{ID: "evt_4", Sequence: 3, Payment: "pay_004", Object: object("another.ann@post.example", annName)},
		},
		"other": {{ID: "evt_3", Sequence: 1, Payment: "pay_003", Object: object(annEmail, annName)}},
	} {
		if err := store.NewFeed(e).InsertPage(ctx, outbox.Page{App: app, Mode: payment.ModeTest, N: 1, First: 1, Events: events}); err != nil {
			t.Fatal(err)
		}
	}
	large := strings.Repeat("x", 40_000)
	for id, ev := range map[string]struct{ payment, body string }{
		"in_ann": {"pay_001", `{"email":"` + annEmail + `"}`}, "in_large": {"pay_001", large + annEmail}, "in_bob": {"pay_002", `{"email":"bob@post.example"}`},
		"in_orphan": {"", `{"email":"` + strings.ToUpper(annEmail) + `"}`}, "in_other": {"pay_003", `{"email":"` + annEmail + `"}`},
	} {
		r := inbox.Record{ID: id, State: inbox.Done, Payment: ev.payment, Digest: strings.Repeat("d", 64), ReceivedAt: now}
		if _, _, err := store.NewInbox(e).Insert(ctx, r, []byte(ev.body)); err != nil {
			t.Fatal(err)
		}
	}
	a := incident("inc_1", now)
	a.Payment, a.Message = "pay_001", "Refund to "+annName+" ("+annEmail+") failed."
	if err := store.NewAlerts(e).Raise(ctx, a); err != nil {
		t.Fatal(err)
	}
}

// eraseIn orders an erasure and steps until it rests. Each step is one of a new process.
func eraseIn(t *testing.T, e store.Engine, order store.Erasure) store.Erasure {
	t.Helper()
	order.ID, order.Mode, order.Reason, order.By, order.At = "ers_1", payment.ModeTest, "asked for", payment.Actor{Type: "operator", ID: "op"}, now
	if order.App == "" {
		order.App = "shop"
	}
	s := store.NewErasures(e)
	for range 20 {
		if _, _, err := s.Order(t.Context(), order); err == nil {
			break
		}
	}
	for range 1000 {
		r, err := store.NewEraser(e, plainEraser{store.NewPayments(e)}, func() time.Time { return now })
		if err != nil {
			t.Fatal(err)
		}
		if _, _, err := r.Step(t.Context()); err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, gateway.ErrUnavailable) {
			t.Fatal(err)
		}
		got, err := s.Get(t.Context(), order.ID)
		if err == nil && got.State != store.ErasureRunning {
			return got
		}
	}
	t.Fatal("it does not end")
	return store.Erasure{}
}

// standing lists where a text stands in the raw store, opened.
func standing(t *testing.T, e store.Engine, text string) []string {
	t.Helper()
	var out []string
	for _, c := range store.Collections() {
		docs, _, err := e.Scan(t.Context(), c.Name, "", store.MaxLimit)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			all := bytes.ToLower(slices.Concat([]byte(d.ID), d.Body, []byte(fmt.Sprint(d.Index))))
			if c.Name == "inbox" || c.Name == "inbox_bodies" {
				var r struct{ Body, Part []byte }
				if err := json.Unmarshal(d.Body, &r); err != nil {
					t.Fatal(err)
				}
				all = bytes.ToLower(slices.Concat(all, r.Body, r.Part))
			}
			if bytes.Contains(all, bytes.ToLower([]byte(text))) {
				out = append(out, c.Name+" "+d.ID)
			}
		}
	}
	return out
}

// Guards the right to be erased: nothing of the customer is left in the app, sealed or not, whatever fails on the way, before or after it is written;
// other customers and other apps keep theirs; money and the feed's order stay; and the proof says all of this.
func TestEraserErasesAndProves(t *testing.T) {
	t.Parallel()
	for name, order := range map[string]store.Erasure{"by ref": {Ref: "ann", Texts: true}, "by address": {Email: strings.ToLower(annEmail), Texts: true}} {
		for _, failing := range []faults.When{0, faults.Before, faults.After} {
			t.Run(fmt.Sprint(name, failing), func(t *testing.T) {
				t.Parallel()
				raw := newMem(t)
				armed, tries, failed := false, map[store.WritePoint]int{}, map[store.WritePoint]bool{}
				below := faults.Wrap(raw, faults.Options{Points: store.WritePoints(), Write: func(p store.WritePoint, when faults.When) error {
					if !armed || when != failing {
						return nil
					}
					if tries[p]++; tries[p]%2 == 0 {
						return nil
					}
					failed[p] = true
					return fmt.Errorf("%w: %s", store.ErrUnavailable, when)
				}})
				e := sealed(t, below, "k1", "k1")
				trade(t, e)
				armed = true
				got := eraseIn(t, e, order)
				for _, p := range []store.WritePoint{store.PointErasureInsert, store.PointErasureStep, store.PointErase, store.PointEraseBody} {
					if failing != 0 && !failed[p] {
						t.Errorf("nothing failed %s %s", failing, p)
					}
				}
				if got.State != store.ErasureDone || got.Found != 1 || got.Left() != 0 || got.Pending != 0 || got.Email != "" || got.Emails != nil || got.Names != nil || got.DueAt != (time.Time{}) {
					t.Fatalf("%+v", got)
				}
				for coll, want := range map[string]store.EraseCount{
					"payments": {Scanned: 4, Erased: 1, Elsewhere: 2}, "feed": {Scanned: 4, Erased: 1, Elsewhere: 2},
					"inbox": {Scanned: 5, Erased: 3, Elsewhere: 1}, "alerts": {Scanned: 1, Erased: 1},
				} {
					count := got.Counts[coll]
					if failing != 0 { // a write whose outcome was lost is counted again or not at all
						count.Erased = want.Erased
					}
					if diff := cmp.Diff(want, count); diff != "" {
						t.Errorf("%s:\n%s", coll, diff)
					}
				}
				if diff := cmp.Diff([]string{"payments pay_003", "inbox in_other", "feed feed/test/other/1"}, standing(t, e, annEmail)); diff != "" {
					t.Errorf("the address stands in:\n%s", diff)
				}
				if diff := cmp.Diff([]string{"payments pay_003", "payments pay_004", "feed feed/test/other/1", "feed feed/test/shop/1"}, standing(t, e, annName)); diff != "" {
					t.Errorf("the name stands in:\n%s", diff)
				}
				p, err := store.NewPayments(e).Get(t.Context(), "pay_001")
				if err != nil || p.Request.Customer.Ref != "ann" || p.Facts.Terms.Amount.Minor != 1000 || p.Status() != payment.StatusCanceled || len(p.History) != 1 {
					t.Errorf("%+v, %v", p, err)
				}
				page, _, err := store.NewFeed(e).Page(t.Context(), "shop", payment.ModeTest, 1)
				if err != nil || len(page.Events) != 3 {
					t.Fatalf("%+v, %v", page, err)
				}
				const want = `{"id":"pay","amount":1000,"customer":{"ref":"r","email":"[erased]","name":"[erased]"},"metadata":{"note":"[erased]"},"description":null}`
				if diff := cmp.Diff(want, string(page.Events[0].Object)); diff != "" {
					t.Errorf("her event:\n%s", diff)
				}
				if !strings.Contains(string(page.Events[1].Object), "bob@post.example") {
					t.Errorf("Bob's event: %s", page.Events[1].Object)
				}
			})
		}
	}
}

// Guards money under way, and the proof: a payment that is not over keeps its data and the erasure waits for it; what
// is found elsewhere in the app, or can't be read, makes the erasure incomplete.
func TestEraserWaitsAndTellsWhatIsLeft(t *testing.T) {
	t.Parallel()
	raw := newMem(t)
	e := sealed(t, raw, "k1", "k1")
	trade(t, e)
	payments := store.NewPayments(e)
	open := simple(t, payments, 9, func(p *payment.Payment) {
		p.Answered = true
		p.Request.Customer = payment.Customer{Ref: "ann", Email: annEmail, Name: annName}
	})
	got := eraseIn(t, e, store.Erasure{Ref: "ann"})
	if got.State != store.ErasurePending || got.Found != 2 || got.Pending != 1 || !slices.Equal(got.Waiting, []string{"pay_009"}) || got.DueAt.Before(now) {
		t.Fatalf("%+v", got)
	}
	if p, err := payments.Get(t.Context(), "pay_001"); err != nil || p.Request.Customer.Email != payment.Erased || p.Request.Metadata["note"] != "for "+annName {
		t.Errorf("without texts: %+v, %v", p.Request, err)
	}
	open.Version, open.Facts = 2, open.Facts.Merge(payment.Facts{Decisions: []payment.Decision{{ID: "c", Kind: payment.DecisionCanceled, At: now}}})
	if err := payments.Replace(t.Context(), open); err != nil {
		t.Fatal(err)
	}
	simple(t, payments, 10, func(p *payment.Payment) { p.Request.Customer = payment.Customer{Ref: "guest", Email: annEmail} })
	simple(t, store.NewPayments(sealed(t, raw, "lost", "lost")), 11, nil)
	later, err := store.NewEraser(e, plainEraser{payments}, func() time.Time { return now.Add(2 * time.Hour) })
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, _, err := later.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	got, err = store.NewErasures(e).Get(t.Context(), "ers_1")
	if err != nil || got.State != store.ErasureIncomplete || got.Pending != 0 || got.Counts["payments"].Left == 0 || got.Counts["payments"].Unreadable != 1 {
		t.Errorf("%+v, %v", got, err)
	}
}

// Guards that nothing is kept of which nobody has said what it holds of people, how long it is kept and how it is erased.
func TestEveryCollectionSaysWhatItKeeps(t *testing.T) {
	t.Parallel()
	var kept, declared []string
	page, err := os.ReadFile("../docs/privacy.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range store.Keepings() {
		kept = append(kept, k.Collection)
		if row := fmt.Sprintf("| `%s` | %s | %s | %s |", k.Collection, k.Personal, k.Kept, k.Erase); !strings.Contains(string(page), row) {
			t.Errorf("docs/privacy.md lacks the row\n%s", row)
		}
		if k.Personal == "" || k.Kept == "" || k.Erase == "" {
			t.Errorf("%+v is not finished", k)
		}
	}
	for _, c := range store.Collections() {
		declared = append(declared, c.Name)
	}
	slices.Sort(kept)
	slices.Sort(declared)
	if diff := cmp.Diff(declared, kept); diff != "" {
		t.Errorf("collections and Keepings differ (-collections +keepings):\n%s", diff)
	}
}

// refusing fails for one payment as nothing but a repair will mend.
type refusing struct {
	plainEraser
	id string
}

func (r refusing) Erase(ctx context.Context, id string, e payment.Erasure) (*payment.Payment, error) {
	if id == r.id {
		return nil, errors.New("can't be encoded")
	}
	return r.plainEraser.Erase(ctx, id, e)
}

// Guards everybody else's erasure against one that fails: it is told of and put off.
func TestErasureThatFailsStopsNoOther(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	trade(t, e)
	s, at := store.NewErasures(e), now
	for i, ref := range []string{"ann", "bob"} {
		order := store.Erasure{ID: fmt.Sprint("ers_", i), App: "shop", Mode: payment.ModeTest, Ref: ref, Reason: "asked for", At: now.Add(time.Duration(i) * time.Second)}
		if _, _, err := s.Order(t.Context(), order); err != nil {
			t.Fatal(err)
		}
	}
	r, err := store.NewEraser(e, refusing{plainEraser{store.NewPayments(e)}, "pay_001"}, func() time.Time { return at })
	if err != nil {
		t.Fatal(err)
	}
	failed := 0
	for range 200 {
		at = at.Add(time.Second)
		if _, _, err := r.Step(t.Context()); err != nil {
			failed++
		}
	}
	bob, err := s.Get(t.Context(), "ers_1")
	if err != nil || bob.DoneAt.IsZero() || failed == 0 {
		t.Errorf("the other one is %s after %d failures, %v", bob.State, failed, err)
	}
}

// Guards namesakes: erasing a customer leaves every byte of what others with the same name told a provider and of the
// alerts about them, in the same app and in another; what is still needed by an order under way stays too; and what
// nobody owns keeps a name that may be anybody's. The proof counts them elsewhere.
func TestErasureLeavesNamesakesTheirs(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	payments, disputes, alerts := store.NewPayments(e), store.NewDisputes(e), store.NewAlerts(e)
	for i, c := range []struct {
		app, ref string
		status   payment.DisputeStatus
	}{
		{"shop", "ann", payment.DisputeLost},
		{"shop", "namesake", payment.DisputeNeedsResponse},
		{"other", "ann", payment.DisputeLost},
		{"shop", "ann", payment.DisputeUnderReview},
	} {
		key := payment.ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: fmt.Sprint("dp_", i)}
		p := simple(t, payments, i, func(p *payment.Payment) {
			p.App, p.Answered = c.app, true
			p.Request.Customer = payment.Customer{Ref: c.ref, Email: fmt.Sprint("john", i, "@post.example"), Name: "John Smith"}
			p.Facts = p.Facts.Merge(payment.Facts{
				Decisions: []payment.Decision{{ID: "c", Kind: payment.DecisionCanceled, At: now}},
				Disputes:  []payment.Dispute{{Key: key, Status: c.status, Amount: p.Facts.Terms.Amount}},
			})
		})
		evidence := gateway.Evidence{ID: fmt.Sprint("evd_", i), Dispute: payment.DisputeID(key), Texts: map[string]string{"customer.name": "John Smith"}}
		if err := disputes.PutEvidence(t.Context(), evidence); err != nil {
			t.Fatal(err)
		}
		a := incident(fmt.Sprint("inc_", i), now)
		a.App, a.Payment, a.Message = c.app, p.ID, "Refund to John Smith failed."
		if err := alerts.Raise(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	nobody := incident("inc_none", now)
	nobody.App, nobody.Payment, nobody.Message = "", "", "A letter of John Smith came."
	if err := alerts.Raise(t.Context(), nobody); err != nil {
		t.Fatal(err)
	}
	raw := func() map[string]string {
		out := map[string]string{}
		for _, coll := range []string{"evidence", "alerts"} {
			docs, _, err := e.Scan(t.Context(), coll, "", store.MaxLimit)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range docs {
				out[d.ID] = string(d.Body)
			}
		}
		return out
	}
	want := raw()
	for _, id := range []string{"evd_0", "inc_0"} {
		want[id] = strings.ReplaceAll(want[id], "John Smith", payment.Erased)
	}
	got := eraseIn(t, e, store.Erasure{Ref: "ann"})
	if diff := cmp.Diff(want, raw()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for coll, want := range map[string]store.EraseCount{
		"evidence": {Scanned: 4, Erased: 1, Left: 1, Elsewhere: 2}, "alerts": {Scanned: 5, Erased: 1, Left: 1, Elsewhere: 3},
	} {
		if diff := cmp.Diff(want, got.Counts[coll]); diff != "" {
			t.Errorf("%s:\n%s", coll, diff)
		}
	}
	if got.State != store.ErasurePending || got.Pending != 1 {
		t.Errorf("%+v", got)
	}
}

// Guards the erasure of a webhook that belongs to nobody, however its JSON spells the address: what the proof finds, the
// sweep must have dropped.
func TestErasureFindsAnAddressThatIsEscaped(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	trade(t, e)
	for id, body := range map[string]string{
		"in_escaped": `{"email":"` + strings.Replace(annEmail, "@", `\u0040`, 1) + `"}`,
		"in_slash":   `{"text":"a\/b","email":"` + strings.Replace(annEmail, "A", `\u0041`, 1) + `"}`,
	} {
		r := inbox.Record{ID: id, State: inbox.Done, Digest: strings.Repeat("d", 64), ReceivedAt: now}
		if _, _, err := store.NewInbox(e).Insert(t.Context(), r, []byte(body)); err != nil {
			t.Fatal(err)
		}
	}
	got := eraseIn(t, e, store.Erasure{Ref: "ann", Email: annEmail, Texts: true})
	if got.State != store.ErasureDone {
		t.Errorf("%s: %+v", got.State, got.Counts)
	}
	for _, id := range []string{"in_escaped", "in_slash"} {
		if body, err := store.NewInbox(e).Body(t.Context(), id); err != nil || len(body) > 0 {
			t.Errorf("%s keeps %s, %v", id, body, err)
		}
	}
}
