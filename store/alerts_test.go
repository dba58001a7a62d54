package store_test

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

func incident(id string, at time.Time) gateway.AlertRecord {
	return gateway.AlertRecord{
		ID: id, App: "shop", Mode: payment.ModeTest, Payment: "pay_1", Kind: "late_money", Severity: "critical",
		State: "open", Message: "m", Count: 1, FirstSeen: at, LastSeen: at, TellAt: at,
	}
}

func getAlert(t *testing.T, s *store.Alerts, id string) gateway.AlertRecord {
	t.Helper()
	a, err := s.Get(t.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func raise(t *testing.T, s *store.Alerts, a gateway.AlertRecord) {
	t.Helper()
	if err := s.Raise(t.Context(), a); err != nil {
		t.Fatal(err)
	}
}

func setState(t *testing.T, s *store.Alerts, id, state string) {
	t.Helper()
	if err := s.Change(t.Context(), id, func(a gateway.AlertRecord) (gateway.AlertRecord, error) {
		a.State = state
		return a, nil
	}); err != nil {
		t.Fatal(err)
	}
}

// Guards that humans hear of an incident once: a repetition of the same sighting changes nothing, a later sighting
// counts up, one that was resolved opens again, one that was acknowledged stays so.
func TestAlertRaise(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewAlerts(e)
		var full gateway.AlertRecord
		fill(t, reflect.ValueOf(&full).Elem(), "a")
		raise(t, s, full)
		if d := cmp.Diff(full, getAlert(t, s, full.ID)); d != "" {
			t.Errorf("stored (-want +got):\n%s", d)
		}
		first := incident("inc_1", now)
		raise(t, s, first)
		raise(t, s, first)
		if d := cmp.Diff(first, getAlert(t, s, "inc_1")); d != "" {
			t.Errorf("after a repetition (-want +got):\n%s", d)
		}
		later := incident("inc_1", now.Add(time.Hour))
		later.Message, later.Severity = "again", "warning"
		raise(t, s, later)
		raise(t, s, first) // late repetition
		raise(t, s, later)
		want := later
		want.FirstSeen, want.Count, want.TellAt = now, 2, now
		if d := cmp.Diff(want, getAlert(t, s, "inc_1")); d != "" {
			t.Errorf("after a later sighting (-want +got):\n%s", d)
		}
		for _, c := range []struct{ was, becomes string }{{"resolved", "open"}, {"acked", "acked"}, {"snoozed", "snoozed"}} {
			setState(t, s, "inc_1", c.was)
			raise(t, s, later)
			if got := getAlert(t, s, "inc_1").State; got != c.was {
				t.Errorf("%s became %s by a repetition", c.was, got)
			}
			later.LastSeen = later.LastSeen.Add(time.Minute)
			raise(t, s, later)
			if got := getAlert(t, s, "inc_1").State; got != c.becomes {
				t.Errorf("%s became %s by a later sighting, want %s", c.was, got, c.becomes)
			}
		}
	})
}

// Guards that nobody's word about something mild silences it once it is critical: it is open again and to be told, by a
// channel that was told before as worse.
func TestWorseAlertOpensAgain(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewAlerts(e)
		for _, state := range []string{"open", "acked", "snoozed"} {
			mild := incident("inc_"+state, now)
			mild.Severity = "warning"
			raise(t, s, mild)
			setState(t, s, mild.ID, state)
			worse := mild
			worse.Severity, worse.LastSeen = "critical", now.Add(24*time.Hour)
			raise(t, s, worse)
			got := getAlert(t, s, mild.ID)
			if got.State != "open" || !got.SnoozedUntil.IsZero() || !got.TellAt.Equal(worse.LastSeen) || got.Reopened != 0 {
				t.Errorf("%s, then critical: %+v", state, got)
			}
		}
		due, err := s.ToTell(t.Context(), now.Add(24*time.Hour), 10)
		if err != nil || len(due) != 3 {
			t.Errorf("%d are to be told, %v", len(due), err)
		}
	})
}

