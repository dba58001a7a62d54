package store_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/gateway/settings"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// small is a piece of work of one or a few writes that no scene of the simulator's crash points reaches. Whoever began it
// does it again when it was not heard to be done: the operator or app, the schedule, or the next process.
type small struct {
	point   store.WritePoint
	arrange func(ctx context.Context, e store.Engine) error
	do      func(ctx context.Context, e store.Engine) error
}

// errChanged is what the second of two changes of one version of the settings is told.
var errChanged = errors.New("the settings were changed meanwhile")

// smallWorks are in the order of docs/write-points.md.
func smallWorks() []small {
	by, later := payment.Actor{Type: "operator", ID: "tk_op_x"}, now.Add(time.Hour)
	nothing := func(context.Context, store.Engine) error { return nil }
	key := gateway.Key{Hash: strings.Repeat("a", 64), App: "shop", Mode: payment.ModeTest}
	raiseAlert := func(ctx context.Context, e store.Engine) error {
		return store.NewAlerts(e).Raise(ctx, incident("inc_1", now))
	}
	record := func(ctx context.Context, e store.Engine) error {
		d := reconcile.Discrepancy{ID: "dis_1", Kind: "mismatch", Account: "a", Payment: "pay_1", SeenAt: now, State: "open"}
		_, _, err := store.NewDiscrepancies(e).Record(ctx, d)
		return err
	}
	presence := func(id string, until time.Time) func(context.Context, store.Engine) error {
		return func(ctx context.Context, e store.Engine) error {
			return store.NewReplicas(e).Announce(ctx, store.Presence{ID: id, Host: "a", Version: "v1", Started: now, Expires: until})
		}
	}
	decide := func(ctx context.Context, e store.Engine) error {
		_, _, err := store.NewRisk(e).InsertDecision(ctx, risk.Decision{ID: "dec_1", App: "shop", Mode: payment.ModeTest, CreatedAt: now})
		return err
	}
	block := func(active bool) func(context.Context, store.Engine) error {
		return func(ctx context.Context, e store.Engine) error {
			empty := risk.Block{ID: "blk_1", App: "shop", Mode: payment.ModeTest, CreatedAt: now, UpdatedAt: now}
			_, err := store.NewRisk(e).ChangeBlock(ctx, empty, func(b risk.Block) (risk.Block, bool) {
				if b.Active == active {
					return b, false
				}
				b.Active = active
				b.Log = append(b.Log, risk.BlockEntry{At: now, By: by, What: fmt.Sprint(active)})
				return b, true
			})
			return err
		}
	}
	// As settings.Put does: a repetition names the version that it has changed itself, and is told so.
	change := func(version int64) func(context.Context, store.Engine) error {
		return func(ctx context.Context, e store.Engine) error {
			_, err := store.NewSettings(e).Change(ctx, func(old settings.Document) (settings.Document, error) {
				if old.Version != version {
					return settings.Document{}, errChanged
				}
				old.Changes = append(old.Changes, settings.Change{Version: version + 1, At: now, By: by, Reason: "test"})
				return old, nil
			})
			if errors.Is(err, errChanged) {
				return nil
			}
			return err
		}
	}
	share := func(id string) func(context.Context, store.Engine) error {
		return func(ctx context.Context, e store.Engine) error {
			_, err := store.NewShares(e).Take(ctx, id, time.Minute, now)
			return err
		}
	}
	hooks := func(body string) func(context.Context, store.Engine) error {
		return func(ctx context.Context, e store.Engine) error {
			for n := range 2 {
				r := inbox.Record{ID: fmt.Sprint("in_", n), State: inbox.Done, Account: "a", ReceivedAt: now}
				if _, _, err := store.NewInbox(e).Insert(ctx, r, []byte(body)); err != nil {
					return err
				}
			}
			return nil
		}
	}
	return []small{
		{store.PointAlertClear, raiseAlert, func(ctx context.Context, e store.Engine) error { return store.NewAlerts(e).Clear(ctx, "inc_1", later) }},
		{
			store.PointKeyRevoke, func(ctx context.Context, e store.Engine) error { return store.NewKeys(e).InsertKey(ctx, key) },
			func(ctx context.Context, e store.Engine) error {
				_, err := store.NewKeys(e).RevokeKey(ctx, key.Hash, by, later)
				return err
			},
		},
		{store.PointClaim, nothing, func(ctx context.Context, e store.Engine) error {
			_, ok, err := store.NewClaims(e, func() time.Time { return now }).Claim(ctx, order, "pay_1")
			if err == nil && !ok {
				err = errors.New("another holds what only we claimed")
			}
			return err
		}},
		{store.PointDiscrepancyInsert, nothing, record},
		{store.PointDiscrepancyResolve, record, func(ctx context.Context, e store.Engine) error {
			_, _, err := store.NewDiscrepancies(e).Resolve(ctx, "dis_1", store.Resolution{By: by, Reason: "seen", At: later})
			return err
		}},
		{store.PointInboxPruneBody, hooks(strings.Repeat("x", 600<<10)), func(ctx context.Context, e store.Engine) error {
			_, err := store.NewInbox(e).PruneBodies(ctx, later, 100)
			return err
		}},
		{store.PointReplicaAnnounce, nothing, presence("a/1", later)},
		{store.PointReplicaLeave, presence("a/1", later), func(ctx context.Context, e store.Engine) error { return store.NewReplicas(e).Leave(ctx, "a/1") }},
		{
			store.PointReplicaPrune,
			func(ctx context.Context, e store.Engine) error {
				return errors.Join(presence("a/1", now)(ctx, e), presence("a/2", now)(ctx, e), presence("a/3", later.Add(time.Second))(ctx, e))
			},
			func(ctx context.Context, e store.Engine) error {
				_, err := store.NewReplicas(e).Prune(ctx, later)
				return err
			},
		},
		{store.PointReplicaRenew, presence("a/1", now), presence("a/1", later)},
		{
			store.PointPruneAlerts,
			func(ctx context.Context, e store.Engine) error {
				for n := range 2 {
					a := incident(fmt.Sprint("inc_", n), now)
					a.State, a.ResolvedAt, a.TellAt = "resolved", now, time.Time{}
					if err := store.NewAlerts(e).Raise(ctx, a); err != nil {
						return err
					}
				}
				return nil
			},
			func(ctx context.Context, e store.Engine) error {
				_, err := store.NewRetention(e).Alerts(ctx, later, 100)
				return err
			},
		},
		{
			store.PointPruneFeed,
			func(ctx context.Context, e store.Engine) error {
				for n := range int64(3) {
					event := outbox.Event{ID: fmt.Sprint("evt_", n), CreatedAt: now, Sequence: n + 1, Payment: "pay_1", Object: []byte(`{}`)}
					p := outbox.Page{App: "shop", Mode: payment.ModeTest, N: n + 1, First: n + 1, Closed: n < 2, Events: []outbox.Event{event}}
					if err := store.NewFeed(e).InsertPage(ctx, p); err != nil {
						return err
					}
				}
				return nil
			},
			func(ctx context.Context, e store.Engine) error {
				_, err := store.NewRetention(e).Feed(ctx, later, 100)
				return err
			},
		},
		{store.PointPruneInbox, hooks(""), func(ctx context.Context, e store.Engine) error {
			_, err := store.NewRetention(e).Inbox(ctx, later, 100)
			return err
		}},
		{store.PointRiskBlockChange, block(true), block(false)},
		{store.PointRiskBlockInsert, nothing, block(true)},
		{store.PointRiskDecisionChange, decide, func(ctx context.Context, e store.Engine) error {
			_, err := store.NewRisk(e).ChangeDecision(ctx, "dec_1", func(d risk.Decision) (risk.Decision, bool) {
				changed := d.State != risk.Reversed
				d.State = risk.Reversed
				return d, changed
			})
			return err
		}},
		{store.PointRiskDecisionInsert, nothing, decide},
		{store.PointSettingsInsert, nothing, change(0)},
		{store.PointSettingsReplace, change(0), change(1)},
		{store.PointShareLeave, share("a"), func(ctx context.Context, e store.Engine) error { return store.NewShares(e).Leave(ctx, "a") }},
		{store.PointShareTake, share("b"), share("a")},
	}
}

