package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/providers/providertest"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
)

// garbage is an engine that answers every read with one body, and takes no write.
type garbage struct {
	store.Engine
	body []byte
}

func (g *garbage) doc(id string) store.Doc { return store.Doc{ID: id, Version: 1, Body: g.body} }

func (g *garbage) Get(_ context.Context, _, id string) (store.Doc, error) { return g.doc(id), nil }

func (g *garbage) GetMany(_ context.Context, _ string, ids []string) ([]store.Doc, error) {
	var out []store.Doc
	for _, id := range ids {
		out = append(out, g.doc(id))
	}
	return out, nil
}

func (g *garbage) Query(context.Context, string, store.Query) ([]store.Doc, string, error) {
	return []store.Doc{g.doc("x")}, "", nil
}

func (g *garbage) Scan(context.Context, string, string, int) ([]store.Doc, string, error) {
	return []store.Doc{g.doc("x")}, "", nil
}

func (g *garbage) Insert(context.Context, string, store.Doc) error { return store.ErrExists }

func (g *garbage) Replace(context.Context, string, store.Doc, int64) error {
	return store.ErrUnavailable
}

func (g *garbage) Delete(context.Context, string, string, int64) error { return store.ErrUnavailable }

// readers are every way to read a record of every collection.
func readers(e store.Engine) map[string]func(ctx context.Context) error {
	payments, alerts, in, orphans := store.NewPayments(e), store.NewAlerts(e), store.NewInbox(e), store.NewOrphans(e)
	runs, feed, risks, disputes, discrepancies := store.NewRuns(e), store.NewFeed(e), store.NewRisk(e), store.NewDisputes(e), store.NewDiscrepancies(e)
	ref := store.Ref{Provider: "p", Account: "a", Kind: "k", ID: "i"}
	return map[string]func(ctx context.Context) error{
		"payment": func(ctx context.Context) error { _, err := payments.Get(ctx, "pay_full"); return err },
		"payments": func(ctx context.Context) error {
			_, _, err := payments.List(ctx, gateway.Filter{App: "a", Mode: "test", Limit: 1})
			return err
		},
		"by ref":  func(ctx context.Context) error { _, err := payments.ByRef(ctx, "a", "r"); return err },
		"history": func(ctx context.Context) error { _, err := payments.History(ctx, "x"); return err },
		"alert":   func(ctx context.Context) error { _, err := alerts.Get(ctx, "x"); return err },
		"alerts": func(ctx context.Context) error {
			_, _, err := alerts.List(ctx, store.AlertFilter{Limit: 1})
			return err
		},
		"to tell": func(ctx context.Context) error { _, err := alerts.ToTell(ctx, now, 1); return err },
		"raise":   func(ctx context.Context) error { return alerts.Raise(ctx, gateway.AlertRecord{ID: "x", Kind: "k"}) },
		"box":     func(ctx context.Context) error { _, err := alerts.Box(ctx, "x"); return err },
		"webhook": func(ctx context.Context) error { _, err := in.Get(ctx, "x"); return err },
		"webhooks": func(ctx context.Context) error { // the list says it in the event's place
			found, _, err := in.List(ctx, inbox.Filter{Limit: 1})
			if err == nil && len(found) == 1 && found[0].Reason == inbox.ReasonUnreadable {
				err = errors.New(found[0].Reason)
			}
			return err
		},
		"webhooks due": func(ctx context.Context) error { _, err := in.Due(ctx, now, 1); return err },
		"body":         func(ctx context.Context) error { _, err := in.Body(ctx, "x"); return err },
		"orphans":      func(ctx context.Context) error { _, _, err := orphans.List(ctx, "", 1, ""); return err },
		"orphan":       func(ctx context.Context) error { _, _, err := orphans.KnownOrphan(ctx, "a", "r"); return err },
		"run":          func(ctx context.Context) error { _, err := runs.Get(ctx, "x"); return err },
		"runs":         func(ctx context.Context) error { _, _, err := runs.List(ctx, store.RunFilter{Limit: 1}); return err },
		"runs in": func(ctx context.Context) error {
			_, err := runs.InState(ctx, reconcile.RunState("done"), now, 1)
			return err
		},
		"discrepancies": func(ctx context.Context) error {
			_, _, err := discrepancies.List(ctx, store.DiscrepancyFilter{Limit: 1})
			return err
		},
		"feed last":  func(ctx context.Context) error { _, _, err := feed.Last(ctx, "a", payment.ModeTest); return err },
		"feed first": func(ctx context.Context) error { _, _, err := feed.First(ctx, "a", payment.ModeTest); return err },
		"feed page":  func(ctx context.Context) error { _, _, err := feed.Page(ctx, "a", payment.ModeTest, 1); return err },
		"key":        func(ctx context.Context) error { _, err := store.NewKeys(e).GetKey(ctx, "x"); return err },
		"keys":       func(ctx context.Context) error { _, err := store.NewKeys(e).ListKeys(ctx); return err },
		"claim":      func(ctx context.Context) error { _, err := store.NewClaims(e, time.Now).Holder(ctx, ref); return err },
		"cursor":     func(ctx context.Context) error { _, err := store.NewCursors(e).Get(ctx, "x"); return err },
		"lease":      func(ctx context.Context) error { _, err := store.NewLeases(e).Get(ctx, "x"); return err },
		"migration":  func(ctx context.Context) error { _, _, err := store.NewMigrations(e).Get(ctx); return err },
		"replicas":   func(ctx context.Context) error { _, err := store.NewReplicas(e).Live(ctx, now); return err },
		"settings":   func(ctx context.Context) error { _, err := store.NewSettings(e).Read(ctx); return err },
		"shares": func(ctx context.Context) error {
			_, err := store.NewShares(e).Preview(ctx, "x", time.Minute, now)
			return err
		},
		"erasure":  func(ctx context.Context) error { _, err := store.NewErasures(e).Get(ctx, "x"); return err },
		"erasures": func(ctx context.Context) error { _, _, err := store.NewErasures(e).List(ctx, 1, ""); return err },
		"subject":  func(ctx context.Context) error { _, err := risks.Subject(ctx, "x"); return err },
		"tallies":  func(ctx context.Context) error { _, err := risks.Tallies(ctx, []string{"x"}); return err },
		"decision": func(ctx context.Context) error { _, err := risks.Decision(ctx, "x"); return err },
		"decisions": func(ctx context.Context) error {
			_, _, err := risks.Decisions(ctx, gateway.DecisionFilter{Limit: 1})
			return err
		},
		"change decision": func(ctx context.Context) error {
			_, err := risks.ChangeDecision(ctx, "x", func(d risk.Decision) (risk.Decision, bool) { return d, false })
			return err
		},
		"blocks": func(ctx context.Context) error { _, err := risks.Blocks(ctx, []string{"x"}); return err },
		"block list": func(ctx context.Context) error {
			_, _, err := risks.ListBlocks(ctx, gateway.BlockFilter{Limit: 1})
			return err
		},
		"dispute": func(ctx context.Context) error { _, err := disputes.GetDispute(ctx, "x"); return err },
		"disputes": func(ctx context.Context) error {
			_, _, err := disputes.ListDisputes(ctx, gateway.DisputeFilter{Limit: 1})
			return err
		},
		"evidence": func(ctx context.Context) error { _, err := disputes.GetEvidence(ctx, "x"); return err },
		"file":     func(ctx context.Context) error { _, err := disputes.GetFile(ctx, "x"); return err },
	}
}

