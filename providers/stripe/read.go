package stripe

import (
	"context"
	"net/http"
	"strings"
	"time"

	stripesdk "github.com/stripe/stripe-go/v76"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// snapshot is everything below one root as it was read, in the order of reading:
// the root first, so that what is created meanwhile is never claimed as covered.
type snapshot struct {
	session  *stripesdk.CheckoutSession // nil where the root is an intent
	intent   *stripesdk.PaymentIntent   // nil until the customer submitted
	charges  []*stripesdk.Charge
	refunds  []*stripesdk.Refund
	disputes []datedDispute
	warnings []*stripesdk.RadarEarlyFraudWarning
	reversed []reversedRefund
	asOf     time.Time // provider time of the first read
}

// datedDispute is a dispute and when Stripe said so: it merges by that time.
type datedDispute struct {
	*stripesdk.Dispute
	asOf time.Time
}

// reversedRefund is the balance transaction that returned a failed refund.
type reversedRefund struct {
	refund string
	txn    *stripesdk.BalanceTransaction
}

// Fetch reads one attempt with everything below it.
func (a *Adapter) Fetch(ctx context.Context, at providers.Attempt) (payment.Observation, error) {
	const op = "fetch"
	s, err := a.snapshot(ctx, op, at.Root)
	if err != nil {
		return payment.Observation{}, err
	}
	return a.observation(op, s, at.N, true)
}

// snapshot reads the root and what hangs below it: one call while nobody paid,
// five to six afterwards.
func (a *Adapter) snapshot(ctx context.Context, op string, root providers.Ref) (snapshot, error) {
	s, err := a.root(ctx, op, root)
	if err != nil {
		return s, err
	}
	if s.intent == nil || s.intent.LatestCharge == nil {
		return s, nil
	}
	if s.charges, err = a.charges(ctx, op, s.intent.ID); err != nil {
		return s, err
	}
	s.charges = caughtUp(s.charges, s.intent.LatestCharge)
	held, captured := false, false
	for _, c := range s.charges {
		held = held || c.Status == stripesdk.ChargeStatusSucceeded || booked(c)
		captured = captured || c.Captured && c.Status == stripesdk.ChargeStatusSucceeded
	}
	if held { // a hold that was let go shows as a refund too, and so does a debit that failed
		if s.refunds, err = a.refunds(ctx, op, s.intent.ID); err != nil {
			return s, err
		}
		if s.reversed, err = a.reversals(ctx, op, s.refunds); err != nil {
			return s, err
		}
	}
	if captured { // always, not by charge.disputed: nobody promises that inquiries set it
		if s.disputes, err = a.disputes(ctx, op, s.intent.ID); err != nil {
			return s, err
		}
		s.warnings, err = a.warnings(ctx, op, s.intent.ID)
	}
	return s, err
}

// caughtUp are an intent's charges with what the intent itself shows of the latest one. Lists
// lag, and a hold that was captured must not be read as one without its capture: the next
// reading, were it older, would hold the money again. The rest of such a row is read later.
func caughtUp(list []*stripesdk.Charge, latest *stripesdk.Charge) []*stripesdk.Charge {
	if !captured(latest) {
		return list
	}
	for i, c := range list {
		if c.ID != latest.ID {
			continue
		}
		if c.Status == latest.Status && c.AmountCaptured < latest.AmountCaptured {
			row := *c
			row.Captured, row.AmountCaptured = true, latest.AmountCaptured
			list[i] = &row
		}
		return list
	}
	return append(list, latest)
}

// booked says that a charge failed after its money was in the pending balance: a debit
// that its bank returned, as opposed to a card that was declined.
func booked(c *stripesdk.Charge) bool {
	return c.Status == stripesdk.ChargeStatusFailed && c.BalanceTransaction != nil
}

// root reads the session or intent by its id.
func (a *Adapter) root(ctx context.Context, op string, root providers.Ref) (snapshot, error) {
	var s snapshot
	if root.ID == "" {
		return s, &providers.Error{Class: providers.NotFound, Provider: provider, Op: op, Code: "no_root"}
	}
	if root.Kind == kindIntent || strings.HasPrefix(root.ID, "pi_") {
		intent, err := a.intent(ctx, op, root.ID)
		if err != nil {
			return s, err
		}
		s.intent = intent
		s.asOf = asOf(date(intent.LastResponse), unix(intent.Created), chargeTime(intent.LatestCharge))
		return s, nil
	}
	session, err := a.session(ctx, op, root.ID)
	if err != nil {
		return s, err
	}
	s.session, s.intent = session, session.PaymentIntent
	s.asOf = sessionTime(session, date(session.LastResponse))
	return s, nil
}

// sessionTime is when a session was read.
func sessionTime(s *stripesdk.CheckoutSession, read time.Time) time.Time {
	times := []time.Time{unix(s.Created)}
	if s.PaymentIntent != nil {
		times = append(times, unix(s.PaymentIntent.Created), chargeTime(s.PaymentIntent.LatestCharge))
	}
	return asOf(read, times...)
}

// clockSkew is how far two clocks of Stripe's may differ.
const clockSkew = time.Minute

// asOf is when an answer was true: its Date, and not before anything that it holds
// was created, should two clocks of Stripe's differ a little. Where it has no Date,
// the youngest creation is all that is certain.
func asOf(read time.Time, created ...time.Time) time.Time {
	out := read
	for _, t := range created {
		if t.After(out) && (read.IsZero() || t.Sub(read) <= clockSkew) {
			out = t
		}
	}
	return out
}

func chargeTime(c *stripesdk.Charge) time.Time {
	if c == nil {
		return time.Time{}
	}
	return unix(c.Created)
}

func (a *Adapter) session(ctx context.Context, op, id string) (*stripesdk.CheckoutSession, error) {
	return read(ctx, op, func(ctx context.Context) (*stripesdk.CheckoutSession, error) {
		params := &stripesdk.CheckoutSessionParams{Params: stripesdk.Params{Context: ctx}}
		params.AddExpand("payment_intent")
		params.AddExpand("payment_intent.latest_charge")
		s, err := a.sdk.CheckoutSessions.Get(id, params)
		return whole(s, err, func() bool { return s.ID == id && s.Status != "" })
	})
}

func (a *Adapter) intent(ctx context.Context, op, id string) (*stripesdk.PaymentIntent, error) {
	return read(ctx, op, func(ctx context.Context) (*stripesdk.PaymentIntent, error) {
		params := &stripesdk.PaymentIntentParams{Params: stripesdk.Params{Context: ctx}}
		params.AddExpand("latest_charge")
		p, err := a.sdk.PaymentIntents.Get(id, params)
		return whole(p, err, func() bool { return p.ID == id && p.Status != "" })
	})
}

func (a *Adapter) charges(ctx context.Context, op, intent string) ([]*stripesdk.Charge, error) {
	return read(ctx, op, func(ctx context.Context) ([]*stripesdk.Charge, error) {
		return all(ctx, func(list stripesdk.ListParams) *stripesdk.Iter {
			params := &stripesdk.ChargeListParams{ListParams: list, PaymentIntent: stripesdk.String(intent)}
			params.AddExpand("data.balance_transaction")
			params.AddExpand("data.failure_balance_transaction")
			params.AddExpand("data.review")
			return a.sdk.Charges.List(params).Iter
		}, func(c *stripesdk.Charge) string { return c.ID })
	})
}

func (a *Adapter) refunds(ctx context.Context, op, intent string) ([]*stripesdk.Refund, error) {
	return read(ctx, op, func(ctx context.Context) ([]*stripesdk.Refund, error) {
		return all(ctx, func(list stripesdk.ListParams) *stripesdk.Iter {
			params := &stripesdk.RefundListParams{ListParams: list, PaymentIntent: stripesdk.String(intent)}
			params.AddExpand("data.balance_transaction")
			return a.sdk.Refunds.List(params).Iter
		}, func(r *stripesdk.Refund) string { return r.ID })
	})
}

// reversals reads the transactions that brought failed refunds back; without them
// the net would miss that money.
func (a *Adapter) reversals(ctx context.Context, op string, refunds []*stripesdk.Refund) ([]reversedRefund, error) {
	var out []reversedRefund
	for _, r := range refunds {
		if r.FailureBalanceTransaction == nil || r.FailureBalanceTransaction.ID == "" {
			continue
		}
		txn, err := a.transaction(ctx, op, r.FailureBalanceTransaction.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, reversedRefund{refund: r.ID, txn: txn})
	}
	return out, nil
}

func (a *Adapter) transaction(ctx context.Context, op, id string) (*stripesdk.BalanceTransaction, error) {
	return read(ctx, op, func(ctx context.Context) (*stripesdk.BalanceTransaction, error) {
		params := &stripesdk.BalanceTransactionParams{Params: stripesdk.Params{Context: ctx}}
		params.AddExpand("source")
		t, err := a.sdk.BalanceTransactions.Get(id, params)
		return whole(t, err, func() bool { return t.ID == id })
	})
}

// disputes lists an intent's disputes and reads each by its id, because only the
// answer to such a read says as of when it is true.
func (a *Adapter) disputes(ctx context.Context, op, intent string) ([]datedDispute, error) {
	list, err := read(ctx, op, func(ctx context.Context) ([]*stripesdk.Dispute, error) {
		return all(ctx, func(list stripesdk.ListParams) *stripesdk.Iter {
			return a.sdk.Disputes.List(&stripesdk.DisputeListParams{ListParams: list, PaymentIntent: stripesdk.String(intent)}).Iter
		}, func(d *stripesdk.Dispute) string { return d.ID })
	})
	if err != nil {
		return nil, err
	}
	out := make([]datedDispute, 0, len(list))
	for _, row := range list {
		d, err := a.dispute(ctx, op, row.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, datedDispute{Dispute: d, asOf: asOf(date(d.LastResponse), unix(d.Created))})
	}
	return out, nil
}

func (a *Adapter) dispute(ctx context.Context, op, id string) (*stripesdk.Dispute, error) {
	return read(ctx, op, func(ctx context.Context) (*stripesdk.Dispute, error) {
		d, err := a.sdk.Disputes.Get(id, &stripesdk.DisputeParams{Params: stripesdk.Params{Context: ctx}})
		return whole(d, err, func() bool { return d.ID == id && d.Status != "" })
	})
}

// warnings lists what issuers reported about an intent's charges.
func (a *Adapter) warnings(ctx context.Context, op, intent string) ([]*stripesdk.RadarEarlyFraudWarning, error) {
	return read(ctx, op, func(ctx context.Context) ([]*stripesdk.RadarEarlyFraudWarning, error) {
		return all(ctx, func(list stripesdk.ListParams) *stripesdk.Iter {
			return a.sdk.RadarEarlyFraudWarnings.List(&stripesdk.RadarEarlyFraudWarningListParams{
				ListParams: list, PaymentIntent: stripesdk.String(intent),
			}).Iter
		}, func(w *stripesdk.RadarEarlyFraudWarning) string { return w.ID })
	})
}

// all walks a list to its end, page by page: the SDK's own walk panics on a list
// that says there is more and is empty. A list that breaks off is an error: half a
// list of refunds would be read as less money given back.
func all[S any](ctx context.Context, list func(stripesdk.ListParams) *stripesdk.Iter, id func(*S) string) ([]*S, error) {
	var out []*S
	err := pages(ctx, list, id, func(part []*S) bool {
		out = append(out, part...)
		return true
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// pages hands out a list's pages, until its end or until more says that it is enough.
func pages[S any](ctx context.Context, list func(stripesdk.ListParams) *stripesdk.Iter, id func(*S) string, more func([]*S) bool) error {
	params := stripesdk.ListParams{Context: ctx, Limit: stripesdk.Int64(100), Single: true}
	for {
		part, next, err := onePage(list(params), id)
		if err != nil {
			return err
		}
		if !more(part) || next == "" {
			return nil
		}
		params.StartingAfter = stripesdk.String(next)
	}
}

// onePage takes the rows of one page, and the id after which the next one begins.
func onePage[S any](it *stripesdk.Iter, id func(*S) string) (rows []*S, next string, err error) {
	for it.Next() {
		v, ok := it.Current().(*S)
		if !ok || v == nil || id(v) == "" {
			return nil, "", errUnreadable
		}
		rows = append(rows, v)
		next = id(v)
	}
	if err := it.Err(); err != nil {
		return nil, "", err
	}
	if len(rows) == 0 && it.Meta().URL == "" { // every list names itself: the SDK reads "{}" as one without rows
		return nil, "", errUnreadable
	}
	if !it.Meta().HasMore {
		return rows, "", nil
	}
	if next == "" {
		return nil, "", errTruncated
	}
	return rows, next, nil
}

// sessions lists the sessions that a filter lets through.
func (a *Adapter) sessions(ctx context.Context, op string, filter stripesdk.CheckoutSessionListParams) ([]*stripesdk.CheckoutSession, error) {
	var out []*stripesdk.CheckoutSession
	err := a.eachSession(ctx, op, filter, func(part []*stripesdk.CheckoutSession) bool {
		out = append(out, part...)
		return true
	})
	return out, err
}

// eachSession hands out the sessions that a filter lets through, by pages, until more
// says that it is enough.
func (a *Adapter) eachSession(
	ctx context.Context, op string, filter stripesdk.CheckoutSessionListParams, more func([]*stripesdk.CheckoutSession) bool,
) error {
	_, err := read(ctx, op, func(ctx context.Context) (struct{}, error) {
		return struct{}{}, pages(ctx, func(list stripesdk.ListParams) *stripesdk.Iter {
			params := filter
			params.ListParams = list
			return a.sdk.CheckoutSessions.List(&params).Iter
		}, func(s *stripesdk.CheckoutSession) string { return s.ID }, more)
	})
	return err
}

// whole turns a 2xx answer that is not the object asked for into an error: the SDK
// reads "{}" into an empty object without complaint.
func whole[T any](v T, err error, ok func() bool) (T, error) {
	if err == nil && !ok() {
		err = errUnreadable
	}
	return v, err
}

// date is when Stripe sent an answer; zero where it did not say.
func date(r *stripesdk.APIResponse) time.Time {
	if r == nil {
		return time.Time{}
	}
	at, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return time.Time{}
	}
	return at.UTC()
}

// replayed says that an answer is the stored one of an earlier call with the same
// key: its Date is new, its content is not (Stripe docs: idempotent requests).
func replayed(r *stripesdk.APIResponse) bool {
	return r != nil && r.Header.Get("Idempotent-Replayed") == "true"
}

// farFuture is the end of the year 8999: what lies behind it is no time. After the
// year 9999 one can't be stored, and lives are added to these times.
const farFuture = 221845391999

// unix is a time of Stripe's; 0, and what can't be a time, is none.
func unix(seconds int64) time.Time {
	if seconds <= 0 || seconds > farFuture {
		return time.Time{}
	}
	return time.Unix(seconds, 0).UTC()
}