// Guards that an alert ends by itself when its cause is gone, but not when the cause was seen again since; that it
// opens again when seen later; and that a person's word stays a person's.
func TestAlertClear(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s, ctx := store.NewAlerts(e), t.Context()
		clearAt := func(id string, at time.Time) {
			t.Helper()
			if err := s.Clear(ctx, id, at); err != nil {
				t.Fatal(err)
			}
		}
		clearAt("inc_none", now)
		raise(t, s, incident("inc_1", now))
		clearAt("inc_1", now.Add(-time.Minute)) // an old word: it was seen since
		if got := getAlert(t, s, "inc_1"); got.State != "open" {
			t.Fatalf("cleared by an older observation: %+v", got)
		}
		for _, state := range []string{"open", "acked", "snoozed"} {
			setState(t, s, "inc_1", state)
			clearAt("inc_1", now.Add(time.Minute))
			got := getAlert(t, s, "inc_1")
			if got.State != "resolved" || got.ResolvedBy != "gone" || !got.ResolvedAt.Equal(now.Add(time.Minute)) {
				t.Fatalf("%s, cleared: %+v", state, got)
			}
		}
		clearAt("inc_1", now.Add(time.Hour))
		if got := getAlert(t, s, "inc_1"); !got.ResolvedAt.Equal(now.Add(time.Minute)) {
			t.Errorf("cleared twice, the second time moved it: %+v", got)
		}
		again := incident("inc_1", now.Add(2*time.Hour))
		raise(t, s, again)
		got := getAlert(t, s, "inc_1")
		if got.State != "open" || got.ResolvedBy != "" || !got.ResolvedAt.IsZero() || got.Reopened != 1 || !got.OpenedAt().Equal(again.LastSeen) || !got.TellAt.Equal(again.LastSeen) {
			t.Errorf("seen again: %+v", got)
		}
		if err := s.Change(ctx, "inc_1", func(a gateway.AlertRecord) (gateway.AlertRecord, error) {
			a.State, a.ResolvedBy = "resolved", "operator"
			return a, nil
		}); err != nil {
			t.Fatal(err)
		}
		clearAt("inc_1", now.Add(3*time.Hour))
		if got := getAlert(t, s, "inc_1"); got.ResolvedBy != "operator" {
			t.Errorf("an operator's word was overwritten: %+v", got)
		}
	})
}

// Guards that whoever tells people finds, in order, what is to be told: what is new, what became worse, what is seen
// again, a snooze that is over; and nothing that somebody has seen to.
func TestAlertsToTell(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewAlerts(e)
		wantDue := func(at time.Time, want ...string) {
			t.Helper()
			due, err := s.ToTell(t.Context(), at, 100)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, a := range due {
				got = append(got, a.ID)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("due (-want +got):\n%s", d)
			}
		}
		told := func(id string) {
			t.Helper()
			if err := s.Change(t.Context(), id, func(a gateway.AlertRecord) (gateway.AlertRecord, error) {
				a.TellAt = time.Time{}
				return a, nil
			}); err != nil {
				t.Fatal(err)
			}
		}
		mild := incident("inc_b", now)
		mild.Severity, mild.TellAt = "warning", time.Time{}
		raise(t, s, mild)
		raise(t, s, incident("inc_a", now.Add(time.Minute)))
		wantDue(now, "inc_b")
		wantDue(now.Add(time.Minute), "inc_b", "inc_a")
		told("inc_b")
		setState(t, s, "inc_a", "acked")
		mild.LastSeen = now.Add(2 * time.Minute)
		raise(t, s, mild)
		wantDue(now.Add(time.Hour))
		mild.LastSeen, mild.Severity = now.Add(3*time.Minute), "critical"
		raise(t, s, mild)
		wantDue(now.Add(time.Hour), "inc_b")
		told("inc_b")
		if err := s.Change(t.Context(), "inc_b", func(a gateway.AlertRecord) (gateway.AlertRecord, error) {
			a.State, a.SnoozedUntil = "snoozed", now.Add(time.Hour)
			return a, nil
		}); err != nil {
			t.Fatal(err)
		}
		wantDue(now.Add(59 * time.Minute))
		wantDue(now.Add(time.Hour), "inc_b")
		setState(t, s, "inc_b", "resolved")
		wantDue(now.Add(time.Hour))
		mild.LastSeen = now.Add(2 * time.Hour)
		raise(t, s, mild)
		wantDue(now.Add(2*time.Hour), "inc_b")
	})
}

