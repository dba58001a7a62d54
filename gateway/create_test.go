package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/store"
	"github.com/trifecta-pay/trifecta/store/faults"
)

func eventTypes(p *payment.Payment) []string {
	var out []string
	for _, e := range p.Outbox {
		out = append(out, e.Type)
	}
	return out
}

// Guards I4 and the size of a creation: two writes around one provider call, the provider's page in the answer, and
// the same request again is the same payment without another call or any change: of its writes, none is but the insert
// that finds the id taken.
func TestCreate(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"stripe", "paypal"} {
		w := newWorld(t, nil)
		a, err := w.create("k", input(provider))
		if err != nil || a.Unknown || a.Replayed {
			t.Fatalf("%s: %+v, %v", provider, a, err)
		}
		if got := w.written(); got != "payment.insert payment.replace" {
			t.Errorf("%s: writes %s", provider, got)
		}
		if got, want := w.svc.Checkout(a.Payment), "https://"+provider+".test/"; !strings.HasPrefix(got, want) {
			t.Errorf("checkout %q", got)
		}
		w.wantStatus(a.Payment.ID, payment.StatusRequiresAction)
		stored := w.get(a.Payment.ID)
		again, err := w.create("k", input(provider))
		if err != nil || !again.Replayed || again.Unknown || again.Payment.ID != a.Payment.ID {
			t.Errorf("%s again: %+v, %v", provider, again, err)
		}
		changed := input(provider)
		changed.Amount = 1001
		_, err = w.create("k", changed)
		wantCode(t, err, payment.CodeIdempotencyReused)
		if n, writes := w.fake(provider).counted("create_checkout"), w.written(); n != 1 || writes != "payment.insert payment.insert" {
			t.Errorf("%s: %d calls, writes %s", provider, n, writes)
		}
		if after := w.get(a.Payment.ID); after.Version != stored.Version || !after.Equal(stored) {
			t.Errorf("%s: the repetitions changed it: %+v", provider, after)
		}
		if got := eventTypes(w.get(a.Payment.ID)); !slices.Equal(got, []string{"payment.requires_action"}) {
			t.Errorf("%s: events %v", provider, got)
		}
	}
}

// readCounter counts what is read of an engine.
type readCounter struct {
	store.Engine
	reads []string
}

func (r *readCounter) Get(ctx context.Context, coll, id string) (store.Doc, error) {
	r.reads = append(r.reads, coll)
	return r.Engine.Get(ctx, coll, id)
}

func (r *readCounter) GetMany(ctx context.Context, coll string, ids []string) ([]store.Doc, error) {
	r.reads = append(r.reads, coll)
	return r.Engine.GetMany(ctx, coll, ids)
}

// Guards the cost of a creation: its caller waits for two writes and the provider, and for no read but that of blocks,
// where the customer has a name that could be blocked.
func TestCreateReadsNothing(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(o *gateway.Options) {
		o.Risk = &gateway.RiskOptions{Policy: func(string, payment.Mode) risk.Policy { return risk.Policy{} }}
	})
	counter := &readCounter{Engine: w.inner}
	w.inner = counter
	w.restart()
	w.mustCreate("nameless", input("stripe"))
	if len(counter.reads) > 0 {
		t.Errorf("a creation read %v", counter.reads)
	}
	named := input("stripe")
	named.Customer.Ref = "ann"
	w.mustCreate("named", named)
	if len(counter.reads) != 1 || counter.reads[0] != "risk_blocks" {
		t.Errorf("a creation for a customer with a name read %v", counter.reads)
	}
}

// Guards the request that leaves for the provider: our id, our return URL with the customer's token, the amount, and a
// life that the provider accepts.
func TestCreateAsksTheProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	in := manualInput("paypal")
	in.Metadata, in.Customer.Ref = map[string]string{"a": "b"}, "ann"
	in.ExpiresIn = 1800
	p := w.mustCreate("k", in)
	req := w.paypal.roots[0].req
	if req.PaymentID != p.ID || req.N != 1 || !req.Manual || req.Amount != (payment.Money{Minor: 1000, Currency: "usd"}) ||
		req.Metadata["a"] != "b" || req.CustomerRef != "ann" || req.BrandName != "shop" || req.Reference != "order-7" {
		t.Errorf("asked %+v", req)
	}
	if want := "https://pay.test/v1/return/" + p.ID + "?attempt=1&outcome=success&t=" + p.Token; req.ReturnURL != want {
		t.Errorf("return URL %s, want %s", req.ReturnURL, want)
	}
	if !strings.Contains(req.CancelURL, "outcome=cancel") || !req.ExpiresAt.Equal(begin.Add(31*time.Minute)) {
		t.Errorf("cancel URL %s, expires %v", req.CancelURL, req.ExpiresAt)
	}
	if !p.ExpiresAt.Equal(begin.Add(30 * time.Minute)) {
		t.Errorf("deadline %v", p.ExpiresAt)
	}
	long := w.mustCreate("k2", input("paypal"))
	if got := w.paypal.roots[1].req.ExpiresAt; !got.Equal(begin.Add(3*time.Hour - time.Minute)) {
		t.Errorf("%s: expires %v, longer than an order lives", long.ID, got)
	}
}

