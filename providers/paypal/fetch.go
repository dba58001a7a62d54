package paypal

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/trifecta-pay/trifecta/gateway/payment"
	"github.com/trifecta-pay/trifecta/providers"
)

// maxPages bounds every walk through a list of one attempt's objects.
const maxPages = 20

// Fetch reads an order and everything below it: its authorizations by id, its
// captures and refunds, the disputes about them. An order that is gone is read by its
// parts, or reported expired once it must be dead. Disputes that can't be read keep
// nothing else back: both are told, and their error is Rooted.
func (a *Adapter) Fetch(ctx context.Context, at providers.Attempt) (payment.Observation, error) {
	return a.fetch(ctx, "fetch", at, true)
}

// CloseCheckout reads the attempt as it is: PayPal can't close an order. The gateway
// abandons it and never captures it, so that it dies with nobody charged.
func (a *Adapter) CloseCheckout(ctx context.Context, at providers.Attempt, _ string) (providers.Result, error) {
	obs, err := a.fetch(ctx, "close_checkout", at, true)
	if err != nil && !(providers.Beside(err) && obs.Complete) {
		return providers.Result{}, err
	}
	return providers.Result{Ref: at.Root.ID, Observation: obs}, nil
}

// fetch reads an attempt. whole reads disputes and reversals too; a look right after
// a call of ours does without, so that taking money never hangs on those services.
func (a *Adapter) fetch(ctx context.Context, op string, at providers.Attempt, whole bool) (payment.Observation, error) {
	if err := checkID(op, at.Root.ID); err != nil {
		return payment.Observation{}, err
	}
	s := snapshot{attempt: at, complete: true}
	got, err := a.api.read(ctx, op, "/v2/checkout/orders/"+at.Root.ID, &s.order)
	switch {
	case providers.ClassOf(err) == providers.NotFound && err != nil:
		return a.fetchWithoutOrder(ctx, op, at, whole, got, err)
	case err != nil:
		return payment.Observation{}, err
	case s.order.ID != at.Root.ID:
		return payment.Observation{}, a.api.unreadable(op, got, nil)
	}
	s.at, s.parts = got.date(), s.order.payments()
	for i, x := range s.parts.Authorizations {
		if err := a.readAuthorization(ctx, op, x.ID, &s.parts.Authorizations[i]); err != nil {
			return payment.Observation{}, err
		}
	}
	return a.finish(ctx, op, s, whole, got)
}

// finish adds what stands beside an order and maps it all.
func (a *Adapter) finish(ctx context.Context, op string, s snapshot, whole bool, got *answer) (payment.Observation, error) {
	s.narrow = !whole
	var unread error
	if whole {
		s.disputes, unread = a.disputes(ctx, op, s.parts.Captures)
		// Last, because a search that fails may have taken all the time there was.
		s.reversed, s.narrow = a.reversals(ctx, op, s)
		s.narrow = s.narrow || unread != nil
	}
	obs, err := a.observe(s)
	if err != nil {
		e := a.api.unreadable(op, got, err)
		e.Aside = true // one object's: a few payments that stay so must not close the account for all
		return payment.Observation{}, e
	}
	return obs, beside(unread)
}

// fetchWithoutOrder: PayPal forgets orders that nobody completed after some hours, and
// has answered 404 for living ones for a while. What is known below the order is read
// by its own id; an order that can't be alive any more is expired; a younger one is
// just not found. So is one whose authorization was captured in part: what else was taken
// of it stands in the order alone, and what is left can't be told without, unless the
// capture that is known was the final one: then nothing is.
func (a *Adapter) fetchWithoutOrder(ctx context.Context, op string, at providers.Attempt, whole bool, got *answer, notFound error) (payment.Observation, error) {
	s := snapshot{attempt: at, complete: true, rootless: true, at: got.date()}
	if id := at.Refs.Capture; id != "" {
		var c captureBody
		if err := a.readObject(ctx, op, "captures", id, &c); err != nil {
			return payment.Observation{}, err
		}
		s.parts.Captures = append(s.parts.Captures, c)
	}
	if id := at.Refs.Authorization; id != "" {
		var x authorizationBody
		if err := a.readAuthorization(ctx, op, id, &x); err != nil {
			return payment.Observation{}, err
		}
		final := slices.ContainsFunc(s.parts.Captures, func(c captureBody) bool { return c.Final && paid(c) })
		if x.Status == "PARTIALLY_CAPTURED" && !final {
			return payment.Observation{}, notFound
		}
		s.parts.Authorizations = append(s.parts.Authorizations, x)
	}
	if len(s.parts.Captures)+len(s.parts.Authorizations) > 0 {
		return a.finish(ctx, op, s, whole, got)
	}
	if a.opts.Now().Before(at.CreatedAt.Add(orderLife)) {
		return payment.Observation{}, notFound
	}
	return a.expired(at, got), nil
}

