package httpapi

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/gateway"
	"github.com/trifecta-pay/trifecta/gateway/payment"
)

// The objects of answers and events, as they are written on the wire. These
// structs exist nowhere else: what they are made of has its own.

type moneyWire struct {
	Amount   int64            `json:"amount"`
	Currency payment.Currency `json:"currency"`
}

type paymentWire struct {
	ID           string            `json:"id"`
	Object       string            `json:"object"`
	Mode         payment.Mode      `json:"mode"`
	App          string            `json:"app"`
	Status       payment.Status    `json:"status"`
	Amount       int64             `json:"amount"`
	Currency     payment.Currency  `json:"currency"`
	Capture      string            `json:"capture"`
	Provider     *string           `json:"provider"`
	Account      *string           `json:"account"`
	Reference    *string           `json:"reference"`
	Description  *string           `json:"description"`
	Customer     *customerWire     `json:"customer"`
	Metadata     map[string]string `json:"metadata"`
	Checkout     *checkoutWire     `json:"checkout"`
	ProviderRefs refsWire          `json:"provider_refs"`
	Amounts      amountsWire       `json:"amounts"`
	Attempts     []attemptWire     `json:"attempts"`
	Refunds      []refundWire      `json:"refunds"`
	Disputes     []disputeWire     `json:"disputes"`
	Failure      *failureWire      `json:"failure"`
	SettledBy    *string           `json:"settled_by"`
	CreatedAt    time.Time         `json:"created_at"`
	UpdatedAt    time.Time         `json:"updated_at"`
	Version      int64             `json:"version"`
}

type customerWire struct {
	ID    *string `json:"id"`
	Ref   *string `json:"ref"`
	Email *string `json:"email"`
	Name  *string `json:"name"`
	// Trusted is only written where it is true.
	Trusted bool `json:"trusted,omitempty"`
}

type checkoutWire struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expires_at"`
}

type refsWire struct {
	CheckoutSession string `json:"checkout_session,omitempty"`
	PaymentIntent   string `json:"payment_intent,omitempty"`
	Charge          string `json:"charge,omitempty"`
	Order           string `json:"order,omitempty"`
	Authorization   string `json:"authorization,omitempty"`
	Capture         string `json:"capture,omitempty"`
	Subscription    string `json:"subscription,omitempty"`
}

type amountsWire struct {
	Expected      moneyWire   `json:"expected"`
	Discount      moneyWire   `json:"discount"`
	Tax           moneyWire   `json:"tax"`
	Shipping      moneyWire   `json:"shipping"`
	Authorized    moneyWire   `json:"authorized"`
	Capturable    moneyWire   `json:"capturable"`
	Captured      moneyWire   `json:"captured"`
	Refunded      moneyWire   `json:"refunded"`
	RefundPending moneyWire   `json:"refund_pending"`
	Disputed      moneyWire   `json:"disputed"`
	Refundable    moneyWire   `json:"refundable"`
	Fee           []moneyWire `json:"fee"`
	Net           []moneyWire `json:"net"`
}

type attemptWire struct {
	N         int       `json:"n"`
	Provider  string    `json:"provider"`
	Account   string    `json:"account"`
	State     string    `json:"state"`
	Refs      refsWire  `json:"refs"`
	CreatedAt time.Time `json:"created_at"`
}

type refundWire struct {
	ID          string              `json:"id"`
	Object      string              `json:"object"`
	Payment     string              `json:"payment"`
	Amount      int64               `json:"amount"`
	Currency    payment.Currency    `json:"currency"`
	Status      payment.RefundState `json:"status"`
	Reason      string              `json:"reason"`
	FailureCode *string             `json:"failure_code"`
	Provider    string              `json:"provider"`
	Account     string              `json:"account"`
	ProviderRef *string             `json:"provider_ref"`
	CreatedAt   time.Time           `json:"created_at"`
}

type failureWire struct {
	Code        string  `json:"code"`
	DeclineCode *string `json:"decline_code"`
	Message     string  `json:"message"`
}

type listWire[T any] struct {
	Data []T     `json:"data"`
	Next *string `json:"next"`
}

func listOf[T any](data []T, next string) listWire[T] {
	if data == nil {
		data = []T{}
	}
	return listWire[T]{Data: data, Next: opt(next)}
}

