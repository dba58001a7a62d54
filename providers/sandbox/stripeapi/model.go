package stripeapi

import (
	"time"
)

// owner says whose an object is.
type owner struct {
	acct     string // the account that holds it: the platform's, or a connected one
	platform string // the platform whose key made it
}

// session is a Checkout Session in payment mode.
type session struct {
	owner
	id       string
	created  time.Time
	expires  time.Time
	status   string // open, complete, expired
	currency string
	subtotal int64
	shipping int64
	discount int64
	tax      int64
	items    []*item
	meta     map[string]string
	form     form // the parameters it was created with
	customer *customer
	email    string
	name     string
	intent   *intent // nil until the buyer submits (API >= 2022-08-01)
	url      string
}

func (s *session) total() int64 { return s.subtotal + s.shipping - s.discount + s.tax }

// item is a line of a session.
type item struct {
	id, priceID, productID string
	name, description      string
	unit, quantity         int64
	discount, tax          int64
}

// intent is a PaymentIntent.
type intent struct {
	owner
	id           string
	created      time.Time
	amount       int64
	capturable   int64
	received     int64
	currency     string
	status       string
	capture      string // automatic, automatic_async, manual
	multicapture bool
	form         form   // the parameters that are echoed
	prefix       string // of those parameters: "" or "payment_intent_data"
	meta         map[string]string
	session      *session
	customer     *customer
	method       *method
	latest       *charge
	charges      []*charge // oldest first; the last one is latest
	lastError    *apiError
	nextURL      string // of the challenge page while requires_action
	canceledAt   time.Time
	cancelReason string
}

// param reads an echoed creation parameter.
func (p *intent) param(name string) string {
	if p.prefix != "" {
		name = p.prefix + "[" + name + "]"
	}
	return p.form.get(name)
}

// reference is the payment concerned, as the ledger shows it.
func (p *intent) reference() string {
	if v := p.meta["trifecta_payment"]; v != "" || p.session == nil {
		return v
	}
	if v := p.session.meta["trifecta_payment"]; v != "" {
		return v
	}
	return p.session.form.get("client_reference_id")
}

// charge is one movement from a buyer's method, or the try of one.
type charge struct {
	owner
	id       string
	created  time.Time
	amount   int64
	captured int64 // what was really captured
	released int64 // authorized but let go
	done     bool  // captured, at least in part
	odd      bool  // what was captured last is the work of a fault: another amount than asked, or once more
	expires  time.Time
	currency string
	status   string // succeeded, pending, failed
	intent   *intent
	method   *method
	failure  *apiError
	meta     map[string]string
	auth3DS  bool
	txn      *txn
	failTxn  *txn // took the money of a pending debit back
	refunds  []*refund
	disputes []*dispute
	warnings []*warning
	review   *review
}

// refundedSum sums the refunds that did not fail; what was only released is in released.
func (c *charge) refundedSum() int64 {
	var n int64
	for _, r := range c.refunds {
		if !r.release && r.status != "failed" && r.status != "canceled" {
			n += r.amount
		}
	}
	return n
}

// withheld sums what disputes took, or will keep.
func (c *charge) withheld() int64 {
	var n int64
	for _, d := range c.disputes {
		if d.withdrawn {
			n += d.amount
		}
	}
	return n
}

// refund gives money back; release marks the record of what a lapse, a cancellation or a
// partial capture let go of a hold, or of a debit that failed, which moved none.
type refund struct {
	owner
	id         string
	created    time.Time
	amount     int64
	status     string // pending, succeeded, failed, canceled
	reason     string
	failReason string
	charge     *charge
	meta       map[string]string
	txn        *txn
	failTxn    *txn
	release    bool
	booked     bool // the ledger has it
}

// dispute is a chargeback or an inquiry.
type dispute struct {
	owner
	id        string
	created   time.Time
	amount    int64
	status    string
	reason    string
	charge    *charge
	evidence  map[string]string
	submitted int
	dueBy     time.Time
	withdrawn bool // the money is out of our balance
	txns      []*txn
	meta      map[string]string
}

// txn is a balance transaction: the money truth.
type txn struct {
	owner
	id        string
	created   time.Time
	available time.Time
	amount    int64 // in the payment's currency, as the fee; settled says what is shown
	fee       int64
	currency  string
	rate      int64  // hundredths of the settlement currency for one of this; 0: they are the same
	kind      string // its type
	category  string // its reporting_category
	source    string
	charge    *charge
	text      string
}

// warning is a Radar early fraud warning.
type warning struct {
	owner
	id      string
	created time.Time
	kind    string
	charge  *charge
}

// review is a payment that a human should look at.
type review struct {
	owner
	id             string
	created        time.Time
	charge         *charge
	opened, closed string // why; closed is empty while it is open
}

// file is an uploaded document.
type file struct {
	owner
	id, name, purpose, kind string
	created                 time.Time
	size                    int
}

// customer is a stored customer.
type customer struct {
	owner
	id                              string
	created                         time.Time
	email, name, phone, description string
	meta                            map[string]string
	defaultMethod                   *method
}

// method is a PaymentMethod: a card, or a delayed bank debit.
type method struct {
	owner
	id          string
	created     time.Time
	kind        string // card, sepa_debit, us_bank_account
	card        rule
	name, email string
	customer    *customer
}

// hook is a webhook endpoint made through the API.
type hook struct {
	owner
	id, url, secret, description, version string
	created                               time.Time
	connect, disabled                     bool
	types                                 []string
	meta                                  map[string]string
}

// record is what lists and look-ups need of an object.
type record interface {
	ID() string
	account() string
	at() time.Time
}

func (o owner) account() string { return o.acct }

func (s *session) ID() string  { return s.id }
func (p *intent) ID() string   { return p.id }
func (c *charge) ID() string   { return c.id }
func (r *refund) ID() string   { return r.id }
func (d *dispute) ID() string  { return d.id }
func (t *txn) ID() string      { return t.id }
func (w *warning) ID() string  { return w.id }
func (v *review) ID() string   { return v.id }
func (f *file) ID() string     { return f.id }
func (c *customer) ID() string { return c.id }
func (m *method) ID() string   { return m.id }
func (h *hook) ID() string     { return h.id }

func (s *session) at() time.Time  { return s.created }
func (p *intent) at() time.Time   { return p.created }
func (c *charge) at() time.Time   { return c.created }
func (r *refund) at() time.Time   { return r.created }
func (d *dispute) at() time.Time  { return d.created }
func (t *txn) at() time.Time      { return t.created }
func (w *warning) at() time.Time  { return w.created }
func (v *review) at() time.Time   { return v.created }
func (f *file) at() time.Time     { return f.created }
func (c *customer) at() time.Time { return c.created }
func (m *method) at() time.Time   { return m.created }
func (h *hook) at() time.Time     { return h.created }

// book keeps objects by id and in order of creation.
type book[T record] struct {
	byID  map[string]T
	order []T
}

func (b *book[T]) add(v T) {
	if b.byID == nil {
		b.byID = map[string]T{}
	}
	b.byID[v.ID()] = v
	b.order = append(b.order, v)
}

// find returns the object with that id if the account holds it.
func (b *book[T]) find(acct, id string) (T, bool) {
	v, ok := b.byID[id]
	if ok && v.account() != acct {
		var zero T
		return zero, false
	}
	return v, ok
}
