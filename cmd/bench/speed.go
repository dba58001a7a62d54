package main

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// measureStart: from the start of the process to ready, and the memory of one that
// has nothing to do.
func measureStart(ctx context.Context, t *town) error {
	var took []time.Duration
	for range 5 {
		t.gateway.stop()
		began := time.Now()
		if err := t.serve(ctx); err != nil {
			return err
		}
		for {
			_, code, err := t.call(ctx, http.MethodGet, t.internal+"/readyz", "", "", nil)
			if err == nil && code == http.StatusOK {
				break
			}
			if time.Since(began) > readyWait {
				return errors.New("never ready")
			}
			time.Sleep(5 * time.Millisecond)
		}
		took = append(took, time.Since(began))
	}
	put(figure{Figure: "start_to_ready", Value: quantile(sorted(took), 0.5), Unit: "ms", Note: "median of 5"}.atMost(1000))
	time.Sleep(5 * time.Second)
	now, _, err := t.gateway.memory()
	if err != nil {
		return err
	}
	put(figure{Figure: "memory_idle", Value: now, Unit: "MiB"}.atMost(64))
	return nil
}

// measureLatency: what the gateway adds to the provider's own time, on a machine that
// is all but idle, and on one that is awake and has cores to spare. Between two requests
// of the first, cores fall asleep, and each process that an answer goes through has to
// wake one: the direct call, which goes through fewer, is slower there too.
func measureLatency(ctx context.Context, t *town) error {
	sdk := stripeClient(t.stripe)
	direct := func(ctx context.Context, i int) error {
		_, err := session(ctx, sdk, fmt.Sprintf("direct-%d-%d", time.Now().UnixNano(), i), 1999)
		return err
	}
	through := func(name string) func(context.Context, int) error {
		return func(ctx context.Context, i int) error {
			_, err := t.create(ctx, "stripe", name, i)
			return err
		}
	}
	for _, c := range []struct {
		ending    string
		perSecond int
	}{{"", 40}, {"_awake", 200}} {
		for _, warm := range []func(context.Context, int) error{direct, through("warm" + c.ending)} {
			if _, err := open(ctx, c.perSecond, 2*time.Second, warm); err != nil {
				return err
			}
		}
		floor, err := open(ctx, c.perSecond, 2*t.o.span, direct)
		if err != nil {
			return err
		}
		ours, err := open(ctx, c.perSecond, 2*t.o.span, through("latency"+c.ending))
		if err != nil {
			return err
		}
		note := fmt.Sprintf("POST /v1/payments less a direct stripe-go call to the same sandbox, %d/s; direct p50 %.2f p99 %.2f", c.perSecond, quantile(floor, .5), quantile(floor, .99))
		put(figure{Figure: "added_latency_p50" + c.ending, Value: quantile(ours, .5) - quantile(floor, .5), Unit: "ms", Note: note}.atMost(2))
		put(figure{Figure: "added_latency_p99" + c.ending, Value: quantile(ours, .99) - quantile(floor, .99), Unit: "ms", Note: note}.atMost(10))
	}
	return nil
}

// measureCreates: payments created a second, beside the floor.
func measureCreates(ctx context.Context, t *town) error {
	if err := t.withFloor(ctx); err != nil {
		return err
	}
	floor := func(path string) func(context.Context, int) error {
		return func(ctx context.Context, _ int) error {
			out, code, err := t.call(ctx, http.MethodPost, t.floorURL+path, "", "", []byte(`{"amount":1999}`))
			if err == nil && code != http.StatusCreated {
				err = fmt.Errorf("floor: %d %s", code, out)
			}
			return err
		}
	}
	defer t.profiled(ctx, ".creates", 3*t.o.span)()
	for _, clients := range []int{1, 16, 64} {
		ours := func(ctx context.Context, i int) error {
			_, err := t.create(ctx, "stripe", fmt.Sprintf("creates-%d", clients), i)
			return err
		}
		// They take turns, so that a machine that slows down slows all.
		var bare, least, full float64
		var took []time.Duration
		for turn := range 2 {
			none, _, err := closed(ctx, clients, t.o.span/2, floor("/bare"))
			if err != nil {
				return err
			}
			a, _, err := closed(ctx, clients, t.o.span/2, floor("/create"))
			if err != nil {
				return err
			}
			b, lat, err := closed(ctx, clients, t.o.span/2, func(ctx context.Context, i int) error { return ours(ctx, turn*1_000_000+i) })
			if err != nil {
				return err
			}
			bare, least, full, took = bare+none/2, least+a/2, full+b/2, append(took, lat...)
		}
		name := fmt.Sprintf("creates_per_second_%d", clients)
		note := fmt.Sprintf("%d clients, p99 %.1f ms", clients, quantile(sorted(took), .99))
		put(figure{Figure: name, Value: full, Unit: "1/s", Note: note}.over(least).ratioAtLeast(0.7))
		put(figure{Figure: name + "_bare", Value: full, Unit: "1/s", Note: "the same beside a floor whose documents are smaller and can't be searched"}.over(bare))
	}
	_, most, err := t.gateway.memory()
	if err != nil {
		return err
	}
	put(figure{Figure: "memory_under_load", Value: most, Unit: "MiB", Note: "the most it ever was, 64 clients creating"})
	return nil
}

