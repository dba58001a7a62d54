package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/store/sqlite"
)

// onEngines runs a test over memory and over a SQLite file.
func onEngines(t *testing.T, test func(t *testing.T, e store.Engine)) {
	t.Helper()
	t.Run("mem", func(t *testing.T) {
		t.Parallel()
		test(t, newMem(t))
	})
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		e, err := sqlite.Open(t.Context(), sqlite.Options{Path: filepath.Join(t.TempDir(), "t.db"), Collections: store.Collections()})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		test(t, e)
	})
}

// fill gives every field below v a value of its own that is not its zero value and depends on nothing but the field's
// path, so that a field added elsewhere leaves it alone.
func fill(t *testing.T, v reflect.Value, path string) {
	t.Helper()
	n := int64(crc32.ChecksumIEEE([]byte(path)))
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		v.Set(reflect.ValueOf(now.Add(time.Duration(n) * time.Millisecond)))
		return
	case v.Type() == reflect.TypeFor[[]byte]():
		v.SetBytes([]byte(path))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(path)
	case reflect.Int, reflect.Int64:
		v.SetInt(n + 1)
	case reflect.Bool:
		v.SetBool(true)
	case reflect.Struct:
		for i := range v.NumField() {
			fill(t, v.Field(i), path+"."+v.Type().Field(i).Name)
		}
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		for i := range 2 {
			fill(t, v.Index(i), fmt.Sprintf("%s.%d", path, i))
		}
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		key, value := reflect.New(v.Type().Key()).Elem(), reflect.New(v.Type().Elem()).Elem()
		fill(t, key, path+".key")
		fill(t, value, path+".value")
		v.SetMapIndex(key, value)
	default:
		t.Fatalf("%s is a %s: teach fill about it, and check that JSON keeps it", path, v.Kind())
	}
}

func filled(t *testing.T) *payment.Payment {
	t.Helper()
	p := &payment.Payment{}
	fill(t, reflect.ValueOf(p).Elem(), "p")
	p.ID, p.Version = "pay_full", 1
	return p
}

// Guards I2, I8: nothing that a payment holds is lost on its way into the store and back.
func TestPaymentRoundTrip(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s, p := store.NewPayments(e), filled(t)
		if err := s.Insert(t.Context(), p); err != nil {
			t.Fatal(err)
		}
		got, err := s.Get(t.Context(), p.ID)
		if d := cmp.Diff(p, got); err != nil || d != "" {
			t.Fatalf("after insert: %v (-want +got):\n%s", err, d)
		}
		got.Version, got.Token = 2, "another"
		want := got.Clone()
		want.Facts = got.Facts
		if err := s.Replace(t.Context(), got); err != nil {
			t.Fatal(err)
		}
		if got, err = s.Get(t.Context(), p.ID); err != nil || cmp.Diff(want, got) != "" {
			t.Fatalf("after replace: %v (-want +got):\n%s", err, cmp.Diff(want, got))
		}
	})
}

// Guards every payment ever stored: the stored form is pinned. A field that is renamed, retyped or dropped would make
// old money unreadable and fails here; such a change needs a new schema number and a reader of the old form. Only for
// an added field is the file written anew (UPDATE_GOLDEN=1).
func TestPaymentStoredForm(t *testing.T) {
	t.Parallel()
	const golden = "testdata/payment_v1.json"
	e, p := newMem(t), filled(t)
	if err := store.NewPayments(e).Insert(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	d, err := e.Get(t.Context(), "payments", p.ID)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := json.Indent(&got, d.Body, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("the stored form changed (-golden +now):\n%s", diff)
	}
	var old bytes.Buffer
	if err := json.Compact(&old, want); err != nil {
		t.Fatal(err)
	}
	e = newMem(t)
	if err := e.Insert(named(t), "payments", store.Doc{ID: p.ID, Body: old.Bytes()}); err != nil {
		t.Fatal(err)
	}
	read, err := store.NewPayments(e).Get(t.Context(), p.ID)
	if diff := cmp.Diff(p, read); err != nil || diff != "" {
		t.Errorf("the golden form reads as something else: %v\n%s", err, diff)
	}
}

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
		got, err = s.Unfed(t.Context(), 10)
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
		got, err = s.Unfed(t.Context(), 1)
		check("unfed after one is fed", got, err, "pay_002")
	})
}

