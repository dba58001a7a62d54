package gateway_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/gateway/risk"
	"github.com/trifecta-pay/trifecta/store"
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

// Guards "this provider can't; says who can": a provider that computes no taxes is
// refused before anything is written or opened, and is no choice on the pay page, where
// choosing it would close the checkout that is open.
func TestAutomaticTaxWhereItIsComputed(t *testing.T) {
	t.Parallel()
	w := newWorld(t, nil)
	for name, change := range map[string]func(*gateway.CreateInput){
		"provider": func(in *gateway.CreateInput) { in.Provider = "paypal" },
		"account":  func(in *gateway.CreateInput) { in.Account = "paypal-eu" },
	} {
		in := input("")
		in.AutomaticTax = true
		change(&in)
		_, err := w.create(name, in)
		wantCode(t, err, payment.CodeUnsupported)
		var e *payment.Error
		if !errors.As(err, &e) || len(e.Fields) != 1 || e.Fields[0].Pointer != "/automatic_tax" || !strings.HasSuffix(e.Message, "supported by: stripe.") || w.written() != "" {
			t.Errorf("%s: %v, %+v, wrote %q", name, err, e, w.written())
		}
	}
	in := input("")
	in.AutomaticTax = true
	p := w.mustCreate("k", in)
	_, choices, err := w.svc.Choices(t.Context(), p.ID, p.Token)
	if err != nil || len(choices) != 1 || choices[0].Provider != "stripe" {
		t.Errorf("choices %v, %v", choices, err)
	}
	open, err := w.choose(p.ID, "stripe")
	if err != nil {
		t.Fatal(err)
	}
	_, err = w.choose(p.ID, "paypal")
	wantCode(t, err, payment.CodeInvalid)
	if again, err := w.choose(p.ID, "stripe"); err != nil || again != open || w.stripe.counted("close_checkout") != 0 {
		t.Errorf("the open checkout: %s, %v", again, err)
	}
	in = input("paypal")
	in.Currency = "kwd"
	if _, err := w.create("nobody", in); err == nil || !strings.Contains(err.Error(), "supported by: none of the configured accounts.") {
		t.Errorf("a currency that nobody takes: %v", err)
	}
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
