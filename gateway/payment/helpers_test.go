package payment

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// start is the moment at which every test payment is created. Provider times
// are written as seconds after it.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }

func stamp(created, asOf int) Stamp { return Stamp{Created: at(created), AsOf: at(asOf)} }

func usd(minor int64) Money { return Money{Minor: minor, Currency: "usd"} }

func stripeKey(id string) ObjectKey {
	return ObjectKey{Provider: "stripe", Account: "stripe-eu", ID: id}
}

func paypalKey(id string) ObjectKey {
	return ObjectKey{Provider: "paypal", Account: "paypal-eu", ID: id}
}

// The facts below are small on purpose: a test names only what it is about.

func opened(n int, provider string) Attempt {
	return Attempt{N: n, Provider: provider, Account: provider + "-eu", CreatedAt: start}
}

func session(n int, state AttemptState, total int64, asOf int) AttemptFact {
	return AttemptFact{
		Key: stripeKey(fmt.Sprintf("cs_%d", n)), N: n, Kind: "checkout_session", State: state, Total: usd(total),
		Stamp: stamp(0, asOf), CompleteAsOf: at(asOf),
	}
}

func order(n int, state AttemptState, total int64, asOf int) AttemptFact {
	a := AttemptFact{
		Key: paypalKey(fmt.Sprintf("ORDER%d", n)), N: n, Kind: "order", State: state, Total: usd(total),
		Stamp: stamp(0, asOf), CompleteAsOf: at(asOf),
	}
	if state == AttemptApproved {
		a.ApprovedAt = at(asOf)
	}
	return a
}

func captured(n int, id string, minor int64, created int) Capture {
	return Capture{Key: stripeKey(id), N: n, Amount: usd(minor), State: CaptureCompleted, Stamp: stamp(created, created)}
}

func authorized(n int, id string, minor, capturable int64, asOf int) Authorization {
	state := AuthActive
	if capturable == 0 {
		state = AuthCaptured
	}
	return Authorization{Key: stripeKey(id), N: n, Amount: usd(minor), Capturable: capturable, State: state, Stamp: stamp(0, asOf)}
}

func refunded(id, capture string, minor int64, state RefundState, created int) Refund {
	return Refund{Key: stripeKey(id), Capture: capture, Amount: usd(minor), State: state, Stamp: stamp(created, created)}
}

// automatic are the terms of a plain payment of 1000; manual those of one that
// is captured by the app.
func automatic(first ...Attempt) Facts { return Facts{Terms: Terms{Amount: usd(1000)}, Opened: first} }

func manual(first ...Attempt) Facts {
	return Facts{Terms: Terms{Amount: usd(5000), Manual: true}, Opened: first}
}

func decision(kind DecisionKind, n int, objects ...string) Decision {
	return Decision{ID: fmt.Sprintf("%s:%d:%v", kind, n, objects), Kind: kind, N: n, Objects: objects, By: Actor{Type: "worker"}, At: start}
}

// asked is our capture request over amount, with its answer: "" while there is
// none, "refused", or the capture it took effect in.
func asked(n int, run string, amount int64, answer string) []Decision {
	out := []Decision{{ID: "asked:" + run, Kind: DecisionCaptureAsked, N: n, Operation: run, Amount: amount}}
	switch answer {
	case "":
	case "refused":
		out = append(out, Decision{ID: "answer:" + run, Kind: DecisionCaptureFail, N: n, Operation: run})
	default:
		out = append(out, Decision{ID: "answer:" + run, Kind: DecisionCaptureDone, N: n, Operation: run, Objects: []string{answer}})
	}
	return out
}

var (
	webhook  = Source{Layer: LayerWebhook, Actor: Actor{Type: "webhook", ID: "evt_1"}, Reason: "test"}
	apiCall  = Source{Layer: LayerAPI, Actor: Actor{Type: "api_key", ID: "key_1"}, Reason: "test"}
	worker   = Actor{Type: "worker"}
	apiKey   = Actor{Type: "api_key", ID: "key_1"}
	operator = Actor{Type: "operator", ID: "op_1"}
)

func command(id string, second int) Command {
	return Command{ID: id, Fingerprint: "f-" + id, By: apiKey, Now: at(second)}
}

// newPayment is a payment with these facts, stored once.
func newPayment(f Facts) *Payment {
	p := New("pay_test", "shop", ModeTest, f.Terms, Request{ExpiresIn: time.Hour}, "token", start)
	p.Facts = f.Merge(Facts{})
	p.Version = 1
	return p
}

// change runs fn through Change, as the gateway does, and counts the version up
// as the store does.
func change(t *testing.T, p *Payment, second int, fn func(*Payment) error) *Payment {
	t.Helper()
	next, err := p.Change(apiCall, at(second), fn)
	if err != nil {
		t.Fatalf("change: %v", err)
	}
	if next != p {
		next.Version++
	}
	return next
}

// observe applies a complete snapshot.
func observe(t *testing.T, p *Payment, n, second int, facts Facts) *Payment {
	t.Helper()
	next, err := p.Apply(Observation{N: n, Complete: true, AsOf: at(second), Facts: facts}, webhook, at(second))
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	if next != p {
		next.Version++
	}
	return next
}

func wantStatus(t *testing.T, p *Payment, want Status) {
	t.Helper()
	if got := p.Status(); got != want {
		t.Fatalf("status = %s, want %s (conditions %+v, conflicts %v)", got, want, p.Facts.Conditions(), p.Facts.Conflicts())
	}
}

func wantDiff(t *testing.T, what string, got, want any) {
	t.Helper()
	if d := cmp.Diff(want, got); d != "" {
		t.Fatalf("%s (-want +got):\n%s", what, d)
	}
}

func eventTypes(p *Payment) []string {
	out := make([]string, 0, len(p.Outbox))
	for _, e := range p.Outbox {
		out = append(out, e.Type)
	}
	return out
}

func alertKinds(p *Payment) []string {
	out := make([]string, 0, len(p.Alerts))
	for _, a := range p.Alerts {
		out = append(out, a.Kind)
	}
	return out
}

// onlyOp is the only unsettled operation of a kind; the test fails if there is
// another number of them.
func onlyOp(t *testing.T, p *Payment, kind OpKind) *Operation {
	t.Helper()
	var found *Operation
	for i := range p.Operations {
		if op := &p.Operations[i]; op.Kind == kind && !op.State.Settled() {
			if found != nil {
				t.Fatalf("two unsettled operations %s", kind)
			}
			found = op
		}
	}
	if found == nil {
		t.Fatalf("no unsettled operation %s in %+v", kind, p.Operations)
	}
	return found
}

// settle starts and settles an operation in one go.
func settle(t *testing.T, p *Payment, id string, second int, out Outcome, obs *Observation) *Payment {
	t.Helper()
	p = change(t, p, second, func(c *Payment) error {
		if !c.Start(id, "w1", time.Minute, PlanCall, at(second)) {
			t.Fatalf("operation %s can't be started", id)
		}
		return nil
	})
	return change(t, p, second, func(c *Payment) error {
		c.Settle(id, out, obs, at(second))
		return nil
	})
}

func snapshot(n, second int, facts Facts) *Observation {
	return &Observation{N: n, Complete: true, AsOf: at(second), Facts: facts}
}
