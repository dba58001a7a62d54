package stripe

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// The lists of an account. Objects, not only events: Stripe says that an event is
// sometimes never made. Balance transactions come first, they are the money.
const (
	listTransactions = "balance_transactions"
	listSessions     = "checkout_sessions"
	listIntents      = "payment_intents"
	listRefunds      = "refunds"
	listDisputes     = "disputes"
	listWarnings     = "early_fraud_warnings"
	listReviews      = "reviews" // open ones only: Stripe lists no others
	listEvents       = "events"
)

// listLag is how long an object may take to show in its list.
const listLag = 5 * time.Second

// Lists names the account's lists in the order in which they are walked.
func (a *Adapter) Lists() []string {
	return []string{listTransactions, listSessions, listIntents, listRefunds, listDisputes, listWarnings, listReviews, listEvents}
}

// Sweep reads one page, newest first, of what was created in [from, to). All pages
// of one walk are trusted up to the same moment: shortly before the first of them
// was read, because what appears later is on none.
func (a *Adapter) Sweep(ctx context.Context, list string, from, to time.Time, cursor string) (providers.SweepPage, error) {
	const op = "sweep"
	trusted, after, ok := parseCursor(cursor)
	if !ok {
		return providers.SweepPage{}, refuse(op, "bad_cursor", "")
	}
	w := window{
		created: &stripesdk.RangeQueryParams{GreaterThanOrEqual: max(1, from.Unix()), LesserThan: ceil(to)},
		list:    stripesdk.ListParams{Limit: stripesdk.Int64(100), Single: true},
	}
	if after != "" {
		w.list.StartingAfter = stripesdk.String(after)
	}
	page, err := read(ctx, op, func(ctx context.Context) (rows, error) {
		w.list.Context = ctx
		switch list {
		case listTransactions:
			return a.sweepTransactions(w)
		case listSessions:
			return a.sweepSessions(w)
		case listIntents:
			return a.sweepIntents(w)
		case listRefunds:
			return a.sweepRefunds(w)
		case listDisputes:
			return a.sweepDisputes(w)
		case listWarnings:
			return a.sweepWarnings(w)
		case listReviews:
			return a.sweepReviews(w)
		case listEvents:
			return a.sweepEvents(w)
		default:
			return rows{}, errUnknownList
		}
	})
	if err != nil {
		return providers.SweepPage{}, err
	}
	if trusted.IsZero() {
		if trusted = page.read.Add(-listLag); trusted.After(to) {
			trusted = to
		}
		if page.read.IsZero() {
			trusted = from // Stripe did not say when it answered: nothing is certain
		}
	}
	out := providers.SweepPage{Items: page.items, TrustedTo: trusted}
	if page.next != "" {
		out.Next = strconv.FormatInt(trusted.Unix(), 10) + ":" + page.next
	}
	return out, nil
}

// ceil is the first whole second not before t.
func ceil(t time.Time) int64 {
	if t.Nanosecond() > 0 {
		return t.Unix() + 1
	}
	return t.Unix()
}

// parseCursor reads "<trusted to>:<last id>", both empty on the first page.
func parseCursor(cursor string) (trusted time.Time, after string, ok bool) {
	if cursor == "" {
		return time.Time{}, "", true
	}
	text, after, found := strings.Cut(cursor, ":")
	seconds, err := strconv.ParseInt(text, 10, 64)
	return time.Unix(seconds, 0).UTC(), after, found && err == nil && seconds > 0 && identifier(after)
}

// window is which part of a list to read.
type window struct {
	created *stripesdk.RangeQueryParams
	list    stripesdk.ListParams
}

// rows is one page.
type rows struct {
	items []providers.SweepItem
	next  string // id to go on after; empty on the last page
	read  time.Time
}

// page turns one page of a list into items.
func page[S any](it *stripesdk.Iter, meta *stripesdk.APIResponse, id func(*S) string, item func(*S) providers.SweepItem) (rows, error) {
	part, next, err := onePage(it, id)
	if err != nil {
		return rows{}, err
	}
	out := rows{next: next, read: date(meta)}
	for _, v := range part {
		out.items = append(out.items, item(v))
	}
	return out, nil
}

func (a *Adapter) sweepSessions(w window) (rows, error) {
	params := &stripesdk.CheckoutSessionListParams{ListParams: w.list, CreatedRange: w.created}
	params.AddExpand("data.payment_intent")
	it := a.sdk.CheckoutSessions.List(params)
	return page(it.Iter, it.CheckoutSessionList().LastResponse, func(s *stripesdk.CheckoutSession) string { return s.ID },
		func(s *stripesdk.CheckoutSession) providers.SweepItem {
			return providers.SweepItem{
				Object: providers.Ref{Kind: kindSession, ID: s.ID}, Hint: sessionHint(s), Created: unix(s.Created),
				Amount: sessionMoney(s),
				Paid:   s.PaymentStatus == stripesdk.CheckoutSessionPaymentStatusPaid || holds(s.PaymentIntent),
			}
		})
}

