package main

import (
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/reconcile"
)

// scene is a short story without chance.
type scene struct {
	name      string
	steps     []step
	main      bool   // crashed twice as well, at every pair of its writes
	busy      bool   // webhooks arrive inside calls and writes
	strangers bool   // others use the accounts too
	turned    bool   // a key is worth little in it: every death on a backup is tried
	decided   bool   // an operator decides: that can't be had again after a backup
	only      string // the only mode in which it can end well; empty: any
	wiring    func() wiring
}

const (
	good = "4242424242424242"
	poor = "4000000000009995"
	day  = 24 * time.Hour
)

func paid() []step {
	return []step{create("stripe", ""), pays(good, http.StatusOK), returns(), becomes(payment.StatusSucceeded)}
}

func charge(s *script) string { return s.capture() }

// scenes are the stories of reliability's list, and what else it takes to reach
// every write point.
func scenes() []scene {
	paypal := []step{create("paypal", ""), approves(""), returns(), becomes(payment.StatusSucceeded)}
	disputed := func(outcome string) []step {
		return append(paid(),
			step{"dispute", func(s *script) bool {
				s.once("dispute", func() { s.t.sandbox("stripe", "disputes", map[string]any{"charge": s.capture(), "amount": 700}) })
				return true
			}}, waits(time.Hour),
			does("stripe", "disputes/{id}/resolve", func(s *script) string { return s.seen("stripe", "charge.dispute.created") }, map[string]string{"outcome": outcome}))
	}
	return append([]scene{
		{name: "card paid", main: true, steps: paid()},
		{name: "declined, then paid", steps: []step{create("stripe", ""), pays(poor, http.StatusPaymentRequired), pays(good, http.StatusOK), returns(), becomes(payment.StatusSucceeded)}},
		{name: "abandoned, expires", steps: []step{create("stripe", "", func(in *gateway.CreateInput) { in.ExpiresIn = 1800 }), becomes(payment.StatusExpired)}},
		{name: "PayPal approved and captured", main: true, steps: paypal},
		{name: "capture pending, then completed", steps: []step{
			create("paypal", ""), approves("pending"), returns(),
			does("paypal", "captures/{id}/settle", charge, map[string]string{"outcome": "completed"}), becomes(payment.StatusSucceeded),
		}},
		{name: "two partial refunds", main: true, steps: append(paid(), asks("refund", 1200), asks("refund", 300))},
		{name: "refund failed", steps: append(paid(), asks("refund", 1200),
			does("stripe", "refunds/{id}/fail", func(s *script) string { return s.seen("stripe", "refund.created") }, nil))},
		{name: "dispute lost", steps: disputed("lost")},
		{name: "dispute won", steps: disputed("won")},
		{name: "dispute accepted", steps: append(disputed("")[:5:5], waits(2*time.Hour), answers(true))},
		{name: "dispute contested, won", steps: append(disputed("")[:5:5], waits(2*time.Hour), answers(false), waits(time.Hour), disputed("won")[6])},
		{name: "webhook before the API's answer", busy: true, steps: append(paid(), asks("refund", 1200))},
		{name: "refund's answer lost", wiring: lostAnswer("/v1/refunds"), steps: append(paid(), asks("refund", 1200))},
		{name: "refund turned away, then made", turned: true, wiring: turnedAway("/v1/refunds"), steps: append(paid(), asks("refund", 1200))},
		{name: "capture's answer lost", wiring: lostAnswer("/capture"), steps: paypal},
		{name: "held, captured in part", steps: []step{create("stripe", "manual"), pays(good, http.StatusOK), returns(), becomes(payment.StatusAuthorized), asks("capture", 2000), becomes(payment.StatusSucceeded)}},
		{name: "held at PayPal, canceled", steps: []step{create("paypal", "manual"), approves(""), returns(), becomes(payment.StatusAuthorized), asks("cancel", 0), becomes(payment.StatusCanceled)}},
		{name: "switched to the other provider", steps: []step{create("", ""), chooses("paypal"), chooses("stripe"), pays(good, http.StatusOK), returns(), becomes(payment.StatusSucceeded)}},
		{name: "overcharged, accepted", decided: true, steps: []step{create("paypal", ""), wrong(100), approves(""), returns(), becomes(payment.StatusConflicted), wrong(0), resolves(), becomes(payment.StatusSucceeded)}},
		{name: "twenty-five refunds outside", steps: append(paid(), outside(25))},
		{name: "provider away, redelivered", steps: []step{create("stripe", ""), away("stripe", 30*time.Minute), pays(good, http.StatusOK), waits(time.Minute), redelivers("stripe"), becomes(payment.StatusSucceeded), prunes(), keysOf("shop")}},
		{name: "provider away for days, replayed", only: modeWebhook, steps: []step{create("stripe", ""), away("stripe", 6*24*time.Hour), pays(good, http.StatusOK), waits(7 * 24 * time.Hour), replaysDead(), becomes(payment.StatusSucceeded)}},
		{name: "a stranger's money", strangers: true, steps: append(paid(), stranger(), waits(2*time.Hour)), wiring: func() wiring {
			return wiring{reconcile: func(o *reconcile.Options) { o.KeepRuns = time.Hour }}
		}},
	}, elsewhereScenes()...)
}

// lostAnswer cuts the connection after the first call of a path took effect.
func lostAnswer(path string) func() wiring {
	return func() wiring {
		cut := false
		return wiring{transport: func(next http.RoundTripper) http.RoundTripper {
			return transport(func(req *http.Request) (*http.Response, error) {
				resp, err := next.RoundTrip(req)
				if !cut && err == nil && req.Method == http.MethodPost && strings.HasSuffix(req.URL.Path, path) {
					cut = true
					_ = resp.Body.Close() // a recorder's body
					return nil, errCut
				}
				return resp, err
			})
		}}
	}
}

// turnedAway lets the provider have too many requests when the first call of a path comes.
func turnedAway(path string) func() wiring {
	return func() wiring {
		turned := false
		return wiring{transport: func(next http.RoundTripper) http.RoundTripper {
			return transport(func(req *http.Request) (*http.Response, error) {
				if turned || req.Method != http.MethodPost || !strings.HasSuffix(req.URL.Path, path) {
					return next.RoundTrip(req)
				}
				turned = true
				return &http.Response{
					Status: "429 Too Many Requests", StatusCode: http.StatusTooManyRequests, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: req,
					Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(strings.NewReader(`{"error":{"type":"invalid_request_error","code":"rate_limit","message":"Too many requests"}}`)),
				}, nil
			})
		}}
	}
}

// transport is a function that carries calls.
type transport func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (t transport) RoundTrip(req *http.Request) (*http.Response, error) { return t(req) }
