package paypalapi

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Stages, statuses and outcomes (PayPal OpenAPI customer disputes v1).
const (
	stageInquiry    = "INQUIRY"
	stageChargeback = "CHARGEBACK"

	dispWaiting  = "WAITING_FOR_SELLER_RESPONSE"
	dispReview   = "UNDER_REVIEW"
	dispResolved = "RESOLVED"

	outcomeWon      = "RESOLVED_SELLER_FAVOUR"
	outcomeLost     = "RESOLVED_BUYER_FAVOUR"
	outcomeAccepted = "ACCEPTED"
	outcomeNone     = "NONE" // an inquiry that nobody took further
)

// disputeReasons are PayPal's own names.
var disputeReasons = []string{
	"MERCHANDISE_OR_SERVICE_NOT_RECEIVED", "MERCHANDISE_OR_SERVICE_NOT_AS_DESCRIBED", "UNAUTHORISED", "CREDIT_NOT_PROCESSED",
	"DUPLICATE_TRANSACTION", "INCORRECT_AMOUNT", "PAYMENT_BY_OTHER_MEANS", "CANCELED_RECURRING_BILLING",
	"PROBLEM_WITH_REMITTANCE", "OTHER",
}

// sellerTime is how long the seller may answer. Silence loses a claim, and an inquiry
// just closes (PayPal docs: disputes; seller_response_due_date).
const sellerTime = 10 * 24 * time.Hour

type dispute struct {
	id                      string
	capture                 *capture
	amount                  int64
	reason, stage, status   string
	outcome                 string
	withheld                bool // the money has left the merchant
	created, updated, dueBy time.Time
	moves                   []movementJSON
	evidence                []evidenceJSON
	supporting              []evidenceJSON
}

// openCase says whether some dispute of the capture is undecided.
func (c *capture) openCase() bool {
	return slices.ContainsFunc(c.disputes, func(d *dispute) bool { return d.status != dispResolved })
}

type movementJSON struct {
	AffectedParty string `json:"affected_party"`
	Amount        money  `json:"amount"`
	InitiatedTime string `json:"initiated_time"`
	Type          string `json:"type"`
	Reason        string `json:"reason"`
}

type partyJSON struct {
	Name       string `json:"name,omitempty"`
	Email      string `json:"email,omitempty"`
	MerchantID string `json:"merchant_id,omitempty"`
}

type disputedJSON struct {
	BuyerTransactionID  string    `json:"buyer_transaction_id"`
	SellerTransactionID string    `json:"seller_transaction_id"`
	ReferenceID         string    `json:"reference_id,omitempty"`
	CreateTime          string    `json:"create_time"`
	TransactionStatus   string    `json:"transaction_status"`
	GrossAmount         money     `json:"gross_amount"`
	InvoiceNumber       string    `json:"invoice_number,omitempty"`
	Custom              string    `json:"custom,omitempty"`
	Buyer               partyJSON `json:"buyer"`
	Seller              partyJSON `json:"seller"`
}

type outcomeJSON struct {
	OutcomeCode    string `json:"outcome_code"`
	AmountRefunded *money `json:"amount_refunded,omitempty"`
}

type disputeJSON struct {
	DisputeID             string         `json:"dispute_id"`
	CreateTime            string         `json:"create_time"`
	UpdateTime            string         `json:"update_time"`
	DisputedTransactions  []disputedJSON `json:"disputed_transactions,omitempty"`
	Reason                string         `json:"reason"`
	Status                string         `json:"status"`
	DisputeState          string         `json:"dispute_state,omitempty"`
	DisputeAmount         money          `json:"dispute_amount"`
	DisputeOutcome        *outcomeJSON   `json:"dispute_outcome,omitempty"`
	DisputeLifeCycleStage string         `json:"dispute_life_cycle_stage"`
	DisputeChannel        string         `json:"dispute_channel"`
	SellerResponseDueDate string         `json:"seller_response_due_date,omitempty"`
	MoneyMovements        []movementJSON `json:"money_movements,omitempty"`
	Evidences             []evidenceJSON `json:"evidences,omitempty"`
	SupportingInfo        []evidenceJSON `json:"supporting_info,omitempty"`
	Links                 []link         `json:"links"`
}

// openDispute starts a dispute. A claim (stage CHARGEBACK) withholds the money at once; an
// inquiry moves none.
func (s *server) openDispute(c *capture, amount int64, reason, stage string) *dispute {
	now := s.w.Now()
	d := &dispute{
		id: "PP-D-" + s.newID(10), capture: c, amount: amount, reason: reason, stage: stage, status: dispWaiting,
		created: now, updated: now, dueBy: now.Add(sellerTime),
	}
	c.disputes = append(c.disputes, d)
	s.disputes = append(s.disputes, d)
	if stage == stageChargeback {
		s.withhold(d)
	}
	s.await(d)
	s.announceDispute("CUSTOMER.DISPUTE.CREATED", "A new dispute opened", d)
	return d
}