// opt is null for an empty text.
func opt(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// optTime is null for no time.
func optTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

func moneyOf(m payment.Money) moneyWire { return moneyWire{Amount: m.Minor, Currency: m.Currency} }

// moneyList is null while nothing is known.
func moneyList(list []payment.Money) []moneyWire {
	var out []moneyWire
	for _, m := range list {
		out = append(out, moneyOf(m))
	}
	return out
}

// paymentOf renders a payment. checkout is where the customer goes next, empty
// if nowhere.
func paymentOf(p *payment.Payment, checkout string) paymentWire {
	w := paymentWire{
		ID: p.ID, Object: "payment", Mode: p.Mode, App: p.App, Status: p.Status(),
		Amount: p.Facts.Terms.Amount.Minor, Currency: p.Facts.Terms.Amount.Currency, Capture: "automatic",
		Provider: opt(p.Request.Provider), Account: opt(p.Request.Account), Reference: opt(p.Request.Reference),
		Description: opt(p.Request.Description), Metadata: p.Request.Metadata, Amounts: amountsOf(p.Amounts(), p.Facts.Terms.Amount.Currency),
		Attempts: []attemptWire{}, Refunds: []refundWire{}, Disputes: []disputeWire{}, SettledBy: opt(string(p.SettledBy)),
		CreatedAt: p.CreatedAt.UTC(), UpdatedAt: p.UpdatedAt.UTC(), Version: p.Version,
	}
	if p.Facts.Terms.Manual {
		w.Capture = "manual"
	}
	if w.Metadata == nil {
		w.Metadata = map[string]string{}
	}
	if c := p.Request.Customer; c != (payment.Customer{}) {
		w.Customer = &customerWire{ID: opt(c.ID), Ref: opt(c.Ref), Email: opt(c.Email), Name: opt(c.Name), Trusted: c.Trusted}
	}
	if winner, ok := p.Facts.Winner(); ok {
		w.Provider, w.Account = opt(winner.Provider), opt(winner.Account)
		fact, _ := p.Facts.AttemptFact(winner.N)
		w.ProviderRefs = refsWire(fact.Refs)
	}
	if checkout != "" {
		w.Checkout = &checkoutWire{URL: checkout, ExpiresAt: checkoutExpiry(p, checkout).UTC()}
	}
	for _, a := range p.Facts.Opened {
		fact, _ := p.Facts.AttemptFact(a.N)
		w.Attempts = append(w.Attempts, attemptWire{
			N: a.N, Provider: a.Provider, Account: a.Account, State: attemptState(p, a.N), Refs: refsWire(fact.Refs), CreatedAt: a.CreatedAt.UTC(),
		})
	}
	for _, r := range p.Refunds() {
		w.Refunds = append(w.Refunds, refundOf(p, r))
	}
	for _, d := range p.Facts.Disputes {
		w.Disputes = append(w.Disputes, disputeOf(p.ID, d))
	}
	if f := p.Failure(); f != (payment.Failure{}) {
		w.Failure = &failureWire{Code: f.Code, DeclineCode: opt(f.DeclineCode), Message: f.Message}
	}
	return w
}

// checkoutExpiry is when the checkout's URL stops working: with the payment, or
// sooner if the provider's page does.
func checkoutExpiry(p *payment.Payment, checkout string) time.Time {
	if live, ok := p.Facts.Live(); ok {
		fact, _ := p.Facts.AttemptFact(live.N)
		if fact.URL == checkout && !fact.ExpiresAt.IsZero() && fact.ExpiresAt.Before(p.ExpiresAt) {
			return fact.ExpiresAt
		}
	}
	return p.ExpiresAt
}

// checkoutURL is gateway.Service.Checkout for rendering without a Service: now
// is the moment of the payment's last change, at which events are rendered. A
// test keeps the two equal.
func checkoutURL(publicURL string, p *payment.Payment) string {
	if p.Status() != payment.StatusRequiresAction || p.Unfinished(0, payment.OpClose) != nil {
		return ""
	}
	if live, ok := p.Facts.Live(); ok && !p.Facts.Exhausted(live.N) {
		fact, known := p.Facts.AttemptFact(live.N)
		lapsed := !fact.ExpiresAt.IsZero() && !p.UpdatedAt.Before(fact.ExpiresAt)
		if known && fact.URL != "" && !lapsed {
			return fact.URL
		}
	}
	return publicURL + "/pay/" + p.ID + "?t=" + url.QueryEscape(p.Token)
}

func amountsOf(a payment.Amounts, currency payment.Currency) amountsWire {
	own := func(minor int64) moneyWire { return moneyWire{Amount: minor, Currency: currency} }
	return amountsWire{
		Expected: own(a.Expected), Discount: own(a.Discount), Tax: own(a.Tax), Shipping: own(a.Shipping),
		Authorized: own(a.Authorized), Capturable: own(a.Capturable), Captured: own(a.Captured), Refunded: own(a.Refunded),
		RefundPending: own(a.RefundPending), Disputed: own(a.Disputed), Refundable: own(a.Refundable),
		Fee: moneyList(a.Fee), Net: moneyList(a.Net),
	}
}

// attemptState is what became of one attempt, read off what lies below it:
// money taken tells more than anything else.
func attemptState(p *payment.Payment, n int) string {
	fact, known := p.Facts.AttemptFact(n)
	captures := map[payment.CaptureState]bool{}
	for _, c := range p.Facts.Captures {
		if c.N == n {
			captures[c.State] = true
		}
	}
	held, released := false, false
	for _, a := range p.Facts.Authorizations {
		if a.N == n {
			held = held || a.State == payment.AuthActive
			released = released || a.State == payment.AuthVoided || a.State == payment.AuthExpired
		}
	}
	switch {
	case captures[payment.CaptureCompleted] && !held:
		return "captured"
	case p.Facts.Abandoned(n):
		return "abandoned"
	case p.Facts.Refused(n):
		return "failed"
	case !known, captures[payment.CapturePending]:
		return "processing"
	case held:
		return "authorized"
	}
	switch fact.State {
	case payment.AttemptOpen:
		return "open"
	case payment.AttemptExpired, payment.AttemptCanceled:
		return "expired"
	case payment.AttemptFailed:
		return "failed"
	case payment.AttemptApproved, payment.AttemptProcessing, payment.AttemptAuthorized, payment.AttemptComplete:
	}
	switch {
	case captures[payment.CaptureDeclined]:
		return "failed"
	case released:
		return "expired"
	case fact.State == payment.AttemptComplete && fact.Total.Minor == 0:
		return "captured" // complete, and nothing was to be paid
	}
	return "processing"
}

// refundReasons are those an app may give and will hear.
var refundReasons = []string{"requested_by_customer", "duplicate", "fraudulent", "other"}

func refundOf(p *payment.Payment, r payment.RefundView) refundWire {
	reason := r.Reason
	if !slices.Contains(refundReasons, reason) {
		reason = "other" // made outside, in the provider's own words
	}
	return refundWire{
		ID: r.ID, Object: "refund", Payment: p.ID, Amount: r.Amount.Minor, Currency: r.Amount.Currency, Status: r.State, Reason: reason,
		FailureCode: opt(r.FailureCode), Provider: r.Provider, Account: r.Account, ProviderRef: opt(r.ProviderRef), CreatedAt: r.CreatedAt.UTC(),
	}
}

// refundByID finds a refund of a payment.
func refundByID(p *payment.Payment, id string) (refundWire, error) {
	for _, r := range p.Refunds() {
		if r.ID == id {
			return refundOf(p, r), nil
		}
	}
	return refundWire{}, fmt.Errorf("httpapi: payment %s has no refund %s", p.ID, id)
}

// NewRenderer makes the function that renders an event's object: the payment,
// refund, dispute or fraud warning as an app would read it at that moment. publicURL is where
// browsers reach us, without a slash at its end.
func NewRenderer(publicURL string) func(p *payment.Payment, e payment.Event) ([]byte, error) {
	return func(p *payment.Payment, e payment.Event) ([]byte, error) {
		kind, _, _ := strings.Cut(e.Type, ".")
		switch kind {
		case "payment":
			return encode(paymentOf(p, checkoutURL(publicURL, p)))
		case "refund":
			r, err := refundByID(p, e.Object)
			if err != nil {
				return nil, err
			}
			return encode(r)
		case "dispute":
			for _, d := range p.Facts.Disputes {
				if payment.DisputeID(d.Key) == e.Object {
					return encode(disputeOf(p.ID, d))
				}
			}
			return nil, fmt.Errorf("httpapi: payment %s has no dispute %s", p.ID, e.Object)
		case "fraud_warning":
			for _, w := range p.Facts.Warnings {
				if payment.FraudWarningID(w.Key) == e.Object {
					return encode(fraudWarningOf(p, w))
				}
			}
			return nil, fmt.Errorf("httpapi: payment %s has no fraud warning %s", p.ID, e.Object)
		}
		return nil, fmt.Errorf("httpapi: no object for events of type %q", e.Type)
	}
}

type alertWire struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"`
	Severity  string    `json:"severity"`
	State     string    `json:"state"`
	Count     int64     `json:"count"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Payment   *string   `json:"payment"`
	Dispute   *string   `json:"dispute"`
	Account   *string   `json:"account"`
	Message   string    `json:"message"`
	// ResolvedBy is operator or gone, null in other states.
	ResolvedBy   *string    `json:"resolved_by"`
	ResolvedAt   *time.Time `json:"resolved_at"`
	SnoozedUntil *time.Time `json:"snoozed_until"`
}

func alertOf(a gateway.AlertRecord) alertWire {
	return alertWire{
		ID: a.ID, Kind: a.Kind, Severity: a.Severity, State: a.State, Count: a.Count, FirstSeen: a.FirstSeen.UTC(), LastSeen: a.LastSeen.UTC(),
		Payment: opt(a.Payment), Dispute: opt(a.Dispute), Account: opt(a.Account), Message: a.Message,
		ResolvedBy: opt(a.ResolvedBy), ResolvedAt: optTime(a.ResolvedAt), SnoozedUntil: optTime(a.SnoozedUntil),
	}
}
