package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
	"github.com/trifecta-pay/trifecta/reconcile"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/webhooks/inbox"
	"github.com/trifecta-pay/trifecta/webhooks/outbox"
)

// adapter is everything that both adapters can do.
type adapter interface {
	providers.Provider
	providers.Verifier
	providers.Tracer
	providers.Sweeper
}

// bent is an adapter with a bug in it.
type bent struct {
	adapter
	seen    func(payment.Observation) payment.Observation
	order   func(providers.RefundRequest) providers.RefundRequest
	refund  func(res providers.Result, err error) (providers.Result, error)
	capture func(res providers.Result, err error) (providers.Result, error)
	swept   func(providers.SweepPage) providers.SweepPage
}

func (b bent) Fetch(ctx context.Context, a providers.Attempt) (payment.Observation, error) {
	obs, err := b.adapter.Fetch(ctx, a)
	if b.seen != nil && err == nil {
		obs = b.seen(obs)
	}
	return obs, err
}

func (b bent) CloseCheckout(ctx context.Context, a providers.Attempt, key string) (providers.Result, error) {
	res, err := b.adapter.CloseCheckout(ctx, a, key)
	if b.seen != nil && err == nil {
		res.Observation = b.seen(res.Observation)
	}
	return res, err
}

func (b bent) Capture(ctx context.Context, req providers.CaptureRequest, key string) (providers.Result, error) {
	res, err := b.adapter.Capture(ctx, req, key)
	if b.seen != nil && err == nil {
		res.Observation = b.seen(res.Observation)
	}
	if b.capture != nil {
		return b.capture(res, err)
	}
	return res, err
}

func (b bent) Refund(ctx context.Context, req providers.RefundRequest, key string) (providers.Result, error) {
	if b.order != nil {
		req = b.order(req)
	}
	res, err := b.adapter.Refund(ctx, req, key)
	if b.refund != nil {
		return b.refund(res, err)
	}
	return res, err
}

func (b bent) Sweep(ctx context.Context, list string, from, to time.Time, cursor string) (providers.SweepPage, error) {
	page, err := b.adapter.Sweep(ctx, list, from, to, cursor)
	if b.swept != nil && err == nil {
		page = b.swept(page)
	}
	return page, err
}

// One provider needs a call to hold money, the other can look a checkout up.
type (
	bentAuthorizer struct {
		bent
		providers.Authorizer
	}
	bentFinder struct {
		bent
		providers.CheckoutFinder
	}
)

func bend(b bent) func(providers.Provider) providers.Provider {
	return func(p providers.Provider) providers.Provider {
		inner, ok := p.(adapter)
		if !ok {
			panic("an adapter lacks a capability")
		}
		b.adapter = inner
		switch x := p.(type) {
		case providers.Authorizer:
			return bentAuthorizer{b, x}
		case providers.CheckoutFinder:
			return bentFinder{b, x}
		}
		return b
	}
}

// rewrite changes calls on their way to a provider.
type rewrite struct {
	next http.RoundTripper
	fn   func(*http.Request)
}

func (r rewrite) RoundTrip(req *http.Request) (*http.Response, error) {
	out := req.Clone(req.Context())
	r.fn(out)
	return r.next.RoundTrip(out)
}

// careless is an engine that forgets compare-and-swap for payments.
type careless struct{ store.Engine }

func (c careless) Replace(ctx context.Context, coll string, d store.Doc, ifVersion int64) error {
	if coll == "payments" {
		now, err := c.Get(ctx, coll, d.ID)
		if err != nil {
			return err
		}
		ifVersion = now.Version
	}
	return c.Engine.Replace(ctx, coll, d, ifVersion)
}

// forgetful is an inbox store that says that it stored.
type forgetful struct{ inbox.Store }

func (f forgetful) Insert(ctx context.Context, r inbox.Record, body []byte) (inbox.Record, bool, error) {
	stored, created, err := f.Store.Insert(ctx, r, body)
	if err != nil {
		return r, true, nil //nolint:nilerr // the planted bug
	}
	return stored, created, nil
}

// hasty is an inbox store in which an event that can't be placed yet is done with.
type hasty struct{ inbox.Store }