// FuzzGarbageRows: a row of any collection that holds garbage is an error to whoever
// reads it, and never takes the process down with it (one poisoned item never
// stops the rest). The garbage is a good record, damaged in one place.
func FuzzGarbageRows(f *testing.F) {
	golden, err := filepath.Glob("testdata/*_v1.json")
	if err != nil || len(golden) < 3 {
		f.Fatal(golden, err)
	}
	records := []string{`{"schema":1,"record":{"id":"x","Kind":"k"}}`, `{"value":"v","token":3,"owner":"o","until":5}`}
	for _, path := range golden {
		raw, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		records = append(records, string(raw))
	}
	for i := range records {
		for step, value := range []string{`null`, `{}`, `[]`, `""`, `-1`, `1e99`, `{"schema":1}`, `"9999-12-31T23:59:59-01:00"`} {
			f.Add(byte(i), []byte{byte(step)}, value)
			f.Add(byte(i), []byte{byte(step), byte(step), 0}, value)
		}
	}
	for quarter := range byte(4) {
		f.Add(quarter, []byte{}, `{"schema":1,"not json`)
	}
	f.Fuzz(func(t *testing.T, which byte, place []byte, value string) {
		var whole, other any
		if err := json.Unmarshal([]byte(records[int(which)%len(records)]), &whole); err != nil {
			t.Fatal(err)
		}
		g := &garbage{body: []byte(value)}
		broken := json.Unmarshal([]byte(value), &other) != nil
		if len(place) > 0 {
			if broken {
				other, broken = value, false
			}
			var err error
			if g.body, err = json.Marshal(providertest.Damage(whole, place[:min(len(place), 12)], other)); err != nil {
				t.Fatal(err)
			}
		}
		all := readers(g)
		for i, name := range slices.Sorted(maps.Keys(all)) {
			if i%4 != int(which)%4 {
				continue // a quarter for each input: there are many
			}
			if err := all[name](t.Context()); broken && err == nil {
				t.Errorf("%s: %q was read without an error", name, g.body)
			} else if err != nil && strings.Contains(err.Error(), "panic") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}