// Guards creation without a provider: one write, no call, our own page; and unknown providers, accounts and currencies
// are refused before anything is stored.
func TestCreateWithoutProvider(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input(""))
	if got := w.written(); got != "payment.insert" || len(w.stripe.calls)+len(w.paypal.calls) != 0 {
		t.Errorf("writes %s", got)
	}
	if want := "https://pay.test/pay/" + p.ID + "?t=" + p.Token; w.svc.Checkout(p) != want {
		t.Errorf("checkout %s", w.svc.Checkout(p))
	}
	edit := func(fn func(*gateway.CreateInput)) gateway.CreateInput {
		in := input("")
		fn(&in)
		return in
	}
	for name, c := range map[string]struct {
		in   gateway.CreateInput
		code payment.Code
	}{
		"unknown provider":            {edit(func(in *gateway.CreateInput) { in.Provider = "venmo" }), payment.CodeInvalid},
		"unknown account":             {edit(func(in *gateway.CreateInput) { in.Account = "stripe-us" }), payment.CodeInvalid},
		"account of another provider": {edit(func(in *gateway.CreateInput) { in.Provider, in.Account = "paypal", "stripe-eu" }), payment.CodeInvalid},
		"currency nobody takes":       {edit(func(in *gateway.CreateInput) { in.Currency = "kwd" }), payment.CodeUnsupported},
		"currency not taken here":     {edit(func(in *gateway.CreateInput) { in.Provider, in.Currency = "paypal", "jpy" }), payment.CodeUnsupported},
		"currency of the account":     {edit(func(in *gateway.CreateInput) { in.Account, in.Currency = "paypal-eu", "jpy" }), payment.CodeUnsupported},
		"no return URL":               {edit(func(in *gateway.CreateInput) { in.ReturnURL = "" }), payment.CodeInvalid},
	} {
		_, err := w.create(name, c.in)
		if payment.CodeOf(err) != c.code || w.written() != "" {
			t.Errorf("%s: %v", name, err)
		}
	}
	if a, err := w.create("jpy", edit(func(in *gateway.CreateInput) { in.Currency = "jpy" })); err != nil {
		t.Errorf("one provider takes it: %v", err)
	} else if _, choices, err := w.svc.Choices(t.Context(), a.Payment.ID, a.Payment.Token); err != nil || len(choices) != 1 || choices[0].Provider != "stripe" {
		t.Errorf("choices %v, %v", choices, err)
	}
	stranger := request("/v1/payments", "k", 1)
	stranger.Caller.App = "nobody"
	_, err := w.svc.Create(t.Context(), stranger, input(""))
	wantCode(t, err, payment.CodeForbidden)
}

// Guards the checks of a request: every broken rule is named at once, each with its place.
func TestCreateChecksEverything(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	long := strings.Repeat("x", 600)
	in := gateway.CreateInput{
		Amount: -1, Currency: "xxx", Capture: "later", ReturnURL: "https://evil.test", CancelURL: "ftp://shop.test",
		Reference: "a\nb", Description: long, Locale: "deutsch!", Metadata: map[string]string{"trifecta_x": "1", "a/b": long, "": "1"},
		StatementDescriptor: "a*b", Customer: payment.Customer{ID: "cus_1", Email: "Ann <ann@x.test>", Name: "\x00"}, ExpiresIn: 60,
		LineItems: []payment.LineItem{{Name: "", Quantity: 0}, {Name: "x", Quantity: 1, UnitAmount: -1}},
	}
	_, err := w.create("k", in)
	wantCode(t, err, payment.CodeInvalid)
	var e *payment.Error
	if !errors.As(err, &e) {
		t.Fatal(err)
	}
	got := map[string]bool{}
	for _, f := range e.Fields {
		got[f.Pointer] = true
	}
	for _, want := range []string{
		"/amount", "/currency", "/capture", "/return_url", "/cancel_url", "/reference", "/description", "/locale", "/metadata/trifecta_x",
		"/metadata/a~1b", "/metadata/", "/statement_descriptor", "/customer", "/customer/email", "/customer/name", "/expires_in",
		"/line_items/0/name", "/line_items/0/quantity", "/line_items/1/unit_amount",
	} {
		if !got[want] {
			t.Errorf("%s is not named in %v", want, e.Fields)
		}
	}
	in = input("stripe")
	in.LineItems = []payment.LineItem{{Name: "x", Quantity: 3, UnitAmount: 333}}
	_, err = w.create("k", in)
	wantCode(t, err, payment.CodeInvalid)
	in.LineItems = append(in.LineItems, payment.LineItem{Name: "y", Quantity: 1, UnitAmount: 1})
	if _, err = w.create("k", in); err != nil {
		t.Errorf("corrected with the same key: %v", err)
	}
}

