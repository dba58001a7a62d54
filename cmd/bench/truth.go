package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"
)

func newRequest(ctx context.Context, target string, body []byte) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, target, bytes.NewReader(body))
	if err == nil {
		req.Header.Set("Content-Type", "application/json")
	}
	return req, err
}

// until polls a payment until it succeeded.
func (t *town) until(ctx context.Context, id string, i int, every, limit time.Duration) error {
	began := time.Now()
	for time.Since(began) < limit {
		p, err := t.get(ctx, id, i)
		if err != nil {
			return err
		}
		if p.Status == "succeeded" {
			return nil
		}
		time.Sleep(every)
	}
	return fmt.Errorf("%s did not succeed within %s", id, limit)
}

// measureTruth: from the provider's change to our record, by webhook. At PayPal it
// includes our own capture of the approved order.
func measureTruth(ctx context.Context, t *town) error {
	const n = 60
	for _, provider := range []string{"stripe", "paypal"} {
		var took []time.Duration
		for i := range n {
			p, err := t.create(ctx, provider, "truth-"+provider, i)
			if err != nil {
				return err
			}
			began := time.Now()
			if err := t.pay(ctx, p, i); err != nil {
				return err
			}
			if err := t.until(ctx, p.ID, i, 2*time.Millisecond, 30*time.Second); err != nil {
				return err
			}
			took = append(took, time.Since(began))
		}
		note := "customer pays, webhook, our record says succeeded; one at a time"
		put(figure{Figure: "truth_by_webhook_p50_" + provider, Value: quantile(sorted(took), .5), Unit: "ms", Note: note})
		put(figure{Figure: "truth_by_webhook_p99_" + provider, Value: quantile(sorted(took), .99), Unit: "ms", Note: note})
	}
	return nil
}

// measureReconcile: the same with every webhook lost and nobody coming back. Payments are
// spread over the time from one sweep to the next, else chance says how long one takes.
func measureReconcile(ctx context.Context, t *town) error {
	const n, apart = 20, 6 * time.Second
	if err := t.drop(ctx); err != nil {
		return err
	}
	took := make([]time.Duration, 2*n)
	t.progress("paying for two minutes, and waiting for the due sync, up to ten more …")
	if err := each(ctx, 2*n, 2*n, func(ctx context.Context, i int) error {
		time.Sleep(time.Duration(i/2) * apart)
		p, err := t.create(ctx, []string{"stripe", "paypal"}[i%2], "lost", i)
		if err != nil {
			return err
		}
		if err := t.pay(ctx, p, i); err != nil {
			return err
		}
		paid := time.Now()
		err = t.until(ctx, p.ID, i, 500*time.Millisecond, 11*time.Minute)
		took[i] = time.Since(paid)
		return err
	}); err != nil {
		return err
	}
	for at, provider := range []string{"stripe", "paypal"} {
		var mine []time.Duration
		for i := at; i < 2*n; i += 2 {
			mine = append(mine, took[i])
		}
		note := "every webhook lost, nobody came back"
		put(figure{Figure: "truth_by_reconcile_p50_" + provider, Value: quantile(sorted(mine), .5) / 1000, Unit: "s", Note: note})
		put(figure{Figure: "truth_by_reconcile_p99_" + provider, Value: quantile(sorted(mine), .99) / 1000, Unit: "s", Note: note})
	}
	return nil
}

func (t *town) drop(ctx context.Context) error {
	return t.control(ctx, http.MethodPut, t.stripe+"/_sandbox/faults", map[string]any{"seed": 7, "webhooks": map[string]any{"drop": 1.0}})
}

type ran struct {
	ID, State                    string
	Calls, Seen, Changed, Errors int
	Discrepancies                int
	StartedAt                    time.Time `json:"started_at"`
	EndedAt                      time.Time `json:"ended_at"`
}

// A day of the history. Sweeps read each list anew from some minutes before its last end, so a history that was
// made within minutes would be read many times over, as no real one is.
const paymentsPerDay = 5000

// history makes payments, day by day, and has the sweeps work each day off; then webhooks are lost, and two more days
// pass.
func (t *town) history(ctx context.Context) (ids []string, err error) {
	ids = make([]string, t.o.history)
	began := time.Now()
	for from := 0; from < len(ids); from += paymentsPerDay {
		if err := each(ctx, min(paymentsPerDay, len(ids)-from), 16, func(ctx context.Context, i int) error {
			i += from
			p, err := t.create(ctx, "stripe", "history", i)
			if err != nil {
				return err
			}
			ids[i] = p.ID
			return t.pay(ctx, p, i)
		}); err != nil {
			return nil, err
		}
		if err := t.nextDay(ctx, fmt.Sprintf("history-%d", from)); err != nil {
			return nil, err
		}
		t.progress("history: %d of %d payments, after %.0f s", min(from+paymentsPerDay, len(ids)), len(ids), time.Since(began).Seconds())
	}
	if err := t.told(ctx, "payment.succeeded", len(ids), time.Hour); err != nil {
		return nil, err
	}
	if err := t.drop(ctx); err != nil {
		return nil, err
	}
	for day := range 2 {
		if err := t.nextDay(ctx, fmt.Sprintf("after-%d", day)); err != nil {
			return nil, err
		}
	}
	return ids, nil
}

