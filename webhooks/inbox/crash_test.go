package inbox_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// cut is one place to stop: around the n-th write of a run.
type cut struct {
	n    int
	when faults.When
	kill bool // a crash; else a lost acknowledgement or an outage of one write
}

// crashRun plays a scenario in which the provider redelivers until it gets a 200
// and workers run on, with one cut, and returns the writes that were made.
func crashRun(t *testing.T, c cut, first func(*rig) []hook, check func(*testing.T, *rig)) []store.WritePoint {
	t.Helper()
	r := newRig(t)
	hooks := first(r)
	var writes []store.WritePoint
	done := false
	r.fault.set(func(p store.WritePoint, w faults.When) error {
		if w == faults.Before {
			writes = append(writes, p)
		}
		if done || len(writes) != c.n || w != c.when {
			return nil
		}
		done = true
		if c.kill {
			panic("killed")
		}
		return errDown
	}, nil)
	// guarded runs one piece of work in a process that may die in it.
	guarded := func(work func()) {
		defer func() {
			if died := recover(); died != nil {
				r.boot(func(o *inbox.Options) { o.Owner = "next" })
			}
		}()
		work()
	}
	acked := make([]bool, len(hooks))
	for range 12 {
		for i, h := range hooks {
			if !acked[i] {
				guarded(func() {
					code, _ := r.send(h)
					acked[i] = code == 200
				})
			}
		}
		guarded(func() { _, _, _ = r.inbox.Step(t.Context()) })
		guarded(func() { _, _, _ = r.service.Operations(0).Step(t.Context()) })
		r.clock.advance(3 * time.Minute)
	}
	if slices.Contains(acked, false) {
		t.Errorf("%+v: a webhook was never acknowledged", c)
	}
	check(t, r)
	return writes
}

// Guards I4 and I16: a crash, and a lost acknowledgement, before and after
// every single write of the layer, ends in the same state: one capture, each
// event done or parked, each human told once, a large body whole, and of two
// bodies under one signed key both.
func TestCrashAtEveryWrite(t *testing.T) {
	t.Parallel()
	large := hook{Key: "e1", Type: "x", Kind: "capture", Object: "cap_x", Pad: strings.Repeat(" ", 600<<10)}
	scenarios := map[string]struct {
		first func(*rig) []hook
		check func(*testing.T, *rig)
	}{
		"approved and captured": {
			func(r *rig) []hook {
				p := r.create("a")
				r.fake.approve(rootOf(p.ID))
				return []hook{paid("e1", p), {Key: "e2", Type: "order.approved", Kind: "order", Object: rootOf(p.ID)}}
			},
			func(t *testing.T, r *rig) {
				t.Helper()
				all, _, err := r.inbox.List(t.Context(), inbox.Filter{Limit: 10})
				if err != nil || len(all) != 2 {
					t.Fatalf("%d events, %v", len(all), err)
				}
				for _, rec := range all {
					if rec.State != inbox.Done {
						t.Errorf("%s is %s (%s)", rec.Event.Key, rec.State, rec.Reason)
					}
				}
				p := r.wantStatus(all[0].Payment, payment.StatusSucceeded)
				if r.fake.captures != 1 || len(p.Facts.Captures) != 1 {
					t.Errorf("%d captures at the provider, %d here", r.fake.captures, len(p.Facts.Captures))
				}
			},
		},
		"parked and orphaned": {
			func(*rig) []hook {
				return []hook{{Key: "e1", Type: "x", Kind: "capture", Object: "cap_x"}, {Key: "e2", Type: "x", Kind: "capture", Object: "cap_y", Live: true}}
			},
			func(t *testing.T, r *rig) {
				t.Helper()
				r.wantState(inbox.RecordID("stripe", account, false, "e1"), inbox.Parked, inbox.ReasonUnknown)
				r.wantState(inbox.RecordID("stripe", account, false, "e2"), inbox.Parked, inbox.ReasonMode)
				for _, kind := range []string{"foreign_money", "webhook_parked"} {
					if alerts := r.alertsOf(kind); len(alerts) != 1 || alerts[0].Count != 1 {
						t.Errorf("alerts %+v, want one %s", alerts, kind)
					}
				}
				orphans, _, err := store.NewOrphans(r.engine).List(t.Context(), "", 10, "")
				if err != nil || len(orphans) != 1 {
					t.Errorf("%d orphans, %v", len(orphans), err)
				}
			},
		},
		"two bodies under one key": { // whichever came first
			func(*rig) []hook {
				return []hook{{Key: "e1", Type: "x", Kind: "capture", Object: "cap_x"}, {Key: "e1", Type: "x", Kind: "capture", Object: "cap_y"}}
			},
			func(t *testing.T, r *rig) {
				t.Helper()
				all, _, err := r.inbox.List(t.Context(), inbox.Filter{Limit: 10})
				if err != nil || len(all) != 2 || all[0].Event.Object == all[1].Event.Object {
					t.Fatalf("%d events, %v", len(all), err)
				}
				for _, rec := range all {
					r.wantState(rec.ID, inbox.Parked, inbox.ReasonUnknown)
				}
			},
		},
		"a body in parts": {
			func(*rig) []hook { return []hook{large} },
			func(t *testing.T, r *rig) {
				t.Helper()
				id := inbox.RecordID("stripe", account, false, large.Key)
				r.wantState(id, inbox.Parked, inbox.ReasonUnknown)
				want, err := json.Marshal(large)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := r.inbox.Body(t.Context(), id); err != nil || !bytes.Equal(got, want) {
					t.Errorf("stored body: %d of %d bytes, %v", len(got), len(want), err)
				}
			},
		},
	}
	reached := map[string]store.WritePoint{"two bodies under one key": store.PointInboxVariant, "a body in parts": store.PointInboxBody}
	for name, s := range scenarios {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			writes := crashRun(t, cut{}, s.first, s.check)
			if p := reached[name]; len(writes) < 6 || p != "" && !slices.Contains(writes, p) {
				t.Fatalf("only %d writes: %v", len(writes), writes)
			}
			for n := 1; n <= len(writes); n++ {
				for _, when := range []faults.When{faults.Before, faults.After} {
					for _, kill := range []bool{true, false} {
						c := cut{n: n, when: when, kill: kill}
						t.Run(fmt.Sprintf("%d %s %s kill=%t", n, when, writes[n-1], kill), func(t *testing.T) {
							t.Parallel()
							crashRun(t, c, s.first, s.check)
						})
					}
				}
			}
		})
	}
}