// Guards I4 where the simulator does not come: a process that is killed before or after any write of these, or that loses
// the acknowledgement or the write, leaves what the same work, done again by another process, brings to the same end.
func TestSmallWorksAreDoneAgain(t *testing.T) {
	t.Parallel()
	for _, w := range smallWorks() {
		t.Run(string(w.point), func(t *testing.T) {
			t.Parallel()
			want, writes := w.cut(t, 0, 0, nil)
			if !slices.Contains(writes, w.point) {
				t.Fatalf("it is never reached: %v", writes)
			}
			for n := range writes {
				for _, when := range []faults.When{faults.Before, faults.After} {
					for _, fault := range []error{errCrash, store.ErrUnavailable} {
						got, _ := w.cut(t, n+1, when, fault)
						if diff := cmp.Diff(want, got); diff != "" {
							t.Errorf("%v %s write %d, %s (-undisturbed +done again):\n%s", fault, when, n+1, writes[n], diff)
						}
					}
				}
			}
		})
	}
}

var errCrash = errors.New("crash")

// cut does the work, which meets a fault at its n-th write (0: none), and does it again. It returns what is stored then,
// and the writes of the first time.
func (w small) cut(t *testing.T, n int, when faults.When, fault error) (map[string]string, []store.WritePoint) {
	t.Helper()
	raw, ctx := newMem(t), t.Context()
	if err := w.arrange(ctx, faults.Wrap(raw, faults.Options{Points: store.WritePoints()})); err != nil {
		t.Fatal(err)
	}
	var writes []store.WritePoint
	met := false
	e := faults.Wrap(raw, faults.Options{Points: store.WritePoints(), Write: func(p store.WritePoint, now faults.When) error {
		if now == faults.Before {
			writes = append(writes, p)
		}
		if met || len(writes) != n || now != when {
			return nil
		}
		if met = true; errors.Is(fault, errCrash) {
			panic(fault)
		}
		return fault
	}})
	crashing(t, func() error { return w.do(ctx, e) })
	if n > 0 {
		if !met {
			t.Fatalf("write %d met no fault", n)
		}
		if err := w.do(ctx, faults.Wrap(raw, faults.Options{Points: store.WritePoints()})); err != nil {
			t.Fatalf("%v %s write %d, done again: %v", fault, when, n, err)
		}
	}
	return stored(t, raw), writes
}

// crashing runs work that may die of errCrash, or say that the store is away.
func crashing(t *testing.T, work func() error) {
	t.Helper()
	defer func() {
		died := recover()
		if err, ok := died.(error); died != nil && (!ok || !errors.Is(err, errCrash)) {
			panic(died)
		}
	}()
	if err := work(); err != nil && !errors.Is(err, store.ErrUnavailable) && !errors.Is(err, gateway.ErrUnavailable) {
		t.Errorf("under a fault: %v", err)
	}
}

// stored is every document, without its version: how often it was written is nobody's business.
func stored(t *testing.T, e store.Engine) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, c := range store.Collections() {
		docs, _, err := e.Scan(t.Context(), c.Name, "", store.MaxLimit)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range docs {
			index := slices.Sorted(maps.Keys(d.Index))
			for i, name := range index {
				index[i] = fmt.Sprintf("%s=%v", name, d.Index[name])
			}
			out[c.Name+" "+d.ID] = fmt.Sprintf("%s %v", d.Body, index)
		}
	}
	return out
}