// Guards I8: history that has left its payment comes back whole, in order, once, and only its own.
func TestPaymentHistory(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewPayments(e)
		var want []payment.HistoryEntry
		for i := range int64(7) {
			var h payment.HistoryEntry
			fill(t, reflect.ValueOf(&h).Elem(), fmt.Sprintf("h%d", i))
			h.Version = i*i + 1
			want = append(want, h)
		}
		ctx := t.Context()
		for _, spill := range []struct {
			id      string
			entries []payment.HistoryEntry
		}{{"pay_a", want[4:]}, {"pay_a", want[:5]}, {"pay_a", want}, {"pay_ab", want[:1]}, {"pay_a", nil}} {
			if err := s.SpillHistory(ctx, spill.id, spill.entries); err != nil {
				t.Fatal(err)
			}
		}
		got, err := s.History(ctx, "pay_a")
		if d := cmp.Diff(want, got); err != nil || d != "" {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
		if got, err = s.History(ctx, "pay_b"); err != nil || len(got) != 0 {
			t.Errorf("of a payment without history: %d entries, %v", len(got), err)
		}
	})
}

// Guards I8 for a long life: more spilled entries than one page of the engine holds.
func TestPaymentHistoryPages(t *testing.T) {
	t.Parallel()
	s := store.NewPayments(newMem(t))
	entries := make([]payment.HistoryEntry, store.MaxLimit+7)
	for i := range entries {
		entries[i].Version = int64(i + 1)
	}
	if err := s.SpillHistory(t.Context(), "pay_a", entries); err != nil {
		t.Fatal(err)
	}
	got, err := s.History(t.Context(), "pay_a")
	if err != nil || len(got) != len(entries) || got[len(got)-1].Version != int64(len(entries)) {
		t.Errorf("%d entries, %v", len(got), err)
	}
}

// lossy loses every acknowledgement at one write point.
func lossy(e store.Engine, point store.WritePoint, when faults.When, lost *int) store.Engine {
	return faults.Wrap(e, faults.Options{Points: store.WritePoints(), Write: func(p store.WritePoint, w faults.When) error {
		if p == point && w == when {
			*lost++
			return errLost
		}
		return nil
	}})
}

// Guards I4, I5: a lost acknowledgement is read back, and what is there is success; a real outage stays one; somebody
// else's payment under the id is not ours.
func TestPaymentLostAcknowledgement(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		ctx, lost := t.Context(), 0
		s := store.NewPayments(lossy(e, store.PointPaymentInsert, faults.After, &lost))
		p := simple(t, s, 1, nil)
		other := p.Clone()
		other.Token = "somebody else's"
		if err := s.Insert(ctx, other); !errors.Is(err, gateway.ErrExists) {
			t.Errorf("insert over another's: %v", err)
		}
		s = store.NewPayments(lossy(e, store.PointPaymentReplace, faults.After, &lost))
		p.Version, p.SettledBy = 2, payment.LayerReturn
		if err := s.Replace(ctx, p); err != nil {
			t.Errorf("replace: %v", err)
		}
		other.Version = 2
		if err := s.Replace(ctx, other); !errors.Is(err, gateway.ErrConflict) {
			t.Errorf("replace of a version that is taken: %v", err)
		}
		other.Version = 7
		if err := s.Replace(ctx, other); !errors.Is(err, gateway.ErrConflict) {
			t.Errorf("replace of a version that is not there yet: %v", err)
		}
		other.ID, other.Version = "pay_nobody", 2
		if err := s.Replace(ctx, other); !errors.Is(err, gateway.ErrConflict) {
			t.Errorf("replace of nothing: %v", err)
		}
		if got, err := s.Get(ctx, p.ID); err != nil || cmp.Diff(p, got) != "" {
			t.Errorf("stored: %v\n%s", err, cmp.Diff(p, got))
		}
		if lost < 2 {
			t.Errorf("%d acknowledgements were lost", lost)
		}
		lost = 0
		s = store.NewPayments(lossy(e, store.PointPaymentReplace, faults.Before, &lost))
		p.Version = 3
		if err := s.Replace(ctx, p); !errors.Is(err, gateway.ErrUnavailable) || lost > 4 {
			t.Errorf("outage: %v after %d tries", err, lost)
		}
		s = store.NewPayments(lossy(e, store.PointPaymentInsert, faults.Before, &lost))
		if err := s.Insert(ctx, other); !errors.Is(err, gateway.ErrUnavailable) {
			t.Errorf("outage: %v", err)
		}
	})
}