func (h hasty) Change(ctx context.Context, id string, w inbox.Write, fn func(inbox.Record) (inbox.Record, bool)) (inbox.Record, bool, error) {
	return h.Store.Change(ctx, id, w, func(r inbox.Record) (inbox.Record, bool) {
		next, ok := fn(r)
		if w == inbox.WriteSettle && next.State == inbox.Pending && next.Reason != "traced" {
			next.State, next.Owner, next.DueAt = inbox.Irrelevant, "", time.Time{}
		}
		return next, ok
	})
}

// lossy is an engine under which a feed whose page somebody else changed counts as
// written: the events are marked and never fed.
type lossy struct{ store.Engine }

func (l lossy) Replace(ctx context.Context, coll string, d store.Doc, ifVersion int64) error {
	err := l.Engine.Replace(ctx, coll, d, ifVersion)
	if strings.HasPrefix(coll, "feed") && errors.Is(err, store.ErrConflict) {
		return nil
	}
	return err
}

// restless is an engine under which the newest two events of a feed's page change their
// places when the next one comes, where they are of two payments.
type restless struct{ store.Engine }

func (r restless) Replace(ctx context.Context, coll string, d store.Doc, ifVersion int64) error {
	var page struct {
		Schema int         `json:"schema"`
		Page   outbox.Page `json:"page"`
	}
	if e := &page.Page.Events; strings.HasPrefix(coll, "feed") && json.Unmarshal(d.Body, &page) == nil && len(*e) > 2 {
		a, b := &(*e)[len(*e)-2], &(*e)[len(*e)-3]
		if a.Payment != b.Payment {
			*a, *b = *b, *a
			a.Sequence, b.Sequence = b.Sequence, a.Sequence
			if body, err := json.Marshal(page); err == nil {
				d.Body = body
			}
		}
	}
	return r.Engine.Replace(ctx, coll, d, ifVersion)
}

// oneLess is asking for another amount than was ordered.
func oneLess(req providers.RefundRequest) providers.RefundRequest {
	req.Amount.Minor = max(1, req.Amount.Minor-1)
	return req
}

// unkeyed takes the idempotency keys off calls whose path ends so.
func unkeyed(suffix string) func(http.RoundTripper) http.RoundTripper {
	return func(next http.RoundTripper) http.RoundTripper {
		return rewrite{next, func(r *http.Request) {
			if strings.HasSuffix(r.URL.Path, suffix) {
				r.Header.Del("Idempotency-Key")
				r.Header.Del("PayPal-Request-Id")
			}
		}}
	}
}

// swallow reads what has no outcome as a refusal.
func swallow(res providers.Result, err error) (providers.Result, error) {
	if err != nil && providers.ClassOf(err) == providers.Unknown {
		return providers.Result{}, &providers.Error{Class: providers.Refused, Op: "planted", Code: "timeout"}
	}
	return res, err
}

// planted is a bug and where it must be caught.
type planted struct {
	name   string
	wiring func() wiring
	mode   string
	within uint64 // seeds
	says   string // what the checker must say, in any of its words
	// without is the same wiring without the bug, where a second defence had to be
	// switched off to test the first alone.
	without wiring
	busy    bool // somebody acts inside every call and write
	long    bool // takes long: left out under the race detector
}