// Guards the same under faults: lost acknowledgements neither lose a sighting nor count it twice, and raisers at the
// same time do not overwrite each other.
func TestAlertRaiseUnderFaults(t *testing.T) {
	t.Parallel()
	e := newMem(t)
	var mu sync.Mutex
	n := 0
	s := store.NewAlerts(faults.Wrap(e, faults.Options{Points: store.WritePoints(), Write: func(_ store.WritePoint, w faults.When) error {
		mu.Lock()
		defer mu.Unlock()
		n++
		if w == faults.After && n%3 == 0 {
			return errLost
		}
		return nil
	}}))
	for i := range 20 {
		raise(t, s, incident("inc_1", now.Add(time.Duration(i)*time.Minute)))
	}
	if got := getAlert(t, s, "inc_1").Count; got != 20 {
		t.Errorf("counted %d of 20", got)
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for s.Raise(context.Background(), incident("inc_2", now)) != nil { // unknown: repeated
			}
		})
	}
	wg.Wait()
	if got := getAlert(t, s, "inc_2").Count; got != 1 {
		t.Errorf("one sighting raised by 8 was counted %d times", got)
	}
	var lost int
	s = store.NewAlerts(lossy(e, store.PointAlertRaise, faults.Before, &lost))
	if err := s.Raise(t.Context(), incident("inc_3", now)); !errors.Is(err, gateway.ErrUnavailable) {
		t.Errorf("outage: %v", err)
	}
}

// Guards the alert list: newest seen first, by payment and state, an app sees its own only, in pages of any size; an
// alert that is not there or can't be read is an error.
func TestAlertList(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewAlerts(e)
		var all []gateway.AlertRecord
		for i := range 40 {
			a := incident("inc_"+strings.Repeat("x", i), now.Add(time.Duration(i)*time.Minute))
			a.Payment = []string{"pay_1", "pay_2", ""}[i%3]
			a.State = []string{"open", "resolved"}[i%2]
			a.App = []string{"shop", "shop", "other"}[i/2%3]
			a.Mode = []payment.Mode{payment.ModeTest, payment.ModeLive}[i/8%2]
			raise(t, s, a)
			all = append([]gateway.AlertRecord{a}, all...)
		}
		for combination := range 8 {
			var f store.AlertFilter
			if combination&1 != 0 {
				f.App, f.Mode = "shop", payment.ModeTest
			}
			if combination&2 != 0 {
				f.Payment = "pay_2"
			}
			if combination&4 != 0 {
				f.State = "resolved"
			}
			want := slices.DeleteFunc(slices.Clone(all), func(a gateway.AlertRecord) bool {
				return f.App != "" && (a.App != f.App || a.Mode != f.Mode) || f.Payment != "" && a.Payment != f.Payment || f.State != "" && a.State != f.State
			})
			for _, f.Limit = range []int{1, 3, 100} {
				f.After = ""
				var got []gateway.AlertRecord
				for done := false; !done; done = f.After == "" {
					page, next, err := s.List(t.Context(), f)
					if err != nil {
						t.Fatal(err)
					}
					got, f.After = append(got, page...), next
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Fatalf("%+v (-want +got):\n%s", f, d)
				}
			}
		}
		if _, err := s.Get(t.Context(), "inc_none"); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("no such alert: %v", err)
		}
		if _, _, err := s.List(t.Context(), store.AlertFilter{After: "?"}); !errors.Is(err, gateway.ErrBadCursor) {
			t.Errorf("bad cursor: %v", err)
		}
		if err := e.Insert(named(t), "alerts", store.Doc{ID: "bad", Body: []byte(`{"alert":1}`)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Get(t.Context(), "bad"); err == nil {
			t.Error("garbage was read as an alert")
		}
		if err := s.Raise(t.Context(), incident("bad", now)); err == nil {
			t.Error("an alert was raised over garbage")
		}
	})
}

