package payment

import (
	"errors"
	"fmt"
	"time"

	"pgregory.net/rapid"
)

var errNotDone = errors.New("certainly not done")

// call executes an operation at the provider. The same key has one effect.
func (g *play) call(op Operation) (string, error) {
	if ref, ok := g.effects[op.Key]; ok {
		return ref, nil
	}
	ref, err := g.act(op)
	if err == nil {
		g.effects[op.Key], g.by[op.ID] = ref, ref
	}
	return ref, err
}

func (g *play) act(op Operation) (string, error) {
	born := Stamp{Created: g.now(), AsOf: g.now()}
	r := g.roots[op.N]
	switch op.Kind {
	case OpCreate:
		if g.chance("refuse creation", 6) {
			return "", errNotDone
		}
		key := g.key(fmt.Sprintf("root%d", op.N))
		g.roots[op.N] = &root{fact: AttemptFact{Key: key, N: op.N, State: AttemptOpen, Total: op.Amount, Stamp: born}}
		return key.ID, nil
	case OpClose:
		if r.fact.State == AttemptOpen && !g.paypal {
			r.fact.State = AttemptExpired
		}
		return r.fact.Key.ID, nil
	case OpAuthorize:
		if r.fact.State != AttemptApproved || g.chance("decline", 3) {
			return "", errNotDone
		}
		r.fact.State = AttemptAuthorized
		r.auths = []Authorization{{Key: g.key("a" + op.Key[:8]), N: op.N, Amount: op.Amount, Capturable: op.Amount.Minor, State: AuthActive, Stamp: born}}
		return r.auths[0].Key.ID, nil
	case OpCapture:
		return g.actCapture(op, r, born)
	case OpVoid:
		if r.auths[0].State != AuthActive {
			return "", errNotDone
		}
		g.release(r, AuthVoided)
		return r.auths[0].Key.ID, nil
	case OpRefund:
		return g.actRefund(op, r, born)
	}
	panic("unknown operation")
}

// release ends an authorization with what is left of it.
func (g *play) release(r *root, state AuthState) {
	r.auths[0].State, r.auths[0].Capturable, r.fact.State = state, 0, AttemptCanceled
	if len(r.captures) > 0 {
		r.fact.State = AttemptComplete
	}
}

func (g *play) actCapture(op Operation, r *root, born Stamp) (string, error) {
	id := g.key("c" + op.Key[len(op.Key)-12:])
	if len(r.auths) == 0 {
		if r.fact.State != AttemptApproved || g.chance("decline", 3) {
			return "", errNotDone
		}
		state := CaptureCompleted
		if g.chance("pending", 2) {
			state = CapturePending
		}
		r.fact.State = AttemptComplete
		r.captures = []Capture{{Key: id, N: op.N, Amount: op.Amount, State: state, Stamp: born}}
		return id.ID, nil
	}
	a := &r.auths[0]
	if a.State != AuthActive || a.Capturable < op.Amount.Minor || g.chance("decline", 4) {
		return "", errNotDone
	}
	a.Capturable -= op.Amount.Minor
	if g.paypal || len(r.captures) == 0 {
		r.captures = append(r.captures, Capture{Key: id, N: op.N, Auth: a.Key.ID, Amount: op.Amount, State: CaptureCompleted, Stamp: born})
	} else {
		id = r.captures[0].Key // one charge grows
		r.captures[0].Amount.Minor += op.Amount.Minor
	}
	if op.Final || a.Capturable == 0 {
		g.release(r, AuthCaptured)
	}
	return id.ID, nil
}

func (g *play) actRefund(op Operation, r *root, born Stamp) (string, error) {
	for _, c := range r.captures {
		if c.Key.ID != op.Target || c.State != CaptureCompleted {
			continue
		}
		left := c.Amount.Minor
		for _, x := range r.refunds {
			if x.Capture == c.Key.ID {
				left -= x.Amount.Minor
			}
		}
		if left < op.Amount.Minor {
			return "", errNotDone
		}
		key := g.key("r" + op.Key[len(op.Key)-12:])
		r.refunds = append(r.refunds, Refund{Key: key, Capture: c.Key.ID, Amount: op.Amount, State: RefundPending, Operation: op.ID, Stamp: born})
		return key.ID, nil
	}
	return "", errNotDone
}

// customer does something on one of the checkouts, abandoned or not.
func (g *play) customer() {
	if len(g.roots) == 0 {
		return
	}
	r := g.roots[rapid.IntRange(1, len(g.p.Facts.Opened)).Draw(g.t, "checkout")]
	if r == nil {
		return
	}
	born := Stamp{Created: g.now(), AsOf: g.now()}
	switch {
	case g.paypal && (r.fact.State == AttemptOpen || r.fact.State == AttemptApproved):
		r.fact.State, r.fact.ApprovedAt = AttemptApproved, g.now()
	case r.fact.State != AttemptOpen:
	case g.chance("declined on the page", 3):
		r.fact.Failure = Failure{Code: "card_declined"}
	case g.p.Facts.Terms.Manual:
		r.fact.State = AttemptAuthorized
		r.auths = []Authorization{{Key: g.key("a1"), N: r.fact.N, Amount: usd(1000), Capturable: 1000, State: AuthActive, Stamp: born}}
	default:
		r.fact.State = AttemptComplete
		r.captures = []Capture{{Key: g.key(fmt.Sprint("c", r.fact.N)), N: r.fact.N, Amount: usd(1000), State: CaptureCompleted, Stamp: born}}
	}
}

// provider moves something by itself.
func (g *play) provider() {
	for n := 1; n <= len(g.p.Facts.Opened); n++ {
		r := g.roots[n]
		if r == nil {
			continue
		}
		for i := range r.captures {
			if r.captures[i].State == CapturePending && (g.healing || g.chance("settle capture", 2)) {
				r.captures[i].State = CaptureCompleted
				if rapid.Bool().Draw(g.t, "deny") {
					r.captures[i].State = CaptureDeclined
				}
			}
		}
		for i := range r.refunds {
			if r.refunds[i].State == RefundPending && (g.healing || g.chance("settle refund", 2)) {
				r.refunds[i].State = RefundSucceeded
			}
		}
		lapses := g.paypal && (r.fact.State == AttemptOpen || r.fact.State == AttemptApproved) && g.now().After(r.fact.Created.Add(3*time.Hour))
		if lapses {
			r.fact.State = AttemptExpired
		}
		if len(r.auths) > 0 && r.auths[0].State == AuthActive && g.chance("lapse", 12) {
			g.release(r, AuthExpired)
		}
	}
}

// mischief is a capture that nobody asked for: a duplicate, a cent off, another
// currency or account, on any checkout, also an abandoned one.
func (g *play) mischief() {
	if len(g.roots) == 0 {
		return
	}
	r := g.roots[rapid.IntRange(1, len(g.p.Facts.Opened)).Draw(g.t, "checkout")]
	if r == nil {
		return
	}
	g.orders++
	key := g.key(fmt.Sprint("w", g.orders))
	if g.chance("other account", 6) {
		key.Account = "elsewhere"
	}
	r.captures = append(r.captures, Capture{
		Key: key, N: r.fact.N, State: CaptureCompleted, Stamp: Stamp{Created: g.now(), AsOf: g.now()},
		Amount: Money{Minor: rapid.Int64Range(999, 1001).Draw(g.t, "minor"), Currency: rapid.SampledFrom([]Currency{"usd", "usd", "usd", "eur"}).Draw(g.t, "currency")},
	})
	r.fact.State = AttemptComplete
}