func bugs() []planted {
	return []planted{
		{name: "200_before_store", mode: modeWebhook, within: 100, says: "I4", wiring: func() wiring {
			return wiring{inbox: func(o *inbox.Options) { o.Store = forgetful{o.Store} }}
		}},
		{name: "new_key_on_every_try", long: true, mode: modeAll, within: 100, says: "I1", wiring: func() wiring {
			return wiring{transport: freshKeys("")}
		}},
		{name: "refund_repeated_without_key", long: true, mode: modeAll, within: 100, says: "I1", wiring: func() wiring {
			return wiring{transport: unkeyed("/v1/refunds")}
		}},
		{name: "timeout_read_as_failed", long: true, mode: modeAll, within: 100, says: "I5", wiring: func() wiring {
			return wiring{provider: bend(bent{refund: swallow, capture: swallow})}
		}},
		{name: "unknown_object_dropped", long: true, mode: modeWebhook, within: 100, wiring: func() wiring {
			return wiring{inbox: func(o *inbox.Options) { o.Store = hasty{o.Store} }}
		}},
		{name: "amount_not_compared", mode: modeAll, within: 100, wiring: func() wiring {
			return wiring{provider: bend(bent{seen: asAsked})}
		}},
		{name: "lost_update", busy: true, long: true, mode: modeThree, within: 100, wiring: func() wiring {
			return wiring{engine: func(e store.Engine) store.Engine { return careless{e} }}
		}},
		{name: "feed_conflict_taken_for_done", mode: modeThree, within: 100, says: "I9", wiring: func() wiring {
			return wiring{engine: func(e store.Engine) store.Engine { return lossy{e} }}
		}},
		{name: "another_amount_given_back", mode: modeAll, within: 100, says: "a refund of", wiring: func() wiring {
			return wiring{provider: bend(bent{order: oneLess})}
		}},
		{name: "told_events_change_their_places", long: true, mode: modeAll, within: 100, says: "while it followed its feed", wiring: func() wiring {
			return wiring{engine: func(e store.Engine) store.Engine { return restless{e} }}
		}},
		// The overlap of four hours hides this one: it is tested without.
		{name: "cursor_past_the_trusted", mode: modeReconcile, within: 100, without: wiring{reconcile: narrow}, wiring: func() wiring {
			return wiring{reconcile: narrow, provider: bend(bent{swept: func(p providers.SweepPage) providers.SweepPage {
				p.TrustedTo = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)
				return p
			}})}
		}},
		{name: "lease_of_a_moment", long: true, mode: modeThree, within: 100, says: "I1", wiring: func() wiring {
			return wiring{service: func(o *gateway.Options) { o.Lease = time.Nanosecond }, transport: freshKeys("refund")}
		}},
	}
}

// narrow takes the overlap off the windows of PayPal's transactions.
func narrow(o *reconcile.Options) {
	o.Overlaps = map[string]time.Duration{"paypal/transactions": time.Second}
}

// freshKeys gives every call of a path its own key.
func freshKeys(path string) func(http.RoundTripper) http.RoundTripper {
	n := 0
	return func(next http.RoundTripper) http.RoundTripper {
		return rewrite{next, func(r *http.Request) {
			for _, h := range []string{"Idempotency-Key", "PayPal-Request-Id"} {
				if r.Header.Get(h) != "" && strings.Contains(r.URL.Path, path) {
					n++
					r.Header.Set(h, fmt.Sprintf("fresh-%d", n))
				}
			}
		}}
	}
}

// asAsked is believing that what was captured is what the attempt was for.
func asAsked(o payment.Observation) payment.Observation {
	for i := range o.Facts.Captures {
		for _, a := range o.Facts.Attempts {
			if a.Total.Minor > 0 {
				o.Facts.Captures[i].Amount = a.Total
			}
		}
	}
	return o
}

// A simulator that catches nothing proves nothing: each of these bugs must fall,
// and the seed that it falls to must be clean without it.
func TestPlanted(t *testing.T) {
	t.Parallel()
	for _, b := range bugs() {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			if b.long && raced {
				t.Skip("not under the race detector, which makes it too slow; make test runs it without")
			}
			r := runnerOf(t, b.wiring())
			for seed := uint64(1); seed <= b.within; seed++ {
				p := draw(seed, b.mode, nil)
				if b.busy {
					p.rate[faultInterlace] = 0.9
				}
				res, err := r.run(p, seed, nil)
				if err != nil {
					t.Fatal(err)
				}
				if len(res.failed) == 0 || !strings.Contains(strings.Join(res.failed, "\n"), b.says) {
					continue
				}
				t.Logf("caught by seed %d: %s", seed, res.failed[0])
				if clean, err := runnerOf(t, b.without).run(p, seed, nil); err != nil || len(clean.failed) > 0 {
					t.Errorf("seed %d fails without the bug too: %q", seed, clean.failed)
				}
				return
			}
			t.Errorf("not caught in %d seeds of %s", b.within, b.mode)
		})
	}
}