// Guards I5 for creations: a lost answer is 202 whether or not it took effect; the repetition drives it one step with
// the same key and finds the one checkout.
func TestCreateUnknown(t *testing.T) {
	t.Parallel()
	for _, f := range []fault{timeoutBefore, timeoutAfter, htmlPage} {
		for _, provider := range []string{"stripe", "paypal"} {
			w := newWorld(t, nil)
			w.fake(provider).fail("create_checkout", f, f)
			a, err := w.create("k", input(provider))
			if err != nil || !a.Unknown || a.Replayed {
				t.Fatalf("%s %d: %+v, %v", provider, f, a, err)
			}
			w.wantStatus(a.Payment.ID, payment.StatusProcessing)
			if url := w.svc.Checkout(a.Payment); url != "" {
				t.Errorf("checkout %s of an unknown creation", url)
			}
			if a, err = w.create("k", input(provider)); err != nil || !a.Unknown || !a.Replayed {
				t.Fatalf("%s %d again: %+v, %v", provider, f, a, err)
			}
			a, err = w.create("k", input(provider))
			if err != nil || a.Unknown || !a.Replayed {
				t.Fatalf("%s %d third: %+v, %v", provider, f, a, err)
			}
			w.wantStatus(a.Payment.ID, payment.StatusRequiresAction)
			if fake := w.fake(provider); len(fake.roots) != 1 || len(fake.keysOf("create_checkout")) != 1 {
				t.Errorf("%d checkouts with keys %v", len(fake.roots), fake.keysOf("create_checkout"))
			}
		}
	}
}

// Guards that what certainly did not happen is said so and not remembered: the same key works again, with the same
// request or a corrected one, and never has two checkouts open.
func TestCreateNotDone(t *testing.T) {
	t.Parallel()
	for f, code := range map[fault]payment.Code{
		tooMany: payment.CodeProviderUnavailable, forbidden: payment.CodeProviderUnavailable, missing: payment.CodeProviderUnavailable,
		refused: payment.CodeConflict,
	} {
		w := newWorld(t, nil)
		w.stripe.fail("create_checkout", f, f)
		_, err := w.create("k", input("stripe"))
		wantCode(t, err, code)
		var e *payment.Error
		if !errors.As(err, &e) || e.PaymentID == "" {
			t.Fatalf("%d: no payment named: %v", f, err)
		}
		w.quiet(e.PaymentID)
		if n := w.stripe.counted("create_checkout"); n != 1 {
			t.Errorf("%d: tried %d times behind the app's back", f, n)
		}
		_, err = w.create("k", input("stripe"))
		wantCode(t, err, code)
		corrected := input("stripe")
		corrected.Amount = 1500
		a, err := w.create("k", corrected)
		if err != nil || a.Payment.ID != e.PaymentID || a.Payment.Facts.Terms.Amount.Minor != 1500 {
			t.Fatalf("%d corrected: %+v, %v", f, a, err)
		}
		if a, err = w.create("k", corrected); err != nil || !a.Replayed {
			t.Errorf("%d replayed: %+v, %v", f, a, err)
		}
		_, err = w.create("k", input("stripe"))
		wantCode(t, err, payment.CodeIdempotencyReused)
		if len(w.stripe.roots) != 1 || w.stripe.roots[0].req.Amount.Minor != 1500 {
			t.Errorf("%d: %d checkouts", f, len(w.stripe.roots))
		}
	}
}