// await decides the case when the seller's time is over.
func (s *server) await(d *dispute) {
	s.w.After(d.dueBy, "dispute "+d.id, func() {
		switch {
		case d.status != dispWaiting:
		case d.stage == stageInquiry:
			s.decide(d, outcomeNone)
		default:
			s.decide(d, outcomeLost)
		}
	})
}

// withhold takes the disputed amount from the merchant.
func (s *server) withhold(d *dispute) {
	d.withheld = true
	s.moveDisputed(d, "dispute", "T1201", -1, "DEBIT")
}

func (s *server) moveDisputed(d *dispute, kind, code string, sign int64, dir string) {
	now, p := s.w.Now(), d.capture
	s.addRow(row{
		id: s.objectID(), code: code, ref: p.id, refType: "TXN", amount: sign * d.amount, currency: p.unit.currency,
		invoice: p.invoice, custom: p.custom, payer: p.unit.order.payer, status: "S",
	})
	s.book(p, kind, d.id, d.amount)
	d.moves = append(d.moves, movementJSON{
		AffectedParty: "SELLER", Amount: toMoney(d.amount, p.unit.currency), InitiatedTime: stampMS(now), Type: dir, Reason: "DISPUTE_SETTLEMENT",
	})
}

// decide ends a dispute. Lost money was withheld before, or leaves now; won money
// comes back.
func (s *server) decide(d *dispute, outcome string) {
	s.w.Cancel("dispute " + d.id)
	now := s.w.Now()
	d.status, d.outcome, d.updated = dispResolved, outcome, now
	switch {
	case outcome == outcomeNone:
		s.announceDispute("CUSTOMER.DISPUTE.RESOLVED", "A dispute was resolved", d)
		return
	case outcome == outcomeWon && d.withheld:
		d.withheld = false
		s.moveDisputed(d, "dispute_won", "T1202", 1, "CREDIT")
	case outcome != outcomeWon && !d.withheld:
		s.withhold(d)
	}
	s.announceDispute("CUSTOMER.DISPUTE.RESOLVED", "A dispute was resolved", d)
	if outcome != outcomeWon {
		s.reverse(d.capture, d.amount, d)
	}
}

// reopen is a decided case that is appealed: money that was given back is withheld
// again.
func (s *server) reopen(d *dispute) {
	d.status, d.outcome, d.updated = dispReview, "", s.w.Now()
	if !d.withheld {
		s.withhold(d)
	}
	s.announceDispute("CUSTOMER.DISPUTE.UPDATED", "A dispute was updated", d)
}

// escalate makes a claim of an inquiry.
func (s *server) escalate(d *dispute) {
	d.stage, d.status, d.updated = stageChargeback, dispWaiting, s.w.Now()
	d.dueBy = d.updated.Add(sellerTime)
	s.await(d)
	if !d.withheld {
		s.withhold(d)
	}
	s.announceDispute("CUSTOMER.DISPUTE.UPDATED", "A dispute was updated", d)
}

func (s *server) showDispute(d *dispute) disputeJSON {
	out := s.summarize(d)
	out.DisputeState = "" // a member of lists only
	c := d.capture
	tx := disputedJSON{
		BuyerTransactionID: "B" + c.id, SellerTransactionID: c.id, ReferenceID: c.unit.order.id, CreateTime: stampMS(c.created),
		TransactionStatus: c.status, GrossAmount: toMoney(c.amount, c.unit.currency), Custom: c.custom,
		Buyer:  partyJSON{Name: "Sandbox Buyer"},
		Seller: partyJSON{Email: merchantEmail, MerchantID: payeeOf(c.unit).MerchantID, Name: "Sandbox Merchant"},
	}
	if invoicePattern.MatchString(c.invoice) {
		tx.InvoiceNumber = c.invoice
	}
	out.DisputedTransactions = []disputedJSON{tx}
	out.MoneyMovements, out.Evidences, out.SupportingInfo = d.moves, d.evidence, d.supporting
	if d.outcome != "" {
		out.DisputeOutcome = &outcomeJSON{OutcomeCode: d.outcome}
		if d.outcome != outcomeWon && d.outcome != outcomeNone {
			out.DisputeOutcome.AmountRefunded = ptr(toMoney(d.amount, c.unit.currency))
		}
	}
	return out
}