func (a *Adapter) sweepIntents(w window) (rows, error) {
	it := a.sdk.PaymentIntents.List(&stripesdk.PaymentIntentListParams{ListParams: w.list, CreatedRange: w.created})
	return page(it.Iter, it.PaymentIntentList().LastResponse, func(p *stripesdk.PaymentIntent) string { return p.ID },
		func(p *stripesdk.PaymentIntent) providers.SweepItem {
			t := trail{}
			t.sawIntent(p)
			t.sawCharge(p.LatestCharge)
			return t.item(kindIntent, p.ID, intentMoney(p), p.Created, holds(p))
		})
}

// intentMoney is what an intent took or holds, else what it asks for. Where a part was
// captured, amount still says what was held at first.
func intentMoney(p *stripesdk.PaymentIntent) payment.Money {
	if ours := p.AmountReceived + p.AmountCapturable; holds(p) && ours > 0 {
		return lenient(ours, p.Currency)
	}
	return lenient(p.Amount, p.Currency)
}

// sessionMoney is likewise what a session's intent took or holds, else what the session
// asks for.
func sessionMoney(s *stripesdk.CheckoutSession) payment.Money {
	if holds(s.PaymentIntent) {
		return intentMoney(s.PaymentIntent)
	}
	return lenient(s.AmountTotal, s.Currency)
}

// holds says that an intent took money or holds it.
func holds(p *stripesdk.PaymentIntent) bool {
	return p != nil && (p.Status == stripesdk.PaymentIntentStatusSucceeded || p.Status == stripesdk.PaymentIntentStatusRequiresCapture)
}

// sweepRefunds lists what was given back. What was only let go is listed too: such a
// row tells of its charge, which changed, and of no money.
func (a *Adapter) sweepRefunds(w window) (rows, error) {
	params := &stripesdk.RefundListParams{ListParams: w.list, CreatedRange: w.created}
	params.AddExpand("data.charge")
	params.AddExpand("data.balance_transaction")
	it := a.sdk.Refunds.List(params)
	return page(it.Iter, it.RefundList().LastResponse, func(r *stripesdk.Refund) string { return r.ID },
		func(r *stripesdk.Refund) providers.SweepItem {
			t := trail{}
			t.saw(r.Metadata, r.ID)
			t.sawCharge(r.Charge)
			t.sawIntent(r.PaymentIntent)
			letGo, certain := release(r, r.Charge)
			if letGo && certain && r.Charge != nil {
				return t.item(kindCharge, r.Charge.ID, payment.Money{}, r.Created, false)
			}
			state := refundState(r.Status)
			moved := !letGo && state != payment.RefundFailed && state != payment.RefundCanceled
			return t.item(kindRefund, r.ID, lenient(-r.Amount, r.Currency), r.Created, moved)
		})
}

func (a *Adapter) sweepDisputes(w window) (rows, error) {
	it := a.sdk.Disputes.List(&stripesdk.DisputeListParams{ListParams: w.list, CreatedRange: w.created})
	return page(it.Iter, it.DisputeList().LastResponse, func(d *stripesdk.Dispute) string { return d.ID },
		func(d *stripesdk.Dispute) providers.SweepItem {
			t := trail{}
			t.saw(d.Metadata, d.ID)
			t.sawCharge(d.Charge)
			t.sawIntent(d.PaymentIntent)
			return t.item(kindDispute, d.ID, lenient(-d.Amount, d.Currency), d.Created, len(d.BalanceTransactions) > 0)
		})
}

func (a *Adapter) sweepWarnings(w window) (rows, error) {
	it := a.sdk.RadarEarlyFraudWarnings.List(&stripesdk.RadarEarlyFraudWarningListParams{ListParams: w.list, CreatedRange: w.created})
	return page(it.Iter, it.RadarEarlyFraudWarningList().LastResponse, func(f *stripesdk.RadarEarlyFraudWarning) string { return f.ID },
		func(f *stripesdk.RadarEarlyFraudWarning) providers.SweepItem {
			t := trail{ids: []string{f.ID}}
			t.sawCharge(f.Charge)
			t.sawIntent(f.PaymentIntent)
			return t.item(kindWarning, f.ID, payment.Money{}, f.Created, false)
		})
}

func (a *Adapter) sweepReviews(w window) (rows, error) {
	it := a.sdk.Reviews.List(&stripesdk.ReviewListParams{ListParams: w.list, CreatedRange: w.created})
	return page(it.Iter, it.ReviewList().LastResponse, func(r *stripesdk.Review) string { return r.ID },
		func(r *stripesdk.Review) providers.SweepItem {
			t := trail{ids: []string{r.ID}}
			t.sawCharge(r.Charge)
			t.sawIntent(r.PaymentIntent)
			return t.item(kindReview, r.ID, payment.Money{}, r.Created, false)
		})
}