// nextDay lets a day pass, and sweeps until there is nothing left to see.
func (t *town) nextDay(ctx context.Context, name string) error {
	if err := t.control(ctx, http.MethodPost, t.stripe+"/_sandbox/clock/advance", map[string]any{"seconds": 24 * 3600}); err != nil {
		return err
	}
	time.Sleep(time.Second) // the gateway follows that clock by polling
	return t.caughtUp(ctx, name)
}

// measureSweep: a long history, some changes nobody told us of, and one sweep that
// has to find them. What it costs must follow the changes, not the history.
func measureSweep(ctx context.Context, t *town) error {
	ids, err := t.history(ctx)
	if err != nil {
		return err
	}
	n := min(t.o.changes, t.o.history)
	if err := each(ctx, n, 4, func(ctx context.Context, i int) error {
		p, err := t.get(ctx, ids[i*(t.o.history/n)], i)
		if err != nil {
			return err
		}
		return t.control(ctx, http.MethodPost, t.stripe+"/_sandbox/refunds", map[string]any{"charge": p.Refs.Charge, "amount": 100})
	}); err != nil {
		return err
	}
	before, err := t.metric(ctx, "trifecta_provider_request_seconds_count")
	if err != nil {
		return err
	}
	r, err := t.sweep(ctx, "measured")
	if err != nil {
		return err
	}
	took := r.EndedAt.Sub(r.StartedAt)
	if err := t.told(ctx, "refund.succeeded", n, 2*time.Minute); err != nil {
		return fmt.Errorf("the sweep left refunds unfound: %w", err)
	}
	after, err := t.metric(ctx, "trifecta_provider_request_seconds_count")
	if err != nil {
		return err
	}
	note := fmt.Sprintf("%d changes among %d historical payments: run saw %d rows, changed %d payments", n, t.o.history, r.Seen, r.Changed)
	put(figure{Figure: "sweep_calls", Value: after - before, Unit: "provider calls", Note: note})
	put(figure{Figure: "sweep_seconds", Value: took.Seconds(), Unit: "s", Note: note})
	now, most, err := t.gateway.memory()
	if err != nil {
		return err
	}
	put(figure{Figure: "memory_with_history", Value: now, Unit: "MiB", Note: fmt.Sprintf("%d payments; at most %.0f", t.o.history, most)})
	return nil
}

// maxRuns bounds the sweeps that work a history off; each reads some thousand rows.
const maxRuns = 2000

// caughtUp sweeps until there is nothing left to see: one run reads a bounded number of
// pages, and a long history takes many.
func (t *town) caughtUp(ctx context.Context, name string) error {
	for n := range maxRuns {
		r, err := t.sweep(ctx, fmt.Sprintf("%s-%d", name, n))
		switch {
		case err != nil && r.State == "failed" && r.Seen == 0: // a scheduled sweep is at it
			time.Sleep(3 * time.Second)
			continue
		case err != nil:
			return err
		case r.Seen == 0:
			return nil
		}
		t.progress("%s: run %d saw %d rows", name, n+1, r.Seen)
	}
	return fmt.Errorf("%s: still rows to see after %d sweeps", name, maxRuns)
}

// sweep orders a run and waits for its end.
func (t *town) sweep(ctx context.Context, name string) (ran, error) {
	out, code, err := t.call(ctx, http.MethodPost, t.api+"/v1/reconcile/runs", t.operator, name, []byte(`{"job":"sweep"}`))
	if err != nil {
		return ran{}, err
	}
	var r ran
	if err := json.Unmarshal(out, &r); err != nil || code != http.StatusAccepted {
		return r, fmt.Errorf("run: %d %s", code, out)
	}
	began := time.Now()
	for time.Since(began) < 10*time.Minute {
		var list struct{ Data []ran }
		out, code, err := t.call(ctx, http.MethodGet, t.api+"/v1/reconcile/runs?limit=50", t.operator, "", nil)
		if err != nil {
			return r, err
		}
		if err := json.Unmarshal(out, &list); err != nil || code != http.StatusOK {
			return r, fmt.Errorf("runs: %d %s", code, out)
		}
		for _, now := range list.Data {
			if now.ID == r.ID && now.State == "failed" {
				return now, fmt.Errorf("run %s failed: %+v", r.ID, now)
			}
			if now.ID == r.ID && now.State == "done" {
				return now, nil
			}
		}
		time.Sleep(20 * time.Millisecond)
	}
	return r, errors.New("the run never ended")
}