// expired is an order that died unpaid. PayPal tells nothing of it any more, so the
// time it was made is ours.
func (a *Adapter) expired(at providers.Attempt, got *answer) payment.Observation {
	read := got.date()
	if read.IsZero() {
		read = at.CreatedAt.Add(orderLife)
	}
	created := at.CreatedAt
	if created.IsZero() {
		created = read
	}
	refs := at.Refs
	refs.Order = at.Root.ID
	return payment.Observation{
		Provider: Provider, Account: a.opts.Account, N: at.N, Complete: true, AsOf: read,
		Facts: payment.Facts{Attempts: []payment.AttemptFact{{
			Key: a.key(at.Root.ID), N: at.N, Kind: payment.KindOrder, State: payment.AttemptExpired, Total: at.Asked, Refs: refs,
			Stamp: payment.Stamp{Created: created, AsOf: read},
		}}},
	}
}

// readObject reads one object of Payments v2 by its id.
func (a *Adapter) readObject(ctx context.Context, op, collection, id string, into any) error {
	if err := checkID(op, id); err != nil {
		return err
	}
	_, err := a.api.read(ctx, op, "/v2/payments/"+collection+"/"+id, into)
	return err
}

// readAuthorization reads an authorization by its id, because an order shows neither
// its expiry for sure nor which one it renews. It replaces what into held.
func (a *Adapter) readAuthorization(ctx context.Context, op, id string, into *authorizationBody) error {
	var x authorizationBody
	if err := a.readObject(ctx, op, "authorizations", id, &x); err != nil {
		return err
	}
	if x.ID != id {
		return a.api.unreadable(op, &answer{}, nil)
	}
	*into = x
	return nil
}

// forbidden says that an account may not use a service at all: then its objects stay
// unseen, and the money is read all the same. A token that is refused is no such answer.
func forbidden(err error) bool {
	var e *providers.Error
	return errors.As(err, &e) && e.Class == providers.Misconfigured && e.Status == http.StatusForbidden
}

// noRight says that a service is forbidden, or that there is none.
func noRight(err error) bool {
	return err != nil && (forbidden(err) || providers.ClassOf(err) == providers.NotFound)
}

// disputes reads every case about the captures. With an error come those that could be
// read before it.
func (a *Adapter) disputes(ctx context.Context, op string, captures []captureBody) ([]disputeBody, error) {
	var out []disputeBody
	seen := map[string]bool{}
	for _, c := range captures {
		if unpaid(c) {
			continue
		}
		query := url.Values{"disputed_transaction_id": {c.ID}, "page_size": {"50"}}
		for range maxPages {
			var list disputeList
			if _, err := a.api.read(ctx, op, disputesPath+"?"+query.Encode(), &list); noRight(err) {
				return out, nil
			} else if err != nil {
				return out, err
			}
			for _, d := range list.Items {
				if seen[d.ID] || checkID(op, d.ID) != nil {
					continue
				}
				seen[d.ID] = true
				var whole disputeBody
				if _, err := a.api.read(ctx, op, disputesPath+"/"+d.ID, &whole); err != nil {
					return out, err
				}
				whole.about = c.ID
				out = append(out, whole)
			}
			next := queryOf(linkOf(list.Links, "next")).Get("next_page_token")
			if next == "" {
				break
			}
			query.Set("next_page_token", next)
		}
	}
	return out, nil
}

func paid(c captureBody) bool {
	return c.Status == "COMPLETED" || c.Status == "PARTIALLY_REFUNDED" || c.Status == "REFUNDED"
}