// measureComplete: what one payment costs the gateway from its creation until the
// webhook is applied and the event stands in the feed. Every customer has a card (or a
// PayPal account) and an address of their own.
func measureComplete(ctx context.Context, t *town) error {
	return t.complete(ctx, "", t.pay)
}

// measureHot: the same with one card, or one PayPal buyer, paying everything, as under
// card testing or at a till. The rules against fraud keep one record of all of it.
func measureHot(ctx context.Context, t *town) error {
	return t.complete(ctx, "hot", func(ctx context.Context, p paid, _ int) error { return t.pay(ctx, p, 0) })
}

// complete makes payments and waits until the feed told of them all.
func (t *town) complete(ctx context.Context, hot string, pay func(context.Context, paid, int) error) error {
	n, suffix, ending, who := t.o.payments, "", "", "customers of their own"
	if hot != "" {
		n, suffix, ending, who = max(1, n/4), "_"+hot, "."+hot, "one customer"
	}
	// Reconcile would read again what was paid a moment ago, at its own times.
	t.gateway.stop()
	if err := t.serve(ctx, "TRIFECTA_LAYERS_RECONCILE=false"); err != nil {
		return err
	}
	defer t.profiled(ctx, ending, 10*time.Second)()
	for done, provider := range []string{"stripe", "paypal"} {
		before, err := t.costs(ctx)
		if err != nil {
			return err
		}
		began := time.Now()
		if err := each(ctx, n, 8, func(ctx context.Context, i int) error {
			p, err := t.create(ctx, provider, "complete-"+provider, i)
			if err != nil {
				return err
			}
			return pay(ctx, p, i)
		}); err != nil {
			return err
		}
		if err := t.told(ctx, "payment.succeeded", (done+1)*n, 2*time.Minute); err != nil {
			return err
		}
		took := time.Since(began)
		after, err := t.costs(ctx)
		if err != nil {
			return err
		}
		each := func(a, b float64) float64 { return (b - a) / float64(n) }
		note := fmt.Sprintf("%d payments, 8 at once, %s: create, paid by the customer, webhook applied, event in the feed; %.0f payments/s", n, who, float64(n)/took.Seconds())
		cpu := figure{Figure: "cpu_per_payment_" + provider + suffix, Value: each(before.cpu, after.cpu), Unit: "ms", Note: note}
		if hot == "" {
			cpu = cpu.atMost(2)
		}
		put(cpu)
		put(figure{Figure: "allocations_per_payment_" + provider + suffix, Value: each(before.allocations, after.allocations), Unit: "1"})
		put(figure{Figure: "provider_calls_per_payment_" + provider + suffix, Value: each(before.calls, after.calls), Unit: "1"})
		put(figure{Figure: "webhooks_per_payment_" + provider + suffix, Value: each(before.webhooks, after.webhooks), Unit: "1"})
	}
	return nil
}

// costs are what the gateway has used so far.
type costs struct{ cpu, allocations, calls, webhooks float64 }

func (t *town) costs(ctx context.Context) (c costs, err error) {
	cpu, err := t.gateway.cpu()
	if err != nil {
		return c, err
	}
	c.cpu = float64(cpu) / float64(time.Millisecond)
	for name, into := range map[string]*float64{
		"go_memstats_mallocs_total": &c.allocations, "trifecta_provider_request_seconds_count": &c.calls, "trifecta_webhook_in_total": &c.webhooks,
	} {
		if *into, err = t.metric(ctx, name); err != nil && name == "go_memstats_mallocs_total" {
			return c, err
		}
	}
	return c, nil // a counter that nobody has counted with yet is zero
}