// overtaken lets another writer in right after its write happened and before the lost acknowledgement is read back.
type overtaken struct {
	store.Engine
	then func()
}

func (o *overtaken) Replace(ctx context.Context, coll string, d store.Doc, v int64) error {
	if err := o.Engine.Replace(ctx, coll, d, v); err != nil || o.then == nil {
		return err
	}
	then := o.then
	o.then = nil
	then()
	return errLost
}

// Guards I5: where the write that lost its acknowledgement can't be told from others any more, nobody is told that it
// succeeded: the caller reads again.
func TestPaymentOvertaken(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	plain := store.NewPayments(e)
	p := simple(t, plain, 1, nil)
	p.Version = 2
	next := p.Clone()
	next.Version = 3
	s := store.NewPayments(&overtaken{Engine: e, then: func() {
		if err := plain.Replace(t.Context(), next); err != nil {
			t.Error(err)
		}
	}})
	if err := s.Replace(t.Context(), p); !errors.Is(err, gateway.ErrConflict) {
		t.Errorf("overtaken: %v", err)
	}
}

// Guards against a poisoned record: what can't be read is an error for its reader, not a crash, whatever lies there.
func TestPaymentGarbage(t *testing.T) {
	t.Parallel()
	bodies := []string{
		`{}`, `{"schema":1}`, `{"schema":1,"payment":null}`, `{"schema":2,"payment":{"ID":"pay_x"}}`, `{"schema":1,"payment":{"ID":"pay_other"}}`,
		`{"schema":1,"payment":[]}`, `{"schema":1,"payment":{"ID":"pay_x","CreatedAt":"yesterday"}}`, `{"schema":"1","payment":{"ID":"pay_x"}}`,
		`{"schema":1,"payment":{"ID":"pay_x","Facts":{"Terms":{"Amount":{"Minor":10.5}}}}}`,
	}
	for _, body := range bodies {
		e := newMem(t)
		doc := store.Doc{ID: "pay_x", Body: []byte(body), Index: map[string]any{
			"tenant": "test/shop", "created": now, "refs": []string{"eu\x1fcs_1"}, "work_at": now,
		}}
		if err := e.Insert(named(t), "payments", doc); err != nil {
			t.Fatal(err)
		}
		s := store.NewPayments(e)
		if p, err := s.Get(t.Context(), "pay_x"); err == nil || p != nil {
			t.Errorf("%s: read as %+v", body, p)
		}
		if _, _, err := s.List(t.Context(), gateway.Filter{App: "shop", Mode: payment.ModeTest, Limit: 10}); err == nil {
			t.Errorf("%s: listed", body)
		}
		if _, err := s.ByRef(t.Context(), "eu", "cs_1"); err == nil {
			t.Errorf("%s: found", body)
		}
		if ids, err := s.WorkDue(t.Context(), now, 10); err != nil || len(ids) != 1 {
			t.Errorf("%s: queues must not read bodies: %v, %v", body, ids, err)
		}
	}
	e := newMem(t)
	if err := e.Insert(named(t), "payment_history", store.Doc{
		ID: "pay_x/1", Body: []byte(`{"entry":3}`), Index: map[string]any{"payment": "pay_x", "version": int64(1)},
	}); err != nil {
		t.Fatal(err)
	}
	if _, err := store.NewPayments(e).History(t.Context(), "pay_x"); err == nil {
		t.Error("garbage was read as history")
	}
}