// Guards that a long outage does not use a payment up: an app that repeats its creation every five seconds for three
// hours, as it is told to, gets its checkout with the same key once the provider is back.
func TestCreateThroughLongOutage(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for range payment.MaxAttempts {
		w.stripe.fail("create_checkout", tooMany)
	}
	for began := w.now(); w.now().Before(began.Add(3 * time.Hour)); w.pass(5 * time.Second) {
		_, err := w.create("k", input("stripe"))
		wantCode(t, err, payment.CodeProviderUnavailable)
		var e *payment.Error
		if !errors.As(err, &e) || e.PaymentID == "" {
			t.Fatalf("no payment named: %v", err)
		}
	}
	if tried := w.stripe.counted("create_checkout"); tried < 20 || tried >= payment.MaxAttempts {
		t.Errorf("tried %d times in three hours", tried)
	}
	w.stripe.mu.Lock()
	clear(w.stripe.script)
	w.stripe.mu.Unlock()
	w.pass(10 * time.Minute)
	if a, err := w.create("k", input("stripe")); err != nil || a.Unknown {
		t.Errorf("after the outage: %+v, %v", a, err)
	}
	if len(w.stripe.roots) != 1 {
		t.Errorf("%d checkouts", len(w.stripe.roots))
	}
}

// Guards that a provider's complaint about one field reaches the app as that field, and that the correction may choose
// another provider or none.
func TestCreateRefusedField(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	in := input("stripe")
	in.Amount = 666
	_, err := w.create("k", in)
	wantCode(t, err, payment.CodeInvalid)
	var e *payment.Error
	if !errors.As(err, &e) || len(e.Fields) != 1 || e.Fields[0].Pointer != "/amount" {
		t.Errorf("fields %v", err)
	}
	a, err := w.create("k", input(""))
	if err != nil || a.Payment.ID != e.PaymentID {
		t.Fatalf("corrected: %v", err)
	}
	if _, err := w.choose(a.Payment.ID, "paypal"); err != nil {
		t.Errorf("choose: %v", err)
	}
	if a, err = w.create("k", input("")); err != nil || !a.Replayed || a.Unknown {
		t.Errorf("replayed: %+v, %v", a, err)
	}
}

