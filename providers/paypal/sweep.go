package paypal

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/trifecta-pay/trifecta/providers"
)

// The lists of an account. PayPal can't list orders, captures or refunds themselves.
const (
	listTransactions = "transactions"
	listEvents       = "webhook_events"
	listDisputes     = "disputes"
)

const (
	searchWindow  = 31 * 24 * time.Hour  // PayPal OpenAPI reporting v1: maximum range
	disputeWindow = 179 * 24 * time.Hour // customer disputes v1: at most 180 days back
	minWindow     = time.Minute          // below it a window is not split any more
	// longestLag is for how old a start PayPal's "not available" is taken for lag: 36
	// hours were seen. Beyond, it is an error that stops the list and alerts.
	longestLag = 72 * time.Hour
)

// Lists names the account's lists, money first.
func (a *Adapter) Lists() []string { return []string{listTransactions, listEvents, listDisputes} }

// Sweep reads one page of a list between two times.
func (a *Adapter) Sweep(ctx context.Context, list string, from, to time.Time, cursor string) (providers.SweepPage, error) {
	switch {
	case !from.Before(to):
		return providers.SweepPage{TrustedTo: to}, nil
	case list == listTransactions:
		return a.sweepTransactions(ctx, from, to, cursor)
	case list == listEvents:
		return a.sweepEvents(ctx, from, to, cursor)
	case list == listDisputes:
		return a.sweepDisputes(ctx, from, to, cursor)
	default:
		return providers.SweepPage{}, badSweep("unknown_list")
	}
}

func badSweep(code string) error {
	return &providers.Error{Class: providers.Refused, Provider: Provider, Op: "sweep", Code: code}
}

// window is one page of one stretch of transaction search.
type window struct {
	from, to time.Time
	page     int
}

func (w window) String() string {
	return strings.Join([]string{rfc3339(w.from), rfc3339(w.to), strconv.Itoa(w.page)}, "|")
}

func parseWindow(cursor string) (window, error) {
	parts := strings.Split(cursor, "|")
	if len(parts) != 3 {
		return window{}, badSweep("bad_cursor")
	}
	w := window{from: parseTime(parts[0]), to: parseTime(parts[1])}
	page, err := strconv.Atoi(parts[2])
	if err != nil || page < 1 || !w.from.Before(w.to) {
		return window{}, badSweep("bad_cursor")
	}
	w.page = page
	return w, nil
}