// Guards the keys: a key's digest goes in once, comes back whole, and nothing else is found.
func TestKeys(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		s := store.NewKeys(e)
		var k gateway.Key
		fill(t, reflect.ValueOf(&k).Elem(), "k")
		if err := s.InsertKey(t.Context(), k); err != nil {
			t.Fatal(err)
		}
		other := k
		other.App = "thief"
		if err := s.InsertKey(t.Context(), other); !errors.Is(err, gateway.ErrExists) {
			t.Errorf("inserted twice: %v", err)
		}
		got, err := s.GetKey(t.Context(), k.Hash)
		if d := cmp.Diff(k, got); err != nil || d != "" {
			t.Errorf("%v (-want +got):\n%s", err, d)
		}
		if _, err := s.GetKey(t.Context(), "nobody"); !errors.Is(err, gateway.ErrNotFound) {
			t.Errorf("unknown key: %v", err)
		}
		var lost int
		k.Hash = "another"
		if err := store.NewKeys(lossy(e, store.PointKeyInsert, faults.After, &lost)).InsertKey(t.Context(), k); err != nil || lost == 0 {
			t.Errorf("lost acknowledgement: %v, %d", err, lost)
		}
		if err := e.Insert(named(t), "api_keys", store.Doc{ID: "bad", Body: []byte(`{"key":[]}`)}); err != nil {
			t.Fatal(err)
		}
		if _, err := s.GetKey(t.Context(), "bad"); err == nil {
			t.Error("garbage was read as a key")
		}
	})
}

// recorder writes down the queries that pass through it.
type recorder struct {
	store.Engine
	made map[string][]store.Query
}

func (r *recorder) Query(ctx context.Context, coll string, q store.Query) ([]store.Doc, string, error) {
	r.made[coll] = append(r.made[coll], q)
	return r.Engine.Query(ctx, coll, q)
}

// Guards hot paths: every query that payments and alerts make is served by a declared index from its equality values
// on, in its order, and no declared index stands there unused. Engines refuse anything else.
func TestQueriesUseTheirIndexes(t *testing.T) {
	t.Parallel()
	onEngines(t, func(t *testing.T, e store.Engine) {
		ctx, r := t.Context(), &recorder{Engine: e, made: map[string][]store.Query{}}
		s, alerts := store.NewPayments(r), store.NewAlerts(r)
		simple(t, s, 1, nil)
		var problems []error
		note := func(err error) { problems = append(problems, err) }
		for _, f := range []gateway.Filter{{}, {Status: payment.StatusCanceled}, {Provider: "stripe"}, {Reference: "r"}, {Customer: "c"}, {CreatedFrom: now, CreatedTo: now}} {
			_, _, err := s.List(ctx, f)
			note(err)
		}
		many := make([]string, 200)
		for i := range many {
			many[i] = strings.Repeat("x", i+1)
		}
		_, err := s.ByRef(ctx, "eu", many...)
		note(err)
		_, err = s.WorkDue(ctx, now, 1)
		note(err)
		_, err = s.SyncDue(ctx, now, 1)
		note(err)
		_, err = s.SyncFresh(ctx, now, 1)
		note(err)
		_, unreadable, _, err := s.Unfed(ctx, 1, "")
		note(errors.Join(append(unreadable, err)...))
		_, err = s.History(ctx, "pay_001")
		note(err)
		rules := store.NewRisk(r)
		_, err = rules.Signaling(ctx, now, 1)
		note(err)
		_, err = rules.DueDecisions(ctx, now, 1)
		note(err)
		for _, app := range []string{"", "shop"} {
			_, _, err = rules.Decisions(ctx, gateway.DecisionFilter{App: app})
			note(err)
			_, _, err = rules.ListBlocks(ctx, gateway.BlockFilter{App: app})
			note(err)
		}
		for _, f := range []store.AlertFilter{{}, {State: "open"}, {Payment: "p"}, {Payment: "p", State: "open"}} {
			_, _, err = alerts.List(ctx, f)
			note(err)
		}
		_, err = alerts.ToTell(ctx, now, 1)
		note(err)
		if err := errors.Join(problems...); err != nil {
			t.Error(err)
		}
		for _, c := range []store.Collection{store.PaymentCollection(), store.HistoryCollection(), store.AlertCollection(), store.RiskDecisionCollection(), store.RiskBlockCollection()} {
			used := map[string]bool{}
			for _, q := range r.made[c.Name] {
				plan, err := store.NewPlan(c, q)
				if err != nil || len(plan.EqFields)+len(plan.Sort) == 0 {
					t.Errorf("%s %s: %v", c.Name, q.Index, err)
				}
				used[plan.Index.Name] = true
			}
			for _, ix := range c.Indexes {
				if !used[ix.Name] {
					t.Errorf("%s: no query uses index %s", c.Name, ix.Name)
				}
			}
		}
	})
}