// summarize is a dispute as lists show it.
func (s *server) summarize(d *dispute) disputeJSON {
	self := s.base + "/v1/customer/disputes/" + d.id
	out := disputeJSON{
		DisputeID: d.id, CreateTime: stampMS(d.created), UpdateTime: stampMS(d.updated), Reason: d.reason, Status: d.status,
		DisputeState: d.state(), DisputeAmount: toMoney(d.amount, d.capture.unit.currency), DisputeLifeCycleStage: d.stage,
		DisputeChannel: "INTERNAL", Links: []link{{self, "self", http.MethodGet}},
	}
	if d.status == dispWaiting {
		out.SellerResponseDueDate = stampMS(d.dueBy)
		out.Links = append(out.Links, link{self + "/accept-claim", "accept_claim", http.MethodPost},
			link{self + "/provide-evidence", "provide_evidence", http.MethodPost})
	}
	return out
}

func (d *dispute) state() string {
	switch {
	case d.status == dispResolved:
		return "RESOLVED"
	case d.status == dispReview:
		return "UNDER_PAYPAL_REVIEW"
	case d.stage == stageInquiry:
		return "OPEN_INQUIRIES"
	}
	return "REQUIRED_ACTION"
}

func (s *server) dispute(id string) *dispute {
	for _, d := range s.disputes {
		if d.id == id {
			return d
		}
	}
	return nil
}

// getDispute is GET /v1/customer/disputes/{id}.
func (s *server) getDispute(c *call) reply {
	d := s.dispute(c.id())
	if d == nil {
		return c.notFound()
	}
	return reply{http.StatusOK, s.showDispute(d)}
}

// disputeFilter is the query of a dispute list.
type disputeFilter struct {
	from, after, before time.Time
	transaction, state  string
}

func (f disputeFilter) takes(d *dispute) bool {
	switch {
	case d.created.Before(f.from), d.updated.Before(f.after):
		return false
	case !f.before.IsZero() && d.updated.After(f.before):
		return false
	case f.transaction != "" && f.transaction != d.capture.id && f.transaction != "B"+d.capture.id:
		return false
	}
	return f.state == "" || f.state == d.state()
}

// listDisputes is GET /v1/customer/disputes: newest first, at most 180 days back.
// next_page_token carries the last id of the page before, so that new cases shift
// nothing.
func (s *server) listDisputes(c *call) reply {
	q := c.r.URL.Query()
	f := disputeFilter{from: c.now.Add(-180 * 24 * time.Hour), transaction: q.Get("disputed_transaction_id"), state: q.Get("dispute_state")}
	for _, p := range []struct {
		name string
		into *time.Time
	}{{"start_time", &f.from}, {"update_time_after", &f.after}, {"update_time_before", &f.before}} {
		if q.Get(p.name) == "" {
			continue
		}
		t, err := time.Parse(time.RFC3339Nano, q.Get(p.name))
		if err != nil {
			return invalid(p.name, "INVALID_PARAMETER_SYNTAX", "The value of a field does not conform to the expected format.")
		}
		*p.into = t
	}
	if q.Has("start_time") && f.transaction != "" {
		return invalid("start_time", "INVALID_PARAMETER_COMBINATION", "start_time and disputed_transaction_id are mutually exclusive.")
	}
	size := 10
	if raw := q.Get("page_size"); raw != "" {
		n, err := strconv.Atoi(raw)
		if err != nil || n < 1 || n > 50 {
			return invalid("page_size", "INVALID_PARAMETER_VALUE", "page_size must be between 1 and 50.")
		}
		size = n
	}
	items := []disputeJSON{}
	last, err := base64.StdEncoding.DecodeString(q.Get("next_page_token"))
	if err != nil {
		return invalid("next_page_token", "INVALID_PARAMETER_SYNTAX", "The value of a field does not conform to the expected format.")
	}
	seen, more := len(last) == 0, false
	for _, d := range slices.Backward(s.disputes) {
		switch {
		case !seen:
			seen = d.id == string(last)
		case !f.takes(d):
		case len(items) == size:
			more = true
		default:
			items = append(items, s.summarize(d))
		}
	}
	path := s.base + "/v1/customer/disputes"
	links := []link{{path + "?" + q.Encode(), "self", http.MethodGet}}
	if more {
		q.Set("next_page_token", base64.StdEncoding.EncodeToString([]byte(items[len(items)-1].DisputeID)))
		links = append(links, link{fmt.Sprintf("%s?%s", path, q.Encode()), "next", http.MethodGet})
	}
	out := map[string]any{"links": links}
	if len(items) > 0 { // the document wants at least one item, or no list
		out["items"] = items
	}
	return reply{http.StatusOK, out}
}