// waitsOrFailed is every status that PayPal gives a capture without money.
func waitsOrFailed(c captureBody) bool {
	return c.Status == "PENDING" || c.Status == "DECLINED" || c.Status == "FAILED"
}

// heldMoney are the reasons of such a status which say that there was money, and that somebody
// wants it back or has it (PayPal OpenAPI payments v2: capture_status_details).
var heldMoney = []string{"BUYER_COMPLAINT", "CHARGEBACK", "REFUNDED"}

// unpaid says that a capture certainly never held money: it has no disputes, and nothing of
// it can be taken back. One of a status that nobody knows may have held some.
func unpaid(c captureBody) bool {
	return waitsOrFailed(c) && !slices.Contains(heldMoney, c.StatusDetails.Reason)
}

// queryOf is the query of a link, empty if there is none.
func queryOf(href string) url.Values {
	u, err := url.Parse(href)
	if err != nil {
		return url.Values{}
	}
	return u.Query()
}

// reversalCode is PayPal's transaction event code for money it took back by itself
// (PayPal docs: "Transaction event codes", T1106 payment reversal).
const reversalCode = "T1106"

// Statuses of movements that happened (PayPal OpenAPI reporting v1: transaction_status).
const (
	happened = "S"
	undone   = "V" // it did, and the money went back whence it came
)

// searchSpan is the longest window of one transaction search (PayPal OpenAPI
// reporting v1: 31 days), less a day for both ends.
const searchSpan = 30 * 24 * time.Hour

// reversals looks for money that PayPal took back by itself, such as a returned bank
// payment. An order does not list it, and what else happened to the capture since may
// hide that it happened. So every capture that changed after it was made is looked up
// in transaction search, which tells up to 3 hours late.
//
// A search that fails must not make the payment unreadable: PayPal refuses one that
// begins after the latest refresh of its reports, so for hours after every fresh refund.
// The order's own objects are told all the same, and the look counts as narrow: nobody
// may take it for proof that there is no reversal. One that succeeds proves it as little
// while its reports do not reach the capture's latest change. The sweep of transactions brings the
// row later, and with it another look; where that list fails too, it alerts.
func (a *Adapter) reversals(ctx context.Context, op string, s snapshot) (out []transaction, narrow bool) {
	for _, c := range s.parts.Captures {
		created, changed := parseTime(c.CreateTime), parseTime(c.UpdateTime)
		if unpaid(c) || !changed.After(created.Add(2*time.Second)) {
			continue
		}
		narrow = narrow || !paid(c) && !waitsOrFailed(c) // a status nobody knows: looked at, and proof of nothing
		found, refreshed, err := a.searchReversals(ctx, op, latest(created, changed.Add(-searchSpan)).Add(-time.Hour), changed.Add(time.Hour))
		switch {
		case forbidden(err):
			return out, narrow // without the right to search there is nothing to look at, ever
		case err != nil:
			return out, true
		}
		narrow = narrow || refreshed.Before(changed)
		for _, t := range found {
			if t.ReferenceID == c.ID {
				out = append(out, t)
			}
		}
	}
	return out, narrow
}

// maxReversalPages bounds one search: 500 rows each.
const maxReversalPages = 20

// searchReversals lists the account's reversals in a window, and says up to when
// PayPal's reports knew of any.
func (a *Adapter) searchReversals(ctx context.Context, op string, from, to time.Time) (out []transaction, refreshed time.Time, err error) {
	for page := 1; page <= maxReversalPages; page++ {
		query := url.Values{
			"start_date": {rfc3339(from)}, "end_date": {rfc3339(to)}, "page": {strconv.Itoa(page)},
			"transaction_type": {reversalCode}, "fields": {"transaction_info"}, "page_size": {"500"},
		}
		var list transactionList
		if _, err := a.api.read(ctx, op, reportsPath+"transactions?"+query.Encode(), &list); err != nil {
			return nil, time.Time{}, err
		}
		if at := parseTime(list.Refreshed); page == 1 || at.Before(refreshed) {
			refreshed = at
		}
		for _, d := range list.Details {
			if d.Info.EventCode == reversalCode && (d.Info.Status == happened || d.Info.Status == undone) {
				out = append(out, d.Info)
			}
		}
		if page >= list.TotalPages {
			break
		}
	}
	return out, refreshed, nil
}

func rfc3339(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }
