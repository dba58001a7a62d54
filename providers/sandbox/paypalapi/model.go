package paypalapi

import "time"

// The sandbox's state. All amounts are ISO minor units; all times are of the virtual
// clock. Everything is guarded by the world's Lock.

// Order statuses, as in the OpenAPI document of Orders v2.
const (
	orderCreated   = "CREATED"
	orderAction    = "PAYER_ACTION_REQUIRED"
	orderApproved  = "APPROVED"
	orderCompleted = "COMPLETED"
)

const (
	intentCapture   = "CAPTURE"
	intentAuthorize = "AUTHORIZE"
)

// Statuses of authorizations, captures and refunds (Payments v2).
const (
	authCreated  = "CREATED"
	authPartly   = "PARTIALLY_CAPTURED"
	authCaptured = "CAPTURED"
	authVoided   = "VOIDED"

	stCompleted = "COMPLETED"
	stPending   = "PENDING"
	stDeclined  = "DECLINED"
	stFailed    = "FAILED"
	stPartly    = "PARTIALLY_REFUNDED"
	stRefunded  = "REFUNDED"
)

// Fundings: what the buyer chose on the approval page, or a test through the control
// API. They decide what becomes of the capture.
const (
	fundBalance  = "completed"        // works
	fundDeclined = "declined"         // the capture call answers INSTRUMENT_DECLINED
	fundEcheck   = "pending"          // the capture stays PENDING until it is settled
	fundRefused  = "declined_capture" // the order completes with a DECLINED capture
)

type order struct {
	id, client       string
	intent, status   string
	created, updated time.Time
	withSource       bool // created with payment_source.paypal
	context          contextJSON
	units            []*unit
	payer            *payerJSON
	funding          string // of the latest approval
	declined         bool   // an attempt failed since the latest approval
}

func (o *order) currency() string { return o.units[0].currency }

func (o *order) total() int64 {
	sum := int64(0)
	for _, u := range o.units {
		sum += u.amount
	}
	return sum
}

type unit struct {
	order    *order
	req      unitJSON // as asked, with reference_id filled in
	amount   int64
	currency string
	auths    []*authorization
	captures []*capture
	refunds  []*refund
}

type authorization struct {
	id               string
	unit             *unit
	amount           int64
	status           string
	created, updated time.Time
	honored          time.Time      // end of the honor period
	expires          time.Time      // end of the authorization period
	parent           *authorization // set on a reauthorization
	captured         int64          // kept on the root only: what was captured through the whole family
	through          int64          // captured through this one itself
	closed           bool           // on the root: a final capture let the rest go
}

func (a *authorization) root() *authorization {
	if a.parent != nil {
		return a.parent
	}
	return a
}

type capture struct {
	id               string
	unit             *unit
	auth             *authorization // nil for an order captured directly
	amount, fee      int64
	platform         []platformFeeJSON
	status, reason   string
	final            bool
	odd              bool // the work of a fault: another amount than asked, or once more
	invoice, custom  string
	created, updated time.Time
	refunds          []*refund
	disputes         []*dispute
	row              *row
}

// refunded is what has been given back or is on its way.
func (c *capture) refunded() int64 {
	sum := int64(0)
	for _, r := range c.refunds {
		if !r.reversal && (r.status == stCompleted || r.status == stPending) {
			sum += r.amount
		}
	}
	return sum
}

// taken is what PayPal took back or withholds: reversals, open or lost disputes.
func (c *capture) taken() int64 {
	sum := int64(0)
	for _, r := range c.refunds {
		if r.reversal && r.dispute == nil {
			sum += r.amount
		}
	}
	for _, d := range c.disputes {
		if d.withheld {
			sum += d.amount
		}
	}
	return sum
}

// settle recomputes the status of a completed capture from its refunds.
func (c *capture) settle(now time.Time) {
	done := int64(0)
	for _, r := range c.refunds {
		if !r.reversal && r.status == stCompleted {
			done += r.amount
		}
	}
	switch {
	case done == 0:
		c.status = stCompleted
	case done < c.amount:
		c.status = stPartly
	default:
		c.status = stRefunded
	}
	c.updated = now
}

// refund is money going back to the buyer: asked for by the merchant, or taken by
// PayPal (a reversal, which has the same shape on the wire).
type refund struct {
	id                    string
	capture               *capture
	amount                int64
	status, reason        string
	invoice, custom, note string
	created, updated      time.Time
	total                 int64 // refunded so far, this one included
	reversal              bool
	dispute               *dispute // the case that caused a reversal
	row                   *row
}

// row is one line of transaction search.
type row struct {
	id, code     string // transaction id, event code (T0006, ...)
	ref, refType string // paypal_reference_id and its type
	amount, fee  int64  // signed, from the merchant's view
	currency     string
	invoice      string
	custom       string
	created      time.Time
	updated      time.Time
	status       string // S success, P pending, D denied
	payer        *payerJSON
}