// measureWebhooks: signed webhooks taken in a second, and how long each waits for
// its 200, beside the floor.
func measureWebhooks(ctx context.Context, t *town) error {
	if err := t.withFloor(ctx); err != nil {
		return err
	}
	const known = 64
	sessions := make([]string, known)
	if err := each(ctx, known, 8, func(ctx context.Context, i int) error {
		p, err := t.create(ctx, "stripe", "hooks", i)
		sessions[i] = p.Refs.Session
		return err
	}); err != nil {
		return err
	}
	defer t.profiled(ctx, ".webhooks", 2*t.o.span)()
	var round atomic.Int64
	hook := func(target, kind string) func(context.Context, int) error {
		mine := round.Add(1)
		return func(ctx context.Context, i int) error {
			return t.hook(ctx, target, kind, fmt.Sprintf("evt_%d_%d", mine, i), sessions[i%known])
		}
	}
	const clients = 16
	for _, c := range []struct{ figure, kind, note string }{
		{"webhooks_per_second", "customer.updated", "genuine signatures, 16 clients, events that nobody has to act upon"},
		{"webhooks_per_second_working", "checkout.session.completed", "the same with events of 64 known payments, while the inbox works them off on the same cores"},
	} {
		var least, full float64
		var took []time.Duration
		for range 2 {
			a, _, err := closed(ctx, clients, t.o.span/2, hook(t.floorURL+"/hook", c.kind))
			if err != nil {
				return err
			}
			b, lat, err := closed(ctx, clients, t.o.span/2, hook(t.api+"/webhooks/stripe/stripe-bench", c.kind))
			if err != nil {
				return err
			}
			least, full, took = least+a/2, full+b/2, append(took, lat...)
		}
		f := figure{Figure: c.figure, Value: full, Unit: "1/s", Note: fmt.Sprintf("%s; p99 %.1f ms", c.note, quantile(sorted(took), .99))}.over(least)
		if c.figure == "webhooks_per_second" {
			f = f.ratioAtLeast(0.7)
		}
		put(f)
	}
	return t.kept(ctx)
}

// hook delivers one signed event about a session.
func (t *town) hook(ctx context.Context, target, kind, id, session string) error {
	now := time.Now()
	body := fmt.Appendf(nil, `{"id":%q,"object":"event","api_version":"2023-10-16","created":%d,"livemode":false,"pending_webhooks":1,"type":%q,"data":{"object":{"id":%q,"object":"checkout.session","livemode":false,"status":"complete"}},"request":{"id":null,"idempotency_key":null},"filler":%q}`,
		id, now.Unix(), kind, session, fmt.Sprintf("%01200d", 0))
	stamp := fmt.Sprint(now.Unix())
	req, err := newRequest(ctx, target, body)
	if err != nil {
		return err
	}
	req.Header.Set("Stripe-Signature", "t="+stamp+",v1="+hex.EncodeToString(mac(stamp, body)))
	resp, err := t.client.Do(req)
	if err != nil {
		return err
	}
	// An answer that was not read costs its connection, and the next one a handshake.
	_, err = io.Copy(io.Discard, resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("webhook: %d", resp.StatusCode)
	}
	if strings.HasPrefix(target, t.api) {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.hooked = append(t.hooked, id)
	}
	return nil
}

// profiled takes a CPU profile of the gateway for a while from now on, if one is wanted,
// into the file that was named and this ending.
func (t *town) profiled(ctx context.Context, ending string, span time.Duration) (wait func()) {
	var wg sync.WaitGroup
	if t.o.profile == "" {
		return wg.Wait
	}
	wg.Go(func() {
		target := fmt.Sprintf("%s/debug/pprof/profile?seconds=%d", t.internal, max(1, int(span.Seconds())))
		out, code, err := t.call(ctx, http.MethodGet, target, "", "", nil)
		if err == nil && code == http.StatusOK {
			err = os.WriteFile(t.o.profile+ending, out, 0o600)
		}
		if err != nil || code != http.StatusOK {
			t.progress("no profile: %d %v", code, err)
		}
	})
	return wg.Wait
}