// Guards that a 402 is remembered: the same request hears it again without another call.
func TestCreateDeclined(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.stripe.fail("create_checkout", declined)
	for range 2 {
		_, err := w.create("k", input("stripe"))
		wantCode(t, err, payment.CodeDeclined)
		var e *payment.Error
		if !errors.As(err, &e) || e.PaymentID == "" || e.DeclineCode != "insufficient_funds" {
			t.Errorf("declined as %+v", e)
		}
	}
	corrected := input("stripe")
	corrected.Amount = 5
	_, err := w.create("k", corrected)
	wantCode(t, err, payment.CodeIdempotencyReused)
	if n := w.stripe.counted("create_checkout"); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// Guards that a repeated creation says 201 again although a customer's choice on our page has no outcome at that moment.
func TestCreateReplayedDuringChoice(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.mustCreate("k", input(""))
	w.paypal.fail("create_checkout", timeoutAfter, timeoutAfter, timeoutAfter)
	if _, err := w.choose(p.ID, "paypal"); payment.CodeOf(err) != payment.CodeProviderUnavailable {
		t.Fatalf("choose: %v", err)
	}
	a, err := w.create("k", input(""))
	if err != nil || a.Unknown || !a.Replayed {
		t.Errorf("replayed: %+v, %v", a, err)
	}
}

// Guards "create once": many at the same time with one key make one payment, one checkout and one provider key.
func TestCreateConcurrently(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	ids := map[string]int{}
	for range 16 {
		wg.Go(func() {
			a, err := w.create("k", input("stripe"))
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err == nil && !a.Unknown:
				ids[a.Payment.ID]++
			case payment.CodeOf(err) != payment.CodeIdempotencyInProgress:
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	wg.Wait()
	if len(ids) != 1 || len(w.stripe.roots) != 1 || w.stripe.counted("create_checkout") != 1 {
		t.Errorf("payments %v, %d checkouts, %d calls", ids, len(w.stripe.roots), w.stripe.counted("create_checkout"))
	}
}

// Guards that a second request meets the first one while it runs: 409, not a second call.
func TestCreateInProgress(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	w.stripe.during = func(op string) {
		if op != "create_checkout" {
			return
		}
		w.stripe.during = nil
		_, err := w.create("k", input("stripe"))
		wantCode(t, err, payment.CodeIdempotencyInProgress)
	}
	w.mustCreate("k", input("stripe"))
	if n := w.stripe.counted("create_checkout"); n != 1 {
		t.Errorf("%d calls", n)
	}
}

// Guards creation against kill -9: whatever was reached, the worker finishes it with the same key, and the app's
// repetition finds it.
func TestCreateFinishedByWorker(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		point store.WritePoint
		when  faults.When
	}{{store.PointPaymentInsert, faults.After}, {store.PointPaymentReplace, faults.Before}, {store.PointPaymentReplace, faults.After}} {
		w := newWorld(t, nil)
		w.crashAt(c.point, c.when, 1)
		if !w.crashed(func() { _, _ = w.create("k", input("paypal")) }) {
			t.Fatal("no crash")
		}
		id := idOf(t, w)
		if c.when == faults.Before || c.point == store.PointPaymentInsert {
			_, err := w.create("k", input("paypal"))
			wantCode(t, err, payment.CodeIdempotencyInProgress) // the lease of the dead process
		}
		w.quiet(id)
		w.wantStatus(id, payment.StatusRequiresAction)
		a, err := w.create("k", input("paypal"))
		if err != nil || !a.Replayed || a.Unknown || len(w.paypal.roots) != 1 || len(w.paypal.keysOf("create_checkout")) != 1 {
			t.Errorf("%v %s: %+v, %v, %d orders", c.when, c.point, a, err, len(w.paypal.roots))
		}
	}
}

// Guards a creation whose key died without an answer: found by our reference it is adopted; not to be found it is given
// up, because its URL never left us, and the customer pays through our page.
func TestCreateKeyDead(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		provider string
		first    fault
		adopted  bool
	}{{"stripe", timeoutAfter, true}, {"stripe", timeoutBefore, false}, {"paypal", timeoutAfter, false}, {"stripe", stored500Done, true}, {"stripe", stored500, false}} {
		w := newWorld(t, nil)
		fake := w.fake(c.provider)
		fake.fail("create_checkout", c.first)
		fake.keyLife = time.Hour
		in := input(c.provider)
		a, err := w.create("k", in)
		if err != nil || !a.Unknown {
			t.Fatalf("%+v: %+v, %v", c, a, err)
		}
		if c.first == timeoutAfter || c.first == timeoutBefore {
			w.pass(2 * time.Hour)
		}
		a, err = w.create("k", in)
		if err != nil || a.Unknown || !a.Replayed {
			t.Fatalf("%+v replayed: %+v, %v", c, a, err)
		}
		p := w.get(a.Payment.ID)
		if op := p.Operations[0]; op.State != map[bool]payment.OpState{true: payment.OpDone, false: payment.OpFailed}[c.adopted] {
			t.Errorf("%+v: operation %+v", c, op)
		}
		if n := fake.counted("create_checkout"); n != 1 {
			t.Errorf("%+v: %d creating calls", c, n)
		}
		if c.adopted {
			continue
		}
		w.wantStatus(p.ID, payment.StatusRequiresAction)
		if got := w.svc.Checkout(p); got != w.svc.PayURL(p) {
			t.Errorf("%+v: checkout %s", c, got)
		}
		if _, err := w.choose(p.ID, c.provider); err != nil {
			t.Errorf("%+v: next attempt: %v", c, err)
		}
	}
}

// Guards an order against the worst moment: its start was written, nobody said so, and somebody else changed the payment
// right after. Whoever asked still carries it out at once, and does not take their own lease for another's.
func TestStartWhoseAnswerIsLostIsRecognised(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	p := w.paid("stripe")
	direct := store.NewPayments(w.inner)
	writes := 0
	w.hook = func(point store.WritePoint, when faults.When) error {
		if point != store.PointPaymentReplace || when != faults.After {
			return nil
		}
		if writes++; writes != 2 { // the order, then its start
			return nil
		}
		other, err := direct.Get(context.Background(), p.ID)
		if err != nil {
			return err
		}
		other.Version++
		if err := direct.Replace(store.WithPoint(context.Background(), "test"), other); err != nil {
			return err
		}
		return fmt.Errorf("lost: %w", store.ErrUnavailable)
	}
	answer, err := w.refund(p.ID, "r", 100)
	if err != nil || answer.Unknown || w.refundedSum(p.ID) != 100 {
		t.Errorf("%+v, %v; refunded %d", answer.Unknown, err, w.refundedSum(p.ID))
	}
}