func (a *Adapter) sweepTransactions(w window) (rows, error) {
	params := &stripesdk.BalanceTransactionListParams{ListParams: w.list, CreatedRange: w.created}
	params.AddExpand("data.source")
	it := a.sdk.BalanceTransactions.List(params)
	return page(it.Iter, it.BalanceTransactionList().LastResponse, func(x *stripesdk.BalanceTransaction) string { return x.ID },
		func(x *stripesdk.BalanceTransaction) providers.SweepItem {
			t := trail{}
			t.sawSource(x.Source)
			item := t.item(kindTransaction, x.ID, transactionMoney(x), x.Created, ofPayments(x))
			item.Counted = item.Paid && counted(x)
			return item
		})
}

// transactionMoney is the sum of a balance transaction. That of a charge which was
// captured in part is the whole one, and the rest goes back in a transaction of its own,
// which is nobody's money: so the captured part counts.
func transactionMoney(x *stripesdk.BalanceTransaction) payment.Money {
	if x.ReportingCategory == stripesdk.BalanceTransactionReportingCategoryCharge && x.Source != nil {
		if c := x.Source.Charge; c != nil && c.Captured && c.AmountCaptured > 0 && c.AmountCaptured < c.Amount && (x.Amount == c.Amount || x.Currency != c.Currency) {
			return lenient(c.AmountCaptured, c.Currency)
		}
	}
	return lenient(x.Amount, x.Currency)
}

// ofPayments says whether a balance transaction is about somebody's payment, as
// opposed to payouts, top-ups and Stripe's own bills, and to what a partial capture did
// not take: nobody ever had that.
func ofPayments(x *stripesdk.BalanceTransaction) bool {
	if x.Amount == 0 {
		return false // a card that was only checked
	}
	// What a bank took back of a payment that had succeeded (Stripe docs: balance
	// transaction types); how that is reported is written nowhere.
	if x.Type == stripesdk.BalanceTransactionTypePaymentReversal {
		return true
	}
	switch x.ReportingCategory {
	case stripesdk.BalanceTransactionReportingCategoryCharge,
		stripesdk.BalanceTransactionReportingCategoryChargeFailure,
		stripesdk.BalanceTransactionReportingCategoryRefund,
		stripesdk.BalanceTransactionReportingCategoryRefundFailure,
		stripesdk.BalanceTransactionReportingCategoryDispute,
		stripesdk.BalanceTransactionReportingCategoryDisputeReversal:
		return true
	default:
		return false
	}
}

// counted says whether reading a payment brings this very transaction, as a fee: those of
// its charges and refunds. Disputes have a list of their own, and show two of theirs at
// most; one without an exact meaning is left out.
func counted(x *stripesdk.BalanceTransaction) bool {
	switch x.ReportingCategory {
	case stripesdk.BalanceTransactionReportingCategoryDispute, stripesdk.BalanceTransactionReportingCategoryDisputeReversal:
		return false
	default:
		return lenient(x.Fee, x.Currency).Currency != "" && lenient(x.Net, x.Currency).Currency != ""
	}
}

func (a *Adapter) sweepEvents(w window) (rows, error) {
	it := a.sdk.Events.List(&stripesdk.EventListParams{ListParams: w.list, CreatedRange: w.created})
	return page(it.Iter, it.EventList().LastResponse, func(e *stripesdk.Event) string { return e.ID },
		func(e *stripesdk.Event) providers.SweepItem {
			item := providers.SweepItem{Object: providers.Ref{Kind: kindEvent, ID: e.ID}, Created: unix(e.Created)}
			var o carried
			if e.Data == nil || !relevant(string(e.Type)) || json.Unmarshal(e.Data.Raw, &o) != nil || o.ID == "" {
				return item // about nothing of ours
			}
			item.Object, item.Hint = providers.Ref{Kind: kindOf(o.Object), ID: o.ID}, o.hint()
			return item
		})
}

// item makes a row of what the trail found.
func (t *trail) item(kind, id string, amount payment.Money, created int64, paid bool) providers.SweepItem {
	h := t.hint
	h.Refs = refs(append(t.ids, id)...)
	return providers.SweepItem{Object: providers.Ref{Kind: kind, ID: id}, Hint: h, Amount: amount, Created: unix(created), Paid: paid}
}

// lenient is an amount, or none where it has no exact meaning: other people's
// objects are swept too, and one of them must not stop the sweep.
func lenient(amount int64, currency stripesdk.Currency) payment.Money {
	m, err := fromStripe(amount, currency)
	if err != nil {
		return payment.Money{}
	}
	return m
}