// sweepTransactions walks transaction search in stretches of at most 31 days. A stretch
// with more rows than PayPal gives out is halved. PayPal is trusted only up to what it
// says it has refreshed; rows appear up to 3 hours late.
func (a *Adapter) sweepTransactions(ctx context.Context, from, to time.Time, cursor string) (providers.SweepPage, error) {
	w := window{from: from.Truncate(time.Second), to: to, page: 1}
	if cursor != "" {
		var err error
		if w, err = parseWindow(cursor); err != nil {
			return providers.SweepPage{}, err
		}
	}
	if limit := w.from.Add(searchWindow); w.to.After(limit) {
		w.to = limit
	}
	var list transactionList
	for {
		query := url.Values{
			"start_date": {rfc3339(w.from)}, "end_date": {rfc3339(w.to)}, "fields": {"transaction_info"},
			"balance_affecting_records_only": {"Y"}, "page_size": {"500"}, "page": {strconv.Itoa(w.page)},
		}
		got, err := a.api.read(ctx, "sweep", reportsPath+"transactions?"+query.Encode(), &list)
		if err == nil {
			break
		}
		if notRefreshed(got) && w.from.After(a.opts.Now().Add(-longestLag)) {
			// Nothing of this stretch can be read yet: the walk ends here, and the next
			// one begins before it.
			return providers.SweepPage{TrustedTo: w.from}, nil
		}
		var e *providers.Error
		half := w.to.Sub(w.from) / 2
		if !errors.As(err, &e) || e.Code != "resultset_too_large" || half < minWindow {
			return providers.SweepPage{}, err
		}
		w.to, w.page, list = w.from.Add(half.Truncate(time.Second)), 1, transactionList{}
	}
	page := providers.SweepPage{TrustedTo: from}
	if refreshed := parseTime(list.Refreshed); !refreshed.IsZero() {
		page.TrustedTo = earlier(to, refreshed)
	}
	for _, d := range list.Details {
		page.Items = append(page.Items, transactionItem(d.Info))
	}
	switch {
	case w.page < list.TotalPages:
		page.Next = window{from: w.from, to: w.to, page: w.page + 1}.String()
	case rfc3339(w.to) < rfc3339(to):
		page.Next = window{from: w.to, to: earlier(to.Add(time.Second), w.to.Add(searchWindow)), page: 1}.String()
	}
	return page, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// transactionItem maps a row by its event code (PayPal docs: "Transaction event
// codes"): T00xx payments, T1107 refunds, T1106 reversals, other T11xx and T12xx holds,
// chargebacks and rarer reversals, T13xx authorizations. What of these takes money is a
// debit, which the payment must explain. The rest is the merchant's own banking.
func transactionItem(t transaction) providers.SweepItem {
	it := providers.SweepItem{
		Object:  providers.Ref{Kind: "transaction", ID: clean(t.ID)},
		Hint:    hintOf([]string{t.CustomField, t.InvoiceID}, t.ID, t.ReferenceID),
		Created: firstTime(t.Initiated, t.Updated), Changed: firstTime(t.Updated),
	}
	if amount, err := t.Amount.parse(); err == nil {
		it.Amount = amount
	}
	moved := t.Status == happened || t.Status == undone
	switch code := t.EventCode; {
	case strings.HasPrefix(code, "T00"):
		if it.Amount.Minor >= 0 { // what the merchant pays others has the same codes
			it.Object.Kind, it.Paid = "capture", moved
		}
	case code == "T1106", code == "T1107":
		it.Object.Kind, it.Paid, it.Done = "refund", moved, t.Status == happened
	case strings.HasPrefix(code, "T11"), strings.HasPrefix(code, "T12"):
		if it.Paid = moved; it.Amount.Minor < 0 {
			it.Object.Kind = "debit"
		}
	case strings.HasPrefix(code, "T13"):
		it.Object.Kind, it.Paid = "authorization", moved
	}
	return it
}

// sweepEvents lists the webhook events PayPal made, sent or not. It keeps about 30 days.
func (a *Adapter) sweepEvents(ctx context.Context, from, to time.Time, cursor string) (providers.SweepPage, error) {
	query := url.Values{"start_time": {rfc3339(from)}, "end_time": {rfc3339(to.Add(time.Second))}, "page_size": {"100"}}
	if cursor != "" {
		var err error
		if query, err = url.ParseQuery(cursor); err != nil {
			return providers.SweepPage{}, badSweep("bad_cursor")
		}
	}
	var list struct {
		Events []json.RawMessage `json:"events"`
		Links  []link            `json:"links"`
	}
	got, err := a.api.read(ctx, "sweep", "/v1/notifications/webhooks-events?"+query.Encode(), &list)
	if err != nil {
		return providers.SweepPage{}, err
	}
	page := providers.SweepPage{TrustedTo: trusted(from, to, got)}
	for _, raw := range list.Events {
		var e envelope
		if json.Unmarshal(raw, &e) != nil || !slices.Contains(relevant, e.EventType) {
			continue // what we would not act on as a webhook either
		}
		object, hint, ok := place(e.EventType, e.ResourceType, e.Resource)
		if !ok {
			continue
		}
		item := providers.SweepItem{Object: object, Hint: hint, Created: firstTime(e.CreateTime), Approved: e.EventType == approved}
		if e.EventType == completed {
			arrived(&item, e.Resource)
		}
		page.Items = append(page.Items, item)
	}
	next := queryOf(linkOf(list.Links, "next"))
	if len(next) > 0 && next.Encode() != query.Encode() {
		page.Next = next.Encode()
	}
	return page, nil
}

// arrived says of a capture's event that its money moved. One that was pending for days
// stands in transaction search at the time of its making, which nobody reads again: if no
// payment knows it, only this tells.
func arrived(item *providers.SweepItem, raw json.RawMessage) {
	var c struct {
		Amount *money `json:"amount"`
	}
	if json.Unmarshal(raw, &c) != nil {
		return
	}
	if amount, err := c.Amount.parse(); err == nil {
		item.Amount, item.Paid = amount, true
	}
}

// trusted: a list read from the live service is complete up to the moment of reading.
func trusted(from, to time.Time, got *answer) time.Time {
	read := got.date()
	if read.IsZero() {
		return from
	}
	return earlier(to, read)
}

// sweepDisputes lists the cases that changed, by the time of their latest change.
func (a *Adapter) sweepDisputes(ctx context.Context, from, to time.Time, cursor string) (providers.SweepPage, error) {
	const form = "2006-01-02T15:04:05.000Z"
	if oldest := a.opts.Now().Add(-disputeWindow); from.Before(oldest) {
		from = oldest
	}
	query := url.Values{"update_time_after": {from.UTC().Format(form)}, "update_time_before": {to.UTC().Format(form)}, "page_size": {"50"}}
	if cursor != "" {
		query.Set("next_page_token", cursor)
	}
	var list disputeList
	got, err := a.api.read(ctx, "sweep", "/v1/customer/disputes?"+query.Encode(), &list)
	if err != nil {
		return providers.SweepPage{}, err
	}
	page := providers.SweepPage{TrustedTo: trusted(from, to, got)}
	for _, d := range list.Items {
		page.Items = append(page.Items, disputeItem(d))
	}
	if next := queryOf(linkOf(list.Links, "next")).Get("next_page_token"); next != cursor {
		page.Next = next
	}
	return page, nil
}

func disputeItem(d disputeBody) providers.SweepItem {
	var claimed []string
	ids := []string{d.ID}
	for _, t := range d.Transactions {
		claimed = append(claimed, t.Custom, t.InvoiceNumber)
		ids = append(ids, t.SellerTransactionID)
	}
	it := providers.SweepItem{
		Object: providers.Ref{Kind: "dispute", ID: clean(d.ID)}, Hint: hintOf(claimed, ids...),
		Created: firstTime(d.CreateTime, d.UpdateTime), Changed: firstTime(d.UpdateTime), Paid: d.Stage != "INQUIRY",
	}
	if amount, err := d.Amount.parse(); err == nil {
		it.Amount = negative(amount)
	}
	return it
}

// The capabilities of this adapter.
var (
	_ providers.Provider   = (*Adapter)(nil)
	_ providers.Authorizer = (*Adapter)(nil)
	_ providers.Verifier   = (*Adapter)(nil)
	_ providers.Tracer     = (*Adapter)(nil)
	_ providers.Sweeper    = (*Adapter)(nil)
)
